"""A store in memory, by the rules alone, with the faults of a real one: the truth for the service's tests."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from recorder.collector.store.packed_accesses import packed
from recorder.collector.store.sighting import Change, Confirmation, Incoming, Sighting
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.model.accesses import Accesses
from recorder.model.errors import StoreFull
from recorder.model.record import Source
from recorder.model.recording import Recording


def _without_accesses(sighting: Sighting) -> Sighting:
    return replace(sighting, observation=replace(sighting.observation, accesses=Accesses()))


class MemoryStore:
    """`full`: nothing can be written. `node_bound`: sources of one node. `batches`: sizes of the commits."""

    def __init__(self) -> None:
        self.rows: dict[Source, Sighting] = {}
        self.saved: dict[str, StoredRecording] = {}
        self.published: dict[str, list[StoredResult]] = {}
        self.full = False
        self.node_bound = 1 << 30
        self.damage: Exception | None = None
        self.batches: list[int] = []
        self.attempts = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._revision = 0

    async def put(self, batch: Sequence[Incoming]) -> list[Change]:
        self.attempts += 1
        await self.gate.wait()
        if self.damage:
            raise self.damage
        if self.full:
            raise StoreFull("the test's disk is full; make room")
        self.batches.append(len(batch))
        return [self._put(each) for each in batch]

    def _put(self, incoming: Incoming) -> Change:
        source = incoming.observation.source
        old = self.rows.get(source)
        if not old and sum(each.node == source.node for each in self.rows) >= self.node_bound:
            return Change(0, False, stored=False)
        whole = incoming.whole()
        observation = old.observation.join(whole) if old else whole
        recordings = frozenset(incoming.recordings) | (old.recordings if old else frozenset())
        same = old and (old.observation, old.recordings, old.not_recorded) == (
            observation,
            recordings,
            incoming.not_recorded,
        )
        if old and same:
            return Change(old.id, False)
        self._revision += 1
        made = Sighting(
            id=old.id if old else len(self.rows) + 1,
            observation=observation,
            recordings=recordings,
            placement=old.placement if old else None,
            confirmation=old.confirmation if old else Confirmation.UNASKED,
            revision=self._revision,
            not_recorded=incoming.not_recorded,
        )
        self.rows[source] = made
        return Change(made.id, True)

    async def known(self, sources: Sequence[Source]) -> set[Source]:
        return set(sources) & self.rows.keys()

    async def revision(self) -> int:
        return self._revision

    async def recordings(self) -> Mapping[str, StoredRecording]:
        return dict(self.saved)

    async def results(self, recording_id: str) -> list[StoredResult]:
        return list(self.published.get(recording_id, ()))

    async def sightings(
        self, recording_id: str, *, accesses: bool = True, after: int = 0, limit: int
    ) -> list[Sighting]:
        found = [each for each in self.rows.values() if recording_id in each.recordings and each.id > after]
        found = sorted(found, key=lambda each: each.id)[:limit]
        return found if accesses else [_without_accesses(each) for each in found]

    async def sighting(self, sighting_id: int, *, accesses: bool = True) -> Sighting | None:
        found = next((each for each in self.rows.values() if each.id == sighting_id), None)
        return found if accesses or found is None else _without_accesses(found)

    async def accesses(self, sighting_id: int, *, part: int) -> Mapping[int, bytes]:
        found = await self.sighting(sighting_id)
        parts = packed(found.observation.accesses) if found else {}
        return {number: content for number, content in parts.items() if number == part}

    async def accesses_of(self, sighting_ids: Sequence[int]) -> Mapping[int, int]:
        rows = {each.id: len(each.observation.accesses.entries) for each in self.rows.values()}
        return {each: rows[each] for each in sighting_ids if rows.get(each)}

    async def changed_since(self, revision: int) -> list[int]:
        return [each.id for each in self.rows.values() if each.revision > revision]

    # --- the test's own

    def save(self, recording: Recording, deleted_at: float | None = None) -> None:
        """As the publisher does with each that it sees."""
        self.saved[recording.id] = StoredRecording(recording, deleted_at)
