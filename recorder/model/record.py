"""The record: what was seen, as state that can be joined in any order.

A record maps each source to one observation. `join` is idempotent, commutative
and associative, so an observation may be repeated, late or overtaken. ABIs,
phases and outcomes are plain ints in keys: a value that only a newer recorder
knows is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from recorder.model.accesses import Accesses
from recorder.model.first_sight import MAX_COMM, FirstSight
from recorder.model.ledger import Ledger, Verdict
from recorder.model.numbers import Numbers

if TYPE_CHECKING:
    # An agent that nobody asks for denials does without: its memory is counted.
    from recorder.model.denial import DenialCount, DenialKey

__all__ = [
    "MAX_COMM",
    "MAX_DENIALS",
    "CallKey",
    "ContainerKind",
    "FirstSight",
    "Identity",
    "Observation",
    "Outcome",
    "Phase",
    "Pod",
    "Provenance",
    "Record",
    "SightKey",
    "Source",
]


MAX_DENIALS = 512
"""Different denials of one observation: those that come first in the order of their keys are kept."""


class Phase(IntEnum):
    """What the task was doing. Values equal `recorder.record.v1.Phase`."""

    SETUP = 1
    WORKLOAD = 2


class Outcome(IntEnum):
    """What became of the call. Values equal `recorder.record.v1.Outcome`."""

    ALLOWED = 1
    DENIED = 2


class CallKey(NamedTuple):
    """Which set of numbers: `Abi`, `Phase` and `Outcome` values, or unknown ones."""

    abi: int
    phase: int
    outcome: int


class SightKey(NamedTuple):
    """Which number of which set."""

    abi: int
    phase: int
    outcome: int
    number: int


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where counters begin at 0; a new `epoch` whenever a slot is used anew."""

    node: str
    boot_id: str
    cgroup_id: int
    epoch: int


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


class ContainerKind(IntEnum):
    """A container's part in its pod. Values equal `recorder.record.v1.ContainerKind`."""

    UNSPECIFIED = 0
    NORMAL = 1
    INIT = 2
    EPHEMERAL = 3


@dataclass(frozen=True, slots=True, order=True)
class Pod:
    """A pod, as the kubelet names it to the runtime."""

    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    r"""Who ran in the cgroup; empty: not known.

    `labels` are the pod's when its sandbox was made, else the container's. Bytes of a
    text that are no UTF-8 (surrogates, as os.fsdecode gives them) are escaped as
    `\udcNN`, since a record is text.
    """

    name: str = ""
    cgroup_path: str = ""
    container_id: str = ""
    kind: int = ContainerKind.UNSPECIFIED
    pod: Pod | None = None
    image: str = ""
    image_digest: str = ""
    restart_count: int = 0
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for each in ("name", "cgroup_path", "container_id", "image", "image_digest"):
            object.__setattr__(self, each, _text(getattr(self, each)))
        labels = {_text(key): _text(value) for key, value in sorted(self.labels.items())}
        object.__setattr__(self, "labels", MappingProxyType(labels))

    def join(self, other: Identity) -> Identity:
        """Return each field's set value, or the greater of two; of labels all."""
        labels = {key: max(self.labels.get(key, ""), value) for key, value in other.labels.items()}
        return Identity(
            name=max(self.name, other.name),
            cgroup_path=max(self.cgroup_path, other.cgroup_path),
            container_id=max(self.container_id, other.container_id),
            kind=max(self.kind, other.kind),
            pod=max((pod for pod in (self.pod, other.pod) if pod), default=None),
            image=max(self.image, other.image),
            image_digest=max(self.image_digest, other.image_digest),
            restart_count=max(self.restart_count, other.restart_count),
            labels={**self.labels, **labels},
        )


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the record was made; empty: not known.

    kinds: what was looked for, comma-separated; empty: system calls alone. denials: whose
    denials, and by what, comma-separated, such as `seccomp sys_exit, apparmor lsm`.
    """

    recorder_version: str = ""
    kernel_release: str = ""
    machine: str = ""
    loader: str = ""
    phases: str = ""
    runtime: str = ""
    runtime_version: str = ""
    kinds: str = ""
    denials: str = ""

    def join(self, other: Provenance) -> Provenance:
        """Return each field's set value, or the greater of two."""
        names = [each.name for each in fields(self)]
        return Provenance(*(max(getattr(self, name), getattr(other, name)) for name in names))


@dataclass(frozen=True, slots=True)
class Observation:
    """One source's state. `calls`, `first_sights` and `denials` are sorted; empty sets are dropped.

    denials: of AppArmor and SELinux. Of more than `MAX_DENIALS` those that come first are
    kept, whatever the order of joins, and the ledger says so (`denials_full`); of accesses
    likewise (`accesses_full`).
    Times are ns of CLOCK_BOOTTIME on the source's node; `wall_offset_ns` added to
    one gives Unix time. 0 means that it is not known.
    """

    source: Source
    identity: Identity = Identity()
    calls: Mapping[CallKey, Numbers] = field(default_factory=dict)
    first_sights: Mapping[SightKey, FirstSight] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    provenance: Provenance = Provenance()
    first_seen_ns: int = 0
    last_seen_ns: int = 0
    wall_offset_ns: int = 0
    ended: bool = False
    denials: Mapping[DenialKey, DenialCount] = field(default_factory=dict)
    accesses: Accesses = field(default_factory=Accesses)

    def __post_init__(self) -> None:
        calls = {CallKey(*key): numbers for key, numbers in sorted(self.calls.items(), key=_key) if numbers}
        sights = {SightKey(*key): sight for key, sight in sorted(self.first_sights.items(), key=_key)}
        object.__setattr__(self, "calls", MappingProxyType(calls))
        object.__setattr__(self, "first_sights", MappingProxyType(sights))
        if len(self.denials) > MAX_DENIALS:
            # How many are left out would depend on the order of joins; that some are does not.
            object.__setattr__(self, "ledger", self.ledger.join(Ledger({"denials_full": 1})))
        denials = dict(sorted(self.denials.items(), key=_order)[:MAX_DENIALS])
        object.__setattr__(self, "denials", MappingProxyType(denials))
        if self.accesses.cut_at:
            object.__setattr__(self, "ledger", self.ledger.join(Ledger({"accesses_full": 1})))

    @property
    def seen(self) -> bool:
        """Whether there is anything of what was looked for."""
        return bool(self.calls or self.denials or self.accesses)

    def join(self, other: Observation) -> Observation:
        """Return what two states of one source say together; ValueError if the sources differ."""
        if self.source != other.source:
            raise ValueError(f"observations of different sources do not join: {self.source}, {other.source}")
        calls = dict(self.calls)
        for key, numbers in other.calls.items():
            calls[key] = calls.get(key, Numbers()) | numbers
        sights = dict(self.first_sights)
        for sight_key, sight in other.first_sights.items():
            sights[sight_key] = min(sights.get(sight_key, sight), sight)
        denials = dict(self.denials)
        for denial, count in other.denials.items():
            known = denials.get(denial)
            denials[denial] = known.join(count) if known else count
        return Observation(
            source=self.source,
            identity=self.identity.join(other.identity),
            calls=calls,
            first_sights=sights,
            ledger=self.ledger.join(other.ledger),
            provenance=self.provenance.join(other.provenance),
            first_seen_ns=min(_known(self.first_seen_ns, other.first_seen_ns), default=0),
            last_seen_ns=max(self.last_seen_ns, other.last_seen_ns),
            wall_offset_ns=max(_known(self.wall_offset_ns, other.wall_offset_ns), default=0),
            ended=self.ended or other.ended,
            denials=denials,
            accesses=self.accesses.join(other.accesses),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """All observations that one reader knows: sorted by source, one for each."""

    observations: tuple[Observation, ...] = ()

    def __post_init__(self) -> None:
        by_source: dict[Source, Observation] = {}
        for each in self.observations:
            known = by_source.get(each.source)
            by_source[each.source] = known.join(each) if known else each
        object.__setattr__(self, "observations", tuple(by_source[source] for source in sorted(by_source)))

    def join(self, other: Record) -> Record:
        """Return all observations of both; those of one source joined."""
        return Record(self.observations + other.observations)

    def calls(self, phase: int, outcome: int = Outcome.ALLOWED) -> dict[int, Numbers]:
        """Return the numbers of a phase by ABI, in the ABIs' order, over all sources."""
        union: dict[int, Numbers] = {}
        for observation in self.observations:
            for key, numbers in observation.calls.items():
                if (key.phase, key.outcome) == (phase, outcome):
                    union[key.abi] = union.get(key.abi, Numbers()) | numbers
        return dict(sorted(union.items()))

    @property
    def ledger(self) -> Ledger:
        """The sum of the sources' ledgers."""
        return sum((each.ledger for each in self.observations), Ledger())

    @property
    def verdict(self) -> Verdict:
        """Whether anything was lost in any source, and what."""
        return self.ledger.verdict


def _key(item: tuple[tuple[int, ...], object]) -> tuple[int, ...]:
    return item[0]


def _order(item: tuple[DenialKey, DenialCount]) -> tuple[Any, ...]:
    return item[0].order


def _known(*values: int) -> list[int]:
    return [value for value in values if value]
