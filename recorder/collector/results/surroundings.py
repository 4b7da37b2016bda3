"""What the results of all recordings share: store, platform, names, events, policy, clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recorder.collector.agents.node_abilities import NodeAbilities
from recorder.collector.platform import Platform
from recorder.collector.results.completed_objects import CompletedObjects
from recorder.collector.results.group_reader import SightingStore
from recorder.collector.results.made_before import MadeBefore
from recorder.collector.results.node_absence import NodeAbsence
from recorder.collector.results.profile_update import ProfileUpdates
from recorder.collector.results.recording_events import RecordingEvents
from recorder.collector.results.recording_index import OutlineStore
from recorder.collector.results.result_claim import Claims
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.results.result_writer import ResultStore, ResultWriter
from recorder.collector.store.sighting import Confirmation
from recorder.collector.store.stored import StoredResult

__all__ = ["ResultsStore", "Surroundings"]


class ResultsStore(OutlineStore, ResultStore, SightingStore, Protocol):
    """What is asked of the store."""

    async def results(self, recording: str) -> Sequence[StoredResult]:
        """Return what was written."""

    async def emitted(self, recording: str, revision: int) -> None:
        """Results hold all that sightings say up to a revision."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all recordings share.

    store_full: why the store takes nothing, or empty. left_out: why agents are not told of the
    recording of an id, or empty. abilities: what a node can record; None: its agent is not here.
    """

    store: ResultsStore
    platform: Platform
    claims: Claims
    writer: ResultWriter
    completed: CompletedObjects
    updates: ProfileUpdates
    events: RecordingEvents
    absence: NodeAbsence
    before: MadeBefore
    turn: asyncio.Lock
    policy: ResultPolicy
    version: str
    clock: Callable[[], float]
    store_full: Callable[[], str]
    left_out: Callable[[str], str]
    abilities: Callable[[str], NodeAbilities | None]

    @property
    def accept(self) -> frozenset[Confirmation]:
        """The confirmations that count."""
        also = [Confirmation.MISSING] if self.policy.accept_unconfirmed else []
        return frozenset([Confirmation.CONFIRMED, *also])
