"""AppArmorProfile results: of what the workload accessed, in the abstract form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from recorder.collector.results.access_union import AccessUnion
from recorder.collector.results.drafts import Draft
from recorder.collector.results.result_kind import Content, Drawn, NotYet, Wanted
from recorder.collector.results.result_summary import ResultSummary
from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.record import Observation
from recorder.profiles.apparmor_annotations import apparmor_annotations
from recorder.profiles.apparmor_profile import AppArmorProfile, abstract_profile, shown, unsayable
from recorder.profiles.apparmor_rules import AppArmorRules
from recorder.profiles.apparmor_yaml import to_object
from recorder.profiles.result_marks import RULE_COVERAGE

__all__ = ["AppArmorResult", "rule_coverage"]

_MAX_COVERAGE: Final = 16 * 1024
_UNWATCHED: Final = "accesses_unwatched"


class AppArmorResult:
    """As ResultKind."""

    def draw(self, wanted: Wanted) -> Drawn:
        """As ResultKind.draw."""
        draft = wanted.draft
        union, worked, records = AccessUnion(), list[Observation](), 0
        for observations in draft.units().values():
            # one at a time: each may have 2 MiB
            seen = [each for each in observations if union.add(draft.accesses(each).values(), records)]
            worked += seen
            union.cut |= any(each.accesses.cut_at for each in observations)
            records += bool(seen)
        if not worked:
            return Drawn(NotYet(_nothing_seen(draft)), ResultSummary(0, 0, 0, draft.record.ledger.counts), ())
        rules = union.used().rules()
        ledger = _ledger(draft, union)
        content: Content | NotYet
        count, lacks = 0, tuple(sorted(unsayable(rules)))
        try:
            profile = replace(abstract_profile(rules, wanted.name), labels=wanted.labels)
        except InvalidProfile as error:
            content = NotYet(str(error))
        else:
            count, lacks = _count(profile), profile.lacks
            content = _content(wanted, rules, profile, Ledger(ledger), merged=wanted.merged or records > 1)
        summary = ResultSummary(0, 0, records, ledger, rules=count, unsaid=lacks)
        return Drawn(content, summary, tuple(worked))


def _content(
    wanted: Wanted, rules: AppArmorRules, profile: AppArmorProfile, ledger: Ledger, *, merged: bool
) -> Content:
    said = apparmor_annotations(wanted.draft.record, rules, profile, ledger)
    if merged:
        said[RULE_COVERAGE] = rule_coverage(rules)
    state = "Enabled" if wanted.enabled else "Disabled"
    spec = to_object(replace(profile, state=state))["spec"]
    assert isinstance(spec, dict)  # noqa: S101 -- to_object makes it
    return Content(spec, said)


def rule_coverage(rules: AppArmorRules) -> str:
    """Return JSON: of how many records, and in how many of them each pattern was used that not all did.

    Of too many patterns how many there are of each number, and the digest of the whole.
    """
    used = {shown(rule.glob): rule.sources.bit_count() for rule in rules.paths}
    partly = {pattern: count for pattern, count in sorted(used.items()) if count < rules.sources}
    said: dict[str, object] = {"version": "v1", "total": rules.sources, "paths": partly}
    whole = _json(said)
    if len(whole) <= _MAX_COVERAGE:
        return whole
    counts = {str(count): number for count, number in sorted(Counter(used.values()).items())}
    return _json({**said, "paths": counts, "sha256": sha256(whole.encode()).hexdigest()})


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _ledger(draft: Draft, union: AccessUnion) -> dict[str, int]:
    ledger = draft.record.ledger
    return dict((ledger.join(Ledger({"accesses_full": 1})) if union.cut else ledger).counts)


def _count(profile: AppArmorProfile) -> int:
    """Entries of its lists, and protocols."""
    lists = (
        profile.executables,
        profile.libraries,
        profile.read_only,
        profile.write_only,
        profile.read_write,
        profile.capabilities,
    )
    return sum(map(len, lists)) + profile.raw + profile.tcp + profile.udp


def _nothing_seen(draft: Draft) -> str:
    what = f"of the container {draft.key.container}"
    unwatched = [each for each in draft.record.observations if each.ledger.counts.get(_UNWATCHED)]
    if unwatched and len(unwatched) == len(draft.record.observations):
        nodes = ", ".join(sorted({each.source.node for each in unwatched})[:5])
        return (
            f"nothing can be said {what}, since the agents of these nodes cannot see accesses: {nodes};"
            " recorder status there has the reason"
        )
    if draft.running:
        return f"no access {what} was seen so far; the profile appears with the first one of the workload"
    return (
        f"no access of the workload {what} was seen before it ended; look whether its command could be"
        " started"
    )
