"""The annotation EDITED, by which a result tells which of its fields people took over.

It stands on the object that is published, so that removing it there, or a field from it, says:
take that back. Its value is a JSON object: who changed it, by field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from recorder.model.result import Edit

__all__ = ["edited_annotation", "edits_of"]

_MAX_MANAGER = 128  # apimachinery's bound of a field manager's name


def edited_annotation(edits: Iterable[Edit]) -> str:
    """The annotation's value: sorted by field, so that the same edits give the same text."""
    return json.dumps({each.field: each.manager for each in sorted(edits)}, separators=(",", ":"))


def edits_of(text: str) -> tuple[Edit, ...]:
    """The edits of an annotation's value, sorted; none of a text that is no such object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, dict):
        return ()
    return tuple(sorted(Edit(field, str(manager)[:_MAX_MANAGER]) for field, manager in found.items()))
