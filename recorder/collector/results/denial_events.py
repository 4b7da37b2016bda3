"""Events on denials: one for each sort of a container, and no more than a person can read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from recorder.collector.results.denial_summary import DenialSort
from recorder.collector.results.recording_events import RecordingEvents
from recorder.model.denial import Verdict
from recorder.model.escape import escape
from recorder.model.recording import RecordingName

__all__ = ["DenialEvents"]

_AT_ONCE: Final = 10
"""New sorts of which is told in one look; of more of them only their number."""
_MOST: Final = 300
"""Sorts of one recording that are told; others are in the status alone."""
_QUIET: Final = frozenset({Verdict.AUDITED.value, Verdict.OTHER.value})
"""Verdicts that stopped nothing, and would not have."""


class DenialEvents:
    """Those of one recording; after a restart each is told once more, and counted up by the platform."""

    def __init__(self, events: RecordingEvents) -> None:
        self._events = events
        self._told: set[int] = set()  # hashes, since sorts have long words

    def tell(self, recording: RecordingName, denials: Iterable[tuple[str, DenialSort]]) -> None:
        """Of what was not told yet; `denials`: with the container's name."""
        new: dict[tuple[str, str, str, str], str] = {}
        for container, sort in denials:
            key = (container, *sort.key)
            if hash(key) not in self._told and sort.verdict not in _QUIET:
                new[key] = min(new.get(key, sort.example), sort.example)
        room = max(0, _MOST - len(self._told))
        ordered = sorted(new)[:room]
        for key in ordered[:_AT_ONCE]:
            message = f"the container {escape(key[0])}: {new[key]}"
            self._events.tell(recording, "Denied", message, warning=True, once="\0".join(key))
        if len(ordered) > _AT_ONCE:
            message = f"{len(ordered) - _AT_ONCE} more sorts of denials: see recorder records --explain"
            self._events.tell(recording, "Denied", message, warning=True, once=message)
        self._told.update(map(hash, ordered))
