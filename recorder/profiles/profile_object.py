"""What objects of all kinds of profile have in common: a name, metadata, a spec, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from recorder.model.errors import InvalidProfile
from recorder.profiles.fields import Fields
from recorder.profiles.label import is_object_name
from recorder.profiles.strict_yaml import NotYamlError, load_yaml

__all__ = ["Named", "check_name", "parts_of", "profile_object", "read_yaml"]


class Named(Protocol):
    """A profile of any kind."""

    @property
    def name(self) -> str:
        """The object's."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """The object's annotations."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels."""


def check_name(name: str) -> None:
    """InvalidProfile if an object cannot have that name."""
    if not is_object_name(name):
        raise InvalidProfile(
            f"{name!r} cannot name a profile: use at most 253 lower-case letters, digits, '-' and '.',"
            " with a letter or a digit at each end"
        )


def profile_object(
    api_version: str, kind: str, profile: Named, spec: Mapping[str, object]
) -> dict[str, object]:
    """Return the object as it goes to an API server: plain dicts, lists and values."""
    metadata: dict[str, object] = {"name": profile.name}
    if profile.labels:
        metadata["labels"] = dict(profile.labels)
    if profile.annotations:
        metadata["annotations"] = dict(profile.annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def read_yaml(text: str) -> object:
    """Return the one document's value; InvalidProfile if it is none."""
    try:
        return load_yaml(text)
    except NotYamlError as error:
        raise InvalidProfile(str(error)) from error


def parts_of(value: object, versions: Sequence[str], kind: str) -> tuple[Fields, Fields]:
    """Return an object's metadata and spec, whatever its status; InvalidProfile names the field."""
    top = Fields(value)
    top.text("apiVersion", versions)
    top.text("kind", (kind,))
    metadata, spec = top.child("metadata"), top.child("spec")
    top.ignore("status")
    top.end()
    return metadata, spec
