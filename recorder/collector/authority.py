"""Who a person is and what they may read, as the platform's own authority says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Authority", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """Who a token belongs to, as a TokenReview says. `extra`: what the review carries besides."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())


class Authority(Protocol):
    """Kubernetes' reviews. Both raise PlatformUnreachable: nothing is then allowed."""

    async def person(self, token: str) -> Person | None:
        """Who bears the token; None: nobody whom the platform knows."""

    async def may_read(self, person: Person, namespace: str) -> bool:
        """Whether they may get ProfileRecordings in a namespace; "" asks for all namespaces."""

    async def may_scrape(self, person: Person) -> bool:
        """Whether they may get the non-resource path /metrics."""
