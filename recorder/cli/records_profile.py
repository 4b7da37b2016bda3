"""`recorder records -f`: profiles of what the collector has seen of accesses and denials, whole."""

from __future__ import annotations

import sys

from recorder.cli.escape import escape
from recorder.cli.records_accessed import rules_of
from recorder.cli.records_seen import Group
from recorder.model.errors import InvalidProfile
from recorder.model.record import Observation, Record
from recorder.model.record_unit import Unit, unit_of
from recorder.profiles import selinux_yaml
from recorder.profiles.annotations import provenance_annotations
from recorder.profiles.apparmor_annotations import apparmor_annotations
from recorder.profiles.apparmor_profile import abstract_profile
from recorder.profiles.apparmor_rules import AppArmorRules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.apparmor_yaml import to_yaml
from recorder.profiles.label import dns_label
from recorder.profiles.selinux_cil import to_cil
from recorder.profiles.selinux_union import selinux_union

_MAX_WARNING = 512

SELINUX = ("selinux", "cil")
FORMATS = ("apparmor", "apparmor-text", *SELINUX)


def profiles(groups: list[Group], form: str) -> str:
    """One for each container's name, with the results' name. InvalidProfile if none would allow anything."""
    return _selinux_profiles(groups, form) if form in SELINUX else _apparmor_profiles(groups, form)


def _apparmor_profiles(groups: list[Group], form: str) -> str:
    texts = []
    for group in groups:
        rules = rules_of(group)
        if rules is None or rules.empty:
            print(f"recorder: no access of the container {escape(group.container)} was seen", file=sys.stderr)
            continue
        texts.append(_profile(group.record, rules, name_of(group, "AppArmorProfile"), form))
    if not texts:
        raise InvalidProfile(
            "no access was seen, so a profile would allow nothing: a recording of the kind AppArmorProfile"
            " looks for them"
        )
    return ("---\n" if form == "apparmor" else "\n").join(texts)


def _selinux_profiles(groups: list[Group], form: str) -> str:
    texts = []
    for group in groups:
        units: dict[Unit, list[Observation]] = {}
        for each in group.counted:
            units.setdefault(unit_of(each), []).append(each)
        name = name_of(group, "SelinuxProfile")
        try:
            rules = selinux_union([Record(tuple(each)) for each in units.values()]).rules
        except InvalidProfile as error:
            print(f"recorder: the container {escape(group.container)}: {error}", file=sys.stderr)
            continue
        if form == "cil":
            texts.append(to_cil(rules, name, about=provenance_annotations(group.record, rules.ledger)))
        else:
            texts.append(selinux_yaml.to_yaml(selinux_yaml.build(rules, group.record, name)))
        for warning in (*selinux_yaml.needs_a_human(rules), *rules.left_out):
            print(f"recorder: warning: {name}: {escape(warning, _MAX_WARNING)}", file=sys.stderr)
    if not texts:
        raise InvalidProfile(
            "SELinux denied nothing, so a profile would allow nothing: a recording of the kind SelinuxProfile"
            " looks for its denials, of containers in a permissive domain"
        )
    return ("---\n" if form == "selinux" else "").join(texts)


def name_of(group: Group, kind: str) -> str:
    """That of the whole result, if there is one alone; else one of the same parts."""
    whole = {each.name for each in group.results if not each.partial and each.kind == kind}
    if len(whole) == 1:
        return whole.pop()
    return dns_label("-".join(part for part in (group.recording.name, group.container) if part))


def _profile(record: Record, rules: AppArmorRules, name: str, form: str) -> str:
    from dataclasses import replace

    if form == "apparmor":
        profile = abstract_profile(rules, name)
        warnings = profile.warnings
        text = to_yaml(replace(profile, annotations=apparmor_annotations(record, rules, profile)))
    else:
        about = provenance_annotations(record, record.ledger) | {
            "refused-capabilities": ",".join(rules.refused),
            "policy": "abstractions/base; libraries as they were mapped",
        }
        warnings, text = rules.left_out, to_text(rules, name, about=about)
    for each in warnings:
        print(f"recorder: warning: {name}: {each}", file=sys.stderr)
    return text
