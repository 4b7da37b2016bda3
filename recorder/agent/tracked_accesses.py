"""Whose accesses are seen: those of slots of which somebody asks for them, and no others.

The kernel side takes every target up by itself, so that the first access of a container is
there as well; what nobody asks for is given back as soon as that is known.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from recorder.agent.accesses import AccessReader, Used
from recorder.agent.state import TargetState
from recorder.agent.tracked import Tracked
from recorder.model.ledger import Ledger

if TYPE_CHECKING:
    from recorder.service.metrics import Row

__all__ = ["TrackedAccesses"]

_LOG = logging.getLogger(__name__)

_WORD = re.compile(r"(?<!^)(?=[A-Z])")

RESTS = 9
"""Times as long as a look took is waited before the next: it reads all entries of the table."""


class TrackedAccesses:
    """Between a tracker and its reader; for the tracker's event loop.

    slots: all that are in use now. tell: what a next agent needs changed.
    """

    def __init__(
        self, reader: AccessReader, slots: Callable[[], Iterator[Tracked]], tell: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._slots = slots
        self._tell = tell
        self._lock = asyncio.Lock()
        self._looking: bool | None = None  # None: nobody knows what the last agent left
        self._read_at = float("-inf")
        self._counts: Counter[str] = Counter()
        self.since_ns = 0
        """CLOCK_BOOTTIME from when on they are seen."""

    # --- as a whole

    def adopt(self, since_ns: int) -> None:
        """since_ns: the last agent's, if the reader is its own and goes on."""
        self.since_ns = since_ns if self._reader.adopted and self._reader.attached else 0

    async def look(self, wanted: bool, *, restoring: bool = False) -> None:
        """Whether anybody asks for them. restoring: who asked the last agent may not have come back yet."""
        async with self._lock:
            if wanted is self._looking or (restoring and not wanted):
                return
            if wanted:
                went_on = self._reader.attached
                await asyncio.to_thread(self._reader.attach)
                if self._reader.problem:
                    _LOG.warning("what containers use is not looked for: %s", self._reader.problem)
                if not (went_on and self.since_ns):
                    self.since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            else:
                slots = list(self._slots())
                for each in slots:
                    each.accesses, each.access_log, each.access_unwatched = False, None, True
                await asyncio.to_thread(self._reader.detach, [each.target for each in slots])
            self._looking = wanted
            self._tell()

    def rows(self) -> list[Row]:
        """How many different ones were seen so far, by kind."""
        return [((kind,), float(count)) for kind, count in sorted(self._counts.items())]

    # --- of a slot

    def enter(self, tracked: Tracked) -> None:
        """A new one."""
        if self._looking:
            tracked.accesses_missed = self._reader.missed()

    def recall(self, tracked: Tracked, state: TargetState) -> None:
        """One of the last agent's. What was known and nobody had asked for may have been given back."""
        unwatched = state.access_unwatched or (tracked.identified and not state.accesses)
        tracked.access_unwatched = unwatched and self._reader.adopted
        if state.accesses:
            tracked.accesses, tracked.access_log = True, self._reader.log()
            tracked.accesses_late = state.accesses_late or not self._reader.adopted
            tracked.accesses_missed = state.accesses_missed if self._reader.adopted else 0

    def want(self, tracked: Tracked, epoch: int) -> None:
        """Somebody asks for them from now on. epoch: when its recording began, CLOCK_BOOTTIME."""
        tracked.accesses, tracked.access_log = True, self._reader.log()
        tracked.accesses_late = not self._looking or epoch < self.since_ns or tracked.access_unwatched
        tracked.news()

    def so_far(self, tracked: Tracked) -> Used | None:
        """What was lost of it so far; None: nobody asks for them."""
        if tracked.access_log is None:
            return None
        used = self._reader.so_far(tracked.target, tracked.access_log, tracked.accesses_missed)
        return _judged(used, tracked)

    async def last(self, tracked: Tracked) -> Used | None:
        """All that it used."""
        if not tracked.accesses:
            return None
        used = await asyncio.to_thread(self._reader.last, tracked.target, tracked.accesses_missed)
        return _judged(used, tracked)

    async def drop(self, leaving: Sequence[Tracked]) -> None:
        """Nothing more is taken of them."""
        if self._reader.attached:
            await asyncio.to_thread(self._reader.drop, [each.target for each in leaving])

    async def release(self, leaving: Sequence[Tracked]) -> None:
        """Before their slots are given back."""
        if self._reader.attached:
            await asyncio.to_thread(self._reader.release, [each.target for each in leaving])

    # --- looks

    async def read(self, *, sweep: bool) -> list[Tracked]:
        """Takes what is new into the logs; returns whose."""
        if not self._reader.attached:
            return []
        await self._watch_some()
        if sweep:
            await asyncio.to_thread(self._reader.sweep)
        if time.monotonic() < self._read_at:
            return []
        began = time.monotonic()
        changed = [each for each in list(self._slots()) if await self._read_one(each)]
        self._read_at = time.monotonic() + RESTS * (time.monotonic() - began)
        return changed

    async def _read_one(self, tracked: Tracked) -> bool:
        log = tracked.access_log
        if log is None or tracked.leaving or not self._reader.changed(tracked.target, log):
            return False
        found = await asyncio.to_thread(self._reader.read, tracked.target, log)
        self._counts.update(_WORD.sub("_", type(key.subject).__name__).lower() for key in log.take(found))
        return True

    async def _watch_some(self) -> None:
        """Those of which nobody asks for them are given back; those of which somebody does are seen again."""
        known = [each for each in self._slots() if each.identified and not each.leaving]
        needless = [each for each in known if not each.accesses and not each.access_unwatched]
        again = [each for each in known if each.accesses and each.access_unwatched]
        for each in needless:
            each.access_unwatched = True
        if needless:
            await asyncio.to_thread(self._give_back, needless)
        for each in again:
            await asyncio.to_thread(self._reader.watch, each.target)
            each.access_unwatched = False
        if needless or again:
            self._tell()

    def _give_back(self, needless: Iterable[Tracked]) -> None:
        targets = [each.target for each in needless]
        self._reader.drop(targets)
        self._reader.release(targets)


def _judged(used: Used, tracked: Tracked) -> Used:
    """With what that is for the verdict."""
    if not used.watched:
        return Used(ledger=Ledger({"accesses_unwatched": 1}))
    late = Ledger({"accesses_late": int(tracked.accesses_late)})
    return Used(True, used.accesses, used.ledger + late)
