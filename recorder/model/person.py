"""A person or program that a token belongs to, as the platform's authority says."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """Who it is. `extra`: what a TokenReview carries besides, by key, for the reviews that follow."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
