"""One capture: what its client asked for, and what is kept for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from recorder.agent.kept_accesses import KeptAccesses
from recorder.agent.observation import unrecorded, without_accesses
from recorder.agent.selection import Selection
from recorder.agent.tracked import Subject, Tracked
from recorder.containers.container import Container
from recorder.model.accesses import Accesses
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation, Record, Source
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["Capture"]


class Capture:
    """One capture: an Asker of the tracker.

    `capture_id`: the client and its own name for it; empty: it ends with its stream.
    `changed` is set when there is something new for its client. `streams`: how often a client
    came; the last one counts.
    """

    def __init__(
        self,
        request: pb.CaptureRequest,
        selection: Selection,
        deadline_ns: int,
        capture_id: str,
        owner: str,
        *,
        kept: KeptAccesses,
    ) -> None:
        self.request = request
        self._kept = kept
        self.owner = owner
        self.capture_id = capture_id
        self.selection = selection
        self.deadline_ns = deadline_ns
        self.begun_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.changed = asyncio.Event()
        self.streams = 0
        self.connected = False
        self.away_since = time.monotonic()
        self.seen = False
        self._ended: dict[Source, Observation] = {}
        self._missed: dict[str, Identity] = {}  # by container id

    @property
    def durable(self) -> bool:
        """With a name its client can come back."""
        return bool(self.capture_id)

    @property
    def open(self) -> bool:
        """As the selection's."""
        return self.selection.open

    @property
    def units(self) -> frozenset[str]:
        """As the selection's."""
        return self.selection.units

    @property
    def denials(self) -> bool:
        """Whether its client asks for them."""
        return pb.KIND_DENIALS in self.request.kinds

    def wants_denials(self, subject: Subject) -> bool:
        """Of all that it has, or of nothing."""
        return self.denials

    @property
    def accesses(self) -> bool:
        """Whether its client asks for them."""
        return pb.KIND_ACCESSES in self.request.kinds

    def wants_accesses(self, subject: Subject) -> bool:
        """Of all that it has, or of nothing."""
        return self.accesses

    def wants(self, subject: Subject) -> bool:
        """As the selection's."""
        return self.selection.wants(subject)

    def recordings(self, subject: Subject) -> tuple[str, ...]:
        """None: it is not the plan."""
        return ()

    def touched(self, tracked: Tracked) -> None:
        """Something for the client."""
        self.news()

    def news(self) -> None:
        """Something for the client."""
        self.seen = True
        self.changed.set()

    def missed(self, container: Container) -> None:
        """What its record would have is lost, as long as it has none."""
        self._missed[container.id] = container.identity()
        self.seen = True
        self.changed.set()

    def ended(self, tracked: Tracked, observation: Observation) -> None:
        """Kept until the client has it all."""
        self.keep(observation)

    def keep(self, observation: Observation) -> None:
        """A final observation is its own."""
        source = observation.source
        if not self.accesses:
            observation = without_accesses(observation)
        missing = self._kept.keep(self, source, observation.accesses)
        ledger = observation.ledger + Ledger({"accesses_full": missing})
        observation = replace(observation, accesses=Accesses(), ledger=ledger)
        known = self._ended.get(source)
        self._ended[source] = known.join(observation) if known else observation
        self.seen = True
        self.changed.set()

    @property
    def identities(self) -> Iterable[Identity]:
        """Of what has ended."""
        return [each.identity for each in self._ended.values()]

    @property
    def ended_ones(self) -> Iterable[tuple[Source, Identity, Accesses]]:
        """What has ended, with its accesses as far as they are kept."""
        kept = self._kept.of(self)
        return [(source, self._ended[source].identity, kept[source]) for source in sorted(kept)]

    @property
    def sources(self) -> Iterable[Source]:
        """Of what has ended."""
        return self._ended.keys()

    def record(self, running: Iterable[Observation], node: str) -> Record:
        """All that was seen; of a container that found no slot, the loss."""
        observations = (*self._ended.values(), *running)
        recorded = {each.identity.container_id for each in observations}
        missed = (identity for name, identity in self._missed.items() if name not in recorded)
        return Record((*observations, *(unrecorded(node, each) for each in missed)))

    def seconds_left(self) -> float:
        """Until its duration is over; infinite without one."""
        if not self.deadline_ns:
            return float("inf")
        return (self.deadline_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9
