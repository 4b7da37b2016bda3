"""The fields of a result, each a person's or the recorder's: keys of `spec`, labels, annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Path", "name_of", "path_of", "value_at"]

Path: TypeAlias = "tuple[str, ...]"
"""Keys on the way to it: ("spec", "syscalls"), ("metadata", "labels", "app")."""


def name_of(path: Path) -> str:
    """As a person reads it: spec.syscalls, metadata.labels[KEY]."""
    return f"{'.'.join(path[:-1])}[{path[-1]}]" if path[0] == "metadata" else ".".join(path)


def path_of(name: str) -> Path:
    """The path of a name that `name_of` made; of another text it is empty."""
    if name.startswith("spec."):
        return ("spec", name.removeprefix("spec."))
    for where in ("labels", "annotations"):
        start = f"metadata.{where}["
        if name.startswith(start) and name.endswith("]"):
            return ("metadata", where, name[len(start) : -1])
    return ()


def value_at(value: Mapping[str, Any], path: Path) -> Any:
    """A field of an object as it is; None if it is not there."""
    node: Any = value
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node
