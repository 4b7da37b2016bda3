"""SelinuxProfile objects (security-profiles-operator.x-k8s.io/v1) as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from recorder.model.errors import InvalidProfile
from recorder.model.record import Record
from recorder.profiles.annotations import PREFIX, bounded_text, provenance_annotations
from recorder.profiles.api_group import GROUP
from recorder.profiles.profile_object import check_name, object_yaml, parts_of, profile_object, read_yaml
from recorder.profiles.selinux_rules import SelinuxRules

__all__ = [
    "API_VERSION",
    "KIND",
    "SelinuxProfile",
    "build",
    "from_yaml",
    "needs_a_human",
    "to_object",
    "to_yaml",
]

API_VERSION: Final = f"{GROUP}/v1"
KIND: Final = "SelinuxProfile"

_READ_VERSIONS: Final = (API_VERSION, f"{GROUP}/v1alpha2")
_MODES: Final = ("Enforcing", "Permissive")
_STATES: Final = ("Enabled", "Disabled")
_INHERITED: Final = ("System", "SelinuxProfile")


@dataclass(frozen=True, slots=True)
class SelinuxProfile:
    """An object's fields. allow: permissions by type and class; inherit: pairs of kind and name."""

    name: str
    allow: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    inherit: tuple[tuple[str, str], ...] = (("System", "container"),)
    permissive: bool = False
    state: str = "Enabled"
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in ("annotations", "labels", "allow"):
            object.__setattr__(self, each, MappingProxyType(dict(sorted(getattr(self, each).items()))))


def build(rules: SelinuxRules, record: Record, name: str) -> SelinuxProfile:
    """Return the object for rules; InvalidProfile if it could allow nothing, or have no such name."""
    check_name(name)
    if not rules.installable:
        raise InvalidProfile(
            f"profile {name} would allow nothing that an installer takes: {'; '.join(needs_a_human(rules))}"
        )
    found = {
        **provenance_annotations(record, rules.ledger),
        "domain": rules.domain,
        "needs-a-human": "\n".join(bounded_text(each) for each in needs_a_human(rules)[:40]),
        "warnings": "\n".join(bounded_text(each) for each in rules.left_out[:40]),
    }
    annotations = {f"{PREFIX}/{key}": value for key, value in found.items() if value}
    return SelinuxProfile(name=name, allow=rules.installable, annotations=annotations)


def needs_a_human(rules: SelinuxRules) -> tuple[str, ...]:
    """Return a sentence for each rule that an installer refuses: what fails without it."""
    return tuple(
        f"{target} {object_class} {{ {' '.join(names)} }}: the installer refuses it; without it"
        f" {', '.join(names)} on {object_class} fails"
        for (target, object_class), names in rules.refused.items()
    )


def to_object(profile: SelinuxProfile) -> dict[str, object]:
    """Return the object as it goes to an API server: plain dicts, lists and values."""
    allow: dict[str, dict[str, list[str]]] = {}
    for (target, object_class), names in profile.allow.items():
        allow.setdefault(target, {})[object_class] = sorted(names)
    spec = {
        "state": profile.state,
        "mode": "Permissive" if profile.permissive else "Enforcing",
        "inherit": [{"kind": kind, "name": name} for kind, name in profile.inherit],
        "allow": allow,
    }
    return profile_object(API_VERSION, KIND, profile, spec)


def to_yaml(profile: SelinuxProfile) -> str:
    """Return the YAML text, ASCII: the same value gives the same bytes."""
    return object_yaml(to_object(profile))


def from_yaml(text: str) -> SelinuxProfile:
    """Read one object, as written or as an API server shows it. InvalidProfile names the field."""
    metadata, spec = parts_of(read_yaml(text), _READ_VERSIONS, KIND)
    profile = SelinuxProfile(
        name=metadata.text("name"),
        annotations=metadata.table("annotations"),
        labels=metadata.table("labels"),
        state=spec.text("state", _STATES, "Enabled"),
        permissive=spec.text("mode", _MODES, "Enforcing") == "Permissive",
        inherit=tuple(
            (each.text("kind", _INHERITED, "System"), each.text("name")) for each in spec.children("inherit")
        ),
        allow={
            (target, object_class): names
            for target, classes in spec.optional_child("allow").objects().items()
            for object_class, names in classes.lists().items()
        },
    )
    spec.end()
    return profile
