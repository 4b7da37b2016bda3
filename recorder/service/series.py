"""Counters by labels whose values come from outside: bounded in number and in size.

A value becomes a word of what prints; who comes when all series are taken is counted under OTHER,
and keeps being so: a series that is there goes on, so that rates stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from recorder.model.escape import escape
from recorder.service.metrics import OTHER, Row

__all__ = ["MAX_SERIES", "Series"]

MAX_SERIES: Final = 1000
MAX_VALUE: Final = 63
"""Characters of a label's value: a Kubernetes namespace has no more."""


class Series:
    """`labels`: how many each series has. `limit`: how many series there may be, besides OTHER."""

    __slots__ = ("_counts", "_labels", "_limit", "_other")

    def __init__(self, labels: int, limit: int = MAX_SERIES) -> None:
        self._labels = labels
        self._limit = limit
        self._counts: dict[tuple[str, ...], float] = {}
        self._other = 0.0

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, values: Sequence[str], count: float = 1) -> None:
        """Count on under these values of the labels; ValueError if they are not as many."""
        if len(values) != self._labels:
            raise ValueError(f"{len(values)} values for {self._labels} labels")
        key = tuple(escape(each, MAX_VALUE) for each in values)
        if key in self._counts:
            self._counts[key] += count
        elif len(self._counts) < self._limit:
            self._counts[key] = float(count)
        else:
            self._other += count

    def rows(self) -> list[Row]:
        """Sorted by values; the rest last, once there is one."""
        rows: list[Row] = sorted(self._counts.items())
        return [*rows, ((OTHER,) * self._labels, self._other)] if self._other else rows
