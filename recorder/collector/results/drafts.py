"""Drafts: which results a recording has, and the record that each of them is made from.

Pure: the same sightings give the same drafts, whatever their order, and however often
and in how many states each was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.model.numbers import Numbers
from recorder.model.record import Observation, Outcome, Phase, Pod, Record
from recorder.model.recording import MergeStrategy, ProfileKind, Recording
from recorder.model.result import Placement
from recorder.model.syscall import known_names

__all__ = [
    "CONFIRMED",
    "Draft",
    "Group",
    "ResultKey",
    "Unit",
    "counts",
    "drafts",
    "group_of",
    "pod_suffix",
    "unit_of",
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


@dataclass(frozen=True, slots=True)
class Draft:
    """What a result is made from.

    record: all observations, of all runs and pods. coverage: how many records are merged: one for
    each pod (else container) in which the workload made a call. names_seen: in how many of those
    each name was seen, in whichever ABI; sorted. running: a container of it has not ended.
    last_end_ns: Unix time of the last thing seen of a container that has ended; 0: not known.
    pods: whose they are; active: of those that run now. Names of pods, else of containers; sorted.
    """

    key: ResultKey
    record: Record
    coverage: int
    names_seen: Mapping[str, int] = field(hash=False)
    running: bool
    last_end_ns: int
    pods: tuple[str, ...]
    active: tuple[str, ...]


def counts(sighting: Sighting, accept: frozenset[Confirmation] = CONFIRMED) -> bool:
    """Whether results are made of it: its pod is confirmed, or it is of none; and it was recorded."""
    observation = sighting.observation
    if sighting.not_recorded and not observation.calls:
        return False
    return observation.identity.pod is None or sighting.confirmation in accept


def drafts(
    recording: Recording, sightings: Iterable[Sighting], *, accept: frozenset[Confirmation] = CONFIRMED
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
    return tuple(_draft(key, groups[key]) for key in sorted(groups))


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


def _draft(key: ResultKey, observations: Iterable[Observation]) -> Draft:
    record = Record(tuple(observations))
    units: dict[Unit, dict[int, Numbers]] = {}
    for each in record.observations:
        calls = units.setdefault(unit_of(each), {})
        for call, numbers in each.calls.items():
            if (call.phase, call.outcome) == (Phase.WORKLOAD, Outcome.ALLOWED):
                calls[call.abi] = calls.get(call.abi, Numbers()) | numbers
    worked = [calls for calls in units.values() if calls]
    running = [each for each in record.observations if not each.ended]
    return Draft(
        key=key,
        record=record,
        coverage=len(worked),
        names_seen=_names_seen(worked),
        running=bool(running),
        last_end_ns=max((_wall(each) for each in record.observations if each.ended), default=0),
        pods=_workloads(record.observations),
        active=_workloads(running),
    )


class Unit(NamedTuple):
    """What one record is of, as coverage counts: a pod, else a container, else a source."""

    pod: str
    container_id: str
    source: tuple[str, ...]


def unit_of(observation: Observation) -> Unit:
    """Return the one that an observation is of."""
    identity, source = observation.identity, observation.source
    if identity.pod:
        return Unit(identity.pod.uid or f"{identity.pod.namespace}/{identity.pod.name}", "", ())
    if identity.container_id:
        return Unit("", identity.container_id, ())
    return Unit("", "", (source.node, source.boot_id, str(source.cgroup_id), str(source.epoch)))


def _names_seen(units: Iterable[Mapping[int, Numbers]]) -> Mapping[str, int]:
    """Return in how many units each name was seen, in whichever ABI; sorted."""
    # Replicas mostly have one and the same set, and a set's names need finding only once.
    patterns = Counter(tuple(sorted((abi, numbers.bits) for abi, numbers in each.items())) for each in units)
    seen: Counter[str] = Counter()
    for pattern, times in patterns.items():
        names: set[str] = set()
        for abi, bits in pattern:
            table = known_names(abi)
            names.update(table[number] for number in Numbers(bits) if number in table)
        for name in names:
            seen[name] += times
    return MappingProxyType(dict(sorted(seen.items())))


def _wall(observation: Observation) -> int:
    if not observation.last_seen_ns or not observation.wall_offset_ns:
        return 0
    return observation.last_seen_ns + observation.wall_offset_ns


def _workloads(observations: Iterable[Observation]) -> tuple[str, ...]:
    identities = (each.identity for each in observations)
    return tuple(sorted({each.pod.name if each.pod else each.name for each in identities}))
