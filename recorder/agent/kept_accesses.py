"""Accesses of containers that have ended, until the captures that asked for them end as well."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

from recorder.model.accesses import Accesses
from recorder.model.record import Source

__all__ = ["KeptAccesses"]


class KeptAccesses:
    """At most `most` entries, over all captures."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._of: dict[Hashable, dict[Source, Accesses]] = {}

    def keep(self, capture: Hashable, source: Source, accesses: Accesses) -> int:
        """Joined with what is there of the source; returns how many found no room: then all of these."""
        kept = self._of.get(capture, {})
        known = kept.get(source, Accesses())
        joined = known.join(accesses)
        more = len(joined.entries) - len(known.entries)
        if self._used + more > self._most:
            return len(accesses.entries)
        if joined:
            self._used += more
            self._of.setdefault(capture, {})[source] = joined
        return 0

    def of(self, capture: Hashable) -> Mapping[Source, Accesses]:
        """A capture's."""
        return MappingProxyType(self._of.get(capture, {}))

    def forget(self, capture: Hashable) -> None:
        """It has ended."""
        self._used -= sum(len(each.entries) for each in self._of.pop(capture, {}).values())
