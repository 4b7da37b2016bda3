"""Folding, pure: which finished sightings may become one, and the one that they become.

What results are made of stays as it was: the calls, the sum of the ledgers, the first and the last
time, the provenance, and that all of it is one pod's (else one container's).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, replace

from recorder.collector.store import first_sights
from recorder.collector.store.sighting import Sighting
from recorder.collector.store.written import ids_text, json_text, placement_text
from recorder.model.denial import MAX_DENIALS, DenialCount, DenialKey
from recorder.model.errors import InvalidRecord
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation

__all__ = ["fold_key", "folded", "folded_sights"]


def fold_key(sighting: Sighting) -> bytes:
    """Equal for those that may become one.

    Equal are then the recordings, the node and its boot, the container's name, kind, image and labels,
    the pod (else the container), the provenance, which times are known, and what the platform said.
    """
    seen = sighting.observation
    identity = seen.identity
    whose = (
        [identity.pod.namespace, identity.pod.name, identity.pod.uid]
        if identity.pod
        else [identity.container_id, identity.cgroup_path]
    )
    text = json_text(
        [
            ids_text(sighting.recordings),
            seen.source.node,
            seen.source.boot_id,
            whose,
            [identity.name, identity.kind, identity.image, identity.image_digest],
            dict(identity.labels),
            list(astuple(seen.provenance)),
            [bool(seen.first_seen_ns), bool(seen.last_seen_ns), bool(seen.wall_offset_ns)],
            [sighting.confirmation, sighting.reason, sighting.not_recorded],
            placement_text(sighting.placement),
        ]
    )
    return hashlib.sha256(text.encode()).digest()[:20]


def folded(group: Sequence[Sighting]) -> tuple[Observation, list[int]]:
    """The one observation of sightings with one fold key, and by how much each one's times are later in it.

    Without first sights and accesses. Its times are of the earliest wall offset, from which all of the
    group's are positive; counts of denials are added up. Counts or times may be above 64 bits, or there
    is more than one observation may have (InvalidRecord): such a group has no place in a row, and stays
    as it is.
    """
    offset = min(each.observation.wall_offset_ns for each in group)
    shifts = [each.observation.wall_offset_ns - offset for each in group]
    seen = [
        replace(
            each.observation,
            first_sights={},
            first_seen_ns=each.observation.first_seen_ns and each.observation.first_seen_ns + shift,
            last_seen_ns=each.observation.last_seen_ns and each.observation.last_seen_ns + shift,
        )
        for each, shift in zip(group, shifts, strict=True)
    ]
    identity, calls, denials = seen[0].identity, dict[CallKey, Numbers](), dict[DenialKey, DenialCount]()
    for each, shift in zip(seen, shifts, strict=True):
        identity = identity.join(each.identity)
        for key, numbers in each.calls.items():
            calls[key] = calls.get(key, Numbers()) | numbers
        for denial, count in each.denials.items():
            known, later = denials.get(denial), _later(count, shift)
            denials[denial] = known + later if known else later
    if len(denials) > MAX_DENIALS:
        raise InvalidRecord(f"they have {len(denials)} denials; one has at most {MAX_DENIALS}")
    if any(each.accesses.cut_at for each in seen):
        raise InvalidRecord("they have more accesses than one may have")
    one = Observation(
        source=min(each.source for each in seen),
        identity=identity,
        calls=calls,
        ledger=sum((each.ledger for each in seen), Ledger()),
        provenance=seen[0].provenance,
        first_seen_ns=min(each.first_seen_ns for each in seen),
        last_seen_ns=max(each.last_seen_ns for each in seen),
        wall_offset_ns=offset,
        ended=True,
        denials=denials,
    )
    return one, shifts


def _later(count: DenialCount, shift: int) -> DenialCount:
    first, last = (replace(each, time_ns=each.time_ns + shift) for each in (count.first, count.last))
    return replace(count, first=first, last=last)


def folded_sights(contents: Sequence[bytes], shifts: Sequence[int]) -> bytes:
    """The packed first sights of a group, each the earliest; struct.error if a time leaves 64 bits."""
    joined = b""
    for content, shift in zip(contents, shifts, strict=True):
        joined = first_sights.join(joined, first_sights.shifted(content, shift))
    return joined
