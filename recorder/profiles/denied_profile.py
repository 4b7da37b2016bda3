"""AppArmor profiles that denied something to containers: whose rules are to be completed, and with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from recorder.model.denial import AppArmorDenial
from recorder.model.errors import InvalidProfile, InvalidRecord
from recorder.model.ledger import Ledger
from recorder.model.record import Record
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.completion import completed_apparmor
from recorder.profiles.denial_ledger import denial_ledger
from recorder.profiles.denied_accesses import profile_of

__all__ = ["CompletedProfile", "completed_profile", "denying_profile", "denying_profiles", "only_complained"]

_ENFORCED: Final = frozenset({"denied", "killed"})
_COMPLAINED: Final = "allowed"


@dataclass(frozen=True, slots=True)
class CompletedProfile:
    """What containers were denied, as a profile.

    completes: the one that denied it; alone: its object was not there, so that `profile` has nothing but
    what was denied. added, left_out, coverage: as of a Completion. enforced: denials that took place.
    """

    profile: AppArmorProfile
    completes: str
    alone: bool
    added: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    coverage: Mapping[str, int] = field(default_factory=dict)
    enforced: int = 0
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        object.__setattr__(self, "coverage", MappingProxyType(dict(sorted(self.coverage.items()))))


def denying_profiles(record: Record) -> dict[str, tuple[int, int]]:
    """Return the profiles that denied something, or would have: in complain mode, and enforced."""
    complained: Counter[str] = Counter()
    enforced: Counter[str] = Counter()
    for observation in record.observations:
        for key in observation.denials:
            if not isinstance(key.details, AppArmorDenial):
                continue
            if key.verdict == _COMPLAINED:
                complained[profile_of(key.details)] += 1
            elif key.verdict in _ENFORCED:
                enforced[profile_of(key.details)] += 1
    return {name: (complained[name], enforced[name]) for name in sorted({*complained, *enforced})}


def denying_profile(record: Record) -> str:
    """Return the one that is to be completed; empty: none denied anything.

    One that complained before those that enforced; of several the one with most denials.
    """
    found = denying_profiles(record)
    return min(found, key=lambda name: (not found[name][0], -sum(found[name]), name), default="")


def only_complained(record: Record) -> Record:
    """Return the record without denials that took place."""
    kept = []
    for each in record.observations:
        denials = {key: count for key, count in each.denials.items() if key.verdict not in _ENFORCED}
        kept.append(replace(each, denials=denials))
    return Record(tuple(kept))


def completed_profile(units: Sequence[Record], name: str, base: AppArmorProfile | None) -> CompletedProfile:
    """Return what a profile lacks for containers, one record for each (of a pod: all of its runs).

    base: its object; None: there is none, or it cannot be read. A profile of denials alone is in complain
    mode: enforced it would deny all that the other one allows. InvalidProfile if that would allow nothing,
    or if that profile denied nothing to any of them.
    """
    before = base if base is not None else AppArmorProfile(name, complain=True)
    try:
        done = completed_apparmor(replace(before, name=name), *units)
    except InvalidRecord as error:
        raise InvalidProfile(str(error)) from error
    if not done.added and base is None:
        raise InvalidProfile(
            f"the profile {name} lacks nothing that can be added: {'; '.join(done.left_out[:5])}"
        )
    ledger, enforced = Ledger(), 0
    for each in units:
        took_place = denying_profiles(each).get(name, (0, 0))[1]
        enforced += took_place
        ledger += denial_ledger(each, "apparmor", enforced=took_place)
    if any(" more paths: " in sentence for sentence in done.left_out):
        ledger += Ledger({"accesses_full": 1})
    return CompletedProfile(
        profile=done.profile,
        completes=name,
        alone=base is None,
        added=done.added,
        left_out=done.left_out,
        coverage=done.coverage,
        enforced=enforced,
        ledger=ledger,
    )
