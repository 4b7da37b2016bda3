"""Results that were made before, for those of whose containers nothing changed since."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from recorder.collector.results.drafts import ResultKey
from recorder.collector.results.result_kind import NotYet
from recorder.collector.results.result_summary import ResultSummary
from recorder.model.result import ResultObject

__all__ = ["Made", "MadeBefore"]

_RULES: Final = 50_000  # of all that are kept: some 10 MiB
_LEAST: Final = 64  # a result with few takes as much as one with so many


@dataclass(frozen=True, slots=True)
class Made:
    """A result as it shall be, or why there is none. `final`: of its state."""

    key: ResultKey
    content: ResultObject | NotYet = field(hash=False)
    digest: str
    summary: ResultSummary = field(hash=False)
    final: bool


class MadeBefore:
    """Those that were asked for last. Of all recordings; safe between threads.

    of: what a result was made of; equal only if it would be the same again.
    """

    def __init__(self, rules: int = _RULES) -> None:
        self._rules = rules
        self._held = 0
        self._made: OrderedDict[ResultKey, tuple[Hashable, Made]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: ResultKey, of: Hashable) -> Made | None:
        """Return the result, if it was made of the same."""
        with self._lock:
            known = self._made.get(key)
            if known is None or known[0] != of:
                return None
            self._made.move_to_end(key)
            return known[1]

    def put(self, made: Made, of: Hashable) -> None:
        """Keep it, and the others as far as there is room."""
        with self._lock:
            self._drop(made.key)
            self._made[made.key] = of, made
            self._held += _weight(made)
            while self._held > self._rules:
                self._drop(next(iter(self._made)))

    def _drop(self, key: ResultKey) -> None:
        known = self._made.pop(key, None)
        if known:
            self._held -= _weight(known[1])


def _weight(made: Made) -> int:
    return max(_LEAST, made.summary.rules)
