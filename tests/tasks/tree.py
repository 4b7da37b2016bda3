"""A tree of processes (tests/tasks/puppet.py) that a test makes and cuts step by step."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

SECONDS = 30.0


class Tree:
    """`root` is there from the start. At the end of a `with` all of them are gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        os.mkfifo(folder / "said")
        self._said = os.open(folder / "said", os.O_RDWR)
        self._process = subprocess.Popen([sys.executable, "-m", "tests.tasks.puppet", str(folder)])
        self._pids: list[int] = []
        self.root = self._hear()
        self._pids.append(self.root)

    def _hear(self) -> int:
        poll = select.poll()
        poll.register(self._said, select.POLLIN)
        assert poll.poll(SECONDS * 1000), "a process of the tree does not answer"
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._said, 1)
        return int(line)

    def _tell(self, pid: int, word: str) -> None:
        (self._folder / str(pid)).write_text(f"{word}\n")

    def fork(self, pid: int) -> int:
        """A new child of one of them."""
        self._tell(pid, "fork")
        child = self._hear()
        self._pids.append(child)
        return child

    def end(self, pid: int) -> None:
        """Lets one end; its parent reaps it if it is told to. It has ended at the return."""
        handle = os.pidfd_open(pid)
        try:
            self._tell(pid, "end")
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            assert poll.poll(SECONDS * 1000), f"{pid} does not end"
        finally:
            os.close(handle)
        (self._folder / str(pid)).unlink()
        self._pids.remove(pid)

    def reap(self, pid: int) -> None:
        """One of them takes notice of a child that has ended."""
        self._tell(pid, "reap")
        assert self._hear() == pid

    def close(self) -> None:
        """SIGKILL to all; may be repeated."""
        while self._pids:
            os.kill(self._pids.pop(), signal.SIGKILL)
        self._process.wait()
        if self._said >= 0:
            os.close(self._said)
            self._said = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
