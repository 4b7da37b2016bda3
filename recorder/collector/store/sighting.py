"""A sighting: what one source says of one container, and whose recordings it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from recorder.collector.store.first_sights import unpack
from recorder.collector.store.packed_accesses import unpacked
from recorder.model.record import Observation, Pod
from recorder.model.result import Placement

__all__ = ["Change", "Confirmation", "Decision", "Incoming", "Outline", "Sighting"]


class Confirmation(StrEnum):
    """What the platform says of the pod that an agent named."""

    UNASKED = "unasked"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    MISSING = "missing"  # the pod was not there when it was asked for


@dataclass(frozen=True, slots=True)
class Incoming:
    """What an agent reports. `recordings`: ids. `not_recorded`: why there is no record, else empty.

    packed_sights, packed_accesses: first sights and accesses, as the store keeps them (`first_sights`,
    `packed_accesses`: by part), that the observation itself does not have: a tenth of the memory, for as
    long as it waits.
    """

    observation: Observation
    recordings: tuple[str, ...]
    not_recorded: str = ""
    packed_sights: bytes = b""
    packed_accesses: Mapping[int, bytes] = field(default_factory=dict, hash=False)

    @property
    def accessed(self) -> bool:
        """Whether it has accesses."""
        return bool(self.packed_accesses or self.observation.accesses)

    def whole(self) -> Observation:
        """The observation with all its first sights and accesses."""
        if not (self.packed_sights or self.packed_accesses):
            return self.observation
        accesses = unpacked(self.packed_accesses.values(), self.observation.accesses.cut_at)
        more = replace(self.observation, first_sights=unpack(self.packed_sights), accesses=accesses)
        return self.observation.join(more)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one `Incoming`, after the commit.

    changed: something new was written. stored: False if its node is at the bound of sightings that
    one node may have open (`StoreBounds.node_sightings`): it is not kept and must not be acknowledged;
    `sighting_id` is then 0.
    """

    sighting_id: int
    changed: bool
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What the platform said of a sighting's pod; `placement` with CONFIRMED, `reason` with the others.

    not_for: of the recordings that it was reported for, those that do not select the pod: the sighting
    is not theirs. What was confirmed once stays so: a later decision on it is about recordings that it was
    reported for since, and is not theirs until then.
    """

    sighting_id: int
    confirmation: Confirmation
    placement: Placement | None = None
    reason: str = ""
    not_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is stored of a source, or of several that were folded into one.

    revision: that of the store when it changed last. folded: it stands for `sources` finished sources
    of one container name of one pod (else of one container), with equal provenance and image; its
    observation has one of their sources, all their calls, the sum of their ledgers, and a first and a
    last time (with its wall offset) that are the group's. Its first sights may be gone. recorded:
    something was seen of it, which may be accesses that the observation is read without.
    """

    id: int
    observation: Observation
    recordings: frozenset[str]
    placement: Placement | None = None
    confirmation: Confirmation = Confirmation.UNASKED
    reason: str = ""
    revision: int = 0
    not_recorded: str = ""
    sources: int = 1
    folded: bool = False
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A sighting without what was seen: cheap to read by thousands. `recorded`: something was seen of it."""

    id: int
    revision: int
    container: str
    container_id: str
    pod: Pod | None
    node: str
    placement: Placement | None
    confirmation: Confirmation
    reason: str
    not_recorded: str
    recorded: bool
    ended: bool
