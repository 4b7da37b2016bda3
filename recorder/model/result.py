"""A result: a profile object that is published, and what its publication came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from recorder.model.recording import ProfileKind

__all__ = ["Application", "Edit", "Outcome", "Placement", "PublishedResult", "ResultObject"]


@dataclass(frozen=True, slots=True)
class Placement:
    """A pod as the platform knows it. `generate_name` is empty for one that no template made."""

    namespace: str
    name: str
    uid: str
    node: str
    generate_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A profile object as it shall be. `spec` is plain JSON; `labels` and `annotations` are all of ours."""

    kind: ProfileKind
    name: str
    labels: Mapping[str, str] = field(hash=False)
    annotations: Mapping[str, str] = field(hash=False)
    spec: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A profile object as it is. `ours`: our field manager and our annotation `recorded-by` are on it."""

    kind: ProfileKind
    name: str
    uid: str
    ours: bool
    labels: Mapping[str, str] = field(hash=False)
    annotations: Mapping[str, str] = field(hash=False)
    spec: Mapping[str, Any] = field(hash=False)


class Outcome(StrEnum):
    """What became of an application."""

    CREATED = "created"
    UPDATED = "updated"  # also if nothing had to be changed
    TAKEN = "taken"  # an object of that name is there and is not that of `uid`, or not ours
    REFUSED = "refused"  # the platform does not take such an object: `message` says why


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """A field of ours that somebody took, so that it is theirs until they give it back.

    field: a path as `spec.syscalls` or `metadata.labels[spo.x-k8s.io/container-id]`.
    manager: who, as the API names it.
    """

    field: str
    manager: str


@dataclass(frozen=True, slots=True)
class Application:
    """The answer to `Platform.apply`. `uid` of the object; `edits`: what was left out, being somebody's."""

    outcome: Outcome
    uid: str = ""
    edits: tuple[Edit, ...] = ()
    message: str = ""
