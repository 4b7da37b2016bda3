"""The suites: each is run once, two at a time, and by who waits for it if nobody has begun it."""

import threading

import pytest

from tests.guest.cache import Cache
from tests.guest.spec import Spec
from tests.guest.suites import Suite, Suites
from tests.guest.vm import Result

FOUR = [Suite(Spec(), (str(number),)) for number in range(4)]


class Counted(Suites):
    """Runs nothing; every suite waits until two are under way, or is the last."""

    def __init__(self, cache: Cache) -> None:
        self.runs: list[str] = []
        self.threads: set[int] = set()
        self.pair = threading.Barrier(2)
        super().__init__(FOUR, cache)

    def _tested(self, suite: Suite) -> Result:
        self.runs.append(suite.tests[0])
        self.threads.add(threading.get_ident())
        self.pair.wait(30)
        if suite is FOUR[3]:
            raise ValueError("no such kernel")
        return Result(0, suite.tests[0].encode(), b"", 0.0)


def test_waiting_for_one_helps_with_all(tmp_path):
    """Who asks for the last one first runs it, beside the thread that began with the first."""
    suites = Counted(Cache(tmp_path))
    with pytest.raises(ValueError, match="no such kernel"):
        suites.result(FOUR[3])
    assert [suites.result(suite).text for suite in FOUR[:3]] == ["0", "1", "2"]
    suites.close()
    assert sorted(suites.runs) == ["0", "1", "2", "3"]
    assert len(suites.threads) == 2
