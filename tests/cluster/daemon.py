"""A process that serves: its log, its readiness, and its end, also when the tests are killed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.errors import DaemonError

KLOG_LOW = re.compile(r"[IW]\d{4} ")
POLL = 0.02  # seconds between two looks at a daemon that is not ready
# The kernel sends a process's parent-death signal when the THREAD that started it ends (prctl(2)). A test may
# start a daemon again from a thread of its own: so one thread, as long-lived as the process, starts all.
_starter = ThreadPoolExecutor(1, thread_name_prefix="daemons")


class Daemon:
    """A program with its arguments; it can be started again after it was stopped. The log goes on then.

    `before` gives the words that stand before it, such as nsenter's; asked at each start.
    """

    def __init__(
        self,
        name: str,
        words: Sequence[object],
        log: Path,
        ready: Callable[[], bool],
        before: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.name = name
        self.words = [str(word) for word in words]
        self.log = log
        self._before = before
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Begin; `wait` tells when it is ready. Nothing happens if it runs."""
        if self.pid is None:
            self._process = _starter.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                # a session of its own: the terminal's Ctrl-C is for the tests, which then stop it
                ["setpriv", "--pdeathsig", "KILL", "--", *self._before(), *self.words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # Until setpriv has asked for it, a death of the tests is no signal to the process.
        command, end = Path(f"/proc/{process.pid}/cmdline"), time.monotonic() + 30
        while process.poll() is None and command.read_bytes().startswith(b"setpriv\0"):
            if time.monotonic() > end:
                process.kill()
                raise DaemonError(f"{self.name}: setpriv has not started it within 30 s")
            time.sleep(POLL / 10)
        return process

    def wait(self, seconds: float = 120) -> None:
        """Until it is ready; DaemonError if it ends, or is not in time."""
        end = time.monotonic() + seconds
        while True:
            if self.pid is None:
                raise DaemonError(f"{self.name} ended\n{self.last_words()}")
            if self._ready():
                return
            if time.monotonic() > end:
                raise DaemonError(f"{self.name} is not ready after {seconds:g} s\n{self.last_words()}")
            time.sleep(POLL)

    def log_size(self) -> int:
        """Bytes; what is logged later is behind them."""
        return self.log.stat().st_size if self.log.exists() else 0

    def last_words(self, since: int = 0, count: int = 3000) -> str:
        """The end of the log from `since` on, without what klog marks as information or as a warning."""
        if not self.log.exists():
            return f"--- {self.log}: nothing"
        text = self.log.read_bytes()[since:].decode(errors="replace")
        text = "\n".join(line for line in text.splitlines() if not KLOG_LOW.match(line))
        return f"--- {self.log}\n{text[-count:]}"

    def signal(self, number: int) -> None:
        """To the process, if it runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def pause(self) -> None:
        """It keeps its connections and answers nothing; returns when it stands still."""
        pid = self.pid
        if pid is None:
            raise DaemonError(f"{self.name} does not run")
        os.kill(pid, signal.SIGSTOP)
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            if time.monotonic() > end:
                raise DaemonError(f"{self.name} does not stop on SIGSTOP")
            time.sleep(POLL)

    def resume(self) -> None:
        """Undo `pause`."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, and reap it; may be repeated."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait(30)
            self._process = None
