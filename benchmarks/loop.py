"""The process whose system calls are timed: syscall_loop.c, held ready on one CPU."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from recorder.containers.cgroup import Cgroup


class SyscallLoop:
    """Runs until closed. It is one process for all variants, so that its own layout is no difference."""

    def __init__(self, program: Path, cgroup: Cgroup, *, filtered: bool = False) -> None:
        """filtered: under a seccomp filter that allows everything."""
        self.cpu = max(os.sched_getaffinity(0))
        self._process = subprocess.Popen(
            [program, str(self.cpu), *(["filtered"] if filtered else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        (cgroup.path / "cgroup.procs").write_text(str(self._process.pid))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def run(self, batches: int, calls: int) -> float:
        """CPU time of one call in ns: that of the fastest batch. Raises RuntimeError if the loop is gone."""
        print(batches, calls, file=self._process.stdin, flush=True)
        assert self._process.stdout  # noqa: S101 - for the type checker
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the loop has ended with status {self._process.wait()}")
        return float(answer)

    def close(self) -> None:
        """Ends it; it is gone from its cgroup then."""
        self._process.communicate(timeout=10)
