"""The audit log as the truth: every call that a seccomp filter with SECCOMP_RET_LOG let through.

The kernel writes a record of type 1326 (AUDIT_SECCOMP, linux/audit.h) for each call
and sends it to the multicast group AUDIT_NLGRP_READLOG, whether or not auditing is
enabled or an audit daemon runs. It sees what ptrace cannot: CLONE_UNTRACED children and
programs that trace others. Which records are the program's is told by the audit
session id: `under_log` takes a new one, and descendants inherit it.

Needs CAP_AUDIT_READ (the group), CAP_AUDIT_CONTROL (the status, and the login uid where
one is set) and the initial network namespace; `log` in kernel.seccomp.actions_logged.
"""

import contextlib
import os
import re
import selectors
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.model.abi import Abi
from tests.truth import programs
from tests.truth.calls import X32_BIT, Call, Truth, is_known

# linux/audit.h, linux/netlink.h, asm-generic/socket.h
NETLINK_AUDIT = 9
AUDIT_GET = 1000
AUDIT_SECCOMP = 1326
AUDIT_NLGRP_READLOG = 1
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
SO_RCVBUFFORCE = 33
SECCOMP_RET_LOG = 0x7FFC0000

_HEADER = struct.Struct("=IHHII")
# struct audit_status: mask, enabled, failure, pid, rate_limit, backlog_limit, lost, ...
_STATUS = struct.Struct("=7I")
_LOST = 6
_RATE_LIMIT = 4
_BUFFER = 512 << 20  # bytes, not set aside in advance; a record of 190 bytes takes 2.3 KiB of it
_ACTIONS_LOGGED = Path("/proc/sys/kernel/seccomp/actions_logged")
_ABIS = {0xC000003E: Abi.X86_64, 0x40000003: Abi.I386, 0xC00000B7: Abi.AARCH64, 0x40000028: Abi.ARM}
# comm and exe are hex if they hold a quote or a space, so no value can fake a field
_FIELDS = re.compile(
    rb"\bses=(?P<session>\d+) .*?\bpid=(?P<pid>\d+) .* arch=(?P<arch>[0-9a-f]+) syscall=(?P<number>-?\d+) "
    rb".* code=0x(?P<code>[0-9a-f]+)"
)


class AuditError(AssertionError):
    """The audit log cannot serve as a truth here, or something of it was lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call in the log. `arch` is AUDIT_ARCH_*, `number` as the kernel saw it (x32 with its bit)."""

    session: int
    pid: int
    arch: int
    number: int


def parse(payload: bytes) -> Entry | None:
    """An AUDIT_SECCOMP record's text; None if another action than LOG wrote it.

    Raises AuditError if fields are missing.
    """
    match = _FIELDS.search(payload)
    if match is None:
        raise AuditError(f"not the text of an AUDIT_SECCOMP record: {payload!r}")
    if int(match["code"], 16) != SECCOMP_RET_LOG:
        return None
    return Entry(int(match["session"]), int(match["pid"]), int(match["arch"], 16), int(match["number"]))


def truth(entries: Iterable[Entry], status: int = 0, stdout: bytes = b"") -> Truth:
    """The calls of these entries; raises AuditError for an architecture that has no ABI here."""
    found: set[Call] = set()
    unknown: set[int] = set()
    for entry in entries:
        abi, number = _ABIS.get(entry.arch), entry.number
        if abi is None:
            raise AuditError(f"audit arch {entry.arch:#x} is none of {[hex(a) for a in _ABIS]}")
        if abi is Abi.X86_64 and number >= 0 and number & X32_BIT:
            abi, number = Abi.X32, number & ~X32_BIT
        if is_known(abi, number):
            found.add(Call(abi, number))
        else:
            unknown.add(entry.number)
    return Truth(frozenset(found), frozenset(), frozenset(unknown), status, stdout)


def _status() -> tuple[int, ...]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as control:
        control.settimeout(5)
        control.send(_HEADER.pack(_HEADER.size, AUDIT_GET, NLM_F_REQUEST, 1, 0))
        answer = control.recv(8192)
    kind = _HEADER.unpack_from(answer)[1]
    if kind == NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise AuditError(f"the kernel refuses AUDIT_GET: {os.strerror(-code)}")
    return _STATUS.unpack_from(answer, _HEADER.size)


def why_not() -> str | None:
    """Why the audit log cannot be the truth on this machine; None if it can."""
    if not _ACTIONS_LOGGED.exists():
        return "the kernel has no SECCOMP_RET_LOG (needs Linux 4.14 with seccomp filters)"
    if "log" not in _ACTIONS_LOGGED.read_text().split():
        return "kernel.seccomp.actions_logged lacks `log`: sysctl kernel.seccomp.actions_logged"
    try:
        if rate := _status()[_RATE_LIMIT]:
            return f"audit records are limited to {rate} a second: auditctl -r 0"
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as log:
            log.bind((0, AUDIT_NLGRP_READLOG))
    except (OSError, AuditError) as error:
        return f"the audit multicast cannot be read ({error}): needs root in the initial namespaces"
    return None


class Reader:
    """Collects the calls in the log from entry to exit, on a thread so that nothing overflows.

    `parse` makes an entry of a record's text, or None; it must keep what a LOG filter wrote.
    """

    def __init__(self, parse: Callable[[bytes], Entry | None] = parse) -> None:
        self._parse = parse
        self.entries: set[Entry] = set()
        self._texts: set[bytes] = set()
        self._error: Exception | None = None
        self._marker: int | None = None
        self._reached = threading.Event()
        self._lost = _status()[_LOST]
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, AUDIT_NLGRP_READLOG))
        self._socket.setblocking(False)
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._read, name="audit reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._woken)
        self._thread.join(10)
        os.close(self._wake)
        self._socket.close()

    def _read(self) -> None:
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(self._socket, selectors.EVENT_READ)
                ready.register(self._wake, selectors.EVENT_READ)
                while all(key.fileobj is not self._wake for key, _ in ready.select()):
                    with contextlib.suppress(BlockingIOError):
                        while True:  # a busy program makes more records than a select each would allow
                            self._take(self._socket.recv(65536))
        except (OSError, AuditError) as error:  # ENOBUFS: the kernel had no room for a record
            self._error = error
            self._reached.set()

    def _take(self, message: bytes) -> None:
        # audit puts the length of the payload alone into the header (kernel/audit.c, audit_log_end)
        if _HEADER.unpack_from(message)[1] != AUDIT_SECCOMP:
            return
        # after `audit(TIME:SERIAL): ` a call that is repeated reads the same
        text = message[message.index(b"):", _HEADER.size) + 2 :].rstrip(b"\0")
        if text in self._texts:
            return
        self._texts.add(text)
        entry = self._parse(text)
        if entry is not None:
            self.entries.add(entry)
            if entry.session == self._marker:
                self._reached.set()

    def settle(self, timeout: float = 30) -> None:
        """Wait until all that was logged before now has been read.

        The queue in the kernel keeps its order, so a marker is logged and waited for.
        Raises AuditError if a record was lost or the marker does not come within `timeout` seconds.
        """
        self._reached.clear()
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            paths = programs.build()
            session = Path(folder) / "session"
            command = [str(paths["under_log"]), str(session), "-", str(paths["brief"])]
            subprocess.run(command, check=True, timeout=timeout)
            marker = int(session.read_text())
        self._marker = marker
        if self._error is None and not self._has(marker):
            self._reached.wait(timeout)
        if self._error is not None:
            raise AuditError(f"the audit log was not read whole: {self._error}")
        if not self._has(marker):
            raise AuditError(f"no audit record came within {timeout} s")
        if (lost := _status()[_LOST]) != self._lost:
            raise AuditError(f"the kernel lost {lost - self._lost} audit records (backlog limit)")

    def _has(self, session: int) -> bool:
        return any(entry.session == session for entry in self.entries.copy())


def run(
    command: Sequence[str],
    cgroup: Path | None = None,
    *,
    stdin: int | bytes | None = subprocess.DEVNULL,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
) -> Truth:
    """Run `command` in `cgroup` (or where we are) under a filter that logs every call; the truth about it.

    The exec that starts the program is the first entry. Returns when the program has
    ended; what it left behind may still run, unseen from then on. Raises AuditError if
    anything was lost, the machine cannot do it, or the time (seconds) is over.
    """
    if reason := why_not():
        raise AuditError(reason)
    program = shutil.which(command[0])
    if program is None:
        raise AuditError(f"{command[0]}: not found")
    launcher = str(programs.build()["under_log"])
    with tempfile.TemporaryDirectory(prefix="audit-") as folder, Reader() as reader:
        session = Path(folder) / "session"
        line = [launcher, str(session), str(cgroup or "-"), program, *command[1:]]
        with subprocess.Popen(
            line,
            stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
            stdout=subprocess.PIPE,
            env=env,
            cwd=cwd,
        ) as process:
            try:
                stdout, _ = process.communicate(stdin if isinstance(stdin, bytes) else None, timeout)
            except subprocess.TimeoutExpired:
                if cgroup is not None:
                    (cgroup / "cgroup.kill").write_text("1")
                process.kill()
                raise AuditError(f"{command} did not end within {timeout} s") from None
        if cgroup is not None:
            _wait_until_empty(cgroup)
        reader.settle()
        mine = int(session.read_text())
        found = [entry for entry in reader.entries if entry.session == mine]
    if not found:
        raise AuditError(f"{command} left no audit record")
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return truth(found, status, stdout)


def _wait_until_empty(cgroup: Path, seconds: float = 5) -> None:
    """Give descendants that outlive the program a moment to end, so that their calls are in."""
    end = time.monotonic() + seconds
    with contextlib.suppress(FileNotFoundError):
        while "populated 1" in (cgroup / "cgroup.events").read_text() and time.monotonic() < end:
            time.sleep(0.01)
