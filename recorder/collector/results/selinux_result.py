"""SelinuxProfile results: of what SELinux denied, or would have in a permissive domain."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from recorder.collector.results.denied_records import coverage_text, denied_records, lines
from recorder.collector.results.result_kind import Content, Drawn, NotYet, Wanted
from recorder.collector.results.result_summary import ResultSummary
from recorder.model.errors import InvalidProfile
from recorder.profiles.annotations import PREFIX
from recorder.profiles.result_marks import RULE_COVERAGE
from recorder.profiles.selinux_union import SelinuxUnion, selinux_union
from recorder.profiles.selinux_yaml import build, needs_a_human, to_object

__all__ = ["SelinuxResult"]

_HINT: Final = (
    "its domain allows it all, or nothing is denied to it (cat /proc/self/attr/current there); to record it"
    " set seLinuxOptions.type: recording.process (deploy/selinux/recording.cil)"
)
_REMEDY: Final = (
    "`recorder records NAME -f cil` has all of it: look at each, and install what is needed on the nodes as a"
    " policy module"
)


class SelinuxResult:
    """As ResultKind."""

    def draw(self, wanted: Wanted) -> Drawn:
        """As ResultKind.draw."""
        draft = wanted.draft
        seen = denied_records(draft)
        try:
            union = selinux_union(seen.records)
        except InvalidProfile:
            ledger = seen.ledger("selinux").counts
            reason = seen.why_not(draft, "selinux", "SELinux", _HINT)
            return Drawn(NotYet(reason), ResultSummary(0, 0, len(seen.records), ledger), seen.worked)
        rules = union.rules
        content: Content | NotYet
        try:
            content = _content(wanted, union, len(seen.records))
        except InvalidProfile as error:
            content = NotYet(str(error))
        count = sum(map(len, rules.installable.values()))
        summary = ResultSummary(
            0,
            0,
            len(seen.records),
            rules.ledger.counts,
            rules=count,
            unsaid=needs_a_human(rules),
            remedy=_REMEDY if rules.refused else "",
        )
        return Drawn(content, summary, seen.worked)


def _content(wanted: Wanted, union: SelinuxUnion, records: int) -> Content:
    profile = build(union.rules, wanted.draft.record, wanted.name)
    said = dict(profile.annotations)
    said |= {f"{PREFIX}/warnings": text for text in [lines(union.rules.left_out)] if text}
    if len(union.domains) > 1:
        said[f"{PREFIX}/domain"] = ", ".join(union.domains)[:512]
    if wanted.merged or records > 1:
        said[RULE_COVERAGE] = coverage_text(records, union.coverage)
    spec = to_object(replace(profile, state="Enabled" if wanted.enabled else "Disabled"))["spec"]
    assert isinstance(spec, dict)  # noqa: S101 -- to_object makes it
    return Content(spec, said)
