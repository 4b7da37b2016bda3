"""What the publisher counts, for metrics and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recorder.service.metrics import Row

__all__ = ["PublisherFigures"]


@dataclass(frozen=True, slots=True)
class PublisherFigures:
    """Counters since the start, and what is so now.

    recordings: that are followed; deleted: those of them that are gone, and kept for late reports. writes:
    applications of results; creations: those that made an object; refusals: those that the platform did
    not take. looks: at a recording. failures: steps that ended because platform or store did not answer.
    overdue: seconds by which the earliest look is late. decided: sightings by what the platform said of
    their pods. denials: by namespace, kind and class, bounded. problem: why nothing is written now, or
    empty.
    """

    recordings: int = 0
    deleted: int = 0
    writes: int = 0
    creations: int = 0
    refusals: int = 0
    looks: int = 0
    failures: int = 0
    overdue: float = 0.0
    decided: Mapping[str, int] = field(default_factory=dict, hash=False)
    denials: Sequence[Row] = ()
    events_waiting: int = 0
    events_dropped: int = 0
    problem: str = ""
