"""The slots in use, as the kernel side has them.

Its events are hints: what a lost one would have said is found by looking again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from recorder.agent.budget import Use
from recorder.agent.roots import MODES
from recorder.agent.tracked import Subject, Tracked
from recorder.containers.cgroup import Cgroup
from recorder.containers.place import place_of, unit_of
from recorder.kernel.backend import Backend, Target
from recorder.kernel.layout import EventKind, SlotMode
from recorder.kernel.ring import RingEvent
from recorder.model.errors import BpfLimit, CgroupNotFound
from recorder.model.ledger import Ledger

__all__ = ["PHASES", "Slots"]

PHASES = {mode: name for name, mode in MODES.items()}
"""By a slot's mode, as records have them."""
LEAVING_LOOKS = 250


class Slots:
    """By slot and generation, and by cgroup. For an event loop; nothing in it blocks.

    entered, ended: called with each slot that came, and each whose cgroup is gone.
    """

    def __init__(
        self,
        backend: Backend,
        mount: Path,
        use: Use,
        *,
        namespaces: tuple[str, ...],
        entered: Callable[[Tracked], None],
        ended: Callable[[Tracked], None],
    ) -> None:
        self._backend = backend
        self._mount = mount
        self._use = use
        self._namespaces = namespaces
        self._entered = entered
        self._ended = ended
        self._tracked: dict[tuple[int, int], Tracked] = {}
        self._by_cgroup: dict[int, Tracked] = {}
        self._ring_full = 0
        self.children_refused = 0
        """How often slots that were given back had no room for a child."""

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._tracked.values()))

    def __len__(self) -> int:
        return len(self._tracked)

    def holds(self, tracked: Tracked) -> bool:
        """Whether it is in use still."""
        return self._tracked.get(tracked.key) is tracked

    def by_cgroup(self, identity: int) -> Tracked | None:
        """Whose slot counts for a cgroup."""
        return self._by_cgroup.get(identity)

    def cgroups(self) -> frozenset[int]:
        """Ids of those that have one."""
        return frozenset(self._by_cgroup)

    # --- one comes or goes

    def made(self, target: Target, base: Ledger) -> Tracked:
        """What is known of a slot that the kernel side made; `enter` is to follow."""
        path = target.path or self._path_of(target.cgroup_id)
        place = place_of(path, self._namespaces)
        reading = self._backend.read(target)
        slot_mode = SlotMode.MODE_CONTAINER if place else SlotMode.MODE_EXEC
        tracked = Tracked(
            target,
            Subject(path, place, None, "" if place else unit_of(path)),
            PHASES[slot_mode],
            late=reading.late,
            base=base,
        )
        tracked.reading = reading
        tracked.ended = reading.ended
        return tracked

    def _path_of(self, identity: int) -> str:
        """A cgroup's path by its id; empty if it is gone."""
        root = Cgroup(self._mount, self._mount)
        for each in root.descendants():
            with contextlib.suppress(CgroupNotFound):
                if each.id == identity:
                    return each.name
        return ""

    def enter(self, tracked: Tracked) -> None:
        """From now on it is in use."""
        self._tracked[tracked.key] = tracked
        self._by_cgroup[tracked.target.cgroup_id] = tracked
        if tracked.reading is None:
            tracked.reading = self._backend.read(tracked.target)
        self._entered(tracked)

    def forget(self, tracked: Tracked) -> None:
        """It was given back."""
        self._tracked.pop(tracked.key, None)
        if self._by_cgroup.get(tracked.target.cgroup_id) is tracked:
            del self._by_cgroup[tracked.target.cgroup_id]
        tracked.sights.forget(self._use)
        if tracked.reading:
            self.children_refused += tracked.reading.ledger.counts.get("children_full", 0)

    # --- one is looked for

    def meet(self, identity: int) -> Tracked | None:
        """The slot that the kernel side made for a cgroup, if the event of that was not read yet."""
        for target in self._backend.targets():
            if target.cgroup_id == identity and (target.slot, target.generation) not in self._tracked:
                self.enter(self.made(target, self._backend.ledger()))
        return self._by_cgroup.get(identity)

    async def standing(self, identity: int) -> Tracked | None:
        """A cgroup's, once none is being given back; that takes some milliseconds. Raises BpfLimit."""
        for _ in range(LEAVING_LOOKS):
            known = self._by_cgroup.get(identity)
            if known is None or not known.leaving:
                return known
            await asyncio.sleep(0.02)
        raise BpfLimit(f"the slot of cgroup {identity} is not given back yet; try again")

    def begun(self, tracked: Tracked) -> int:
        """When its recording began, of CLOCK_BOOTTIME in ns."""
        reading = tracked.reading or self._backend.read(tracked.target)
        return reading.epoch

    # --- what the kernel side says

    def take(self) -> frozenset[int]:
        """What its events say; returns of which kinds (EventKind) there were some."""
        events = self._backend.events()
        for event in events:
            self._take(event)
        return frozenset(event.kind for event in events)

    def _take(self, event: RingEvent) -> None:
        tracked = self._tracked.get((event.slot, event.generation))
        match event.kind:
            case EventKind.EVENT_BEGIN:
                if tracked is None:
                    self._begin(event.slot, event.generation)
            case EventKind.EVENT_FIRST_SIGHT | EventKind.EVENT_DENIED if tracked:
                tracked.sights.see(event, self._use)
                tracked.dirty = True
            case EventKind.EVENT_END if tracked:
                self._end(tracked)
            case _:
                pass

    def _begin(self, slot: int, generation: int) -> None:
        target = self._backend.target(slot)
        if target and target.generation == generation:
            self.enter(self.made(target, self._backend.ledger()))

    def _end(self, tracked: Tracked) -> None:
        tracked.ended = True
        tracked.dirty = True
        self._ended(tracked)

    @property
    def events_lost(self) -> bool:
        """Whether some found no room since the last sweep."""
        return self._lost_in_ring() != self._ring_full

    def _lost_in_ring(self) -> int:
        return self._backend.ledger().counts.get("ring_full", 0)

    def sweep(self) -> None:
        """Every slot, whatever the events said."""
        self._ring_full = self._lost_in_ring()
        for target in self._backend.targets():
            tracked = self._tracked.get((target.slot, target.generation))
            if tracked is None:
                self.enter(self.made(target, self._backend.ledger()))
            else:
                tracked.dirty = True

    def read_dirty(self) -> None:
        """Those of which there may be something new."""
        for tracked in self:
            if not tracked.dirty or tracked.leaving:
                continue
            tracked.dirty = False
            before, tracked.reading = tracked.reading, self._backend.read(tracked.target)
            if tracked.reading.ended and not tracked.ended:
                self._end(tracked)
            if tracked.reading != before or tracked.observation is None:
                tracked.news()
