"""AppArmorProfile results of denials: the profile under which containers ran, with what it denied."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from recorder.collector.results.denied_records import DeniedRecords, coverage_text, denied_records, lines
from recorder.collector.results.profile_update import published_profile
from recorder.collector.results.result_kind import Content, Drawn, NotYet, Wanted
from recorder.collector.results.result_summary import ResultSummary
from recorder.model.errors import InvalidProfile
from recorder.model.escape import escape
from recorder.model.record import Record
from recorder.profiles.annotations import PREFIX, provenance_annotations
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.apparmor_yaml import to_object
from recorder.profiles.denied_profile import CompletedProfile, completed_profile, denying_profile
from recorder.profiles.label import is_object_name
from recorder.profiles.result_marks import ADDED, COMPLETES, RULE_COVERAGE

__all__ = ["CompletedResult", "completed_name"]

_HINT: Final = (
    "its profile allows it all, or it has none (cat /proc/self/attr/apparmor/current there); set the pod's"
    " appArmorProfile.localhostProfile, and spec.mode of that profile to Complain"
)
_REMEDY: Final = (
    f"The annotation {PREFIX}/warnings has all of it: look at each, and add by hand what is needed"
)
_MAX_REASON: Final = 512


def completed_name(record: Record) -> str:
    """Return the name of the AppArmorProfile that is to be completed by a record; empty: no object has it."""
    name = denying_profile(record)
    return name if is_object_name(name) else ""


class CompletedResult:
    """As ResultKind."""

    def draw(self, wanted: Wanted) -> Drawn:
        """As ResultKind.draw."""
        draft = wanted.draft
        seen = denied_records(draft)
        name = denying_profile(draft.record)
        ledger = seen.ledger("apparmor").counts
        if not name:
            reason = seen.why_not(draft, "apparmor", "AppArmor", _HINT)
            return Drawn(NotYet(reason), ResultSummary(0, 0, len(seen.records), ledger), seen.worked)
        base, problem = _base(wanted, name)
        try:
            done = completed_profile(seen.records, name, base)
        except InvalidProfile as error:
            return Drawn(
                NotYet(escape(str(error), _MAX_REASON)),
                ResultSummary(0, 0, len(seen.records), ledger),
                seen.worked,
            )
        left = _not_added(done)
        summary = ResultSummary(
            0,
            0,
            len(seen.records),
            done.ledger.counts,
            rules=len(done.added),
            unsaid=left,
            remedy=_REMEDY if left else "",
        )
        return Drawn(_content(wanted, seen, done, problem), summary, seen.worked)


def _not_added(done: CompletedProfile) -> tuple[str, ...]:
    left = (each for each in done.left_out if not each.endswith("is in the profile already"))
    return tuple(escape(each, _MAX_REASON) for each in left)


def _base(wanted: Wanted, name: str) -> tuple[AppArmorProfile | None, str]:
    """The profile's object, or why there is nothing but denials."""
    published = wanted.existing.get(name)
    if published is None:
        return None, f"there is no AppArmorProfile {name}: this has nothing but what that profile denied"
    try:
        return published_profile(published), ""
    except InvalidProfile as error:
        return None, f"the AppArmorProfile {name} is not understood, so this has only what it denied: {error}"


def _content(wanted: Wanted, seen: DeniedRecords, done: CompletedProfile, problem: str) -> Content:
    # Alone it would deny, once installed, all that the profile which it completes allows.
    enabled = wanted.enabled and not done.alone
    profile = replace(done.profile, state="Enabled" if enabled else "Disabled")
    spec = to_object(profile)["spec"]
    assert isinstance(spec, dict)  # noqa: S101 -- to_object makes it
    provenance = provenance_annotations(wanted.draft.record, done.ledger)
    said = {
        **{f"{PREFIX}/{key}": text for key, text in provenance.items()},
        COMPLETES: escape(done.completes),
        ADDED: lines(done.added),
        f"{PREFIX}/warnings": lines([*([problem] if problem else []), *done.left_out]),
    }
    if wanted.merged or len(seen.records) > 1:
        said[RULE_COVERAGE] = coverage_text(len(seen.records), done.coverage)
    return Content(spec, {key: text for key, text in said.items() if text})
