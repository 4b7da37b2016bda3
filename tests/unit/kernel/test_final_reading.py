"""The last look at a target, by a kernel side that settles a task at each possible moment of it."""

import itertools
from dataclasses import dataclass

import pytest

from recorder.kernel.final_reading import last_look


@dataclass
class Slot:
    """What a target's memory says: notes, and whether the task's calls are in it."""

    joiner_without_exec: int = 0
    calls: int = 0


class Kernel:
    """One task waits. Its end is four steps: at the given number of looks the first `steps` are done.

    As bpf/joiners.bcc.h: the entry goes, it is counted, its calls are moved; a grace period ends after all
    of what had begun.
    """

    def __init__(self, begins: int, steps: int) -> None:
        self.begins, self.steps = begins, steps
        self.looks = self.done = 0

    def _look(self) -> None:
        self.looks += 1
        if self.looks == self.begins:
            self.done = self.steps

    def slot(self) -> Slot:
        self._look()
        return Slot(joiner_without_exec=int(self.done >= 2), calls=int(self.done >= 3))

    def waiting(self) -> int:
        self._look()
        return int(self.done < 1)

    def grace_period(self) -> None:
        self._look()
        if self.done:
            self.done = 3


@pytest.mark.parametrize(("begins", "steps"), list(itertools.product(range(1, 9), range(1, 4))))
def test_a_task_that_ends_meanwhile_is_there_once(begins, steps):
    """Whenever it begins to be settled, and however far that has come: its calls, and one note."""
    kernel = Kernel(begins, steps)
    slot, waiting = last_look(kernel.slot, kernel.waiting, kernel.grace_period)
    assert slot.calls or waiting
    assert slot.joiner_without_exec + waiting == 1


def test_tasks_that_end_all_the_time_do_not_keep_it_for_ever():
    counted = itertools.count()
    slot, _ = last_look(lambda: Slot(next(counted)), lambda: None, lambda: None)
    assert slot.joiner_without_exec > 1
