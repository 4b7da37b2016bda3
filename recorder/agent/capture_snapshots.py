"""What the client of a capture is sent: snapshots of it, and its accesses in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from recorder.agent.access_parts import parts
from recorder.agent.capture import Capture
from recorder.agent.observation import boot_id, without_accesses
from recorder.agent.processes import Processes
from recorder.agent.tracker import Tracker
from recorder.model.accesses import Accesses
from recorder.model.record import Identity, Observation, Source
from recorder.model.wire import to_message, to_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["CaptureSnapshots"]

ENDED = -1
"""In place of how far a log goes: all accesses that there will be."""


class CaptureSnapshots:
    """Made when they are asked for, of what there is then."""

    def __init__(self, tracker: Tracker, processes: Processes) -> None:
        self._tracker = tracker
        self._processes = processes

    def accesses(self, capture: Capture, told: dict[Source, int], most: int) -> Iterator[pb.Snapshot]:
        """What a stream was not told of accesses yet, in messages of about `most` bytes.

        told: what it was, of running ones how far their logs go.
        """
        if not capture.accesses:
            return
        for source, identity, accesses in capture.ended_ones:
            if told.get(source) != ENDED:
                yield from self._parts(source, identity, accesses, most)
                told[source] = ENDED
        for tracked in self._tracker.of(capture):
            log = tracked.access_log
            source_now = tracked.source(self._tracker.node, boot_id())
            if log is None or source_now is None:
                continue
            observation = to_observation(Observation(source_now, tracked.subject.identity()))
            for upto, part in parts(log.since(told.get(source_now, 0)), most):
                yield _snapshot(observation, part)
                told[source_now] = upto

    @staticmethod
    def _parts(source: Source, identity: Identity, accesses: Accesses, most: int) -> Iterator[pb.Snapshot]:
        observation = to_observation(Observation(source, identity, accesses=Accesses(cut_at=accesses.cut_at)))
        news = ((0, key, seen) for key, seen in accesses.entries.items())
        for _, part in parts(news, most):
            yield _snapshot(observation, part)

    def snapshot(self, capture: Capture) -> pb.Snapshot:
        """What it saw so far, but for accesses."""
        running = [
            *map(self._tracker.observation, self._tracker.of(capture)),
            *map(self._processes.observation, self._processes.of(capture)),
        ]
        shown = running if capture.accesses else map(without_accesses, running)
        record = capture.record(shown, self._tracker.node)
        return pb.Snapshot(record=to_message(record), selected=len(running))

    async def finish(
        self, capture: Capture, told: dict[Source, int], most: int
    ) -> AsyncIterator[pb.Snapshot]:
        """Its last words: all that it saw, the accesses of one container after the other, then the rest."""
        for snapshot in self.accesses(capture, told, most):
            yield snapshot
        for tracked in self._tracker.of(capture):
            last = await self._tracker.last_observation(tracked)
            if capture.accesses:
                for snapshot in self._parts(last.source, last.identity, last.accesses, most):
                    yield snapshot
            capture.keep(replace(last, accesses=Accesses()))
        for followed in self._processes.of(capture):
            capture.keep(await self._processes.last_observation(followed))
        yield pb.Snapshot(record=to_message(capture.record((), self._tracker.node)), final=True)


def _snapshot(observation: record_pb2.Observation, accesses: list[record_pb2.Access]) -> pb.Snapshot:
    """A part of the accesses of one container."""
    snapshot = pb.Snapshot(record=record_pb2.Record(observations=[observation]))
    snapshot.record.observations[0].accesses.extend(accesses)
    return snapshot
