"""Two watches for all tests: loading and ending programs takes most of what a test would."""

import os
from collections.abc import Iterator

import pytest

from recorder.kernel.accesses_spec import AccessBounds
from recorder.kernel.spec import Bounds
from tests.guest.inside.accesses.watched import BOUNDS, Watched, watched
from tests.kernel_objects import memlock

FEW = AccessBounds(accesses=400, per_target=200, lines=64 * 20, outcomes=32, executions=16)


@pytest.fixture(scope="session")
def recorder() -> Iterator[Watched]:
    """Each test records cgroups of its own."""
    with watched() as made:
        yield made


@pytest.fixture(scope="session")
def small() -> Iterator[Watched]:
    """One that is full soon: FEW. Its memory is what is computed, by the kernel's own count of each map.

    After all tests, too, whatever they flooded it with.
    """
    before = set(memlock(os.getpid()))
    with watched(FEW) as made:
        maps = set(memlock(os.getpid())) - before

        def charged() -> int:
            return sum(size for number, size in memlock(os.getpid()).items() if number in maps)

        processors = len(os.sched_getaffinity(0))
        computed = sum(FEW.kernel_bytes(BOUNDS.slots + 1, processors).values())
        computed += sum(Bounds(slots=BOUNDS.slots).kernel_bytes().values())
        assert 0.5 * computed <= charged() <= 1.02 * computed
        yield made
        assert charged() <= 1.02 * computed
