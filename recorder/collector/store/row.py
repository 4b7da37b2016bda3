"""A sighting as a row: its observation in two parts, of which the larger is rarely read."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError

from recorder.collector.store import first_sights
from recorder.collector.store.sighting import Confirmation, Decision, Outline, Sighting
from recorder.collector.store.tables import FIRST_SIGHTS, SIGHTING, BrokenSeal, State, checked
from recorder.collector.store.written import (
    from_ids,
    from_placement,
    from_pod,
    ids_text,
    placement_text,
    pod_text,
)
from recorder.model.accesses import Accesses
from recorder.model.errors import InvalidRecord
from recorder.model.record import Observation, Source
from recorder.model.wire import from_observation, to_observation
from recorder.record.v1 import record_pb2 as pb

__all__ = [
    "OUTLINE",
    "columns_of",
    "covers",
    "cut_of",
    "decided",
    "digest_of",
    "from_content",
    "outline_of",
    "sighting_of",
    "source_key",
    "to_content",
    "with_cut",
]


def source_key(source: Source) -> bytes:
    """20 bytes for a source, whatever its texts and numbers are."""
    node, boot = source.node.encode("utf-8", "surrogatepass"), source.boot_id.encode("utf-8", "surrogatepass")
    text = b"%d %d %d %d\n" % (len(node), len(boot), source.cgroup_id, source.epoch)
    return hashlib.sha256(text + node + boot).digest()[:20]


def digest_of(sights: bytes) -> bytes:
    """8 bytes for packed first sights; none for none."""
    return hashlib.blake2b(sights, digest_size=8).digest() if sights else b""


def to_content(observation: Observation) -> bytes:
    """All of it but first sights and accesses; equal observations are equal bytes. InvalidRecord."""
    plain = replace(observation, first_sights={}, accesses=Accesses({}, observation.accesses.cut_at))
    return to_observation(plain).SerializeToString(deterministic=True)


def cut_of(content: bytes) -> bytes:
    """The digest from which on no accesses are kept; empty: all are."""
    return pb.Observation.FromString(content).accesses_cut_at


def with_cut(content: bytes, cut_at: bytes) -> bytes:
    """The content with another one; BrokenSeal."""
    return to_content(replace(from_content(content), accesses=Accesses({}, cut_at)))


def from_content(content: bytes) -> Observation:
    """What `to_content` made; BrokenSeal for anything else."""
    try:
        return from_observation(pb.Observation.FromString(content))
    except (DecodeError, InvalidRecord) as error:
        raise BrokenSeal(f"an observation cannot be read: {error}") from error


def covers(content: bytes, known: bytes) -> bool:
    """Whether one content says all that another of its source says: to join them would give the first.

    Reports are cumulative, so that is how it mostly is, and costs a tenth of joining. False if in doubt.
    """
    new, old = pb.Observation.FromString(content), pb.Observation.FromString(known)
    if old.identity != new.identity or old.provenance != new.provenance:
        return False
    counts = {each.cause: each.count for each in new.ledger}
    calls = {
        (each.abi, each.phase, each.outcome): int.from_bytes(each.numbers, "little") for each in new.calls
    }
    return bool(
        (not old.first_seen_ns or 0 < new.first_seen_ns <= old.first_seen_ns)
        and new.last_seen_ns >= old.last_seen_ns
        and (not old.wall_offset_ns or (new.wall_offset_ns and new.wall_offset_ns >= old.wall_offset_ns))
        and new.ended >= old.ended
        and all(each.count <= counts.get(each.cause, 0) for each in old.ledger)
        and _covers_denials(new, old)
        and _covers_cut(new.accesses_cut_at, old.accesses_cut_at)
        and not any(
            int.from_bytes(each.numbers, "little") & ~calls.get((each.abi, each.phase, each.outcome), 0)
            for each in old.calls
        )
    )


def _covers_denials(new: pb.Observation, old: pb.Observation) -> bool:
    if not old.denials or old.denials == new.denials:
        return True
    known = {_denial_key(each): each for each in new.denials}
    for each in old.denials:
        found = known.get(_denial_key(each))
        if (
            found is None
            or found.count < each.count
            or _order(found.first) > _order(each.first)
            or _order(found.last) < _order(each.last)
            or not {*each.lacks} <= {*found.lacks}
        ):
            return False
    return True


def _covers_cut(new: bytes, old: bytes) -> bool:
    return not old or (bool(new) and new <= old)


def _denial_key(denial: pb.Denial) -> bytes:
    key = pb.Denial()
    key.CopyFrom(denial)
    for field in ("count", "first", "last", "lacks"):
        key.ClearField(field)
    return key.SerializeToString(deterministic=True)


def _order(task: pb.Sighting) -> tuple[int, int, bytes]:
    return task.time_ns, task.pid, task.comm


def columns_of(observation: Observation) -> dict[str, Any]:
    """What is asked for, or read without the rest, as columns."""
    identity = observation.identity
    return {
        "node": observation.source.node,
        "container": identity.name,
        "container_id": identity.container_id,
        "pod": pod_text(identity.pod),
        "ended": observation.ended,
    }


def decided(row: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    """The row after a decision."""
    after = {**row, "unasked": False}
    not_for = decision.not_for & from_ids(row["recordings"])
    if row["confirmation"] == Confirmation.CONFIRMED:
        if decision.confirmation != Confirmation.CONFIRMED:
            return after
        not_for &= from_ids(row["not_for"])
    after["confirmation"] = decision.confirmation.value
    after["reason"] = decision.reason
    after["placement"] = placement_text(decision.placement)
    after["not_for"] = ids_text(not_for)
    return after


OUTLINE = tuple(
    SIGHTING.c[name]
    for name in (
        "id",
        "revision",
        "container",
        "container_id",
        "pod",
        "node",
        "placement",
        "confirmation",
        "reason",
        "not_recorded",
        "recorded",
        "ended",
    )
)


def outline_of(row: Sequence[Any]) -> Outline:
    """The outline of a row of the columns `OUTLINE`, whose seal was checked when the store was opened."""
    number, revision, container, container_id, pod, node, placement, confirmation, *rest = row
    return Outline(
        number,
        revision,
        container,
        container_id,
        from_pod(pod),
        node,
        from_placement(placement),
        Confirmation(confirmation),
        *rest,
    )


def sighting_of(
    row: Mapping[Any, Any], sights: Mapping[str, Any] | None = None, *, undecided: bool = False
) -> Sighting:
    """The sighting of a row of `SIGHTING`, and of one of `FIRST_SIGHTS`, without accesses; BrokenSeal.

    undecided: with all recordings that it was reported for, whether they are known to be right or not.
    """
    checked(SIGHTING, row)
    observation = from_content(row["content"])
    if sights is not None:
        checked(FIRST_SIGHTS, sights)
        try:
            seen = first_sights.unpack(sights["content"])
        except (ValueError, IndexError, struct.error) as error:
            raise BrokenSeal(f"first sights cannot be read: {error}") from error
        observation = replace(observation, first_sights=seen)
    recordings = from_ids(row["recordings"])
    return Sighting(
        id=row["id"],
        observation=observation,
        recordings=recordings if undecided else recordings - from_ids(row["not_for"]),
        placement=from_placement(row["placement"]),
        confirmation=Confirmation(row["confirmation"]),
        reason=row["reason"],
        revision=row["revision"],
        not_recorded=row["not_recorded"],
        sources=row["sources"],
        folded=row["state"] in (State.FOLDED, State.BARE),
        recorded=row["recorded"],
    )
