"""Drafts: which results a recording has, and the record that each of them is made from.

Pure: the same sightings give the same drafts, whatever their order, and however often
and in how many states each was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from recorder.collector.store.packed_accesses import packed
from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.model.record import Observation, Pod, Record
from recorder.model.record_unit import Unit, unit_of
from recorder.model.recording import MergeStrategy, ProfileKind, Recording
from recorder.model.result import Placement

__all__ = [
    "CONFIRMED",
    "Draft",
    "Group",
    "ResultKey",
    "counts",
    "drafts",
    "group_of",
    "pod_suffix",
]

CONFIRMED: Final = frozenset({Confirmation.CONFIRMED})
"""What a result may be made of, unless a setting says otherwise."""

# The API server cuts generateName to 58 characters before it appends five of its own
# (k8s.io/apiserver/pkg/storage/names, maxGeneratedNameLength).
_MAX_GENERATE_NAME: Final = 58


@dataclass(frozen=True, slots=True, order=True)
class ResultKey:
    """Which result. `recording`: its uid. `suffix`: the pod's name less its generateName.

    partial: what one pod adds to a result that is merged over all pods.
    """

    recording: str
    kind: ProfileKind
    container: str
    suffix: str = ""
    partial: bool = False


class Group(NamedTuple):
    """What is drafted together: with `Containers` the merged result and its partial ones have no suffix."""

    container: str
    suffix: str


def _accesses(observation: Observation) -> Mapping[int, bytes]:
    return packed(observation.accesses)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a result is made from.

    record: all observations, of all runs and pods. running: a container of it has not ended.
    last_end_ns: Unix time of the last thing seen of a container that has ended; 0: not known.
    pods: whose they are; active: of those that run now. Names of pods, else of containers; sorted.
    accesses: those of one of the observations, as the store has them; itself it may be without.
    """

    key: ResultKey
    record: Record
    running: bool
    last_end_ns: int
    pods: tuple[str, ...]
    active: tuple[str, ...]
    accesses: Callable[[Observation], Mapping[int, bytes]] = field(
        default=_accesses, hash=False, compare=False
    )

    def units(self) -> dict[Unit, list[Observation]]:
        """Return the observations by what coverage counts as one record, in the order of their sources."""
        found: dict[Unit, list[Observation]] = {}
        for each in self.record.observations:
            found.setdefault(unit_of(each), []).append(each)
        return found


def counts(sighting: Sighting, accept: frozenset[Confirmation] = CONFIRMED) -> bool:
    """Whether results are made of it: its pod is confirmed, or it is of none; and it was recorded."""
    observation = sighting.observation
    if sighting.not_recorded and not (sighting.recorded or observation.seen):
        return False
    return observation.identity.pod is None or sighting.confirmation in accept


def drafts(
    recording: Recording,
    sightings: Iterable[Sighting],
    *,
    accept: frozenset[Confirmation] = CONFIRMED,
    accesses: Callable[[Observation], Mapping[int, bytes]] = _accesses,
) -> tuple[Draft, ...]:
    """Return a recording's drafts, sorted by key.

    With `mergeStrategy: None` there is one for each container of each pod; pods whose
    results would have one name share it. With `Containers` there is one for each
    container's name, and a partial one for each pod that a template made, unless
    another recorder works beside us. `accept`: which confirmations count for pods.
    """
    groups: dict[ResultKey, list[Observation]] = {}
    for each in sightings:
        if counts(each, accept):
            identity = each.observation.identity
            for key in _keys(recording, identity.name, identity.pod, each.placement):
                groups.setdefault(key, []).append(each.observation)
    return tuple(_draft(key, groups[key], accesses) for key in sorted(groups))


def group_of(recording: Recording, container: str, pod: Pod | None, placement: Placement | None) -> Group:
    """Return which sightings of a recording are drafted together.

    `drafts` of one group's sightings alone are those that `drafts` of all sightings have for it.
    """
    if recording.merge is MergeStrategy.CONTAINERS or pod is None:
        return Group(container, "")
    return Group(container, pod_suffix(pod, placement))


def pod_suffix(pod: Pod, placement: Placement | None) -> str:
    """Return the pod's name less its generateName: empty for a pod that no template made.

    The whole name if the template is not known (the pod was gone when it was asked for),
    or if somebody gave the pod another name than the template would.
    """
    if placement is None:
        return pod.name
    prefix = placement.generate_name
    if not prefix:
        return ""
    return pod.name.removeprefix(prefix if pod.name.startswith(prefix) else prefix[:_MAX_GENERATE_NAME])


def _keys(
    recording: Recording, container: str, pod: Pod | None, placement: Placement | None
) -> Iterator[ResultKey]:
    """Whose results a container's observation goes into."""
    group = group_of(recording, container, pod, placement)
    yield ResultKey(recording.id, recording.kind, *group)
    if recording.merge is MergeStrategy.CONTAINERS and pod and not recording.beside:
        suffix = pod_suffix(pod, placement)
        if suffix:
            yield ResultKey(recording.id, recording.kind, container, suffix, partial=True)


def _draft(
    key: ResultKey,
    observations: Iterable[Observation],
    accesses: Callable[[Observation], Mapping[int, bytes]],
) -> Draft:
    record = Record(tuple(observations))
    running = [each for each in record.observations if not each.ended]
    return Draft(
        key=key,
        record=record,
        running=bool(running),
        last_end_ns=max((_wall(each) for each in record.observations if each.ended), default=0),
        pods=_workloads(record.observations),
        active=_workloads(running),
        accesses=accesses,
    )


def _wall(observation: Observation) -> int:
    if not observation.last_seen_ns or not observation.wall_offset_ns:
        return 0
    return observation.last_seen_ns + observation.wall_offset_ns


def _workloads(observations: Iterable[Observation]) -> tuple[str, ...]:
    identities = (each.identity for each in observations)
    return tuple(sorted({each.pod.name if each.pod else each.name for each in identities}))
