"""One client's stream of a capture: snapshots as they come, within the bounds of rate and memory."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from recorder.agent.access_parts import PART_BYTES
from recorder.agent.budget import Use
from recorder.agent.capture import Capture
from recorder.agent.capture_snapshots import CaptureSnapshots
from recorder.agent.captures import Captures
from recorder.agent.figures import Distributions
from recorder.model.errors import LimitReached, Unreachable
from recorder.model.record import Source
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["CaptureStreams"]

KEEP_ALIVE = 5.0
"""Seconds of silence at most on a stream."""


def _same(snapshot: pb.Snapshot) -> pb.Snapshot:
    return snapshot


@dataclass(slots=True)
class CaptureStreams:
    """`rate`: snapshots a second to one client at most; `message`: bytes of one. `stopping` ends all."""

    captures: Captures
    snapshots: CaptureSnapshots
    use: Use
    rate: float
    message: int
    distributions: Distributions
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    """Streams whose client has not taken its message yet."""

    async def serve(
        self, capture: Capture, stream: int, asked_rate: float
    ) -> AsyncIterator[pb.CaptureResponse]:
        """Until the capture is over, another stream took it over, or the agent ends (Unreachable)."""
        interval = 1 / min(asked_rate or self.rate, self.rate)
        said = 0.0
        told: dict[Source, int] = {}
        part = min(PART_BYTES, self.message // 2)
        capture.changed.set()
        while True:
            wait = min(KEEP_ALIVE - (time.monotonic() - said), capture.seconds_left())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.01, wait)):
                    await capture.changed.wait()
            if self.stopping.is_set():
                raise Unreachable("the agent ends; the capture goes on with the next one")
            if capture.streams != stream:
                raise Unreachable("another client has taken this capture over")
            if self.captures.over(capture):
                async for last in self.snapshots.finish(capture, told, part):
                    async with self._room(functools.partial(_same, last)) as snapshot:
                        yield pb.CaptureResponse(snapshot=snapshot)
                return
            if not capture.changed.is_set():
                if time.monotonic() - said >= KEEP_ALIVE:
                    said = time.monotonic()
                    yield pb.CaptureResponse(keep_alive=pb.KeepAlive())
                continue
            capture.changed.clear()  # before the pause: what comes in it is news
            left = interval - (time.monotonic() - said)
            if left > 0:
                await asyncio.sleep(min(left, max(0.01, capture.seconds_left())))
                if self.captures.over(capture):
                    capture.changed.set()
                    continue
            for more in self.snapshots.accesses(capture, told, part):
                async with self._room(functools.partial(_same, more)) as snapshot:
                    yield pb.CaptureResponse(snapshot=snapshot)
            async with self._room(lambda: self.snapshots.snapshot(capture)) as snapshot:
                said = time.monotonic()
                yield pb.CaptureResponse(snapshot=snapshot)

    @contextlib.asynccontextmanager
    async def _room(self, make: Callable[[], pb.Snapshot]) -> AsyncIterator[pb.Snapshot]:
        """A snapshot, in the queues until the client has it; gRPC takes one at a time.

        While there is no room none is kept: it is made anew when there is.
        """
        self.waiting += 1
        began = time.monotonic()
        size, again = 0, False
        try:
            while True:
                snapshot = make()
                size = snapshot.ByteSize()
                if size > self.message:
                    self.use.refuse("message")
                    raise LimitReached(
                        f"the snapshot has {size} bytes, and {self.message} is the most (memory.message);"
                        " capture fewer containers at once"
                    )
                if self.use.take("queues", size, again=again):
                    break
                del snapshot
                again = True
                await asyncio.sleep(0.05)
            try:
                yield snapshot
            finally:
                self.use.give("queues", size)
        finally:
            self.waiting -= 1
            self.distributions.snapshot_bytes.observe(size)
            self.distributions.snapshot_seconds.observe(time.monotonic() - began)
