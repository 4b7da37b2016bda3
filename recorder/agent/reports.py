"""What the plan asked for, on its way to the collector: the plan's Asker, and the uplink's Outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from recorder.agent.access_parts import fitting, parts
from recorder.agent.observation import boot_id
from recorder.agent.outbox import Part
from recorder.agent.plan import Plan
from recorder.agent.spool import Spool
from recorder.agent.tracked import Subject, Tracked
from recorder.agent.tracker import Tracker
from recorder.containers.container import Container
from recorder.containers.index import ContainerIndex
from recorder.model.errors import StorageError
from recorder.model.ledger import OF_ACCESSES, Ledger
from recorder.model.record import Observation, Source
from recorder.model.wire import to_identity, to_observation
from recorder.record.v1 import record_pb2

__all__ = ["Reports"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Flight:
    """What is under way of a source. upto: what the collector has with it; last: there is nothing more.

    Of accesses that is the revision of a log, or of what has ended the number.
    """

    upto: int = 0
    ended: bool = False
    last: bool = False


def _without_accesses(observation: record_pb2.Observation) -> None:
    """Somebody else has asked for them: none, nor what was lost of them."""
    del observation.accesses[:]
    observation.accesses_cut_at = b""
    kept = [each for each in observation.ledger if not each.cause.startswith(OF_ACCESSES)]
    del observation.ledger[:]
    observation.ledger.extend(kept)


UNKNOWN = ""
"""In place of a recording's id: nobody can say which."""


class Reports:
    """States of the plan's containers: those that run are read when there is room to send them.

    Those that have ended are in the spool until the collector has stored them.
    """

    def __init__(self, spool: Spool, index: ContainerIndex, node: str) -> None:
        self.plan = Plan()
        self._spool = spool
        self._index = index
        self._node = node
        self._tracker: Tracker | None = None
        self._running: dict[Source, Tracked] = {}
        self._ended: set[Source] = set()
        self._refused: dict[str, tuple[Container, str]] = {}  # by container id
        self._news: dict[Hashable, None] = {}  # in the order of their coming
        self._flying: dict[Hashable, _Flight] = {}
        self._told: dict[Source, int] = {}  # how far the collector has the accesses of this stream
        self._harmed: set[Source] = set()  # ended ones of which it has refused a part
        self._said: dict[str, str] = {}
        self._event = asyncio.Event()
        self._settled: asyncio.Queue[Source] = asyncio.Queue()
        self._lost = 0

    def attach(self, tracker: Tracker) -> None:
        """Whose states these are."""
        self._tracker = tracker

    # --- Asker

    durable = True
    capture_id = ""
    units: frozenset[str] = frozenset()

    @property
    def open(self) -> bool:
        """While the plan is not empty."""
        return bool(self.plan.recordings)

    @property
    def denials(self) -> bool:
        """Whether one of the plan's recordings asks for them."""
        return self.plan.denials

    def wants_denials(self, subject: Subject) -> bool:
        """By its recordings; of one that nobody knows any more, if any asks for them."""
        return self.plan.wants_denials(subject.container) if subject.container else self.plan.denials

    @property
    def accesses(self) -> bool:
        """Whether one of the plan's recordings asks for them."""
        return self.plan.accesses

    def wants_accesses(self, subject: Subject) -> bool:
        """As wants_denials."""
        return self.plan.wants_accesses(subject.container) if subject.container else self.plan.accesses

    def wants(self, subject: Subject) -> bool:
        """By what the runtime says of a container; one that nobody knows any more may have been wanted."""
        if subject.container:
            return bool(self.plan.recordings_for(subject.container))
        return subject.place is not None and self.plan.may_want(of_pod=subject.of_pod)

    def recordings(self, subject: Subject) -> tuple[str, ...]:
        """The plan's ids; of one that nobody knows, `UNKNOWN`: owed to the plan all the same."""
        return self.plan.recordings_for(subject.container) if subject.container else (UNKNOWN,)

    def touched(self, tracked: Tracked) -> None:
        """News of one that runs. One that nobody knows is reported when it has ended."""
        source = tracked.source(self._node, boot_id())
        if source and tracked.subject.container and source not in self._ended:
            self._running[source] = tracked
            self._tell(source)

    def missed(self, container: Container) -> None:
        """`look` says it."""

    def ended(self, tracked: Tracked, observation: Observation) -> None:
        """It is in the spool."""
        self.resume(observation.source)

    def resume(self, source: Source) -> None:
        """There is an entry in the spool that the collector does not have."""
        self._running.pop(source, None)
        self._ended.add(source)
        self._told.pop(source, None)  # of its log; now of the spool's entry
        self._tell(source)

    # --- containers that are not recorded

    def look(self, failed: Mapping[str, str]) -> None:
        """Which containers the plan wants and cannot have: `failed`, and those that nobody can record."""
        refused = {}
        for each in self._index.containers().values():
            why = (
                f"its handler {each.not_recordable} runs it in a virtual machine or a user-space kernel"
                if each.not_recordable
                else failed.get(each.id, "")
            )
            if why and self.plan.recordings_for(each):
                refused[each.id] = (each, why)
        self._refused = refused
        self._said = {key: why for key, why in self._said.items() if key in refused}
        for key, (_, why) in refused.items():
            if self._said.get(key) != why:
                self._said[key] = why
                self._tell(key)

    # --- Outbox

    def _tell(self, key: Hashable) -> None:
        self._news[key] = None
        self._event.set()

    async def next(self) -> Part:
        """As Outbox.next."""
        while True:
            for key in list(self._news):
                if key in self._flying:
                    continue
                made = self._part(key)
                self._news.pop(key, None)
                if made is None:
                    continue
                part, self._flying[key] = made
                return part
            self._event.clear()
            await self._event.wait()

    def _part(self, key: Hashable) -> tuple[Part, _Flight] | None:
        if isinstance(key, str):
            refused = self._part_of_refused(key)
            return (refused, _Flight()) if refused else None
        assert isinstance(key, Source)  # noqa: S101 -- the two kinds of keys that there are
        return self._part_of_ended(key) if key in self._ended else self._part_of_running(key)

    def _part_of_ended(self, key: Source) -> tuple[Part, _Flight] | None:
        """Of its accesses those that come next; they are in the entry in an order that stays."""
        entry = self._spool.message(key)
        if entry is None:
            self._ended.discard(key)
            return None
        if not self._of_accesses(entry.recordings):
            _without_accesses(entry.observation)
        accesses = entry.observation.accesses
        start = self._told.get(key, 0)
        end = fitting(accesses, start)
        last = end == len(accesses)
        del accesses[end:]
        del accesses[:start]
        part = Part(key, tuple(filter(None, entry.recordings)), entry.observation)
        return part, _Flight(end, ended=True, last=last)

    def _part_of_running(self, key: Source) -> tuple[Part, _Flight] | None:
        """Of its accesses those that are new, or have new rights, since what the collector has."""
        tracked = self._running.get(key)
        if tracked is None or self._tracker is None:
            return None
        observation = to_observation(self._tracker.observation(tracked))
        told = self._told.get(key, 0)
        if not self.wants_accesses(tracked.subject):
            _without_accesses(observation)
        elif log := tracked.access_log:
            told, accesses = next(parts(log.since(told)), (told, []))
            observation.accesses.extend(accesses)
        return Part(key, self.recordings(tracked.subject), observation), _Flight(told)

    def _of_accesses(self, recordings: Iterable[str]) -> bool:
        """Whether one of them asks for accesses, or may have: the plan does not say any more."""
        asks = {each.id: each.accesses for each in self.plan.recordings}
        return any(asks.get(each, True) for each in recordings)

    def _part_of_refused(self, key: str) -> Part | None:
        found = self._refused.get(key)
        if found is None:
            return None
        container, why = found
        observation = record_pb2.Observation(
            source=record_pb2.Source(node=self._node, boot_id=boot_id()),
            identity=to_identity(container.identity()),
        )
        return Part(key, self.plan.recordings_for(container), observation, not_recorded=why)

    def acknowledged(self, key: Hashable) -> None:
        """As Outbox.acknowledged."""
        flight = self._flying.pop(key, None)
        if flight and isinstance(key, Source) and flight.ended is (key in self._ended):
            self._told[key] = flight.upto
            if flight.last:
                self._settled.put_nowait(key)
            elif flight.ended or self._has_more(key):
                self._tell(key)
        self._event.set()

    def _has_more(self, key: Source) -> bool:
        """Whether its log goes further than what the collector has."""
        tracked = self._running.get(key)
        log = tracked.access_log if tracked and self.wants_accesses(tracked.subject) else None
        return log is not None and log.revision > self._told.get(key, 0)

    def refused(self, key: Hashable) -> None:
        """As Outbox.refused. A state of one that runs is not lost: the last one holds it."""
        flight = self._flying.get(key)
        if flight and flight.ended and isinstance(key, Source) and key not in self._harmed:
            self._harmed.add(key)
            self._lost += 1
        self.acknowledged(key)

    def ledger(self) -> Ledger:
        """What was lost on the way to the collector."""
        return Ledger({"record_refused": self._lost})

    async def run(self) -> None:
        """Takes what the collector has stored, or will never store, out of the spool, until cancelled."""
        while True:
            key = await self._settled.get()
            try:
                await self._settle(key)
            except asyncio.CancelledError:  # it may not have begun: it is flush's then
                self._settled.put_nowait(key)
                raise

    async def flush(self) -> None:
        """The rest of it, at the end."""
        while not self._settled.empty():
            await self._settle(self._settled.get_nowait())

    async def _settle(self, key: Source) -> None:
        try:
            await asyncio.to_thread(self._spool.settle, key, recordings=True)
        except StorageError as error:
            _LOG.error("what the collector has answered stays in the spool: %s", error)
        if key not in self._news and key not in self._flying:
            self._ended.discard(key)
            self._told.pop(key, None)
            self._harmed.discard(key)

    def rewind(self) -> None:
        """As Outbox.rewind; what the collector has already heard of refusals is said again."""
        for key in self._flying:
            self._news[key] = None
        self._flying.clear()
        self._told.clear()
        for key in self._refused:
            self._news[key] = None
        self._event.set()

    def unacknowledged(self) -> int:
        """As Outbox.unacknowledged."""
        return len(self._news.keys() | self._flying.keys())
