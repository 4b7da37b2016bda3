"""From a record to the seccomp profile under which the recorded workload runs."""

from __future__ import annotations

from collections.abc import Mapping

from recorder.model.abi import Abi
from recorder.model.errors import InvalidProfile
from recorder.model.record import Phase, Record
from recorder.profiles.annotations import profile_annotations
from recorder.profiles.base import Base
from recorder.profiles.composition import Composition, compose
from recorder.profiles.names import spell
from recorder.profiles.profile_object import check_name
from recorder.profiles.refusal import ENOSYS, EPERM, all_names, old_names
from recorder.profiles.seccomp_profile import ALLOW, ERRNO, Rule, SeccompProfile, check

__all__ = ["Rule", "SeccompProfile", "build", "check"]


def build(
    record: Record,
    *,
    name: str,
    base: Base,
    enabled: bool = True,
    labels: Mapping[str, str] | None = None,
) -> SeccompProfile:
    """Return the profile of a record's workload; the same record gives the same value.

    Its first rule allows, in one sorted list, what the workload was seen to do in
    any ABI, the `always` set and the base. What is refused returns EPERM or, if it
    is newer than Linux 3.2, ENOSYS. `name` is the object's name.

    InvalidProfile if the workload's set is empty, if none of its numbers has a
    name, if the base has an unknown name, or if `name` is no name for an object.
    """
    check_name(name)
    parts = compose(record, base)
    _refuse_nothing(name, record, parts)
    _refuse_unknown(base)
    allowed = parts.allowed
    refused_old = old_names(parts.abis) - allowed
    rules = [Rule(tuple(sorted(allowed)), ALLOW)]
    if refused_old:
        rules.append(Rule(tuple(sorted(refused_old)), ERRNO, EPERM))
    profile = SeccompProfile(
        name=name,
        default_action=ERRNO,
        default_errno=ENOSYS,
        architectures=tuple(sorted(abi.scmp_arch for abi in parts.abis)),
        rules=tuple(rules),
        state="Enabled" if enabled else "Disabled",
        annotations=profile_annotations(record, parts),
        labels=labels or {},
    )
    check(profile)
    return profile


def _refuse_unknown(base: Base) -> None:
    unknown = sorted(base.names - all_names(Abi))
    if unknown:
        raise InvalidProfile(f"base {base.name} has names that no system call bears: {', '.join(unknown)}")


def _refuse_nothing(name: str, record: Record, parts: Composition) -> None:
    if parts.recorded:
        return
    if parts.unnamed:
        raw = ", ".join(spell(abi, number) for abi, number in parts.unnamed[:5])
        raise InvalidProfile(
            f"profile {name} would have no architecture and allow nothing: none of the workload's"
            f" {len(parts.unnamed)} numbers has a name here ({raw}); use a recorder with a newer table"
        )
    if record.calls(Phase.SETUP):
        hint = "only set-up was seen: record until the workload has started (see --phases)"
    else:
        hint = "record again, and begin before the workload starts"
    raise InvalidProfile(
        f"profile {name} would allow nothing: the record has no call of the workload; {hint}"
    )
