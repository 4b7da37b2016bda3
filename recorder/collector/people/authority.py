"""Who a person is and what they may read, as the platform's own authority says."""

from __future__ import annotations

from typing import Protocol

from recorder.model.person import Person

__all__ = ["Authority", "Person"]


class Authority(Protocol):
    """Kubernetes' reviews. Both raise PlatformUnreachable: nothing is then allowed."""

    async def person(self, token: str) -> Person | None:
        """Who bears the token; None: nobody whom the platform knows."""

    async def may_read(self, person: Person, namespace: str) -> bool:
        """Whether they may get ProfileRecordings in a namespace; "" asks for all namespaces."""

    async def may_scrape(self, person: Person) -> bool:
        """Whether they may get the non-resource path /metrics."""
