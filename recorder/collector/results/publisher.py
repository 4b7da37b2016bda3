"""The loop that makes results: of recordings that changed, when they are due, and whatever fails in between.

Everything it decides by is in the store or on the platform, so that after a restart at any
point the same results come out. Two tasks run side by side: one asks the platform for pods,
the other writes results; each sleeps until something changes or a time comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import inf
from typing import Final, Protocol, TypeAlias

from recorder.collector.agents.node_abilities import NodeAbilities
from recorder.collector.platform import Platform
from recorder.collector.results.completed_objects import CompletedObjects
from recorder.collector.results.confirmation import Confirmer, ConfirmingStore
from recorder.collector.results.made_before import MadeBefore
from recorder.collector.results.node_absence import NodeAbsence
from recorder.collector.results.profile_update import ProfileUpdates
from recorder.collector.results.publisher_figures import PublisherFigures
from recorder.collector.results.recording_events import RecordingEvents
from recorder.collector.results.recording_results import Fate, RecordingResults
from recorder.collector.results.recording_status_of import refused_status
from recorder.collector.results.result_claim import Claims
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.results.result_writer import ResultWriter
from recorder.collector.results.surroundings import ResultsStore, Surroundings
from recorder.collector.results.write_schedule import Backoff
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.model.errors import PlatformUnreachable, StoreFull
from recorder.model.recording import Recording, RefusedRecording
from recorder.service.metrics import Row
from recorder.service.series import Series

__all__ = ["Publisher", "PublisherStore"]

_LOG = logging.getLogger(__name__)

# How often it is looked which agents are away, and whether the store takes something again.
_TICK: Final = 5.0
# What changes hundreds of times a second is not looked for as often.
_PAUSE: Final = 0.1

# Looks at a time: each waits for the platform and the disk for most of its time.
_AT_ONCE: Final = 8

_POLICY: Final = ResultPolicy()

_Name: TypeAlias = tuple[str, str]


class PublisherStore(ResultsStore, ConfirmingStore, Protocol):
    """What is asked of the store."""

    async def recordings(self) -> Mapping[str, StoredRecording]:
        """Return all that are kept, by id."""

    async def save_recording(self, recording: Recording) -> None:
        """Keep it as it is asked now, and not deleted."""

    async def mark_deleted(self, recording: str, at: float) -> None:
        """It was found gone at that Unix time."""

    async def forget_recording(self, recording: str) -> None:
        """Remove it, with all that is its alone."""

    async def strays(self) -> Sequence[str]:
        """Return ids that sightings name and that no recording has."""


class Publisher:
    """Run `run` as a task; it ends by being cancelled, or with StoreDamaged and the like.

    connected: the nodes whose agents are here. changed: told of recordings whose sightings were
    confirmed or whose results were written; None: recordings came or went in the store. store_full: why
    the store takes nothing, or empty. left_out: why agents are not told of the recording of an id, or
    empty. abilities: what a node can record, None if its agent is not here. `clock` is monotonic and
    decides; `wall` is Unix time, and is shown.
    """

    def __init__(
        self,
        store: PublisherStore,
        platform: Platform,
        policy: ResultPolicy = _POLICY,
        *,
        version: str,
        connected: Callable[[], Collection[str]] = frozenset,
        changed: Callable[[frozenset[str] | None], None] = lambda _: None,
        store_full: Callable[[], str] = lambda: "",
        left_out: Callable[[str], str] = lambda _: "",
        abilities: Callable[[str], NodeAbilities | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._platform = platform
        self._policy = policy
        self._changed = changed
        self._clock = clock
        self._wall = wall
        self._events = RecordingEvents(platform)
        claims = Claims(
            platform,
            store,
            lambda: self._stored,
            self._released,
            namespace_prefix=policy.namespace_prefix,
        )
        self._writer = ResultWriter(platform, store, claims, self._events)
        self._around = Surroundings(
            store=store,
            platform=platform,
            claims=claims,
            writer=self._writer,
            completed=CompletedObjects(platform),
            updates=ProfileUpdates(platform, claims.recorded_by),
            events=self._events,
            absence=NodeAbsence(connected),
            before=MadeBefore(),
            turn=asyncio.Lock(),
            policy=policy,
            version=version,
            clock=clock,
            store_full=store_full,
            left_out=left_out,
            abilities=abilities,
        )
        self._confirmer = Confirmer(platform, store, self._recording, self.sightings_changed, clock)
        self._stored: dict[str, StoredRecording] = {}
        self._loaded = False
        self._follows = True  # the platform's recordings are to be compared with the store's
        self._results: dict[str, RecordingResults] = {}
        self._refused: dict[
            str, RefusedRecording
        ] = {}  # what was reported of those that nothing is stored of
        self._gone_since: dict[str, float] = {}
        self._times: dict[str, float] = {}  # when each recording is to be looked at
        self._queue: list[tuple[float, str]] = []  # the same, and times that were given up
        self._looked: dict[str, float] = {}
        self._ticked: float | None = None
        self._circumstances: tuple[bool, str] = (False, "")
        self._wake = asyncio.Event()
        self._wake_confirmer = asyncio.Event()
        self._backoff = Backoff()
        self._confirmer_backoff = Backoff()
        self._away_until = -inf
        self._problem = ""
        self._looks = 0
        self._failures = 0

    # --- what others tell

    def recordings_changed(self) -> None:
        """The platform's recordings changed, or somebody touched a result."""
        self._follows = True
        self._wake.set()
        self._wake_confirmer.set()

    def sightings_changed(self, recordings: frozenset[str]) -> None:
        """Sightings of these recordings changed in the store."""
        for each in recordings:
            self._at(each, self._looked.get(each, -inf) + self._policy.glance)
        self._wake.set()
        self._wake_confirmer.set()

    @property
    def problem(self) -> str:
        """Why nothing is written just now; empty: nothing is in the way."""
        return self._problem

    def figures(self) -> PublisherFigures:
        """For metrics."""
        return PublisherFigures(
            recordings=len(self._results),
            deleted=len(self._gone_since),
            writes=self._writer.writes,
            creations=self._writer.creations,
            refusals=self._writer.refusals,
            looks=self._looks,
            failures=self._failures,
            overdue=self._overdue(),
            decided=dict(self._confirmer.decided),
            denials=self._denials(),
            events_waiting=self._events.waiting,
            events_dropped=self._events.dropped,
            problem=self._problem,
        )

    # --- running

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._loop(self.step, self._wake), name="publisher")
            tasks.create_task(self._loop(self.confirm, self._wake_confirmer), name="confirmer")

    async def _loop(self, step: Callable[[], Awaitable[float | None]], wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            deadline = await step()
            wait = None if deadline is None else max(0.0, deadline - self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await wake.wait()
            await asyncio.sleep(_PAUSE)

    async def confirm(self) -> float | None:
        """Ask the platform for the pods that wait; return when to do so again."""
        if not self._loaded:
            return self._clock() + _TICK
        try:
            deadline = await self._confirmer.step()
        except (PlatformUnreachable, StoreFull) as error:
            wait = self._confirmer_backoff.failed()
            _LOG.warning("pods cannot be confirmed now, again in %g s: %s", wait, error)
            return self._clock() + wait
        self._confirmer_backoff.succeeded()
        return deadline

    async def step(self) -> float | None:
        """Do what is due; return when to do so again."""
        now = self._clock()
        if now < self._away_until:
            return self._away_until
        try:
            deadline = await self._step(now)
        except (PlatformUnreachable, StoreFull) as error:
            wait = self._backoff.failed()
            self._failures += 1
            self._away_until = self._clock() + wait
            if str(error) != self._problem:
                _LOG.warning("results cannot be written now, tried again in %g s: %s", wait, error)
            self._problem = str(error)
            return self._away_until
        if self._problem:
            _LOG.info("results can be written again")
        self._backoff.succeeded()
        self._problem = ""
        return deadline

    async def _step(self, now: float) -> float | None:
        if not self._platform.ready:
            return now + _TICK
        if self._follows:
            self._follows = False
            try:
                await self._follow(now)
            except BaseException:
                self._follows = True
                raise
        self._tick(now)
        await self._look_at_due(now)
        await self._events.flush()
        await self._forget(now)
        due = self._next()
        return now + _TICK if due is None else min(due[0], now + _TICK)

    async def _look_at_due(self, now: float) -> None:
        """Some at a time; when one fails no more are begun, and it is raised when the others are done."""
        looks: dict[asyncio.Task[None], _Name] = {}
        failures: list[BaseException] = []
        try:
            while True:
                while not failures and len(looks) < _AT_ONCE and (due := self._due(now, looks.values())):
                    looks[asyncio.create_task(self._look(due, now))] = _name(due)
                if not looks:
                    break
                done, _ = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    del looks[each]
                failures += filter(None, (each.exception() for each in done))
        finally:
            for each in looks:
                each.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
        if failures:
            raise min(failures, key=lambda each: isinstance(each, PlatformUnreachable | StoreFull))

    def _due(self, now: float, looking: Collection[_Name]) -> RecordingResults | None:
        """One that is due; None: there is none, or it has the name of one that is being looked at.

        Of two with one name the later takes the earlier one's results over, so they take turns.
        """
        while (due := self._next()) is not None and due[0] <= now:
            results = self._results.get(due[1])
            if results is None:
                self._times.pop(due[1])
                continue
            if _name(results) in looking:
                return None
            self._times.pop(due[1])  # what changes meanwhile is looked at again
            return results
        return None

    async def _look(self, results: RecordingResults, now: float) -> None:
        recording = results.recording.id
        writes = self._writer.writes
        self._looks += 1
        try:
            deadline = await results.look()
        except BaseException:
            self._at(recording, now + self._policy.glance)  # after those that wait for longer
            raise
        self._looked[recording] = now
        self._backoff.succeeded()
        if deadline is not None:
            self._at(recording, max(deadline, now + self._policy.glance))
        if self._writer.writes != writes:
            self._changed(frozenset([recording]))

    def _at(self, recording: str, when: float) -> None:
        if when < self._times.get(recording, inf):
            self._times[recording] = when
            heapq.heappush(self._queue, (when, recording))

    def _next(self) -> tuple[float, str] | None:
        while self._queue:
            when, recording = self._queue[0]
            if self._times.get(recording) == when:
                return when, recording
            heapq.heappop(self._queue)
        return None

    def _tick(self, now: float) -> None:
        """What nobody tells: that agents come and go, and that the store takes something again."""
        if self._ticked is not None and now - self._ticked < _TICK:
            return
        self._ticked = now
        absence = self._around.absence
        absence.keep({node for results in self._results.values() for node in results.nodes})
        circumstances = (absence.connected > 0, self._around.store_full())
        for each, results in self._results.items():
            away = absence.away(results.nodes, now).values()
            if circumstances != self._circumstances or any(
                now - since >= self._policy.lost for since in away
            ):
                self._at(each, self._looked.get(each, now) + self._policy.glance)
        self._circumstances = circumstances

    # --- recordings

    async def _follow(self, now: float) -> None:
        """Bring the store's recordings up to date with the platform's."""
        loaded = self._loaded
        if not loaded:
            await self._load()
        live, refused = self._platform.recordings(), self._platform.refused()
        came = [await self._save(each) for each in live.values()]
        went = [
            await self._mark(each, now)
            for each in list(self._stored)
            if each not in live and each not in refused
        ]
        for each, stored in self._stored.items():
            why = refused.get(each)
            fate = Fate.STOPPED if why else Fate.LIVE if each in live else Fate.DELETED
            if fate is not Fate.DELETED:
                self._gone_since.pop(each, None)
            results = self._results[each]
            if results.differs(stored.recording, fate, why) or not loaded:
                results.update(stored.recording, fate, why)
                self._at(each, now)
        self._loaded = True
        self._wake_confirmer.set()
        self._touch(now)
        if any(came) or any(went):
            self._changed(None)
        await self._tell_refused(refused)

    async def _load(self) -> None:
        """Continue from the store; what it has of recordings that it does not know is nobody's."""
        self._stored = dict(await self._store.recordings())
        for each in await self._store.strays():
            if each not in self._platform.recordings() and each not in self._platform.refused():
                await self._store.forget_recording(each)
        for stored in self._stored.values():
            self._add(stored.recording, emitted=stored.emitted)
        for results in self._results.values():
            await results.load()

    async def _save(self, recording: Recording) -> bool:
        """Keep a recording as it is asked now; whether it was not kept so."""
        known = self._stored.get(recording.id)
        if known is not None and known.recording == recording and known.deleted_at is None:
            return False
        await self._store.save_recording(recording)
        self._stored[recording.id] = StoredRecording(recording, None, known.emitted if known else 0)
        if known is None:
            self._add(recording)
            self._events.tell(recording.name, "Started", "containers that match are recorded from now on")
        return True

    async def _mark(self, recording: str, now: float) -> bool:
        """It was deleted; whether that is new."""
        self._gone_since.setdefault(recording, now)
        known = self._stored[recording]
        if known.deleted_at is not None:
            return False
        await self._store.mark_deleted(recording, self._wall())
        self._stored[recording] = StoredRecording(known.recording, self._wall(), known.emitted)
        return True

    def _add(self, recording: Recording, *, emitted: int = 0) -> None:
        self._results[recording.id] = RecordingResults(recording, self._around, emitted=emitted)
        self._at(recording.id, self._clock())  # its status says how it stands before anything is seen

    async def _tell_refused(self, refused: Mapping[str, RefusedRecording]) -> None:
        """An event; and a status of those that nothing is stored of, unless it is not ours to write."""
        for each, why in refused.items():
            self._events.tell(
                why.name,
                "NotRecorded",
                f"{why.reason}: {why.message}",
                warning=not why.silent,
                once=f"{why.generation} {why.reason}",
            )
            if each not in self._stored and self._refused.get(each) != why:
                if not why.silent:
                    await self._platform.report(why.name, refused_status(why))
                self._refused[each] = why
        self._refused = {each: why for each, why in self._refused.items() if each in refused}

    def _touch(self, now: float) -> None:
        for kind, name in self._platform.touched():
            for each, results in self._results.items():
                if results.touch(kind, name):
                    self._at(each, now)

    def _recording(self, recording: str) -> Recording | None:
        stored = self._stored.get(recording)
        return self._platform.recordings().get(recording) or (stored.recording if stored else None)

    def _released(self, result: StoredResult) -> None:
        results = self._results.get(result.recording)
        if results is not None:
            results.released(result)

    async def _forget(self, now: float) -> None:
        """Deleted recordings go once their results are final and late reports have had their time."""
        for each, since in list(self._gone_since.items()):
            if now - since < self._policy.linger or not self._results[each].settled:
                continue
            await self._store.forget_recording(each)
            del self._results[each], self._stored[each], self._gone_since[each]
            self._times.pop(each, None)
            self._looked.pop(each, None)
            self._changed(None)

    def _denials(self) -> list[Row]:
        series = Series(3)
        for results in self._results.values():
            namespace = results.recording.name.namespace
            for _, sort in results.denials():
                series.add((namespace, sort.kind, sort.object_class), sort.count or sort.records)
        return series.rows()

    def _overdue(self) -> float:
        due = self._next()
        return max(0.0, self._clock() - due[0]) if due else 0.0


def _name(results: RecordingResults) -> _Name:
    """Which outlives the recording: one that is made anew has it again."""
    name = results.recording.name
    return name.namespace, name.name
