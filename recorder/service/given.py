"""A value as a person gave it: what a setting's kind makes of it, or a refusal that says where it stands."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from recorder.model.errors import InvalidSettings
from recorder.service.setting import Kind

__all__ = ["nearest", "of_text", "of_toml", "shown", "table"]


def nearest(given: str, known: Iterable[str]) -> str:
    """The end of a sentence that refuses a name: the one that was meant, or all that there are."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def shown(value: object) -> str:
    """Bounded: it comes from outside."""
    return textwrap.shorten(repr(value), 80, placeholder="...")


def table(content: object, what: str) -> Mapping[str, object]:
    """The content as a table; `what`: where it stands, its name last. InvalidSettings."""
    if not isinstance(content, dict):
        raise InvalidSettings(f"{what} must be a table: write [{what.rpartition(' ')[2]}] above its settings")
    return content


def of_toml(kind: Kind, value: object, where: str) -> Any:
    """What a value of TOML stands for; InvalidSettings."""
    try:
        return kind.of_toml(value)
    except ValueError as error:
        raise InvalidSettings(f"{where} is {shown(value)}; it {error}") from error


def of_text(kind: Kind, text: str, where: str) -> Any:
    """What a text stands for; InvalidSettings."""
    try:
        return kind.of_text(text)
    except ValueError as error:
        raise InvalidSettings(f"{where} is {shown(text)}; it {error}") from error
