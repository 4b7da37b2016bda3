"""What was seen of a slot, put together from all kernel sides."""

from __future__ import annotations

import asyncio

from recorder.agent.accesses import Used
from recorder.agent.observation import observe, shared_losses
from recorder.agent.tracked import Tracked
from recorder.agent.tracked_accesses import TrackedAccesses
from recorder.agent.tracked_denials import TrackedDenials
from recorder.kernel.backend import Backend, Reading
from recorder.model.ledger import Ledger
from recorder.model.record import Observation

__all__ = ["Observer"]


class Observer:
    """Makes observations of slots, for a node's name."""

    def __init__(
        self, backend: Backend, denials: TrackedDenials, accesses: TrackedAccesses, *, node: str
    ) -> None:
        self._backend = backend
        self._denials = denials
        self._accesses = accesses
        self._node = node

    def so_far(self, tracked: Tracked) -> Observation:
        """Without its accesses: those are in its log. Made once for each of its revisions."""
        if tracked.observation is None:
            reading = self._backend.read(tracked.target)
            tracked.observation = self._observe(tracked, reading, self._accesses.so_far(tracked), ended=False)
        return tracked.observation

    async def read_last(self, tracked: Tracked) -> Reading:
        """Its last reading: it waits some milliseconds for runs that are under way."""
        return await asyncio.to_thread(self._backend.read, tracked.target, final=True)

    async def last(self, tracked: Tracked, reading: Reading) -> Observation:
        """All of it. reading: its last."""
        return self._observe(tracked, reading, await self._accesses.last(tracked), ended=True)

    def _observe(self, tracked: Tracked, reading: Reading, used: Used | None, *, ended: bool) -> Observation:
        causes = {
            "attached_late": int(tracked.late or reading.late),
            "identity_unknown": int(tracked.identified and tracked.unknown),
            "denials_late": int(tracked.denials and tracked.denials_late),
        }
        container = tracked.subject.container
        return observe(
            reading,
            node=self._node,
            loader=self._backend.loader,
            phases=tracked.phases,
            identity=tracked.subject.identity(),
            ledger=shared_losses(self._backend.ledger(), tracked.base) + Ledger(causes),
            sights=dict(tracked.sights),
            ended=ended,
            runtime=container.runtime if container else "",
            runtime_version=container.runtime_version if container else "",
            denied=self._denials.so_far(tracked),
            used=used,
        )
