"""A recording's status as the API has it, and as it stands in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recorder.model.recording_status import Condition, RecordingStatus

__all__ = ["said", "status_object"]


def status_object(status: RecordingStatus, before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The status. `before`: the one that is there, whose times of transition are kept; `now`: RFC 3339."""
    conditions = before.get("conditions")
    known = {
        each.get("type"): each
        for each in (conditions if isinstance(conditions, list) else ())
        if isinstance(each, Mapping)
    }
    return {
        "observedGeneration": status.observed_generation,
        "conditions": [
            _condition(each, known.get(each.type, {}), status.observed_generation, now)
            for each in sorted(status.conditions, key=lambda each: each.type)
        ],
        "activeWorkloads": list(status.active_workloads),
        "resultCount": len(status.results),  # a CRD's column can show a number, not count a list
        "results": [
            {
                "kind": each.kind.value,
                "name": each.name,
                "container": each.container,
                "state": each.state,
                **({"syscalls": each.syscalls} if each.syscalls is not None else {}),
                **({"rules": each.rules} if each.rules is not None else {}),
                "denied": each.denied,
                "coverage": each.coverage,
                "verdict": each.verdict,
            }
            for each in status.results
        ],
        "ledger": [{"cause": cause, "count": count} for cause, count in sorted(status.ledger.items())],
        **_denials(status, before),
    }


def _denials(status: RecordingStatus, before: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing at all where nothing was denied; a list that is empty where one was there before."""
    if not (status.denials or status.denials_omitted or before.get("denials")):
        return {}
    told = [
        {
            "container": each.container,
            "kind": each.kind,
            "verdict": each.verdict,
            "what": each.what,
            **({"count": each.count} if each.count else {}),
            "records": each.records,
        }
        for each in status.denials
    ]
    return {"denials": told, "denialsOmitted": status.denials_omitted}


def _condition(each: Condition, before: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    value = "True" if each.status else "False"
    since = before.get("lastTransitionTime") if before.get("status") == value else None
    return {
        "type": each.type,
        "status": value,
        "reason": each.reason,
        "message": each.message,
        "observedGeneration": generation,
        "lastTransitionTime": since or now,
    }


def said(status: Mapping[str, Any]) -> dict[str, Any]:
    """What a status says, without its times: two that say the same need not be written twice."""
    plain = dict(status)
    conditions = status.get("conditions")
    plain["conditions"] = [
        {key: value for key, value in each.items() if key != "lastTransitionTime"}
        for each in (conditions if isinstance(conditions, list) else ())
        if isinstance(each, Mapping)
    ]
    return plain
