"""When something that grows is written: soon at first, then with doubling distance."""

from __future__ import annotations

from math import inf

__all__ = ["Backoff", "WriteSchedule"]

# What a write costs its maker may take this part of the time, at most.
_SHARE = 1 / 20


class WriteSchedule:
    """One thing's schedule. Times are those of any clock that only goes forward, in seconds.

    A change is written `first` seconds later, so that what comes with it is written with it; after
    each write the next may come at a distance that doubles from `first` to `longest`.
    """

    __slots__ = ("_distance", "_first", "_free", "_longest", "due")

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._distance = first
        self._free = -inf
        self.due: float | None = None
        """When to write; None: nothing is to be written."""

    def changed(self, now: float) -> None:
        """There is something new."""
        if self.due is None:
            self.due = max(now + self._first, self._free)

    def at_once(self, now: float) -> None:
        """There is something that does not wait."""
        self.due = now if self.due is None else min(self.due, now)

    def postpone(self, until: float) -> None:
        """It could not be written; it is tried again then."""
        self.due = until

    def looked(self, now: float, *, wrote: bool, cost: float = 0.0) -> None:
        """It was made again, and written if that differed. `cost`: how long the making took."""
        self.due = None
        if wrote:
            self._distance = min(2 * self._distance, self._longest)
        self._free = now + max(self._distance, cost / _SHARE)

    def begin_anew(self) -> None:
        """The distance is `first` again: what was written last had reached its end."""
        self._distance = self._first


class Backoff:
    """Seconds to wait after failures in a row: 1, doubling to `longest`."""

    __slots__ = ("_longest", "failures")

    def __init__(self, longest: float = 60.0) -> None:
        self._longest = longest
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; return the wait."""
        self.failures += 1
        return min(self._longest, 2.0 ** min(self.failures - 1, 32))

    def succeeded(self) -> None:
        """The next failure is the first again."""
        self.failures = 0
