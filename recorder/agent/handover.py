"""The way of a slot that has ended, or that nobody wants: its record to who is owed it, then back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from recorder.agent.budget import Use
from recorder.agent.observer import Observer
from recorder.agent.slots import Slots
from recorder.agent.spool import Entry, Spool
from recorder.agent.tracked import Tracked
from recorder.agent.tracked_accesses import TrackedAccesses
from recorder.agent.tracked_denials import TrackedDenials
from recorder.kernel.backend import Backend
from recorder.model.errors import RecorderError, SpoolFull, StorageError
from recorder.model.record import Observation

__all__ = ["Handover"]

_LOG = logging.getLogger(__name__)

AT_ONCE = 64
"""Slots at a time: each is read in a thread, and all that is read is kept until then."""
AGAIN = 2.0
"""Seconds before what could not be stored is tried again."""


class Handover:
    """Final records: stored, told to askers, and only then is the slot given back. For an event loop.

    spool: takes those of durable askers; None where there are none. catch_up: takes what the kernel side
    says. gone: called with each slot that was given back. again: with each that was not, later.
    """

    def __init__(
        self,
        backend: Backend,
        spool: Spool | None,
        use: Use,
        *,
        slots: Slots,
        observer: Observer,
        denials: TrackedDenials,
        accesses: TrackedAccesses,
        catch_up: Callable[[], object],
        gone: Callable[[Tracked], None],
        again: Callable[[Tracked], None],
    ) -> None:
        self._backend = backend
        self._spool = spool
        self._use = use
        self._slots = slots
        self._observer = observer
        self._denials = denials
        self._accesses = accesses
        self._catch_up = catch_up
        self._gone = gone
        self._again = again
        self._leaving: asyncio.Queue[Tracked] = asyncio.Queue()
        self._handing = asyncio.Lock()
        self._finishing = False

    def put(self, tracked: Tracked) -> None:
        """It is handed on in its turn."""
        tracked.leaving = True
        self._leaving.put_nowait(tracked)

    async def run(self) -> None:
        """One after the other, but many that came at once are dropped at once: each drop waits."""
        while True:
            leaving = [await self._leaving.get()]
            while len(leaving) < AT_ONCE and not self._leaving.empty():
                leaving.append(self._leaving.get_nowait())
            try:
                await self._hand_on(leaving)
            except RecorderError as error:
                _LOG.error("ended containers: %s", error)
                await asyncio.sleep(1)

    async def finish(self) -> None:
        """All slots that there are, at once; captures are owed nothing beyond this agent."""
        self._finishing = True
        everything = list(self._slots)
        for each in everything:
            each.identified = True
            each.leaving = True
        for start in range(0, len(everything), AT_ONCE):
            await self._hand_on(everything[start : start + AT_ONCE])

    async def _hand_on(self, leaving: Sequence[Tracked]) -> None:
        # one after the other: who ends everything may meet what is just handed on
        async with self._handing:
            await self._hand_on_locked(leaving)

    async def _hand_on_locked(self, leaving: Sequence[Tracked]) -> None:
        living = [each for each in leaving if not each.ended]
        if living:
            await asyncio.to_thread(self._backend.drop, *(each.target for each in living))
        leaving = [each for each in leaving if self._slots.holds(each)]
        await self._denials.drop(leaving)
        await self._accesses.drop(leaving)
        owed = [each for each in leaving if each.askers]
        readings = dict(zip(owed, await asyncio.gather(*map(self._observer.read_last, owed)), strict=True))
        # events that came since it was last looked at: times of its last first sights
        self._catch_up()
        for tracked in leaving:
            if tracked in readings and tracked.askers:
                tracked.reading = readings[tracked]
                observation = await self._observer.last(tracked, tracked.reading)
                self._denials.count(tracked, observation)
                if not await self._store(tracked, observation):
                    continue
                for asker in list(tracked.askers):
                    asker.ended(tracked, observation)
            await self._accesses.release([tracked])
            self._backend.release(tracked.target)
            self._denials.release(tracked)
            self._slots.forget(tracked)
            self._gone(tracked)

    async def _store(self, tracked: Tracked, observation: Observation) -> bool:
        """On disk before the slot is given back, for those who are owed it; False: not yet."""
        owed = [each for each in tracked.askers if each.durable]
        if self._finishing:
            owed = [each for each in owed if not each.capture_id]
        if self._spool is None or not owed:
            return True
        try:
            recordings, captures = tracked.owed()
            entry = Entry(observation, recordings, () if self._finishing else captures)
            await asyncio.to_thread(self._spool.put, entry)
        except (SpoolFull, StorageError) as error:
            _LOG.error("an ended container keeps its slot: %s", error)
            self._use.refuse("spool")
            tracked.leaving = False
            asyncio.get_running_loop().call_later(AGAIN, self._again, tracked)
            return False
        self._use.set("spool", self._spool.bytes)
        return True
