"""SELinux rules of several containers: each has a domain of its own, and the rules are united."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.record import Record
from recorder.profiles.denial_ledger import denial_ledger, is_watched
from recorder.profiles.selinux_rules import SelinuxRules, denied_domains, selinux_rules

__all__ = ["SelinuxUnion", "selinux_union"]

_MAX_DOMAINS = 10
"""Of those that are named in a sentence."""
_Allowed = dict[tuple[str, str], set[str]]


@dataclass(frozen=True, slots=True)
class SelinuxUnion:
    """rules: of all, their `domain` being the one that most had. domains: all that count, with in how many.

    coverage: in how many each permission was seen, by `TYPE CLASS PERMISSION`. enforcing: domains of
    containers of which a denial took place. silent: containers to which SELinux denied nothing.
    """

    rules: SelinuxRules
    domains: Mapping[str, int] = field(default_factory=dict)
    coverage: Mapping[str, int] = field(default_factory=dict)
    enforcing: tuple[str, ...] = ()
    silent: int = 0

    def __post_init__(self) -> None:
        for name in ("domains", "coverage"):
            object.__setattr__(self, name, MappingProxyType(dict(sorted(getattr(self, name).items()))))


def selinux_union(units: Sequence[Record]) -> SelinuxUnion:
    """Return the rules for what containers were denied, one record for each (of a pod: all of its runs).

    The domain of a container is its permissive one; of several, or if none is, the one with most
    denials. InvalidProfile if nothing was denied to any.
    """
    allowed: _Allowed = {}
    refused: _Allowed = {}
    coverage: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    enforcing: set[str] = set()
    left_out: set[str] = set()
    ledger, enforced, silent, unclear = Ledger(), 0, 0, 0
    for each in units:
        rules = _rules(each)
        ledger += denial_ledger(each, "selinux", enforced=rules.enforced if rules else 0)
        if rules is None and _denials(each):
            unclear += 1
            continue
        if rules is None:
            silent += is_watched(each, "selinux")
            continue
        domains[rules.domain] += 1
        enforced += rules.enforced
        enforcing |= {rules.domain} if rules.enforced else set()
        left_out.update(rules.left_out)
        for (target, object_class), names in rules.allowed.items():
            coverage.update(f"{target} {object_class} {name}" for name in names)
        for total, part in ((allowed, rules.allowed), (refused, rules.refused)):
            for key, names in part.items():
                total.setdefault(key, set()).update(names)
    if not allowed:
        raise InvalidProfile("SELinux denied nothing that a rule can be made of")
    if len(domains) > 1:
        ran = ", ".join(f"{name} ({count})" for name, count in sorted(domains.items())[:_MAX_DOMAINS])
        left_out.add(f"the containers ran in {len(domains)} domains, and their rules are united: {ran}")
    if silent:
        left_out.add(f"to {silent} of {len(units)} containers SELinux denied nothing")
    if unclear:
        left_out.add(f"of {unclear} of {len(units)} containers no denial says all that a rule needs")
        ledger += Ledger({"accesses_missed": unclear})
    united = SelinuxRules(
        domain=min(domains, key=lambda name: (-domains[name], name)),
        allowed={key: tuple(names) for key, names in allowed.items()},
        refused={key: tuple(names) for key, names in refused.items()},
        enforced=enforced,
        left_out=tuple(sorted(left_out)),
        ledger=ledger,
    )
    return SelinuxUnion(united, domains, coverage, tuple(sorted(enforcing)), silent)


def _denials(record: Record) -> bool:
    kept = (key for each in record.observations for key in each.denials)
    return any(key.module == "selinux" and key.verdict in ("denied", "allowed") for key in kept)


def _rules(record: Record) -> SelinuxRules | None:
    found = denied_domains(record)
    if not found:
        return None
    domain = min(found, key=lambda name: (not found[name][0], -found[name][1], name))
    try:
        return selinux_rules(record, domain)
    except InvalidProfile:  # none of its denials says all that a rule needs
        return None
