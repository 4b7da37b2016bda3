"""Kubernetes' label selectors: what metav1.LabelSelector means, and which ones are valid.

All of a selector's requirements must hold. An empty selector selects everything, one that
is absent nothing (API reference, LabelSelector). `NotIn` and `DoesNotExist` hold for an
object without the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["LabelSelector", "Operator", "Problem", "Requirement", "selects"]

# "Labels and Selectors", syntax and character set.
_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]*)?[A-Za-z0-9]")
_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
MAX_NAME = 63
MAX_PREFIX = 253


class Operator(StrEnum):
    """How an expression compares; the text is the API's."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Problem(NamedTuple):
    """What is wrong with a field: its path as in the object, and the end of "FIELD ..."."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of matchExpressions. An operator that is none of `Operator` holds for nothing."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it."""
        if self.operator == Operator.IN:
            return self.key in labels and labels[self.key] in self.values
        if self.operator == Operator.NOT_IN:
            return self.key not in labels or labels[self.key] not in self.values
        if self.operator == Operator.EXISTS:
            return self.key in labels
        return self.operator == Operator.DOES_NOT_EXIST and self.key not in labels

    def problems(self, path: str) -> Iterator[Problem]:
        """What the API server would refuse, by field below `path`."""
        yield from _key_problems(self.key, f"{path}.key")
        if self.operator in (Operator.IN, Operator.NOT_IN):
            if not self.values:
                yield Problem(f"{path}.values", f"must not be empty with the operator {self.operator}")
        elif self.operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
            if self.values:
                yield Problem(f"{path}.values", f"must be empty with the operator {self.operator}")
        else:
            known = ", ".join(Operator)
            yield Problem(f"{path}.operator", f"is {_shown(self.operator)}; it must be one of {known}")
        for index, value in enumerate(self.values):
            yield from _value_problems(value, f"{path}.values[{index}]")


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """matchLabels and matchExpressions, all of which must hold."""

    match_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    match_expressions: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "match_labels", MappingProxyType(dict(sorted(self.match_labels.items()))))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            each.holds(labels) for each in self.match_expressions
        )

    def problems(self, path: str = "selector") -> tuple[Problem, ...]:
        """What the API server would refuse, by field below `path`; empty: it is valid."""
        found: list[Problem] = []
        for key, value in self.match_labels.items():
            at = f"{path}.matchLabels[{_shown(key)}]"
            found += [*_key_problems(key, at), *_value_problems(value, at)]
        for index, each in enumerate(self.match_expressions):
            found += each.problems(f"{path}.matchExpressions[{index}]")
        return tuple(found)


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """As `matches`; a selector that is absent selects nothing."""
    return selector is not None and selector.matches(labels)


def _key_problems(key: str, at: str) -> Iterator[Problem]:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > MAX_PREFIX or not _PREFIX.fullmatch(prefix)):
        yield Problem(
            at,
            f"has the prefix {_shown(prefix)}; before the slash stands a DNS name of at most {MAX_PREFIX}"
            " characters: lower-case letters, digits, - and .",
        )
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        yield Problem(at, f"has the name {_shown(name)}; {_RULE}")


def _value_problems(value: str, at: str) -> Iterator[Problem]:
    if value and (len(value) > MAX_NAME or not _NAME.fullmatch(value)):
        yield Problem(at, f"has the value {_shown(value)}; {_RULE}")


_RULE = f"at most {MAX_NAME} letters, digits, -, _ and . are allowed, and a letter or a digit at both ends"


def _shown(text: str) -> str:
    """Bounded, and escaped: it comes from outside."""
    return ascii(text if len(text) <= MAX_NAME else text[:MAX_NAME] + "...")
