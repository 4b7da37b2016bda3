"""From agents' streams into the store: reports are put together to one commit, and acknowledged after it.

What comes while a commit is under way goes into the next. While the store takes nothing
(its bound, a full disk) nothing is acknowledged and nothing given up: what has come stays
here, within `pending_bytes`, streams are read no further, and it is tried again. Then
HTTP/2's flow control holds the agents, which keep what they have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recorder.collector.agents.reports import Reason, Refusal
from recorder.collector.figures import ServiceFigures
from recorder.collector.store.sighting import Change, Incoming
from recorder.model.errors import StoreFull
from recorder.model.record import Source

__all__ = ["Ingest", "IngestBounds", "IngestStore", "Pending", "Reporter"]

log = logging.getLogger(__name__)


class IngestStore(Protocol):
    """What is asked of the store."""

    async def put(self, batch: Sequence[Incoming]) -> list[Change]:
        """All of it in one commit, or StoreFull."""

    async def known(self, sources: Sequence[Source]) -> set[Source]:
        """Those of which it has a sighting, folded ones included."""


class Reporter(Protocol):
    """Where a report came from."""

    closed: bool
    node: str

    def acknowledge(self, sequence: int, refusal: Refusal | None = None) -> None:
        """It is stored, or never will be; returns at once, and does nothing when it is closed."""

    def hold(self) -> None:
        """The store keeps no more of this node for now: not acknowledged, so that the agent comes again."""


@dataclass(frozen=True, slots=True)
class IngestBounds:
    """batch: reports of one commit. batch_seconds: how long the first one waits for others.

    pending_bytes: of messages that came and are not stored; the message that is being read of each
    stream comes on top. pending: as many messages: beyond it those that came would only make each other
    late, until agents give up and come again. retry_seconds: between attempts while the store takes nothing.
    """

    batch: int = 256
    batch_seconds: float = 0.005
    pending_bytes: int = 32 << 20
    pending: int = 512
    retry_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Pending:
    """A report on its way. `size`: bytes of its message. `known_only`: taken if its source is known."""

    incoming: Incoming
    reporter: Reporter
    sequence: int
    size: int
    known_only: bool = False


class Ingest:
    """`run` as a task. `changed`: told the recordings whose sightings a commit changed."""

    def __init__(
        self,
        store: IngestStore,
        bounds: IngestBounds,
        figures: ServiceFigures,
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        self._store = store
        self._bounds = bounds
        self._figures = figures
        self._changed = changed
        self._pending: deque[Pending] = deque()
        self._came = asyncio.Event()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._taken = 0  # rooms

    async def room(self, size: int) -> None:
        """Return when a message of that size has room; first come, first served. It is then taken."""
        if self._waiting or not self._fits(size):
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((size, future))
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._give_back(size)  # the room came in the moment of the end
                else:
                    with contextlib.suppress(ValueError):
                        self._waiting.remove((size, future))
                raise
        else:
            self._take_room(size)

    def _fits(self, size: int) -> bool:
        used = self._figures.pending_bytes + size
        return not self._taken or (used <= self._bounds.pending_bytes and self._taken < self._bounds.pending)

    def _take_room(self, size: int) -> None:
        self._taken += 1
        self._figures.pending_bytes += size

    def _give_back(self, size: int) -> None:
        self._taken -= 1
        self._figures.pending_bytes -= size
        while self._waiting and self._fits(self._waiting[0][0]):
            wanted, future = self._waiting.popleft()
            if not future.done():
                self._take_room(wanted)
                future.set_result(None)

    def drop(self, size: int) -> None:
        """Room that was taken for what is not put."""
        self._give_back(size)

    def put(self, pending: Pending) -> None:
        """Store it with the next commit; its room was taken."""
        self._pending.append(pending)
        self._figures.pending += 1
        self._came.set()

    async def run(self) -> None:
        """Until cancelled. Raises what the store raises, but for StoreFull: the collector has failed then."""
        while True:
            await self._came.wait()
            self._came.clear()
            await asyncio.sleep(self._bounds.batch_seconds)
            while self._pending:
                await self._store_some()

    async def _store_some(self) -> None:
        batch = self._take()
        try:
            batch = await self._without_new(batch)
            changes = await self._store.put([each.incoming for each in batch]) if batch else []
        except StoreFull as error:
            self._pending.extendleft(reversed(batch))
            self._figures.pending += len(batch)
            self._is_full(error)
            await asyncio.sleep(self._bounds.retry_seconds)
            return
        if batch:
            self._stored(batch, changes)

    def _take(self) -> list[Pending]:
        """The oldest; those whose stream has ended come again in another one."""
        batch: list[Pending] = []
        while self._pending and len(batch) < self._bounds.batch:
            each = self._pending.popleft()
            self._figures.pending -= 1
            if each.reporter.closed:
                self._give_back(each.size)
            else:
                batch.append(each)
        return batch

    async def _without_new(self, batch: list[Pending]) -> list[Pending]:
        """The batch without new containers of recordings that take no new ones."""
        asked = {each.incoming.observation.source for each in batch if each.known_only}
        if not asked:
            return batch
        new = asked - await self._store.known(sorted(asked))
        kept = []
        for each in batch:
            if each.known_only and each.incoming.observation.source in new:
                self._settle(each, Refusal(Reason.NOT_RECORDED_NOW, _NOT_NOW))
            else:
                kept.append(each)
        return kept

    def _stored(self, batch: list[Pending], changes: list[Change]) -> None:
        figures = self._figures
        if figures.full:
            log.warning("the store takes reports again")
        figures.full, figures.full_since = "", 0.0
        figures.batches += 1
        changed: set[str] = set()
        for each, change in zip(batch, changes, strict=True):
            if not change.stored:
                self._node_is_full(each)
                continue
            figures.stored += 1
            self._settle(each, None)
            if change.changed:
                changed.update(each.incoming.recordings)
        if changed:
            self._changed(frozenset(changed))

    def _node_is_full(self, each: Pending) -> None:
        """Its own agent waits; the others do not."""
        self._figures.held += 1
        self._give_back(each.size)
        each.reporter.hold()

    def _settle(self, each: Pending, refusal: Refusal | None) -> None:
        self._give_back(each.size)
        each.reporter.acknowledge(each.sequence, refusal)

    def _is_full(self, error: StoreFull) -> None:
        figures = self._figures
        figures.stalls += 1
        if not figures.full:
            figures.full_since = time.monotonic()
            log.error(
                "the store takes nothing, so reports are not acknowledged, and agents keep them: %s", error
            )
        figures.full = str(error)


_NOT_NOW = "its recording is not done now, and takes what was begun before alone"
