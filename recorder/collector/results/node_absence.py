"""How long the agents of nodes have been away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

__all__ = ["NodeAbsence"]


class NodeAbsence:
    """By the monotonic clock. `connected`: the nodes whose agents are here now.

    After a restart all are away, since then: nobody knows for how long before.
    """

    def __init__(self, connected: Callable[[], Collection[str]]) -> None:
        self._connected = connected
        self._since: dict[str, float] = {}

    @property
    def connected(self) -> int:
        """How many nodes have an agent here."""
        return len(self._connected())

    def here(self) -> Collection[str]:
        """Return the nodes that have an agent here."""
        return self._connected()

    def keep(self, nodes: Collection[str]) -> None:
        """Forget all others: nothing that is followed runs there."""
        self._since = {node: since for node, since in self._since.items() if node in nodes}

    def away(self, nodes: Iterable[str], now: float) -> dict[str, float]:
        """Return those of these nodes whose agent is away, and since when."""
        here = self._connected()
        found = {}
        for node in nodes:
            if node in here:
                self._since.pop(node, None)
            else:
                found[node] = self._since.setdefault(node, now)
        return found
