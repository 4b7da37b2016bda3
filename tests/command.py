"""The program under test, run as its users run it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Command:
    """`recorder` of the interpreter that runs the tests: the console script, or the same entry point."""

    timeout: float = 120.0  # seconds

    @property
    def words(self) -> list[str]:
        """How a command line begins."""
        script = Path(sys.executable).parent / "recorder"
        if script.exists():
            return [str(script)]
        return [sys.executable, "-c", "import sys; from recorder.cli.main import main; sys.exit(main())"]

    def run(
        self,
        *arguments: str | Path,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end; stdout and stderr apart, as bytes. `env` is added to the environment.

        After `timeout` seconds it is killed and subprocess.TimeoutExpired raised.
        """
        return subprocess.run(
            [*self.words, *map(str, arguments)],
            stdin=subprocess.DEVNULL if stdin is None else None,
            input=stdin,
            capture_output=True,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            timeout=timeout or self.timeout,
            check=False,
        )

    @contextlib.contextmanager
    def started(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run beside the test, with pipes; killed at the end of the `with` if it still runs."""
        with subprocess.Popen(
            [*self.words, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
