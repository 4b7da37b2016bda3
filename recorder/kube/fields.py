"""The fields of a result that the recorder applies, and what became of them in the hands of others.

A field is a key of `spec`, a label or an annotation. A list is one field, also where the API
owns its items one by one: a person who takes an item out of a list decided about the list, and
applying it again would put the item back without any conflict. So what was applied is
kept as digests in an annotation, and compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from recorder.kube.edited import edits_of
from recorder.kube.ownership import claimants, latest_manager
from recorder.model.result import Edit, ResultObject
from recorder.profiles.annotations import PREFIX
from recorder.profiles.result_fields import Path, name_of, path_of, value_at
from recorder.profiles.result_marks import EDITED

__all__ = [
    "APPLIED",
    "Fields",
    "applied_annotation",
    "bookkeeping",
    "conflict_name",
    "fields_of",
    "given_back",
    "standing_edits",
]

APPLIED: Final = f"{PREFIX}/applied"
"""Digests of the fields as they were last applied; JSON."""

Fields = dict[Path, Any]
"""Values by path."""


def fields_of(result: ResultObject) -> Fields:
    """All that is applied of a result, but its own bookkeeping (APPLIED, EDITED)."""
    return {
        **{("spec", key): value for key, value in result.spec.items()},
        **{("metadata", "labels", key): value for key, value in result.labels.items()},
        **{
            ("metadata", "annotations", key): value
            for key, value in result.annotations.items()
            if key not in (APPLIED, EDITED)
        },
    }


def _digest(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = sorted(value)  # a set: the API server orders it by when an item came
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def applied_annotation(fields: Fields, edits: Iterable[Edit]) -> str:
    """The digests of what is applied now, and the names of what is not, being somebody's.

    Of annotations there are none: they are not what a person edits.
    """
    digests = {name_of(path): _digest(value) for path, value in fields.items() if path[1] != "annotations"}
    said = {"fields": digests, "edited": sorted(each.field for each in edits)}
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def _annotations(live: Mapping[str, Any]) -> Mapping[str, str]:
    return live["metadata"].get("annotations") or {}


def _applied(live: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What APPLIED says; nothing if a person wrote something else there."""
    try:
        said = json.loads(_annotations(live).get(APPLIED, "{}"))
        return dict(said.get("fields", {})), [str(each) for each in said.get("edited", ())]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}, []


def _said(live: Mapping[str, Any]) -> dict[str, Edit]:
    """What EDITED says, by field; if a person made it unreadable, what it said last, by nobody knows whom."""
    text = _annotations(live).get(EDITED, "")
    found = {each.field: each for each in edits_of(text)}
    if found or text.strip() in ("", "{}"):
        return found
    return {name: Edit(name, "unknown") for name in _applied(live)[1]}


def standing_edits(live: Mapping[str, Any], manager: str) -> tuple[Edit, ...]:
    """What people changed, and what they took before and did not give back; sorted."""
    edits = _said(live)
    managed = live["metadata"].get("managedFields") or []
    for name, digest in _applied(live)[0].items():
        path = path_of(name)
        if path and name not in edits and _digest(value_at(live, path)) != digest:
            edits[name] = Edit(name, _who(managed, path, manager))
    return tuple(sorted(edits.values()))


def given_back(live: Mapping[str, Any]) -> list[str]:
    """The names of fields that were somebody's until a person took them out of EDITED, or removed it."""
    said = _said(live)
    return [name for name in _applied(live)[1] if name not in said]


def bookkeeping(fields: Iterable[str]) -> list[Path]:
    """Those of the fields of a refusal that are annotations of our own bookkeeping."""
    paths: list[Path] = [("metadata", "annotations", key) for key in (APPLIED, EDITED)]
    found = set(fields)
    return [path for path in paths if "." + ".".join(path) in found]


def conflict_name(text: str, fields: Fields) -> str:
    """The name of the field that a cause of a conflict speaks of; empty if it is none of these.

    The API server writes `.spec.syscalls`, `.metadata.labels.KEY`, and more behind it for a part.
    """
    best: Path = ()
    for path in fields:
        at = "." + ".".join(path)
        if (text == at or text.startswith((f"{at}.", f"{at}["))) and len(path) >= len(best):
            best = path
    return name_of(best) if best else ""


def _who(managed: Sequence[Mapping[str, Any]], path: Path, manager: str) -> str:
    claims = claimants(managed, path, manager)
    return ", ".join(claims) or latest_manager(managed, manager) or "unknown"
