"""One point that `recorder check` looked at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One point: what was found; needed: nothing is recorded without it."""

    point: str
    good: bool
    needed: bool
    found: str
    remedy: str = ""
