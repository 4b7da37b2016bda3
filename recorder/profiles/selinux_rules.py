"""What SELinux has to allow for what was denied, or would have been: permissions by type and class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from recorder.model.denial import SelinuxDenial, Text, Verdict
from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.record import Record

__all__ = [
    "REFUSED_CLASSES",
    "REFUSED_PERMISSIONS",
    "REFUSED_TYPES",
    "SELF",
    "SelinuxRules",
    "denied_domains",
    "selinux_rules",
]

SELF: Final = "@self"
"""The type of the process itself."""

REFUSED_TYPES: Final = frozenset({"kernel_t", "kmem_t", "security_t", "shadow_t"})
REFUSED_CLASSES: Final = frozenset({"capability", "capability2", "security", "system"})
REFUSED_PERMISSIONS: Final = frozenset(
    {
        "load_policy",
        "mac_admin",
        "mounton",
        "relabelfrom",
        "relabelto",
        "setbool",
        "setenforce",
        "setsecparam",
    }
)
"""With these an installer of SelinuxProfile objects refuses the whole profile."""

_DENIED: Final = frozenset({Verdict.DENIED, Verdict.ALLOWED})
"""Not what the policy allows and only reports (auditallow)."""

_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Names of classes and of permissions; what comes from another machine may be any text."""
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")

_Allowed = Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SelinuxRules:
    """What is to be allowed to one type of process.

    domain: that type; allowed: permissions by target's type (or SELF) and class, all sorted; refused:
    the part of it that an installer of objects does not take. enforced: denials that took place,
    so that what would have come after them is not known. left_out: what is in no rule, as sentences.
    """

    domain: str
    allowed: _Allowed = field(default_factory=dict)
    refused: _Allowed = field(default_factory=dict)
    enforced: int = 0
    left_out: tuple[str, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        for name in ("allowed", "refused"):
            kept = {key: tuple(sorted(set(names))) for key, names in sorted(getattr(self, name).items())}
            object.__setattr__(self, name, MappingProxyType(kept))

    @property
    def installable(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """What an installer of objects takes."""
        found = {}
        for key, names in self.allowed.items():
            kept = tuple(name for name in names if name not in self.refused.get(key, ()))
            if kept:
                found[key] = kept
        return found


def selinux_rules(record: Record, domain: str = "") -> SelinuxRules:
    """Return the rules for a record's denials.

    domain: the type of the processes whose denials count. Without one it is the type that they all
    have, or of those that were permissive. InvalidProfile if there is none, or more than one.
    """
    seen = [key for observation in record.observations for key in observation.denials]
    denials = [
        key.details for key in seen if key.verdict in _DENIED and isinstance(key.details, SelinuxDenial)
    ]
    domain = domain or _domain(denials)
    allowed: dict[tuple[str, str], set[str]] = {}
    left_out: set[str] = set()
    enforced = 0
    for each in denials:
        source, target = _type(each.source), _type(each.target)
        if not _WORD.fullmatch(each.object_class):
            left_out.add("a denial whose class is no word of the kernel's")
            continue
        if source is None or target is None or not each.permissions:
            left_out.add(f"a denial of class {each.object_class}: its contexts are not whole")
            continue
        if source != domain:
            left_out.add(f"denials of processes of type {source}: this profile is for {domain}")
            continue
        enforced += not each.permissive
        key = (SELF if target == source else target, each.object_class)
        for name in each.permissions:
            if not _WORD.fullmatch(name):
                said = name[:40].encode("unicode_escape").decode()
                left_out.add(f"permission {said} of class {each.object_class}: the kernel has no name for it")
            else:
                allowed.setdefault(key, set()).add(name)
    if not allowed:
        raise InvalidProfile(
            "the profile would allow nothing: the record has no denial by SELinux of"
            f" {domain or 'any process'}; record with --kind denials, with the container in a permissive"
            " domain (seLinuxOptions.type)"
        )
    ledger = record.ledger
    if enforced:
        ledger = ledger.join(Ledger({"domain_enforcing": enforced}))
    # Notes for a record of calls; what is made of denials lacks something.
    missed = sum(ledger.counts.get(name, 0) for name in ("denials_late", "denials_missed"))
    full = ledger.counts.get("denials_full", 0)
    ledger = ledger.join(Ledger({"accesses_full": full, "accesses_missed": missed}))
    return SelinuxRules(
        domain=domain,
        allowed={key: tuple(names) for key, names in allowed.items()},
        refused={key: refused for key, names in allowed.items() if (refused := _refused(key, names))},
        enforced=enforced,
        left_out=tuple(sorted(left_out)),
        ledger=ledger,
    )


def _domain(denials: Sequence[SelinuxDenial]) -> str:
    types = {_type(each.source): False for each in denials}
    for each in denials:
        types[_type(each.source)] |= each.permissive
    types.pop(None, None)
    permissive = {name for name, is_so in types.items() if is_so}
    chosen = sorted(str(name) for name in (permissive or types))
    if len(chosen) > 1:
        raise InvalidProfile(
            f"the record has denials of processes of {len(chosen)} types ({', '.join(chosen[:10])}): say with"
            " --domain which one the profile is for"
        )
    return chosen[0] if chosen else ""


def _type(context: Text) -> str | None:
    """Return the third field of a context, user:role:type:level."""
    parts = context.content.split(b":", 3)
    if len(parts) < 3 or (context.cut and len(parts) == 3):
        return None
    name = parts[2].decode("ascii", "replace")
    return name if _TYPE.fullmatch(name) else None


def _refused(key: tuple[str, str], names: Iterable[str]) -> tuple[str, ...]:
    target, object_class = key
    if target in REFUSED_TYPES or object_class in REFUSED_CLASSES:
        return tuple(names)
    return tuple(name for name in names if name in REFUSED_PERMISSIONS)


def denied_domains(record: Record) -> dict[str, tuple[bool, int]]:
    """Return the types of processes that were denied something: whether any was permissive; how many."""
    found: dict[str, tuple[bool, int]] = {}
    for observation in record.observations:
        for key in observation.denials:
            details = key.details
            if key.verdict not in _DENIED or not isinstance(details, SelinuxDenial):
                continue
            name = _type(details.source)
            if name is not None:
                permissive, count = found.get(name, (False, 0))
                found[name] = permissive or details.permissive, count + 1
    return found
