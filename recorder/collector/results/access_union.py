"""What the workloads of several records accessed together: each once, however many had it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from recorder.collector.store.packed_accesses import key_of, unpack
from recorder.model.record import Phase
from recorder.profiles.apparmor_rules import UsedAccesses

__all__ = ["MAX_USED", "AccessUnion"]

MAX_USED: Final = 16_384
"""Different accesses of one result: as many as one record may have."""

# Keys begin with the field `phase`.
_WORKLOAD: Final = bytes((0x08, Phase.WORKLOAD))


class AccessUnion:
    """Grows by one record at a time. Of more than `maximum` those with the least digests are kept.

    cut: there were more, of one record or of all together.
    """

    def __init__(self, maximum: int = MAX_USED) -> None:
        self.cut = False
        self._maximum = maximum
        self._cut_at = b""
        self._seen: dict[bytes, tuple[bytes, int, int]] = {}  # digest, rights, records as bits

    def add(self, parts: Iterable[bytes], record: int) -> bool:
        """What the record with this number accessed, or some of it; whether the workload did anything."""
        worked = False
        seen, bit = self._seen, 1 << record
        for content in parts:
            for key, (digest, _, rights, _, _) in unpack(content).items():
                if not key.startswith(_WORKLOAD):
                    continue
                worked = True
                known = seen.get(key)
                if known is not None:
                    seen[key] = (digest, known[1] | rights, known[2] | bit)
                elif not self._cut_at or digest < self._cut_at:
                    seen[key] = (digest, rights, bit)
        self._prune(2 * self._maximum)
        return worked

    def used(self) -> UsedAccesses:
        """Return all of it, as profiles are made from it."""
        self._prune(self._maximum)
        used = UsedAccesses()
        used.cut = self.cut
        for key in sorted(self._seen):
            _, rights, records = self._seen[key]
            used.add_subject(key_of(key).subject, rights, records)
        return used

    def _prune(self, most: int) -> None:
        if len(self._seen) <= most:
            return
        kept = sorted(self._seen, key=lambda key: (self._seen[key][0], key))[: self._maximum + 1]
        self._cut_at, self.cut = self._seen[kept.pop()][0], True
        self._seen = {key: self._seen[key] for key in kept}
