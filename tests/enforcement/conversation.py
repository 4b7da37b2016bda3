"""A conversation with a workload over its stdin and stdout, with a time limit."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


class NotHeardError(AssertionError):
    """The workload ended, or was silent for too long, before it said what was waited for."""


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended. `status`: 128+N for signal N; None if it did not end in time."""

    status: int | None
    stdout: bytes
    stderr: bytes


class Conversation:
    """Runs a command line; killed by `kill` (or as a process) if it does not end within `seconds`."""

    def __init__(
        self,
        command: Sequence[str],
        errors: Path,
        *,
        seconds: float = 60,
        kill: Callable[[], object] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self._end = time.monotonic() + seconds
        self._kill = kill
        self._errors = errors
        self._said = b""
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env, cwd="/"
            )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            if self._kill is not None:
                self._kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._stdout.close()

    def hear(self, line: str) -> None:
        """Wait until it has said a line; raises NotHeardError."""
        while f"{line}\n".encode() not in self._said:
            if not self._more():
                raise NotHeardError(f"it never said {line!r}")

    def say(self, line: str) -> None:
        """Say a line; whether anybody hears it shows later."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(f"{line}\n".encode())
            self._stdin.flush()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def finish(self, within: float | None = None) -> Result:
        """Wait for its end (`within` seconds, if given); kills it if that does not come in time."""
        if within is not None:
            self._end = min(self._end, time.monotonic() + within)
        status: int | None = None
        while self._more():
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(max(0.0, self._end - time.monotonic()))
        self.__exit__(None, None, None)
        return Result(status, self._said, self._errors.read_bytes())

    def _more(self) -> bool:
        left = self._end - time.monotonic()
        if left <= 0 or not select.select([self._stdout], [], [], left)[0]:
            return False
        part = os.read(self._stdout.fileno(), 65536)
        self._said += part
        return bool(part)
