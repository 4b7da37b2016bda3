"""A real `recorder collector`: started, killed, ended, started again, always on the same ports and store."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from recorder.rpc.tls import TlsFiles
from tests.agent.secured import free_ports
from tests.collector.ground import Certificates

WAIT = 60.0
"""Seconds until a test that waits for the collector has failed."""
SERVING = "serving on "
QUICK = ("--results-settle", "1s", "--results-first-write", "200ms", "--results-last-write", "1s")
"""Times of a result's life that a test can wait for."""


class CollectorProcess:
    """`platform`: flags that say where recordings are. `settings`: more, which may change between starts."""

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        platform: Sequence[str],
        settings: Sequence[str] = QUICK,
    ) -> None:
        self.folder = folder
        self.platform = tuple(platform)
        self.settings = tuple(settings)
        self.certificates = certificates
        self.port, self.people_port, self.probe_port = free_ports(3)
        self.store = folder / "store" / "collector.db"
        self.socket = folder / "collector.sock"
        self.environment: dict[str, str] = {}
        self.prefix: tuple[str, ...] = ()  # words before the command's own, such as what confines it
        self.starts = 0
        self.lines: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._said = threading.Condition()
        self._reader: threading.Thread | None = None

    @property
    def address(self) -> str:
        """For agents."""
        return f"localhost:{self.port}"

    def credentials(self, node: str) -> tuple[TlsFiles, Path]:
        """What an agent of that node has."""
        return self.certificates.node(node).files(), self.certificates.authority.certificate

    @property
    def places(self) -> dict[str, object]:
        """Where it serves and keeps things, by flag."""
        return {
            "--store": self.store,
            "--socket": self.socket,
            "--listen-agents": f"127.0.0.1:{self.port}",
            "--listen-address": f"127.0.0.1:{self.people_port}",
            "--web-address": f"127.0.0.1:{self.probe_port}",
        }

    @property
    def identity(self) -> dict[str, object]:
        """Its certificate, and whose it takes, by flag."""
        server = self.certificates.server
        return {
            "--listen-certificate": server.certificate,
            "--listen-key": server.key,
            "--listen-client-ca": self.certificates.authority.certificate,
        }

    @property
    def flags(self) -> list[str]:
        """All of them."""
        places = {**self.places, **self.identity}
        where = [word for flag, value in places.items() for word in (flag, str(value))]
        return [*where, *self.platform, *self.settings]

    def start(self) -> None:
        """Until it serves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store.parent.mkdir(exist_ok=True)
        self.starts += 1
        before = len(self.lines)
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "recorder.cli.main", "collector", *self.flags],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        self.wait_for(SERVING, after=before)

    def wait_for(self, text: str, seconds: float = WAIT, *, after: int = 0) -> str:
        """The first line with that text, from line `after` on."""

        def found() -> str | None:
            return next((each for each in self.lines[after:] if text in each), None)

        def over() -> bool:
            return found() is not None or (self.process is not None and self.process.poll() is not None)

        with self._said:
            self._said.wait_for(over, seconds)
            line = found()
            assert line is not None, f"no {text!r}: status {self.process and self.process.poll()}, {self.log}"
        return line

    def kill(self) -> None:
        """SIGKILL; gone when it returns."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._end(signal.SIGTERM)

    @property
    def log(self) -> str:
        """All that it said."""
        return "\n".join(self.lines[-200:])

    def _end(self, number: int) -> int:
        assert self.process
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            status = self.process.wait(WAIT)
        finally:
            self.process.kill()
            if self._reader:
                self._reader.join(WAIT)
        self.process = None
        return status

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stderr
        with process.stderr as lines:
            for line in lines:
                with self._said:
                    self.lines.append(line.decode(errors="replace").rstrip())
                    self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self._end(signal.SIGKILL)
        print(self.log)  # of a test that failed


@contextlib.contextmanager
def killed_now_and_then(
    collector: CollectorProcess, times: int, pause: Callable[[int], float]
) -> Iterator[None]:
    """Within it the collector is killed and started again, `times` in all; `pause`: seconds before each."""

    def disturb() -> None:
        for number in range(times):
            time.sleep(pause(number))
            collector.kill()
            collector.start()

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(times * WAIT)
    assert not thread.is_alive()
