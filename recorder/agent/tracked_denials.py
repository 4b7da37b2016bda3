"""To whom something is denied: looked for while somebody asks, and told to those who do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from recorder.agent.askers import Askers
from recorder.agent.denial_counts import DenialCounts
from recorder.agent.denials import Denials
from recorder.agent.denied import Denied
from recorder.agent.roots import Roots
from recorder.agent.slots import Slots
from recorder.agent.state import TargetState
from recorder.agent.tracked import Tracked
from recorder.kernel.backend import Backend
from recorder.model.record import Observation

if TYPE_CHECKING:
    from recorder.service.metrics import Row

__all__ = ["TrackedDenials"]

_LOG = logging.getLogger(__name__)

STRAY = 10_000_000_000
"""ns that denials of a cgroup without a slot are kept: its slot may be on the way."""


class TrackedDenials:
    """Between a tracker and what looks for denials; for the tracker's event loop.

    backend: it looks for denied calls; denials: for what AppArmor and SELinux deny.
    """

    def __init__(
        self, backend: Backend, denials: Denials, roots: Roots, *, slots: Slots, askers: Askers
    ) -> None:
        self._backend = backend
        self._denials = denials
        self._roots = roots
        self._slots = slots
        self._askers = askers
        self._lock = asyncio.Lock()
        self._looking: bool | None = None  # None: nobody knows what the last agent left
        self._since_ns = 0  # CLOCK_BOOTTIME
        self._counts = DenialCounts()

    async def look(self, *, restoring: bool = False) -> None:
        """While somebody asks for them. Raises BpfError if they cannot be looked for now.

        restoring: who asked the last agent may not have come back yet.
        """
        async with self._lock:
            wanted = self._askers.denials
            if wanted is self._looking or (restoring and not wanted):
                return
            await asyncio.to_thread(self._backend.look_for_denied, wanted)
            await asyncio.to_thread(self._denials.look, wanted)
            if wanted and self._denials.problem:
                _LOG.warning("what AppArmor and SELinux deny is not looked for: %s", self._denials.problem)
            self._looking = wanted
            self._since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if wanted:
                self._denials.roots(self._roots.containers)
                for each in self._slots:
                    self._denials.begin(each.target.cgroup_id)

    # --- of a slot

    def enter(self, tracked: Tracked) -> None:
        """A new one."""
        if self._looking:
            tracked.denials_missed = self._denials.missed()
            self._denials.begin(tracked.target.cgroup_id)

    def recall(self, tracked: Tracked, state: TargetState) -> None:
        """One of the last agent's."""
        tracked.denials, tracked.denials_late = state.denials, state.denials_late
        tracked.denials_missed = state.denials_missed

    def want(self, tracked: Tracked, epoch: int) -> None:
        """Somebody asks for them from now on. epoch: when its recording began, CLOCK_BOOTTIME."""
        tracked.denials = True
        tracked.denials_late = not self._looking or epoch < self._since_ns
        tracked.news()

    def so_far(self, tracked: Tracked) -> Denied | None:
        """What it was denied; None: nobody asks for it."""
        if not tracked.denials:
            return None
        return self._denials.of(tracked.target.cgroup_id, tracked.denials_missed)

    async def drop(self, leaving: Collection[Tracked]) -> None:
        """Nothing more is taken of them."""
        if self._denials.attached:
            await asyncio.to_thread(self._denials.drop, [each.target.cgroup_id for each in leaving])

    def release(self, tracked: Tracked) -> None:
        """Its slot was given back."""
        self._denials.release(tracked.target.cgroup_id)
        self._counts.forget(tracked.key)

    # --- looks

    async def read(self, *, sweep: bool) -> None:
        """Tells who asked of whom there is something new."""
        for identity in self._denials.changed():
            tracked = self._slots.by_cgroup(identity)
            if tracked and tracked.denials and not tracked.leaving:
                tracked.news()
        if sweep and self._denials.attached:
            # what began a moment ago may be of a container whose begin was not read yet
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - STRAY
            await asyncio.to_thread(self._denials.sweep, self._slots.cgroups(), before)

    # --- what the metric shows

    def count(self, tracked: Tracked, observation: Observation) -> None:
        """What is new of it."""
        self._counts.take(tracked.key, observation)

    def rows(self) -> list[Row]:
        """How often something was denied, as far as it was counted, by namespace, kind and class."""
        return self._counts.rows()
