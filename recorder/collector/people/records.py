"""What was seen, for people: `GetRecords` and `WatchRecords`, of what a viewer may read alone.

Who asks for one namespace and may not read it is refused, whether there is something in
it or not; who asks for all sees those namespaces that it may read, and no trace of others.
A watch asks for itself again (`recheck_seconds`), and ends when the token is worth nothing
any more. It holds no queue: it has a place in the store's revisions, and reads on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from recorder.collector.figures import ServiceFigures
from recorder.collector.people.reviews import Reviews, Viewer
from recorder.collector.store.packed_accesses import PARTS, in_messages
from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.model.errors import AccessDenied, LimitReached, RecorderError
from recorder.model.record import Source
from recorder.model.wire import to_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.names import is_label, is_subdomain, shown
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["Records", "RecordsBounds", "RecordsStore"]

_CONFIRMATIONS: Mapping[Confirmation, pb.Confirmation] = {
    Confirmation.UNASKED: pb.CONFIRMATION_UNASKED,
    Confirmation.CONFIRMED: pb.CONFIRMATION_CONFIRMED,
    Confirmation.REFUSED: pb.CONFIRMATION_REFUSED,
    Confirmation.MISSING: pb.CONFIRMATION_MISSING,
}


class RecordsStore(Protocol):
    """What is asked of the store: see `recorder.collector.store`."""

    async def revision(self) -> int: ...

    async def recordings(self) -> Mapping[str, StoredRecording]: ...

    async def results(self, recording_id: str, /) -> list[StoredResult]: ...

    async def sightings(
        self, recording_id: str, /, *, accesses: bool, after: int, limit: int
    ) -> list[Sighting]: ...

    async def sighting(self, sighting_id: int, /, *, accesses: bool) -> Sighting | None: ...

    async def accesses(self, sighting_id: int, /, *, part: int) -> Mapping[int, bytes]: ...

    async def accesses_of(self, sighting_ids: Sequence[int], /) -> Mapping[int, int]: ...

    async def changed_since(self, revision: int, /) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class RecordsBounds:
    """watches: at a time, and of one person. page: containers that are read at once.

    message_bytes: of accesses in one message.

    watch_seconds: at least so long between two looks of a watch. recheck_seconds: how often a watch
    asks whether its viewer may still read.
    """

    watches: int = 64
    watches_of_person: int = 8
    page: int = 64
    message_bytes: int = 512 << 10
    watch_seconds: float = 1.0
    recheck_seconds: float = 60.0


class Records:
    """Answers for viewers. `changed` wakes the watches."""

    def __init__(
        self,
        store: RecordsStore,
        reviews: Reviews,
        figures: ServiceFigures,
        bounds: RecordsBounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._reviews = reviews
        self._figures = figures
        self._bounds = bounds
        self._clock = clock
        self._watches: set[_Watch] = set()
        self._of_person: Counter[str] = Counter()
        self._stopping: RecorderError | None = None

    def stop(self, failure: RecorderError) -> None:
        """Ends all watches with that status."""
        self._stopping = failure
        for each in self._watches:
            each.news.set()

    def changed(self, results: Iterable[str] | None = ()) -> None:
        """The store has something new: containers, and results of the recordings with these ids.

        None: the recordings themselves are others.
        """
        ids = frozenset(results or ())
        for each in self._watches:
            each.renew = each.renew or results is None
            each.stale |= ids
            each.news.set()

    async def get(self, filter_: pb.RecordsFilter, viewer: Viewer) -> AsyncIterator[pb.GetRecordsResponse]:
        """All that there is. InvalidFields; AccessDenied; Unreachable while nobody says who may read."""
        _check(filter_)
        view = _View(self._store, self._reviews, viewer, filter_)
        await view.require()
        for recording in await view.recordings():
            yield pb.GetRecordsResponse(recording=await _summary(self._store, recording))
            async for container in self._containers(recording.recording.id, whole=filter_.accesses):
                yield pb.GetRecordsResponse(container=container)

    async def _containers(self, recording_id: str, *, whole: bool) -> AsyncIterator[pb.ContainerRecord]:
        after = 0
        while page := await self._store.sightings(
            recording_id, accesses=False, after=after, limit=self._bounds.page
        ):
            after = page[-1].id
            counts = await self._store.accesses_of([each.id for each in page])
            page.reverse()
            while page:
                # popped, so that what is told is not held while a slow client takes the rest
                sighting = page.pop()
                count = counts.get(sighting.id, 0)
                async for message in self._told(recording_id, sighting, count, whole=whole):
                    yield message

    async def _told(
        self, recording_id: str, sighting: Sighting, count: int, *, whole: bool
    ) -> AsyncIterator[pb.ContainerRecord]:
        """A container in messages that the client joins: without its accesses, then some of these in each."""
        yield _container(recording_id, sighting, count)
        if whole and count:
            for part in range(PARTS):  # one at a time, so that a slow client holds no more
                content = (await self._store.accesses(sighting.id, part=part)).get(part, b"")
                for some in in_messages(content, self._bounds.message_bytes):
                    yield pb.ContainerRecord(
                        recording_id=recording_id,
                        id=sighting.id,
                        observation=record_pb2.Observation(
                            source=_source(sighting.observation.source), accesses=some
                        ),
                        more=True,
                    )

    async def watch(
        self, filter_: pb.RecordsFilter, viewer: Viewer
    ) -> AsyncIterator[pb.WatchRecordsResponse]:
        """What there is, then changes. Errors as `get`, also in the middle; LimitReached for one too many."""
        _check(filter_)
        view = _View(self._store, self._reviews, viewer, filter_)
        await view.require()
        with self._counted(viewer) as watch:
            revision = await self._store.revision()
            async for message in self._unsaid(view, watch):
                yield message
            yield pb.WatchRecordsResponse(synced=pb.Synced())
            checked = self._clock()
            while True:
                await self._news(watch, checked + self._bounds.recheck_seconds - self._clock())
                if self._stopping:
                    raise self._stopping
                recheck = self._clock() - checked >= self._bounds.recheck_seconds
                if recheck or watch.renew:
                    watch.renew = False
                    view = await self._again(view, recheck=recheck)
                    checked = self._clock() if recheck else checked
                until = await self._store.revision()
                async for message in self._unsaid(view, watch):
                    yield message
                async for message in self._changes(watch, revision, whole=view.filter.accesses):
                    yield message
                revision = until

    async def _again(self, view: _View, *, recheck: bool) -> _View:
        """What the viewer may read now; with `recheck` it is asked for itself again."""
        viewer = await self._reviews.viewer_again(view.viewer) if recheck else view.viewer
        new = _View(self._store, self._reviews, viewer, view.filter)
        await new.require()
        return new

    async def _news(self, watch: _Watch, seconds: float) -> None:
        """Something new, or time to ask again; and not before the pace allows it."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await watch.news.wait()
            await asyncio.sleep(self._bounds.watch_seconds)
        except TimeoutError:
            pass
        watch.news.clear()

    async def _unsaid(self, view: _View, watch: _Watch) -> AsyncIterator[pb.WatchRecordsResponse]:
        """Recordings that are new or differ in their results, with the containers of new ones; those gone."""
        seen = set()
        stale, watch.stale = watch.stale, frozenset()
        for recording in await view.recordings():
            name = recording.recording.id
            seen.add(name)
            new = name not in watch.said
            if new or name in stale or recording.deleted_at is not None:
                summary = await _summary(self._store, recording)
                content = hash(summary.SerializeToString(deterministic=True))
                if watch.said.get(name) != content:
                    watch.said[name] = content
                    yield pb.WatchRecordsResponse(recording=summary)
            if new:
                async for container in self._containers(name, whole=view.filter.accesses):
                    yield pb.WatchRecordsResponse(container=container)
        for name in sorted(watch.said.keys() - seen):
            del watch.said[name]
            yield pb.WatchRecordsResponse(gone=pb.RecordingGone(id=name))

    async def _changes(
        self, watch: _Watch, revision: int, *, whole: bool
    ) -> AsyncIterator[pb.WatchRecordsResponse]:
        for sighting_id in await self._store.changed_since(revision):
            sighting = await self._store.sighting(sighting_id, accesses=False)
            if sighting is None:  # folded meanwhile, or its recording is forgotten
                continue
            count = (await self._store.accesses_of([sighting_id])).get(sighting_id, 0)
            for name in sorted(sighting.recordings & watch.said.keys()):
                async for message in self._told(name, sighting, count, whole=whole):
                    yield pb.WatchRecordsResponse(container=message)

    @contextmanager
    def _counted(self, viewer: Viewer) -> Iterator[_Watch]:
        who = viewer.person.uid or viewer.person.name if viewer.person else ""
        if len(self._watches) >= self._bounds.watches:
            raise LimitReached(f"{len(self._watches)} watches are open, the most that is allowed; try later")
        if who and self._of_person[who] >= self._bounds.watches_of_person:
            raise LimitReached(
                f"you have {self._of_person[who]} watches open, the most that is allowed; end one of them"
            )
        watch = _Watch()
        self._watches.add(watch)
        self._of_person[who] += 1
        self._figures.watches += 1
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            self._figures.watches -= 1
            self._of_person[who] -= 1
            if not self._of_person[who]:
                del self._of_person[who]


class _Watch:
    """What one watch was told (of each recording a hash of its summary), and what it has to look at again."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.said: dict[str, int] = {}
        self.stale: frozenset[str] = frozenset()
        self.renew = False


class _View:
    """What a viewer may read of a filter, as it is when it is first asked for."""

    def __init__(
        self, store: RecordsStore, reviews: Reviews, viewer: Viewer, filter_: pb.RecordsFilter
    ) -> None:
        self._store = store
        self._reviews = reviews
        self.viewer = viewer
        self.filter = filter_
        self._found: list[StoredRecording] | None = None

    async def require(self) -> None:
        """AccessDenied if the one namespace that is asked for may not be read."""
        namespace = self.filter.namespace
        if namespace and not await self._may(namespace):
            raise AccessDenied(
                f"you may not read the recordings of the namespace {shown(namespace)}: that needs the verb "
                "get for profilerecordings (security-profiles-operator.x-k8s.io) there"
            )

    async def recordings(self) -> list[StoredRecording]:
        """Those that are asked for and may be read, by namespace and name."""
        if self._found is None:
            self._found = await self._recordings()
        return self._found

    async def _recordings(self) -> list[StoredRecording]:
        found = sorted(
            filter(self._asked, (await self._store.recordings()).values()),
            key=lambda each: each.recording.name,
        )
        if not found:
            return []
        if not self.filter.namespace and await self._may(""):
            return found
        allowed = {
            namespace
            for namespace in sorted({each.recording.name.namespace for each in found})
            # what is of no namespace is for those that may read all of them
            if namespace and await self._may(namespace)
        }
        return [each for each in found if each.recording.name.namespace in allowed]

    def _asked(self, each: StoredRecording) -> bool:
        name, asked = each.recording.name, self.filter
        return (not asked.namespace or name.namespace == asked.namespace) and (
            not asked.recording or name.name == asked.recording
        )

    async def _may(self, namespace: str) -> bool:
        return await self._reviews.may_read(self.viewer, namespace)


def _check(filter_: pb.RecordsFilter) -> None:
    errors = list(_errors(filter_))
    if errors:
        raise InvalidFields(errors)


def _errors(filter_: pb.RecordsFilter) -> Iterator[FieldError]:
    if filter_.namespace and not is_label(filter_.namespace):
        yield FieldError(
            "filter.namespace",
            f"is {shown(filter_.namespace)}",
            "expected is a namespace's name, or nothing for all that you may read",
        )
    if filter_.recording and not is_subdomain(filter_.recording):
        yield FieldError(
            "filter.recording",
            f"is {shown(filter_.recording)}",
            "expected is a recording's name, or nothing for all of them",
        )


async def _summary(store: RecordsStore, stored: StoredRecording) -> pb.RecordingSummary:
    recording = stored.recording
    return pb.RecordingSummary(
        id=recording.id,
        namespace=recording.name.namespace,
        name=recording.name.name,
        kind=recording.kind,
        merge_strategy=recording.merge,
        deleted=stored.deleted_at is not None,
        results=_results(await store.results(recording.id)),
    )


def _results(stored: Iterable[StoredResult]) -> list[pb.ResultSummary]:
    return [
        pb.ResultSummary(
            kind=each.kind,
            name=each.name,
            container=each.container,
            suffix=each.suffix,
            partial=each.partial,
            state=each.state,
        )
        for each in sorted(stored, key=lambda each: (each.name, each.kind))
        if each.name
    ]


def _source(source: Source) -> record_pb2.Source:
    return record_pb2.Source(
        node=source.node, boot_id=source.boot_id, cgroup_id=source.cgroup_id, epoch=source.epoch
    )


def _container(recording_id: str, sighting: Sighting, accesses: int) -> pb.ContainerRecord:
    of_pod = sighting.observation.identity.pod is not None
    confirmation = sighting.confirmation if of_pod else Confirmation.CONFIRMED
    return pb.ContainerRecord(
        recording_id=recording_id,
        id=sighting.id,
        observation=to_observation(sighting.observation),
        confirmation=_CONFIRMATIONS[confirmation],
        reason=sighting.reason,
        not_recorded=sighting.not_recorded,
        generate_name=sighting.placement.generate_name if sighting.placement else "",
        accesses=accesses,
    )
