"""Parts of the test-suite that run in guests, each in one of its own, and the thread that works them off.

A guest keeps one processor busy for minutes. So from the beginning of a test run one thread goes through
the suites, while the other tests go on; who waits for a suite that nobody has begun runs it itself, and else
helps with others. No more than two guests are at work at the same time then.
"""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from tests.guest.cache import Cache
from tests.guest.checkout import push_checkout
from tests.guest.spec import Spec
from tests.guest.start import start
from tests.guest.vm import Guest, Result

# Counts are a tenth of the run's: what is emulated is some twenty times slower
SCALE = float(os.environ.get("TEST_SCALE") or 0.1)
MORE = max(1.0, 10 * SCALE)
SECONDS = 2400.0 * MORE  # for one suite, on a machine that does other things too
# Without other plugins: pytest would rewrite each module of hypothesis in each guest. A guest may get a fifth
# of a processor for a while: what takes a second elsewhere takes a minute then.
QUICKLY = (
    *("PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", "python3", "-m", "pytest"),
    *("-p", "pytest_timeout", f"--timeout={900 * MORE:g}", "-p", "no:cacheprovider"),
)
PYTEST = (
    *("env", f"TEST_SCALE={SCALE / 10:g}", "RECORDER_REQUIRE_ALL=1", *QUICKLY),
    *("-q", "--tb=short", "--durations=10"),
)


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of this checkout, as pytest names them, for one kind of guest."""

    spec: Spec
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.spec)


class Suites:
    """The results of suites, each run once."""

    def __init__(self, suites: Iterable[Suite], cache: Cache) -> None:
        self._cache = cache
        self._results: dict[Suite, Future[Result]] = {suite: Future() for suite in suites}
        self._waiting = list(self._results)
        self._lock = threading.Lock()
        self._guests: set[Guest] = set()
        self._thread = threading.Thread(target=self._work_off, daemon=True)
        self._thread.start()

    def result(self, suite: Suite) -> Result:
        """How pytest ended in the guest; raises what came up instead, such as MissingKernelError."""
        future = self._results[suite]
        while not future.done() and (mine := self._take(suite)):
            self._run(mine)
        return future.result()

    def close(self) -> None:
        """Begin no further suite, and end the guests that still run."""
        with self._lock:
            self._waiting.clear()
            guests = list(self._guests)
        for guest in guests:
            guest.stop()
        self._thread.join()

    def _work_off(self) -> None:
        while suite := self._take():
            self._run(suite)

    def _take(self, wanted: Suite | None = None) -> Suite | None:
        with self._lock:
            if not self._waiting:
                return None
            return self._waiting.pop(self._waiting.index(wanted) if wanted in self._waiting else 0)

    def _run(self, suite: Suite) -> None:
        try:
            self._results[suite].set_result(self._tested(suite))
        except BaseException as error:  # noqa: BLE001  who asks for the result gets it
            self._results[suite].set_exception(error)

    def _tested(self, suite: Suite) -> Result:
        with start(suite.spec, self._cache) as guest:
            with self._lock:
                self._guests.add(guest)
            try:
                push_checkout(guest)
                words = ["sh", "-c", 'cd /root/checkout && exec "$@"', "sh", *PYTEST, *suite.tests]
                return guest.run(words, timeout=SECONDS, check=False)
            finally:
                with self._lock:
                    self._guests.discard(guest)
