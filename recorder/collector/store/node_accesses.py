"""How much of accesses the store has of each node, so that none takes the room of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import func, select

from recorder.collector.store.session import Session
from recorder.collector.store.tables import ACCESSES, SIGHTING

__all__ = ["NodeAccesses"]


class NodeAccesses:
    """Bytes by node: what reports added, which may be what was there already, and counted where it matters.

    most: bytes of one node.
    """

    def __init__(self, session: Session, most: int) -> None:
        self._session = session
        self._most = most
        self._bytes: Counter[str] = Counter()
        self._counted: set[str] = set()
        self.count()

    def full(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return those of these nodes that have so many."""
        found = set()
        for node in nodes:
            if self._bytes[node] >= self._most and node not in self._counted:
                self._bytes[node] = self._count(node).get(node, 0)
                self._counted.add(node)
            if self._bytes[node] >= self._most:
                found.add(node)
        return frozenset(found)

    def add(self, sizes: Mapping[str, int]) -> None:
        """Reports with so many bytes were stored."""
        for node, size in sizes.items():
            self._bytes[node] += size
            self._counted.discard(node)

    def count(self) -> None:
        """Something was removed."""
        self._bytes = self._count()
        self._counted = set(self._bytes)

    def _count(self, node: str | None = None) -> Counter[str]:
        query = (
            select(SIGHTING.c.node, func.sum(func.length(ACCESSES.c.content)))
            .join(ACCESSES, ACCESSES.c.sighting_id == SIGHTING.c.id)
            .group_by(SIGHTING.c.node)
        )
        if node is not None:
            query = query.where(SIGHTING.c.node == node)
        with self._session.reading() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})
