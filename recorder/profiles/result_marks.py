"""The labels and annotations by which a published result is known, and what they say."""

from __future__ import annotations

from typing import Final

from recorder.profiles.annotations import PREFIX

__all__ = [
    "ADDED",
    "ASKED",
    "COLLECTOR_VERSION",
    "COMPLETED_BY",
    "COMPLETES",
    "CONTAINER_LABEL",
    "COVERAGE",
    "EDITED",
    "NAMESPACE_LABEL",
    "OWNER",
    "PARTIAL_LABEL",
    "PLATFORM_MARKS",
    "RECORDED_BY",
    "RECORDING_LABEL",
    "RECORDS",
    "RULE_COVERAGE",
    "STATE",
    "STATE_FINAL",
    "STATE_RECORDING",
]

_SPO: Final = "spo.x-k8s.io"

RECORDING_LABEL: Final = f"{_SPO}/recording-id"
CONTAINER_LABEL: Final = f"{_SPO}/container-id"
NAMESPACE_LABEL: Final = f"{_SPO}/recording-namespace"
PARTIAL_LABEL: Final = f"{_SPO}/partial"
"""Labels of the API's first user, the Security Profiles Operator; its own objects bear them as well."""

COVERAGE: Final = f"{_SPO}/syscall-coverage"
"""JSON: in how many of the merged records each name was seen."""

COMPLETES: Final = f"{PREFIX}/completes"
"""The profile that denied what this one allows besides."""
COMPLETED_BY: Final = f"{PREFIX}/completed-by"
"""The recording by which it was changed last where it stands."""
ADDED: Final = f"{PREFIX}/added"
"""What it has that the one which it completes lacked, a line each; or how much of it there is."""
RULE_COVERAGE: Final = f"{PREFIX}/rule-coverage"
"""JSON: the same of rules of an AppArmorProfile, those that all records used left out."""

RECORDED_BY: Final = f"{PREFIX}/recorded-by"
OWNER: Final = "profile-recorder"
"""The value of `RECORDED_BY`, and our field manager: both together make an object ours."""

STATE: Final = f"{PREFIX}/state"
STATE_RECORDING: Final = "recording"
STATE_FINAL: Final = "final"
"""Whether a container of the result still ran when it was written."""

ASKED: Final = f"{PREFIX}/asked"
"""`spec.recorder` of the recording: both values lead to the same record."""

RECORDS: Final = f"{PREFIX}/records"
"""How many records are merged in the result: one for each pod, with all runs of the container in it."""

EDITED: Final = f"{PREFIX}/edited"
"""JSON: the fields that somebody took. The platform writes it; whoever removes it gives them back."""

PLATFORM_MARKS: Final = frozenset({EDITED, f"{PREFIX}/applied", f"{PREFIX}/runtime-file"})
"""Annotations that the platform itself writes on a result."""

COLLECTOR_VERSION: Final = f"{PREFIX}/collector-version"
"""Of the program that wrote the object; `recorder-version` is that of the agents."""
