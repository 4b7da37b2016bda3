"""What objects of all kinds of profile have in common: metadata and spec; how they are read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import yaml

from recorder.model.errors import InvalidProfile
from recorder.profiles.fields import Fields
from recorder.profiles.label import is_object_name
from recorder.profiles.strict_yaml import NotYamlError, load_yaml

__all__ = ["Named", "check_name", "object_yaml", "parts_of", "profile_object", "read_yaml"]


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


def object_yaml(value: Mapping[str, object]) -> str:
    """Return the YAML text of any object of plain values, ASCII, its keys in their order."""
    text: str = yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=2**31)
    return text


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


class _Dumper(yaml.SafeDumper):
    """Quotes each string that any reader could take for something else.

    YAML 1.1 has booleans n, y, on, off; Go's readers also take 1e3 and 0o7 for
    numbers, which PyYAML does not know. So only plain words stay unquoted.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _WORD.fullmatch(text) is not None and text.lower() not in _NOT_WORDS
    # Single quotes leave JSON readable, but can hold neither escapes nor line ends.
    quote = "'" if text.isascii() and text.isprintable() and "'" not in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else quote)


_Dumper.add_representer(str, _represent_text)
