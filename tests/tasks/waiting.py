"""Programs that wait for the end of their stdin, so that a recording can begin in between."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.exactness.same_run import wait_until

SECONDS = 30.0


class Waiting:
    """A program that runs, and waits in a call (0: read, of a 64-bit program).

    `release` lets it go on. Killed at the end of a `with` if it still runs.
    """

    def __init__(self, *argv: str | Path, says_ready: bool = False, blocked_in: int = 0) -> None:
        self._process = subprocess.Popen(
            list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE if says_ready else None
        )
        self.pid = self._process.pid
        try:
            if says_ready:
                assert self._process.stdout.readline() == b"ready\n"
            self._wait_for_call(blocked_in)
        except BaseException:
            self.end()
            raise

    def _wait_for_call(self, number: int) -> None:
        call = Path(f"/proc/{self.pid}/syscall")
        wait_until(lambda: call.read_text().split()[0] == str(number), f"{self.pid} waits in {number}")

    def release(self) -> None:
        """The end of its stdin."""
        self._process.stdin.close()

    def wait(self) -> int:
        """Its status."""
        return self._process.wait(timeout=SECONDS)

    def end(self) -> None:
        """SIGKILL, and reaped; may be repeated."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
