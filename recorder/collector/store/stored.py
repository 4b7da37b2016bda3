"""What the store keeps of recordings and of results, beside what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recorder.model.recording import ProfileKind, Recording
from recorder.model.result import Edit

__all__ = ["StoredRecording", "StoredResult"]


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """A recording as it was asked last.

    deleted_at: Unix time at which it was found gone, None while it is there. emitted: all its results
    hold what its sightings up to that revision of the store say.
    """

    recording: Recording
    deleted_at: float | None = None
    emitted: int = 0


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result as it was written last.

    recording: id. The first five fields are its key. name, uid: the object's. state: recording, final.
    digest: of the content that was written. edits: fields that people took. more: what the publisher
    keeps besides, plain JSON with texts as keys.
    """

    recording: str
    kind: ProfileKind
    container: str
    suffix: str = ""
    partial: bool = False
    name: str = ""
    uid: str = ""
    state: str = "recording"
    digest: str = ""
    edits: tuple[Edit, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
