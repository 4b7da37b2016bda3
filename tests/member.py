"""Processes in a cgroup: programs, which join and then exec in one fork, and guests, which never exec."""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

# What Python itself may call between the join and the exec: the end of the write that
# joined, and memory for the exec's arguments. It is set-up, by the rule of the phases.
BETWEEN = frozenset({"write", "close", "brk", "mmap", "munmap", "futex", "execve"})


class Process:
    """A child of the test; it is killed at the end of a `with` if it still runs."""

    def __init__(self, body: Callable[[], object]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                body()
            finally:
                os._exit(126)
        self._handle: int | None = os.pidfd_open(self.pid)
        self.status: int | None = None

    def wait(self, seconds: float = 30) -> int:
        """Its exit status, 128+N for signal N; TimeoutError if it lives on."""
        if self.status is None and self._handle is not None:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            if not poll.poll(seconds * 1000):
                raise TimeoutError(f"process {self.pid} still runs after {seconds} s")
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.status = code if code >= 0 else 128 - code
            os.close(self._handle)
            self._handle = None
        assert self.status is not None
        return self.status

    def signal(self, number: int) -> None:
        """To it, while it is not reaped."""
        if self._handle is not None:
            signal.pidfd_send_signal(self._handle, number)

    def end(self) -> None:
        """SIGKILL, and reaped; may be repeated."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class Member(Process):
    """A program in a cgroup. The constructor returns at once: the join and the exec may still be to come.

    Its stdin and stdout are /dev/null, or the given descriptors; status 126: it cannot be run.
    """

    def __init__(self, cgroup: Path, *argv: str | Path, stdin: int | None = None, stdout: int | None = None):
        words = [os.fsencode(word) for word in argv]
        procs = os.open(cgroup / "cgroup.procs", os.O_WRONLY)
        null = os.open(os.devnull, os.O_RDWR)

        def become() -> None:
            os.dup2(null if stdin is None else stdin, 0)
            os.dup2(null if stdout is None else stdout, 1)
            os.write(procs, b"0")
            os.execv(words[0], words)  # noqa: S606  the program under observation, not a shell

        super().__init__(become)
        os.close(procs)
        os.close(null)


class Guest(Process):
    """A process that joins a cgroup and never execs. It has joined when the constructor returns.

    In the cgroup it calls write, read and, when it leaves, exit_group.
    """

    def __init__(self, cgroup: Path) -> None:
        procs = os.open(cgroup / "cgroup.procs", os.O_WRONLY)
        joined, say = os.pipe()
        wait, self._leave = os.pipe()

        def stay() -> None:
            os.close(self._leave)
            os.write(procs, b"0")
            os.write(say, b"x")
            os.read(wait, 1)
            os._exit(0)

        super().__init__(stay)
        for fd in (procs, say, wait):
            os.close(fd)
        try:
            assert os.read(joined, 1) == b"x", "it did not join"
        finally:
            os.close(joined)

    def leave(self) -> None:
        """Lets it end."""
        os.write(self._leave, b"x")
        assert self.wait() == 0

    def end(self) -> None:
        """As Process.end."""
        super().end()
        if self._leave >= 0:
            os.close(self._leave)
            self._leave = -1


@contextlib.contextmanager
def frozen(cgroup: Path) -> Iterator[None]:
    """Who joins the cgroup meanwhile stands still until the end of the `with`: then all run at once."""
    (cgroup / "cgroup.freeze").write_text("1")
    try:
        yield
    finally:
        (cgroup / "cgroup.freeze").write_text("0")
