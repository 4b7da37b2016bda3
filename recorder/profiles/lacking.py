"""What a profile of AppArmor lacks, by what it denied: less what it would allow, and deny, anyway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from typing import Final

from recorder.model.access import File, FileRight
from recorder.model.accesses import Accesses
from recorder.model.errors import InvalidRecord
from recorder.model.record import Record
from recorder.profiles.apparmor_allowance import Allowance, judged
from recorder.profiles.apparmor_profile import shown
from recorder.profiles.apparmor_rules import AppArmorRules, apparmor_rules
from recorder.profiles.denied_accesses import denied_accesses
from recorder.profiles.glob import literal
from recorder.profiles.path_tree import Thresholds

__all__ = ["EXACT", "Lacking"]

EXACT: Final = Thresholds({b"/": 0})
"""Patterns for what is never the same twice, and no others: nothing is added that was not denied."""


class Lacking:
    """name: the profile's. left_out: sentences. InvalidRecord if it denied nothing in all the records."""

    def __init__(self, name: str, *records: Record) -> None:
        denied = [denied_accesses(each, name) for each in records]
        others = sorted({other for each in denied for other in each.others})
        if not any(each.accesses or each.learned or each.left_out for each in denied):
            if others:
                raise InvalidRecord(
                    f"the record is of other profiles ({', '.join(others[:5])}): {name} denied nothing"
                )
            raise InvalidRecord(
                "the record has no denial by AppArmor: record with --kind denials while the workload runs"
                f" under {name}"
            )
        self.left_out = {f"denials of profile {each}: this one is {name}" for each in others}
        self.left_out = self.left_out.union(*(each.left_out for each in denied))
        self._denied = [each.accesses for each in denied]
        self._learned = [each.learned for each in denied]
        self._allowed = self._refused = Accesses()

    @property
    def learned(self) -> bool:
        """Whether something is lacking that was denied only where complain mode has no rules."""
        return any(self._learned)

    @property
    def executed(self) -> bool:
        """Whether the profile denied executing something."""
        return any(
            isinstance(key.subject, File) and seen.rights & FileRight.EXEC
            for each in self._denied
            for key, seen in each.entries.items()
        )

    @property
    def accesses(self) -> list[Accesses]:
        """What is lacking, for each record: each is a source of a rule."""
        return [one.join(other) for one, other in zip(self._denied, self._learned, strict=True)]

    def judge(self, allowance: Allowance) -> None:
        """Take away what the profile would allow, and deny, to those that had no rules."""
        parts = [judged(each, allowance) for each in self._learned]
        self._learned = [each.lacking for each in parts]
        self._allowed = _joined(each.allowed for each in parts)
        self._refused = _joined(each.refused for each in parts)
        self._denied = [self._unchanged(each, allowance) for each in self._denied]

    def _unchanged(self, denied: Accesses, allowance: Allowance) -> Accesses:
        """Without programs that a rule has run elsewhere: it was denied since that profile is not loaded.

        apparmor_parser refuses a profile that has both that rule and one with `ix`.
        """
        kept = {}
        for key, seen in denied.entries.items():
            rights = seen.rights
            if isinstance(key.subject, File) and rights & FileRight.EXEC and allowance.changes(key.subject):
                rights &= ~FileRight.EXEC
                self.left_out.add(
                    f"{shown(literal(key.subject.path))}: a rule has it executed under another profile, which"
                    " was not loaded"
                )
            if rights or not seen.rights:
                kept[key] = replace(seen, rights=rights)
        return Accesses(kept)

    def rules(self) -> AppArmorRules:
        """What is to be added."""
        return apparmor_rules(self.accesses, EXACT)

    def allowed(self) -> AppArmorRules:
        """What is not, since the profile has it."""
        return apparmor_rules([self._allowed], EXACT)

    def refused(self) -> AppArmorRules:
        """What is not, since the profile denies it."""
        return apparmor_rules([self._refused], EXACT)


def _joined(parts: Iterable[Accesses]) -> Accesses:
    return reduce(Accesses.join, parts, Accesses())
