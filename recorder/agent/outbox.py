"""What the uplink asks of the agent's core: states to report, one for each source.

The core holds what was seen in any case, so nothing is queued here: a state is made when
there is room to send it, and a later one of the same source takes its place. A collector
that is away for days costs what it costs for a minute.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from recorder.record.v1 import record_pb2


@dataclass(frozen=True, slots=True)
class Part:
    """One source's state now: what a Report holds besides its sequence.

    `key` names the source (anything that can be a key). `not_recorded` says why a container
    that the plan asks for is not recorded; the observation then says who it is, and no more.
    """

    key: Hashable
    recordings: tuple[str, ...]
    observation: record_pb2.Observation
    not_recorded: str = ""


class Outbox(Protocol):
    """States that the collector has not stored. Every method is called in the event loop."""

    async def next(self) -> Part:
        """Wait for a source with news, and return its state as it is now.

        News: it changed since its state was given last, or was never given, or was given
        before `rewind` and not acknowledged. A source that was given and neither
        acknowledged nor rewound is in flight and has no news yet, so that at most one state
        of it is under way. May be cancelled at any time, and then has given nothing.
        """

    def acknowledged(self, key: Hashable) -> None:
        """The collector has stored the state that was given last of this source."""

    def refused(self, key: Hashable) -> None:
        """It has not stored that state, and never will: what it lacks then is lost."""

    def rewind(self) -> None:
        """The stream is lost: whatever is in flight has news again."""

    def unacknowledged(self) -> int:
        """How many sources have news or are in flight."""
