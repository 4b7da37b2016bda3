"""The audit multicast: for kernels that let no program see denials.

Whose a record is, is told by the number of its process, looked up in /proc when the record comes. A process
that has ended by then is found only if it was seen in a watched cgroup shortly before; else its denial is
nobody's (unattributed). Every denial says that it was found so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recorder.kernel.audit_message import AuditMessage, lost_records, open_multicast
from recorder.kernel.audit_text import AUDIT_AVC, AuditRecord, audit_record
from recorder.kernel.denial_source import Scope
from recorder.kernel.denial_table import DenialTable
from recorder.kernel.hierarchy import path_of, root_mount
from recorder.model.denial import Lack, Sighting
from recorder.model.errors import CgroupNotFound, UnsupportedKernel

BUFFER_BYTES = 4 << 20
"""Of the socket: taken when records come faster than they are read, and not before."""
_LARGEST = 65536
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
# Audit's clock is the coarse one of the last tick, at least 100 a second (CONFIG_HZ)
_CLOCK_NS = 10**7
PROCESSES_MOST = 8192
"""That are remembered; others are found only while they live."""
REMEMBERED_SECONDS = 60.0
"""After a process has ended."""
_FOUND = frozenset({Lack.FOUND_BY_PID})


def _in_initial_network(proc: Path) -> bool:
    """By that of process 1; where that may not be looked at, it is believed."""
    try:
        return os.stat(proc / "self/ns/net").st_ino == os.stat(proc / "1/ns/net").st_ino
    except PermissionError:
        return True


@dataclass(slots=True)
class _Process:
    """began_ns: of CLOCK_BOOTTIME; chain: ids of its cgroups, from the root on; seen: time.monotonic()."""

    began_ns: int
    chain: tuple[int, ...]
    seen: float


class AuditMulticast:
    """See AuditListener. Raises UnsupportedKernel, NotPermitted or NoCgroup2."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._root = root_mount()
        path_of(self._root.stat().st_ino)  # NotPermitted at once, and not when somebody is to be found
        if not _in_initial_network(proc):
            raise UnsupportedKernel(
                "the kernel's audit is heard in the initial network namespace alone, and this is another: "
                "run it in the host's (hostNetwork)"
            )
        self._lost_before = lost_records()
        self._seen: dict[int, _Process] = {}
        self._overruns = 0
        self._unattributed = 0
        self._socket = open_multicast(BUFFER_BYTES)

    def fileno(self) -> int:
        """As AuditListener.fileno."""
        return self._socket.fileno()

    def take(self, table: DenialTable) -> None:
        """As AuditListener.take: one datagram."""
        try:
            datagram = self._socket.recv(_LARGEST)
        except OSError:  # ENOBUFS: there was no room for one; whatever else it is, one is lost
            self._overruns += 1
            return
        message = AuditMessage.of(datagram)
        record = audit_record(message.text) if message.kind == AUDIT_AVC else None
        if record is None:
            return
        # The wall clock may be set in between: then the time is wrong by as much.
        at = record.wall_ns + time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()
        chain = self._chain(record, at)
        if not chain:
            self._unattributed += 1
            return
        sighting = Sighting(at, record.pid, record.comm[:15])
        table.enter(chain, record.verdict, record.details, sighting, lacks=_FOUND, behind=record.behind)

    def _chain(self, record: AuditRecord, at: int) -> Sequence[int]:
        """The ids of the task's cgroups, from the root on; empty: whose it is is not known."""
        for process in (self._process(record.pid), self._seen.get(record.pid)):
            if process is not None and process.began_ns <= at + _CLOCK_NS:
                return process.chain
        return ()

    def _process(self, pid: int) -> _Process | None:
        """As it is at this moment; None: there is none."""
        place = self._proc / str(pid)
        try:
            # The 22nd field: when it began, in ticks after the boot (proc(5)).
            began = int((place / "stat").read_bytes().rpartition(b") ")[2].split()[19]) * _TICK_NS
            lines = (place / "cgroup").read_bytes().splitlines()
            path = next(line[3:] for line in lines if line.startswith(b"0::"))
            folder = Path(os.path.normpath(os.fsdecode(os.fsencode(self._root) + path)))
            folders = [folder, *folder.parents]
            ids = [each.stat().st_ino for each in folders[: folders.index(self._root) + 1]]
        except (OSError, ValueError, IndexError, StopIteration):
            return None
        return _Process(began, tuple(reversed(ids)), time.monotonic())

    def look(self, table: DenialTable) -> None:
        """As AuditListener.look: at processes of watched cgroups, which may end before their record comes."""
        now = time.monotonic()
        for pid in self._members(table):
            known = self._seen.get(pid)
            if known is not None:
                known.seen = now
            elif len(self._seen) < PROCESSES_MOST:
                process = self._process(pid)
                if process is not None:
                    self._seen[pid] = process
        for pid, process in list(self._seen.items()):
            if now - process.seen > REMEMBERED_SECONDS:
                del self._seen[pid]

    def _members(self, table: DenialTable) -> Iterator[int]:
        for cgroup in table.cgroups():
            if cgroup.scope is Scope.OWN or cgroup.removed or cgroup.dropped:
                continue
            with contextlib.suppress(CgroupNotFound):
                top = f"{os.fspath(self._root)}{path_of(cgroup.cgroup_id)}"
                for folder, _, _ in os.walk(top):
                    with contextlib.suppress(OSError, ValueError):
                        yield from map(int, Path(folder, "cgroup.procs").read_text().split())

    def lost(self) -> Mapping[str, int]:
        """As AuditListener.lost."""
        return {
            "audit_lost": lost_records() - self._lost_before,
            "overruns": self._overruns,
            "unattributed": self._unattributed,
        }

    def close(self) -> None:
        """As AuditListener.close."""
        self._socket.close()
