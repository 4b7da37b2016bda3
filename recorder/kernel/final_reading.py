"""The last look at a target: its slot, and the tasks whose calls still wait beside it, of one moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from recorder.kernel.quiescence import wait_for_runs

_ATTEMPTS = 100


class Counted(Protocol):
    """A copy of a slot."""

    joiner_without_exec: int


Slot = TypeVar("Slot", bound=Counted)
Waiting = TypeVar("Waiting")


def last_look(
    slot: Callable[[], Slot],
    waiting: Callable[[], Waiting],
    wait: Callable[[], None] = wait_for_runs,
) -> tuple[Slot, Waiting]:
    """What waits, and the slot as it was just afterwards.

    A task that ends just now has its calls moved to the slot by the kernel side: whoever no longer waits
    began to move before the look at what waits, and has moved when all runs from before it are
    over. Whoever is counted in the slot meanwhile would be counted twice: then all is looked at again,
    which comes to an end, since nobody joins a target that was dropped or is gone.
    """
    counted = slot().joiner_without_exec
    for _ in range(_ATTEMPTS):
        found = waiting()
        wait()
        after = slot()
        if after.joiner_without_exec == counted:
            break
        counted = after.joiner_without_exec
    return after, found
