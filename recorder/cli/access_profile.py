"""Profiles of what was accessed: their formats, options, and what is said about them on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from recorder.model.errors import InvalidProfile, UsageError
from recorder.model.ledger import CAUSES

if TYPE_CHECKING:
    import argparse

    from recorder.model.record import Record
    from recorder.profiles.path_tree import Thresholds

ACCESS_FORMATS = ("apparmor", "apparmor-text", "selinux", "cil")
"""The formats for what was accessed or denied: objects, AppArmor's own text, and SELinux's."""

_SELINUX_LOSSES = ("accesses_full", "accesses_missed", "domain_enforcing")
"""Of a profile that is made of denials, where the record may be complete."""


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


def access_profile(record: Record, name: str, options: argparse.Namespace) -> str:
    """The profile's text; its warnings go to stderr. Raises InvalidProfile if it would allow nothing."""
    if options.format in ("selinux", "cil"):
        return _selinux(record, name, options)
    return _apparmor(record, name, options)


def _apparmor(record: Record, name: str, options: argparse.Namespace) -> str:
    from dataclasses import replace

    from recorder.profiles.annotations import provenance_annotations
    from recorder.profiles.apparmor_annotations import apparmor_annotations, explanation
    from recorder.profiles.apparmor_profile import abstract_profile
    from recorder.profiles.apparmor_rules import apparmor_rules
    from recorder.profiles.apparmor_text import to_text
    from recorder.profiles.apparmor_yaml import to_yaml

    rules = apparmor_rules([each.accesses for each in record.observations], thresholds_of(options.threshold))
    if rules.empty:
        raise InvalidProfile(
            f"profile {name} would allow nothing: the record has no access of the workload; record it with"
            " --kind accesses, and begin before the workload starts"
        )
    if options.format == "apparmor":
        profile = abstract_profile(rules, name)
        text = to_yaml(replace(profile, annotations=apparmor_annotations(record, rules, profile)))
        warnings = profile.warnings
    else:
        about = provenance_annotations(record, record.ledger) | {
            "refused-capabilities": ",".join(rules.refused),
            "policy": "abstractions/base; libraries as they were mapped",
        }
        text, warnings = to_text(rules, name, about=about), rules.left_out
    for each in explanation(rules) if options.explain else ():
        print(f"recorder: pattern: {each}", file=sys.stderr)
    _warn(warnings)
    return text


def _selinux(record: Record, name: str, options: argparse.Namespace) -> str:
    from recorder.profiles.annotations import provenance_annotations
    from recorder.profiles.selinux_cil import to_cil
    from recorder.profiles.selinux_rules import selinux_rules
    from recorder.profiles.selinux_yaml import build, needs_a_human, to_yaml

    rules = selinux_rules(record, options.domain)
    if options.format == "cil":
        text = to_cil(rules, name, about=provenance_annotations(record, rules.ledger))
    else:
        text = to_yaml(build(rules, record, name))
    for cause in map(CAUSES.__getitem__, _SELINUX_LOSSES):
        if count := rules.ledger.counts.get(cause.name):
            _warn([f"lossy: {cause.name} {count}: {cause.meaning}; {cause.remedy}"])
    _warn((*needs_a_human(rules), *rules.left_out))
    return text


def _warn(warnings: Iterable[str]) -> None:
    for each in warnings:
        print(f"recorder: warning: {each}", file=sys.stderr)
