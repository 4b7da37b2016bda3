"""The annotations of an AppArmorProfile: how it came to be, how far it was generalised, what it lacks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from recorder.model.ledger import Ledger
from recorder.model.record import Record
from recorder.profiles.annotations import PREFIX, bounded_text, provenance_annotations
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.apparmor_rules import AppArmorRules

__all__ = ["apparmor_annotations", "explanation"]

_MAX_WARNINGS: Final = 24 * 1024


def apparmor_annotations(
    record: Record, rules: AppArmorRules, profile: AppArmorProfile, ledger: Ledger | None = None
) -> dict[str, str]:
    """Return a profile's annotations, sorted; what is not known is left out. ledger: if not the record's.

    `generalised` has the patterns by rule, as counts, with the digest of the whole explanation;
    `warnings` one sentence a line, with those that do not fit in 24 KiB counted.
    """
    found = {
        **provenance_annotations(record, record.ledger if ledger is None else ledger),
        "generalised": _generalised(rules),
        "refused-capabilities": ",".join(rules.refused),
        "warnings": _lines(profile.warnings),
    }
    return {f"{PREFIX}/{key}": value for key, value in sorted(found.items()) if value}


def explanation(rules: AppArmorRules) -> tuple[str, ...]:
    """Return a line for each pattern that stands for more than was seen: what it replaced, and why."""
    lines = set()
    for rule in rules.paths:
        for each in rule.collapses:
            names = ", ".join(_shown(name) for name in each.examples)
            more = ", ..." if each.count > len(each.examples) else ""
            limit = f" (more than {each.threshold})" if each.threshold else ""
            pattern = _shown(each.pattern.encode("latin-1"))
            lines.add(f"{pattern}: {each.rule}: {each.count} names{limit}: {names}{more}")
    return tuple(sorted(lines))


def _generalised(rules: AppArmorRules) -> str:
    lines = explanation(rules)
    if not lines:
        return ""
    kinds = {(each.rule, each.pattern) for rule in rules.paths for each in rule.collapses}
    counts = Counter(rule for rule, _ in kinds)
    digest = sha256("\n".join(lines).encode()).hexdigest()
    return json.dumps({**counts, "sha256": digest}, sort_keys=True, separators=(",", ":"))


def _lines(texts: Iterable[str]) -> str:
    kept: list[str] = []
    size = 0
    texts = tuple(texts)
    for each in texts:
        line = bounded_text(each)
        size += len(line) + 1
        if size > _MAX_WARNINGS:
            kept.append(f"and {len(texts) - len(kept)} more")
            break
        kept.append(line)
    return "\n".join(kept)


def _shown(name: bytes) -> str:
    return name.decode("latin-1").encode("unicode_escape").decode()[:200]
