"""SeccompProfile objects (security-profiles-operator.x-k8s.io/v1) as YAML.

The object has no field for the errno of the default action, which is EPERM: the
names that shall return another one are listed in a rule of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from recorder.profiles.api_group import GROUP
from recorder.profiles.profile_object import object_yaml, parts_of, profile_object, read_yaml
from recorder.profiles.refusal import EPERM, MULTIPLEXERS, all_names
from recorder.profiles.seccomp_profile import ACTIONS, ARCHITECTURES, ERRNO, FLAGS, Rule, SeccompProfile
from recorder.profiles.seccomp_rules import read_rules, written_rules

__all__ = ["API_VERSION", "KIND", "from_yaml", "object_rules", "to_object", "to_yaml"]

API_VERSION: Final = f"{GROUP}/v1"
KIND: Final = "SeccompProfile"

_READ_VERSIONS: Final = (API_VERSION, f"{GROUP}/v1beta1")  # v1beta1: the same fields, still served
_STATES: Final = ("Enabled", "Disabled")


def object_rules(profile: SeccompProfile) -> tuple[Rule, ...]:
    """Return the rules of an object that answer each named call as the profile does.

    A default errno other than EPERM becomes a rule with every name of the
    profile's ABIs that no rule has; a rule that says EPERM becomes superfluous.
    A number without a name keeps the default: EPERM.
    """
    default = profile.default_errno
    if profile.default_action != ERRNO or default in (None, EPERM):
        return profile.rules
    refused = _refused_by_default(profile.rules)
    rules = []
    for rule in profile.rules:
        names = tuple(name for name in rule.names if name not in refused)
        if names:
            rules.append(replace(rule, names=names))
    ruled = {name for rule in rules for name in rule.names}
    known = all_names(profile.abis)
    # Runtimes skip a rule that equals the default, and without a rule of their own
    # `ipc` and `socketcall` are open for what they share with an allowed call.
    left = known - ruled - (refused - MULTIPLEXERS)
    if left:
        rules.append(Rule(tuple(sorted(left)), ERRNO, default))
    return tuple(rules)


def _refused_by_default(rules: tuple[Rule, ...]) -> set[str]:
    """Return the names whose deciding rule says what an object's default says anyway."""
    deciding: dict[str, Rule] = {}
    for rule in rules:
        if not rule.args:
            for name in rule.names:
                deciding.setdefault(name, rule)
    return {name for name, rule in deciding.items() if rule.action == ERRNO and rule.errno in (None, EPERM)}


def to_object(profile: SeccompProfile) -> dict[str, object]:
    """Return the object as it goes to an API server: plain dicts, lists and values."""
    spec: dict[str, object] = {"state": profile.state}
    if profile.base_profile:
        spec["baseProfileName"] = profile.base_profile
    spec["defaultAction"] = profile.default_action
    if profile.architectures:
        spec["architectures"] = sorted(set(profile.architectures))
    if profile.flags:
        spec["flags"] = sorted(set(profile.flags))
    if profile.listener_path:
        spec["listenerPath"] = profile.listener_path
    if profile.listener_metadata:
        spec["listenerMetadata"] = profile.listener_metadata
    spec["syscalls"] = written_rules(object_rules(profile))
    return profile_object(API_VERSION, KIND, profile, spec)


def to_yaml(profile: SeccompProfile) -> str:
    """Return the YAML text, ASCII: the same value gives the same bytes."""
    return object_yaml(to_object(profile))


def from_yaml(text: str) -> SeccompProfile:
    """Read one object, as written or as an API server shows it. InvalidProfile names the field."""
    metadata, spec = parts_of(read_yaml(text), _READ_VERSIONS, KIND)
    profile = SeccompProfile(
        name=metadata.text("name"),
        annotations=metadata.table("annotations"),
        labels=metadata.table("labels"),
        state=spec.text("state", _STATES, "Enabled"),
        base_profile=spec.text("baseProfileName", default=""),
        default_action=spec.text("defaultAction", ACTIONS),
        architectures=spec.texts("architectures", ARCHITECTURES),
        flags=spec.texts("flags", FLAGS),
        listener_path=spec.text("listenerPath", default=""),
        listener_metadata=spec.text("listenerMetadata", default=""),
        rules=read_rules(spec),
    )
    spec.end()
    return profile
