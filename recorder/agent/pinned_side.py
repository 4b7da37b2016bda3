"""A kernel side beside the one of calls: the last agent's, or loaded anew, and pinned for the next."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from recorder.kernel import pins
from recorder.model.errors import BpfLoadError, PinMismatch

__all__ = ["PinnedSide"]

_LOG = logging.getLogger(__name__)

MOMENT = 0.2
"""Seconds."""


class _Side(Protocol):
    def pin(self, folder: Path) -> None: ...

    def close(self) -> None: ...


S = TypeVar("S", bound=_Side)


class PinnedSide(Generic[S]):
    """One at most.

    opener: makes it, or takes over the one that is pinned in a folder; None where nobody can look. pinned:
    the agent's folder of pins, None if nothing outlives it. name: of what it sees, and of its folder there.
    lost: how much of what it should have seen was lost, of nobody knows whom.
    """

    def __init__(
        self,
        opener: Callable[[Path | None], S] | None,
        pinned: Path | None,
        name: str,
        lost: Callable[[S], int],
    ) -> None:
        self._opener = opener
        self._folder = pinned / name if pinned else None
        self._name = name
        self._lost = lost
        self._missed = 0
        self._missed_at = float("-inf")
        self.side: S | None = None
        """None before `prepare`, after `close`, and where nobody can look."""
        self.adopted = False
        """Whether it is the last agent's, with all that it had seen."""

    def prepare(self) -> None:
        """Loads it, or takes it over; blocks. Raises what its opener does."""
        if self._opener is None:
            self._unpin()  # the last agent may have had one
        elif self.side is None:
            side = self._taken_over(self._opener)
            self.side = self._opened(self._opener) if side is None else side

    def _taken_over(self, opener: Callable[[Path | None], S]) -> S | None:
        if self._folder is None or not (self._folder / pins.MAPS).is_dir():
            return None
        try:
            side = opener(self._folder)
        except PinMismatch as error:
            _LOG.error("%s that the last agent saw are lost: %s", self._name, error)
            return None
        self.adopted = True
        return side

    def _opened(self, opener: Callable[[Path | None], S]) -> S:
        self._unpin()
        side = opener(None)
        if self._folder:
            try:
                side.pin(self._folder)
            except BpfLoadError as error:
                _LOG.warning("a next agent has none of the %s of this one: %s", self._name, error)
        return side

    def _unpin(self) -> None:
        if self._folder:
            pins.unpin(self._folder)

    def close(self, *, keep: bool = False) -> None:
        """Ends it; keep: what is pinned goes on, for the next agent. May be repeated."""
        if self.side is not None:
            self.side.close()
            self.side = None
        if not keep:
            self._unpin()

    def missed(self, *, now: bool = True) -> int:
        """What was lost so far; unless it has to be `now`, up to a moment ago: each slot may be asked."""
        if self.side is not None and (now or time.monotonic() - self._missed_at > MOMENT):
            self._missed = self._lost(self.side)
            self._missed_at = time.monotonic()
        return self._missed
