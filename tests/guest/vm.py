"""One running guest: commands in, output and status out. Nothing that it writes outlives it."""

import io
import os
import select
import shutil
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from tests.guest.build.tool import run_tool
from tests.guest.channel import Channel, ClosedError, Running
from tests.guest.errors import CommandError, GuestError, GuestLostError, GuestTimeoutError
from tests.guest.machine import Machine
from tests.guest.qemu import Qemu
from tests.guest.spec import Spec

BOOT_SECONDS = 180.0  # emulated, on a machine that does other things too
SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended: its status, or 128 + the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output, without white space around it."""
        return self.stdout.decode(errors="replace").strip()


def _end(data: bytes | bytearray, size: int = 2000) -> str:
    return bytes(data[-size:]).decode(errors="replace").strip()


class Guest:
    """A guest, from its qemu's start until `stop`. Belongs to the thread that made it."""

    def __init__(self, spec: Spec, machine: Machine, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.qemu = Qemu(machine, folder)
        self._channel = Channel(self.qemu.agent)
        self.ready_seconds = 0.0  # from qemu's start until commands could come
        self._start = time.monotonic()
        self._stopped = False

    def __enter__(self) -> "Guest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it and remove its folder; may be called again."""
        if not self._stopped:
            self._stopped = True
            self.qemu.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- the start

    def wait_for_boot(self) -> None:
        """Until the agent says hello."""
        end = time.monotonic() + BOOT_SECONDS
        while not self._channel.ready:
            self._pump(end - time.monotonic(), f"has not booted in {BOOT_SECONDS:.0f} s")
        self.ready_seconds = time.monotonic() - self._start

    def restore(self, state: Path) -> None:
        """Load a saved state, and make the guest one of its own: clock, random numbers, boot id."""
        self.qemu.ask(
            "migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}]
        )
        descriptor = os.open(state, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.qemu.ask("getfd", fd=descriptor, fdname="state")
            self.qemu.ask("migrate-incoming", uri="fd:state")
        finally:
            os.close(descriptor)
        end = time.monotonic() + BOOT_SECONDS
        while self.qemu.ask("query-status")["status"] != "running":
            if time.monotonic() > end:
                raise GuestTimeoutError(
                    f"the snapshot of {self.spec} does not resume\n{self.qemu.last_words()}"
                )
            time.sleep(0.005)
        status = self._wait(self._channel.freshen(), 30, "the answer to a restore")
        if status:
            raise GuestError(f"{self.spec} could not be made fresh after a restore: {os.strerror(status)}")
        self.ready_seconds = time.monotonic() - self._start

    # --- commands

    def begin(
        self,
        command: str | Sequence[str],
        *,
        stdin: bytes | None = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Running:
        """Start a command and go on; `finish` waits for it. A string is for sh. `stdin` None: see `connect`.

        A process that it leaves behind must not write to its output: the pipes close with the command.
        """
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        if env or cwd:
            changes = [
                *(["-C", cwd] if cwd else []),
                *(f"{name}={value}" for name, value in (env or {}).items()),
            ]
            words = ["env", *changes, *words]
        return self._channel.run(words, stdin)

    def finish(self, running: Running, *, timeout: float = 60, check: bool = True) -> Result:
        """Wait for a command; after `timeout` seconds it is killed, and GuestTimeoutError raised.

        With `check` a status other than 0 raises too. Both show the ends of its output and the console's.
        """
        start = time.monotonic()
        status = self._wait(running, timeout, "a command")
        result = Result(status, bytes(running.stdout), bytes(running.stderr), time.monotonic() - start)
        if check and status != 0:
            raise CommandError(f"status {status} in {self.spec}\n{self._said(running)}")
        return result

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60,
        check: bool = True,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Result:
        """`begin` and `finish`."""
        return self.finish(self.begin(command, stdin=stdin, env=env, cwd=cwd), timeout=timeout, check=check)

    def signal(self, running: Running, number: int) -> None:
        """Send a signal to all processes of a command's group."""
        self._channel.signal(running, number)

    def poll(self, seconds: float = 0.1) -> None:
        """Carry bytes for a while: for who watches a running command's output."""
        self._pump(seconds, "")

    def connect(self, running: Running, source: int, sink: BinaryIO) -> None:
        """Join a command that was begun with `stdin=None` to a descriptor and a stream, until it ends."""
        is_open = True
        while running.status is None:
            self.poll(0.02)
            if is_open and select.select([source], [], [], 0)[0]:
                data = os.read(source, 4096)
                is_open = bool(data)
                self._channel.add_input(running, data)
            for output in (running.stdout, running.stderr):
                sink.write(output)
                output.clear()
            sink.flush()

    # --- files

    def push(self, source: Path, into: str) -> None:
        """Copy a file, or a folder's contents, into a folder of the guest."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(source, arcname="." if source.is_dir() else source.name)
        self.push_archive(buffer.getvalue(), into)

    def push_archive(self, archive: bytes, into: str, *, timeout: float = 120) -> None:
        """Unpack a tar archive in a folder of the guest, which is made."""
        self.run(["mkdir", "-p", into])
        self.run(["tar", "-xf", "-", "--no-same-owner", "-C", into], stdin=archive, timeout=timeout)

    def pull(self, source: str, into: Path, *, timeout: float = 120) -> Path:
        """Copy a file or a folder of the guest into a folder here; returns where it is now."""
        parent, _, name = source.rstrip("/").rpartition("/")
        packed = self.run(["tar", "-cf", "-", "-C", parent or "/", name], timeout=timeout).stdout
        into.mkdir(parents=True, exist_ok=True)
        run_tool("tar", "-xf", "-", "-C", into, stdin=packed)
        return into / name

    # --- waiting

    def _said(self, running: Running) -> str:
        return (
            f"--- end of standard output:\n{_end(running.stdout)}\n"
            f"--- end of standard error:\n{_end(running.stderr)}\n{self.qemu.last_words()}"
        )

    def _pump(self, seconds: float, late: str) -> None:
        if seconds <= 0:
            raise GuestTimeoutError(f"{self.spec} {late}\n{self.qemu.last_words()}")
        try:
            self._channel.pump(min(seconds, 1.0))
        except ClosedError as error:
            raise GuestLostError(f"{self.spec} has ended\n{self.qemu.last_words()}") from error

    def _wait(self, running: Running, seconds: float, what: str) -> int:
        end = time.monotonic() + seconds
        while running.status is None:
            left = end - time.monotonic()
            if left <= 0:
                self._channel.signal(running, SIGKILL)
                self._channel.pump(0)
                raise GuestTimeoutError(
                    f"no end of {what} in {seconds:g} s in {self.spec}\n{self._said(running)}"
                )
            self._pump(left, "")
        return running.status
