"""Whose a slot is: questions to the index of containers until one is answered, so many at a time.

A slot that waits for its turn costs a queue's place and no task: a flood of containers, or a runtime that
is down, may leave every slot of the node without a name for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from recorder.agent.tracked import Tracked
from recorder.containers.container import Container
from recorder.containers.index import ContainerIndex
from recorder.model.errors import RuntimeUnreachable

__all__ = ["Naming"]

AT_ONCE = 64
"""Slots that are asked for at a time: some wait for a runtime that makes the container just now."""
AGAIN = (0.25, 10.0)
"""Seconds, from and to, between two questions for a slot."""


class Holder(Protocol):
    """Who has the slots."""

    def holds(self, tracked: Tracked) -> bool:
        """Whether the slot is still in use."""

    def worth(self, tracked: Tracked, since: float) -> bool:
        """Whether a container that its runtime does not know (yet) is worth its slot; asked `since`."""

    def named(self, tracked: Tracked, container: Container | None) -> None:
        """It is known whose it is. None: it is no container's, or nobody will ever say."""


@dataclass(slots=True, eq=False)
class _Question:
    """listed: what a list said of the container, before its runtime did not answer any more."""

    tracked: Tracked
    since: float
    delay: float
    listed: Container | None = None
    timer: asyncio.TimerHandle | None = None


class Naming:
    """Asks for each slot until it is known whose it is. For an event loop; `close` at its end."""

    def __init__(self, index: ContainerIndex, slots: Holder) -> None:
        self._index = index
        self._slots = slots
        self._next: deque[_Question] = deque()
        self._later: dict[Tracked, _Question] = {}
        self._workers: set[asyncio.Task[None]] = set()

    def ask(self, tracked: Tracked) -> None:
        """`Holder.named` is called in a later turn of the loop, once; never for one that was given back."""
        self._put(_Question(tracked, time.monotonic(), AGAIN[0]))

    def ended(self, tracked: Tracked) -> None:
        """It has ended: it is asked for at once, and what is said then is all that will ever be."""
        question = self._later.pop(tracked, None)
        if question:
            if question.timer:
                question.timer.cancel()
            self._put(question)

    async def close(self) -> None:
        """Nothing is asked any more."""
        for question in self._later.values():
            if question.timer:
                question.timer.cancel()
        self._later.clear()
        self._next.clear()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _put(self, question: _Question) -> None:
        self._next.append(question)
        if len(self._workers) < AT_ONCE:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        while self._next:
            await self._ask(self._next.popleft())

    async def _ask(self, question: _Question) -> None:
        tracked = question.tracked
        place = tracked.subject.place
        if not self._slots.holds(tracked):
            return
        if place is None:
            self._slots.named(tracked, None)
            return
        question.listed = self._index.find(place.container_id) or question.listed
        try:
            container = await self._index.resolve(place)
        except RuntimeUnreachable:
            container, answered = None, False
        else:
            answered = True
        if not self._slots.holds(tracked):
            return
        # asked for after its end, and not known: nobody will ever say. Or nobody waits for it: who asks
        # later finds it running.
        over = tracked.ended or not self._slots.worth(tracked, question.since)
        if container or (answered and over):
            listed = question.listed and replace(question.listed, cgroup_path=place.path)
            self._slots.named(tracked, container or listed)
            return
        self._again(question)

    def _again(self, question: _Question) -> None:
        delay = AGAIN[0] if question.tracked.ended else question.delay
        question.delay = min(delay * 2, AGAIN[1])
        self._later[question.tracked] = question
        question.timer = asyncio.get_running_loop().call_later(delay, self._due, question)

    def _due(self, question: _Question) -> None:
        question.timer = None
        if self._later.pop(question.tracked, None):
            self._put(question)
