"""`--explain`, the third table: what the workload of a name's containers accessed, as rules of a profile.

The rules are those of the results: made by the same functions, of the same records.
"""

from __future__ import annotations

from collections.abc import Iterator

from recorder.cli.records_seen import Group
from recorder.model.record import Phase
from recorder.model.record_unit import Unit, unit_of
from recorder.profiles.apparmor_annotations import explanation
from recorder.profiles.apparmor_rules import AppArmorRules, UsedAccesses
from recorder.profiles.apparmor_text import path_rule_text, rule_lines

HEAD = ("RULE", "SEEN IN")


def rules_of(group: Group) -> AppArmorRules | None:
    """Of all records that count; a pod, else a container, is one record. None: there is no access."""
    units: dict[Unit, int] = {}
    used = UsedAccesses()
    for each in group.record.observations:
        if any(True for _ in each.accesses.of(Phase.WORKLOAD)):
            used.add(each.accesses, units.setdefault(unit_of(each), len(units)))
    return used.rules() if units else None


def rows(rules: AppArmorRules) -> Iterator[tuple[str, ...]]:
    """A line for each rule of the profile's text, those for paths with how many records used them."""
    paths = {}
    for rule in rules.paths:
        text = path_rule_text(rule)
        if text:
            paths[text] = f"{rule.sources.bit_count()} of {rules.sources}"
    for line in rule_lines(rules):
        text = line.partition("  # ")[0]
        yield text, paths.get(text, "")


def patterns(rules: AppArmorRules) -> tuple[str, ...]:
    """Of each pattern that stands for more than was seen: what it replaced, and why."""
    return explanation(rules)
