"""The plan: what agents are told to record, made from the recordings that are to be done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from recorder.collector.served import SERVED
from recorder.model.kind import Kind
from recorder.model.recording import Recording
from recorder.model.selector import LabelSelector
from recorder.rpc.v1 import agent_pb2
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["PlanBounds", "Planned", "plan_message", "planned"]

_RECORDED: Mapping[Kind, agent_pb2.Kind] = MappingProxyType(
    {
        Kind.SYSCALLS: agent_pb2.KIND_SYSCALLS,
        Kind.DENIALS: agent_pb2.KIND_DENIALS,
        Kind.ACCESSES: agent_pb2.KIND_ACCESSES,
    }
)

REVISION = 32
"""Hexadecimal digits of SHA-256."""


@dataclass(frozen=True, slots=True)
class PlanBounds:
    """What every agent takes by its defaults (`memory.recordings`, `memory.message`).

    One that takes less refuses the plan, and says so in its status.
    """

    recordings: int = 1024
    bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan within its bounds, and the ids of those that found no room, sorted."""

    message: pb.Plan = field(default_factory=pb.Plan, hash=False)
    left_out: tuple[str, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """Of the recordings in it."""
        return frozenset(each.id for each in self.message.recordings)


def plan_message(recordings: Iterable[Recording]) -> pb.Plan:
    """The plan for these recordings.

    Sorted by id; the revision is a digest of the content, so the same recordings give the same bytes.
    """
    return _plan(sorted(map(_entry, recordings), key=_id))


def planned(recordings: Iterable[Recording], bounds: PlanBounds, before: frozenset[str]) -> Planned:
    """The plan that has room for as many as can be: those of the plan before first, then by id.

    So a recording that is done stays, and one too many waits until another one ends.
    """
    entries = sorted(map(_entry, recordings), key=lambda each: (each.id not in before, each.id))
    kept: list[pb.PlannedRecording] = []
    left_out: list[str] = []
    size = 0
    for each in entries:
        more = each.ByteSize() + 8  # its tag and length
        if len(kept) < bounds.recordings and size + more <= bounds.bytes:
            kept.append(each)
            size += more
        else:
            left_out.append(each.id)
    return Planned(_plan(sorted(kept, key=_id)), tuple(sorted(left_out)))


def _id(entry: pb.PlannedRecording) -> str:
    return entry.id


def _plan(entries: list[pb.PlannedRecording]) -> pb.Plan:
    # maps have no order of their own: `deterministic` sorts them
    content = pb.Plan(recordings=entries).SerializeToString(deterministic=True)
    return pb.Plan(revision=hashlib.sha256(content).hexdigest()[:REVISION], recordings=entries)


def _entry(recording: Recording) -> pb.PlannedRecording:
    kind = SERVED[recording.kind, recording.means]
    kinds = {kind, Kind.DENIALS} if recording.denials else {kind}
    return pb.PlannedRecording(
        id=recording.id,
        namespace=recording.name.namespace,
        # present also when it is empty, which selects all; one that is absent selects nothing
        selector=pb.LabelSelector(
            match_labels=dict(recording.selector.match_labels),
            match_expressions=_expressions(recording.selector),
        ),
        containers=recording.containers,
        kinds=sorted(_RECORDED[each] for each in kinds),
    )


def _expressions(selector: LabelSelector) -> Iterator[pb.LabelExpression]:
    for each in selector.match_expressions:
        yield pb.LabelExpression(key=each.key, operator=each.operator, values=each.values)
