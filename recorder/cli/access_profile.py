"""Profiles of what was accessed: their formats, options, and what is said about them on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from recorder.model.errors import InvalidProfile, UsageError

if TYPE_CHECKING:
    from recorder.model.record import Record
    from recorder.profiles.path_tree import Thresholds

ACCESS_FORMATS = ("apparmor", "apparmor-text")
"""The formats for what was accessed: an object, and AppArmor's own text."""


def thresholds_of(given: Iterable[str]) -> Thresholds:
    """The thresholds of `--threshold FOLDER=N`, over those that hold else. Raises UsageError."""
    from recorder.profiles.path_tree import THRESHOLDS, Thresholds

    limits = dict(THRESHOLDS.limits)
    for each in given:
        folder, _, number = each.rpartition("=")
        if not folder.startswith("/") or not number.isascii() or not number.isdigit():
            raise UsageError(f"--threshold: {each!r} is not FOLDER=N, such as /var/lib=20; N is 0 for never")
        key = folder.encode("utf-8", "surrogateescape").rstrip(b"/") or b"/"
        limits[key] = int(number)
    return Thresholds(limits)


def access_profile(
    record: Record, format_name: str, name: str, thresholds: Iterable[str], *, explain: bool = False
) -> str:
    """The profile's text; its warnings go to stderr. Raises InvalidProfile if it would allow nothing."""
    from dataclasses import replace

    from recorder.profiles.apparmor_annotations import apparmor_annotations, explanation
    from recorder.profiles.apparmor_profile import abstract_profile
    from recorder.profiles.apparmor_rules import apparmor_rules
    from recorder.profiles.apparmor_text import to_text
    from recorder.profiles.apparmor_yaml import to_yaml

    rules = apparmor_rules([each.accesses for each in record.observations], thresholds_of(thresholds))
    if rules.empty:
        raise InvalidProfile(
            f"profile {name} would allow nothing: the record has no access of the workload; record it with"
            " --kind accesses, and begin before the workload starts"
        )
    if format_name == "apparmor":
        profile = abstract_profile(rules, name)
        text = to_yaml(replace(profile, annotations=apparmor_annotations(record, rules, profile)))
        warnings = profile.warnings
    else:
        text, warnings = to_text(rules, name), rules.left_out
    for each in explanation(rules) if explain else ():
        print(f"recorder: pattern: {each}", file=sys.stderr)
    for each in warnings:
        print(f"recorder: warning: {each}", file=sys.stderr)
    return text
