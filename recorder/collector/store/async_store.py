"""The store for an event loop: the same methods as coroutines, done one after another in one thread.

What agents wait for goes first: `put` is done as soon as what is being done is over, before
what results are made of.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import ParamSpec, Self, TypeVar

from recorder.collector.store.bounds import StoreBounds, StoreFigures
from recorder.collector.store.sighting import Change, Decision, Incoming, Outline, Sighting
from recorder.collector.store.store import Store
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.model.record import Source
from recorder.model.recording import ProfileKind, Recording
from recorder.model.result import Placement

__all__ = ["AsyncStore"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AsyncStore:
    """See `Store`. In the order of the calls, but for `put`, which goes before calls that have not begun.

    One that is cancelled is done nevertheless if it has begun.
    """

    def __init__(self, store: Store, executor: ThreadPoolExecutor) -> None:
        self._store = store
        self._executor = executor
        self._saves: _Saves | None = None  # if nothing was asked for since
        self._urgent: deque[_Put] = deque()

    @classmethod
    async def open(cls, path: Path, bounds: StoreBounds | None = None, *, set_aside: bool = False) -> Self:
        """As `Store.open`, in the thread that is the store's from then on."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        opening = executor.submit(Store.open, path, bounds, set_aside=set_aside)
        try:
            return cls(await asyncio.wrap_future(opening), executor)
        except BaseException:
            executor.submit(_close, opening)  # cancelled while it opens: closed once it is open
            executor.shutdown(wait=False)
            raise

    async def _run(self, method: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        self._saves = None
        return await asyncio.wrap_future(self._submit(lambda: method(*args, **kwargs)))

    def _submit(self, do: Callable[[], _T]) -> Future[_T]:
        return self._executor.submit(self._after_urgent, do)

    def _after_urgent(self, do: Callable[[], _T]) -> _T:
        self._put_urgent()
        return do()

    def _put_urgent(self) -> None:
        while self._urgent:
            put = self._urgent.popleft()  # by this thread alone
            if put.done.set_running_or_notify_cancel():
                try:
                    put.done.set_result(self._store.put(put.batch))
                except BaseException as error:  # noqa: BLE001 -- it is raised where it is awaited
                    put.done.set_exception(error)

    async def close(self) -> None:
        """After what was asked before."""
        try:
            await self._run(self._store.close)
        finally:
            self._executor.shutdown(wait=False)

    @property
    def compactions(self) -> int:
        """As of now, without waiting."""
        return self._store.compactions

    async def revision(self) -> int:
        return await self._run(lambda: self._store.revision)

    async def put(self, batch: Sequence[Incoming]) -> list[Change]:
        put = _Put(batch)
        self._urgent.append(put)
        self._executor.submit(self._put_urgent)
        return await asyncio.wrap_future(put.done)

    async def decide(self, decisions: Sequence[Decision]) -> list[bool]:
        return await self._run(self._store.decide, decisions)

    async def confirm(self, sighting_id: int, placement: Placement) -> bool:
        return await self._run(self._store.confirm, sighting_id, placement)

    async def refuse(self, sighting_id: int, reason: str) -> bool:
        return await self._run(self._store.refuse, sighting_id, reason)

    async def missing(self, sighting_id: int, reason: str) -> bool:
        return await self._run(self._store.missing, sighting_id, reason)

    async def sighting(self, sighting_id: int, *, accesses: bool = True) -> Sighting | None:
        return await self._run(self._store.sighting, sighting_id, accesses=accesses)

    async def accesses(self, sighting_id: int, *, part: int | None = None) -> dict[int, bytes]:
        return await self._run(self._store.accesses, sighting_id, part=part)

    async def accesses_of(self, sighting_ids: Sequence[int]) -> dict[int, int]:
        return await self._run(self._store.accesses_of, sighting_ids)

    async def accesses_of_source(self, source: Source) -> dict[int, bytes]:
        return await self._run(self._store.accesses_of_source, source)

    async def sightings(
        self,
        recording: str,
        *,
        container: str | None = None,
        running: bool | None = None,
        first_sights: bool = True,
        accesses: bool = True,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Sighting]:
        return await self._run(
            self._store.sightings,
            recording,
            container=container,
            running=running,
            first_sights=first_sights,
            accesses=accesses,
            after=after,
            limit=limit,
        )

    async def unconfirmed(self, limit: int, after: int = 0) -> list[Sighting]:
        return await self._run(self._store.unconfirmed, limit, after)

    async def outlines(self, recording: str, newer_than: int = 0, limit: int = 2000) -> list[Outline]:
        return await self._run(self._store.outlines, recording, newer_than, limit)

    async def known(self, sources: Collection[Source]) -> set[Source]:
        return await self._run(self._store.known, sources)

    async def changed_since(self, revision: int) -> list[int]:
        return await self._run(self._store.changed_since, revision)

    async def recordings(self) -> dict[str, StoredRecording]:
        return await self._run(self._store.recordings)

    async def save_recording(self, recording: Recording) -> None:
        await self._run(self._store.save_recording, recording)

    async def mark_deleted(self, recording: str, at: float) -> None:
        await self._run(self._store.mark_deleted, recording, at)

    async def forget_recording(self, recording: str) -> None:
        await self._run(self._store.forget_recording, recording)

    async def strays(self) -> list[str]:
        return await self._run(self._store.strays)

    async def emitted(self, recording: str, revision: int) -> None:
        await self._run(self._store.emitted, recording, revision)

    async def unemitted(self) -> dict[str, int]:
        return await self._run(self._store.unemitted)

    async def results(self, recording: str) -> list[StoredResult]:
        return await self._run(self._store.results, recording)

    async def result_by_name(self, kind: ProfileKind, name: str) -> StoredResult | None:
        return await self._run(self._store.result_by_name, kind, name)

    async def save_result(self, result: StoredResult) -> None:
        # those that wait while the disk is busy are one commit
        saves = self._saves
        if saves is None or not saves.add(result):
            saves = self._saves = _Saves(result)
            saves.done = self._submit(lambda: self._store.save_results(saves.begin()))
        await asyncio.shield(asyncio.wrap_future(saves.done))

    async def save_results(self, results: Sequence[StoredResult]) -> None:
        await self._run(self._store.save_results, results)

    async def remove_result(self, result: StoredResult) -> None:
        await self._run(self._store.remove_result, result)

    async def compact(self) -> int:
        return await self._run(self._store.compact)

    async def figures(self) -> StoreFigures:
        return await self._run(self._store.figures)


def _close(opening: Future[Store]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _Put:
    """Reports that are to be stored. `done`: what each changed."""

    def __init__(self, batch: Sequence[Incoming]) -> None:
        self.batch = batch
        self.done: Future[list[Change]] = Future()


class _Saves:
    """Results that are to be saved together, until it is begun. `done`: when they are."""

    done: Future[None]

    def __init__(self, first: StoredResult) -> None:
        self._results = [first]
        self._begun = False
        self._lock = Lock()

    def add(self, result: StoredResult) -> bool:
        """False if it is too late."""
        with self._lock:
            if not self._begun:
                self._results.append(result)
            return not self._begun

    def begin(self) -> list[StoredResult]:
        """All that were added; in the store's thread."""
        with self._lock:
            self._begun = True
            return self._results
