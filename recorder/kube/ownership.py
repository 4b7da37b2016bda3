"""Whose a field of an object is: metadata.managedFields, and taking a manager's claim away.

A `fieldsV1` is a tree: `f:NAME` leads to a field, `k:{...}` and `v:...` to an item of a
list, `.` stands for the thing itself (Kubernetes documentation, "Server-Side Apply").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recorder.profiles.result_fields import Path

__all__ = ["claimants", "latest_manager", "owns", "without_claims"]


def _claim(entry: Mapping[str, Any], path: Path) -> bool:
    node: Any = entry.get("fieldsV1") or {}
    for name in path:
        if not isinstance(node, Mapping) or f"f:{name}" not in node:
            return False
        node = node[f"f:{name}"]
    return True


def _of_others(fields: Sequence[Mapping[str, Any]], manager: str) -> Iterator[Mapping[str, Any]]:
    for entry in fields:
        if entry.get("manager") != manager and not entry.get("subresource"):
            yield entry


def claimants(fields: Sequence[Mapping[str, Any]], path: Path, manager: str) -> tuple[str, ...]:
    """The managers but `manager` that own the field or a part of it, sorted."""
    return tuple(
        sorted({str(each.get("manager")) for each in _of_others(fields, manager) if _claim(each, path)})
    )


def owns(fields: Sequence[Mapping[str, Any]], path: Path, manager: str) -> bool:
    """Whether `manager` owns the field, or a part of it, by applying."""
    return any(
        _claim(each, path)
        for each in fields
        if each.get("manager") == manager and each.get("operation") == "Apply"
    )


def latest_manager(fields: Sequence[Mapping[str, Any]], manager: str) -> str:
    """Who but `manager` changed the object last; empty if nobody did."""
    others = ((str(each.get("time", "")), str(each.get("manager"))) for each in _of_others(fields, manager))
    return max(others, default=("", ""))[1]


def without_claims(
    fields: Sequence[Mapping[str, Any]], paths: Sequence[Path], manager: str
) -> list[dict[str, Any]]:
    """The entries of managedFields, less the claims on these fields by all but `manager`; none is empty."""
    kept = []
    for entry in fields:
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            kept.append(dict(entry))
            continue
        tree = entry.get("fieldsV1") or {}
        for path in paths:
            tree = _cut(tree, path)
        if tree:
            kept.append({**entry, "fieldsV1": tree})
    return kept


def _cut(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    key, rest = f"f:{path[0]}", path[1:]
    left = dict(tree)
    if key not in left:
        return left
    if rest:
        below = _cut(left[key], rest)
        if below.keys() - {"."}:
            left[key] = below
            return left
    del left[key]
    return left
