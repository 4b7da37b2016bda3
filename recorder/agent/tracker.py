"""The agent's core: which cgroups have slots, whose they are, who asked, and what was seen.

Everything here runs in one event loop. The kernel side is the truth: events are hints, and
what they would have said is found by looking again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.agent.accesses import AccessReader, Used
from recorder.agent.beginning import begin
from recorder.agent.budget import Use
from recorder.agent.denial_counts import DenialCounts
from recorder.agent.denials import Denials
from recorder.agent.naming import Naming
from recorder.agent.observation import boot_id, observe, shared_losses
from recorder.agent.roots import MODES, Roots
from recorder.agent.spool import Entry, Spool
from recorder.agent.state import TargetState
from recorder.agent.tracked import Asker, Subject, Tracked
from recorder.agent.tracked_accesses import TrackedAccesses
from recorder.containers.cgroup import Cgroup
from recorder.containers.container import Container
from recorder.containers.index import ContainerIndex
from recorder.containers.place import Place, place_of, unit_of
from recorder.kernel.backend import Backend, Reading, Target
from recorder.kernel.layout import EventKind, SlotMode
from recorder.kernel.ring import RingEvent
from recorder.model.errors import (
    BpfError,
    BpfLimit,
    CgroupNotFound,
    RecorderError,
    SpoolFull,
    StorageError,
)
from recorder.model.ledger import Ledger
from recorder.model.record import ContainerKind, Observation

if TYPE_CHECKING:
    from recorder.service.metrics import Row

__all__ = ["Tracker"]

_LOG = logging.getLogger(__name__)

TICK = 0.25  # seconds between two looks while something is recorded
SWEEP = 20  # ticks between two looks at every slot: what a lost event would have said
REFRESH = 40  # ticks between two scans of the tree of cgroups
LEAVING_LOOKS = 250
UNKNOWN = 60.0  # seconds that a living container of which no runtime knows keeps its slot
STRAY = 10_000_000_000  # ns that denials of a cgroup without a slot are kept: its slot may be on the way
RESTS = 3  # times as long as a look for containers took is waited before the next
HANDED_ON = 64  # slots at a time: each is read in a thread, and all that is read is kept until then

_PHASES = {mode: name for name, mode in MODES.items()}


class Tracker:
    """All slots, and who asked for them.

    `run` is to be a task of the loop. `ask`, `leave`, `changed` say who wants what from now
    on. `spool` takes final records of durable askers before their slots are given back; None
    where there are none.
    """

    def __init__(
        self,
        backend: Backend,
        index: ContainerIndex,
        spool: Spool | None,
        use: Use,
        *,
        node: str,
        mount: Path,
        namespaces: tuple[str, ...] = ("default",),
        denials: Denials | None = None,
        accesses: AccessReader | None = None,
    ) -> None:
        self._backend = backend
        self._index = index
        self._spool = spool
        self._use = use
        self._node = node
        self._mount = mount
        self._namespaces = namespaces
        self._denials = denials or Denials(None)
        self._denial_counts = DenialCounts()
        self._reader = accesses or AccessReader(None)
        self._accesses = TrackedAccesses(self._reader, self.tracked, self._tell)
        self._denying = asyncio.Lock()
        self._looking: bool | None = None  # for denials; None: nobody knows what the last agent left
        self._looking_since = 0  # CLOCK_BOOTTIME in ns
        self._roots = Roots(backend, mount)
        self._naming = Naming(index, self)
        self._tracked: dict[tuple[int, int], Tracked] = {}
        self._by_cgroup: dict[int, Tracked] = {}
        self._askers: set[Asker] = set()
        self._wake = asyncio.Event()
        self._look = asyncio.Event()  # at what the runtimes know
        self._leaving: asyncio.Queue[Tracked] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ring_full = 0
        self._children_refused = 0
        self._stale_roots = True
        self._handing = asyncio.Lock()
        self._arming = asyncio.Lock()
        self._next_arm: asyncio.Future[None] | None = None
        self._restoring = False
        self._finishing = False
        self.unnamed = 0
        self.inherited = Ledger()
        """What was lost between the last agent and this one."""
        self.failed: dict[str, str] = {}
        """Why a container that somebody wants is not recorded, by container id."""
        self.on_change: list[asyncio.Event] = []
        """Set when a slot came or went, or it became known whose one is: what a next agent needs changed."""
        index.subscribe(self._look.set)

    # --- what others see

    @property
    def attached(self) -> bool:
        """Whether any program may be attached."""
        return bool(self._tracked) or self._roots.armed

    def tracked(self) -> Iterator[Tracked]:
        """All slots in use."""
        return iter(list(self._tracked.values()))

    def of(self, asker: Asker) -> Iterator[Tracked]:
        """An asker's own."""
        return (each for each in self.tracked() if asker in each.askers)

    def by_cgroup(self, identity: int) -> Tracked | None:
        """Whose slot counts for a cgroup."""
        return self._by_cgroup.get(identity)

    def ledger(self) -> Ledger:
        """Of the kernel side as a whole, and of the agent."""
        return self._backend.ledger() + Ledger({"identity_unknown": self.unnamed}) + self.inherited

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.use, with what slots that were given back had."""
        use = dict(self._backend.use())
        children, refused = use["children"]
        use["children"] = children, refused + self._children_refused
        watched, refused = use["roots"]
        use["roots"] = watched, refused + self._roots.refused
        use["denials"] = self._denials.use()
        return {**use, **self._reader.use()}

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.runs."""
        return {**self._backend.runs(), **self._reader.runs()}

    def accessed(self) -> list[Row]:
        """How many different accesses were seen so far, by kind."""
        return self._accesses.rows()

    def denied(self) -> list[Row]:
        """How often something was denied so far, by namespace, kind and class."""
        for each in self.tracked():
            if each.denials and not each.leaving:
                self._denial_counts.take(each.key, self.observation(each))
        return self._denial_counts.rows()

    def observation(self, tracked: Tracked) -> Observation:
        """What was seen of a slot so far, but for its accesses: those are in its log."""
        if tracked.observation is None:
            reading = self._backend.read(tracked.target)
            tracked.observation = self._observe(tracked, reading, self._accesses.so_far(tracked))
        return tracked.observation

    async def last_observation(self, tracked: Tracked) -> Observation:
        """What was seen of a slot in all, for an asker that ends while it goes on."""
        reading = await self._read_last(tracked)
        return self._observe(tracked, reading, await self._accesses.last(tracked), ended=True)

    async def _read_last(self, tracked: Tracked) -> Reading:
        # it waits some milliseconds for runs that are under way
        return await asyncio.to_thread(self._backend.read, tracked.target, final=True)

    @property
    def node(self) -> str:
        """Whose slots these are."""
        return self._node

    @property
    def mount(self) -> Path:
        """Of cgroup v2."""
        return self._mount

    def states(self) -> tuple[TargetState, ...]:
        """What a next agent needs to know of the slots."""
        states = []
        for each in self.tracked():
            source = each.source(self._node, boot_id())
            if source:
                identity = each.subject.identity()
                recordings, captures = each.owed()
                states.append(
                    TargetState(
                        each.target,
                        source,
                        late=each.late,
                        base=each.base,
                        identity=identity,
                        recordings=recordings,
                        captures=captures,
                        denials=each.denials,
                        denials_late=each.denials_late,
                        denials_missed=each.denials_missed,
                        accesses=each.accesses,
                        accesses_late=each.accesses_late,
                        accesses_missed=each.accesses_missed,
                        access_unwatched=each.access_unwatched,
                    )
                )
        return tuple(states)

    @property
    def accesses_since_ns(self) -> int:
        """From when on accesses are seen, of CLOCK_BOOTTIME; 0: they are not."""
        return self._accesses.since_ns if self._reader.attached else 0

    # --- who wants what

    async def ask(self, asker: Asker) -> None:
        """From now on; also of what is there already. Raises BpfError only if nothing of it can be had."""
        await self.join(asker)
        await self._arm()
        for each in self.tracked():
            self._match(each, (asker,))
        await self._find_running((asker,))
        self._index.wake()  # one that began just now may not be known yet
        self._wake.set()

    async def join(self, asker: Asker) -> None:
        """It is there from now on, of nothing yet: what it wants to be looked for is. Raises BpfError."""
        self._askers.add(asker)
        await self._look_for_denials()
        await self._look_for_accesses()

    def leave(self, asker: Asker) -> None:
        """No more; slots that nobody else asked for are given back."""
        self._askers.discard(asker)
        for each in self.of(asker):
            each.askers.discard(asker)
            self._settle(each)
        self._disarm_if_idle()
        if asker.denials:
            self._start(self._look_for_denials())
        if asker.accesses:
            self._start(self._look_for_accesses())
        self._wake.set()

    async def _look_for_denials(self) -> None:
        """While somebody asks for them. Raises BpfError if they cannot be looked for now."""
        async with self._denying:
            wanted = any(each.denials for each in self._askers)
            if wanted is self._looking or (self._restoring and not wanted):
                return
            await asyncio.to_thread(self._backend.look_for_denied, wanted)
            await asyncio.to_thread(self._denials.look, wanted)
            if wanted and self._denials.problem:
                _LOG.warning("what AppArmor and SELinux deny is not looked for: %s", self._denials.problem)
            self._looking = wanted
            self._looking_since = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if wanted:
                self._denials.roots(self._roots.containers)
                for each in self.tracked():
                    self._denials.begin(each.target.cgroup_id)

    async def _look_for_accesses(self) -> None:
        """While somebody asks for them."""
        wanted = any(each.accesses for each in self._askers)
        await self._accesses.look(wanted, restoring=self._restoring)

    def _disarm_if_idle(self) -> None:
        if not any(each.open for each in self._askers):
            self._roots.disarm()

    async def changed(self, asker: Asker) -> None:
        """It wants others than before."""
        await self.ask(asker)
        for each in self.of(asker):
            if not asker.wants(each.subject):
                each.askers.discard(asker)
                self._settle(each)
        self._disarm_if_idle()

    async def add(self, subject: Subject, mode: SlotMode, asker: Asker | None = None) -> Tracked:
        """A slot for a cgroup that is there; `asker`'s at once. Raises CgroupNotFound or BpfError."""
        cgroup = Cgroup(self._mount / subject.path.lstrip("/"), self._mount)
        known = await self._standing(cgroup.id)
        if asker:
            await self.join(asker)
        if known:
            return self._give(known, asker)
        base = self._backend.ledger()
        try:
            target, late = begin(self._backend, cgroup, mode)
        except BpfLimit:
            met = self._meet(cgroup.id)
            if met is None:
                raise
            return self._give(met, asker)
        # A container that nobody named yet: its runtime is asked.
        identified = subject.place is None or subject.container is not None
        tracked = Tracked(target, subject, _PHASES[mode], late=late, base=base, identified=identified)
        self._give(tracked, asker)
        self._enter(tracked)
        return tracked

    def _give(self, tracked: Tracked, asker: Asker | None) -> Tracked:
        if asker:
            self._take_on(tracked, asker)
        return tracked

    def _take_on(self, tracked: Tracked, asker: Asker) -> None:
        tracked.askers.add(asker)
        self._want_denials(tracked, asker)
        self._want_accesses(tracked, asker)
        asker.touched(tracked)

    def _want_denials(self, tracked: Tracked, asker: Asker) -> None:
        """From the first asker that wants them on."""
        if tracked.denials or not asker.wants_denials(tracked.subject):
            return
        tracked.denials = True
        tracked.denials_late = not self._looking or self._begun(tracked) < self._looking_since
        tracked.changed()
        for each in tracked.askers:
            each.touched(tracked)

    def _want_accesses(self, tracked: Tracked, asker: Asker) -> None:
        """From the first asker that wants them on."""
        if tracked.accesses or not asker.wants_accesses(tracked.subject):
            return
        self._accesses.want(tracked, self._begun(tracked))
        self._wake.set()
        for each in tracked.askers:
            each.touched(tracked)

    def _begun(self, tracked: Tracked) -> int:
        reading = tracked.reading or self._backend.read(tracked.target)
        return reading.epoch

    def _meet(self, identity: int) -> Tracked | None:
        """The slot that the kernel side made for a cgroup, if the event of that was not read yet."""
        for target in self._backend.targets():
            if target.cgroup_id == identity and (target.slot, target.generation) not in self._tracked:
                self._enter(self._new(target, self._backend.ledger()))
        return self._by_cgroup.get(identity)

    async def _standing(self, identity: int) -> Tracked | None:
        """The slot of a cgroup that is not being given back; that takes some milliseconds."""
        for _ in range(LEAVING_LOOKS):
            known = self._by_cgroup.get(identity)
            if known is None or not known.leaving:
                return known
            await asyncio.sleep(0.02)
        raise BpfLimit(f"the slot of cgroup {identity} is not given back yet; try again")

    async def _arm(self) -> None:
        # It reads the whole tree: who comes while that is under way has the next, with all others that came.
        if self._next_arm is None:
            self._next_arm = asyncio.ensure_future(self._arm_locked())
        await asyncio.shield(self._next_arm)

    async def _arm_locked(self) -> None:
        async with self._arming:
            self._next_arm = None
            if any(each.open for each in self._askers):
                units = {unit for each in self._askers for unit in each.units}
                # the table of watched cgroups is the kernel's; this only reads directories
                self._stale_roots = False
                await asyncio.to_thread(self._roots.refresh, units)
                self._denials.roots(self._roots.containers)
                self._disarm_if_idle()  # who asked may be gone by now

    async def _find_running(self, askers: Collection[Asker] = ()) -> None:
        """Containers that are there and that somebody wants; for all askers, those without a slot."""
        await self._take(self._backend.events())  # slots of which nobody was told yet
        everybody = not askers
        settled = self._named() if everybody else set()
        askers = askers or self._askers
        for container in list(self._index.containers().values()):
            if not container.cgroup_path or container.not_recordable or container.id in settled:
                continue
            # before all askers are asked: a runtime knows many that have ended
            if everybody and not os.path.isdir(f"{self._mount}{container.cgroup_path}"):
                continue
            place = place_of(container.cgroup_path, self._namespaces)
            subject = Subject(container.cgroup_path, place, container)
            wanted = [asker for asker in askers if asker.wants(subject)]
            if not wanted:
                continue
            try:
                tracked = await self.add(subject, SlotMode.MODE_CONTAINER)
            except CgroupNotFound:
                continue
            except BpfError as error:
                if self.failed.get(container.id) != str(error):
                    _LOG.error("container %s is not recorded: %s", container.id, error)
                self.failed[container.id] = str(error)
                for asker in wanted:
                    asker.missed(container)
                continue
            self.failed.pop(container.id, None)
            self._match(tracked)

    def _named(self) -> set[str]:
        """Ids of the containers that have slots, and that askers were told of, or will be of their end."""
        told = (each for each in self.tracked() if each.identified and (each.ended or not each.leaving))
        return {each.subject.container.id for each in told if each.subject.container}

    # --- slots

    def adopt(self, states: Iterable[TargetState], accesses_since_ns: int = 0) -> None:
        """Slots that another agent left: with what it knew of them, as far as it said."""
        self._restoring = True
        self._accesses.adopt(accesses_since_ns)
        known = {(each.target.slot, each.target.generation): each for each in states}
        everything = self._backend.ledger()
        for target in self._backend.targets():
            state = known.get((target.slot, target.generation))
            tracked = self._new(target, state.base if state else Ledger())
            if state:
                tracked.late = tracked.late or state.late
                tracked.denials, tracked.denials_late = state.denials, state.denials_late
                tracked.denials_missed = state.denials_missed
                self._recall(tracked, state)
                self._accesses.recall(tracked, state)
            self._enter(tracked)
            if state is None and everything.counts:
                _LOG.info("slot %d of cgroup %d: nothing is known of its begin", *tracked.key)

    def restored(self) -> None:
        """All askers of the last agent are there again: what has ended is handed on, the rest given back."""
        self._restoring = False
        # also: no more, if nobody goes on with it
        self._start(self._look_for_denials())
        self._start(self._look_for_accesses())
        for each in self.tracked():
            self._match(each)
            self._settle(each)

    def _recall(self, tracked: Tracked, state: TargetState) -> None:
        identity, subject = state.identity, tracked.subject
        path = subject.path or identity.cgroup_path
        place = place_of(path, self._namespaces)
        if identity.container_id and (identity.pod or identity.name != identity.container_id) and place:
            container = _container(state, place)
            tracked.subject = Subject(path, place, container)
            tracked.identified = True
        else:
            tracked.subject = Subject(path, place, None, unit_of(path))

    def _new(self, target: Target, base: Ledger) -> Tracked:
        path = target.path or self._path_of(target.cgroup_id)
        place = place_of(path, self._namespaces)
        reading = self._backend.read(target)
        slot_mode = SlotMode.MODE_CONTAINER if place else SlotMode.MODE_EXEC
        tracked = Tracked(
            target,
            Subject(path, place, None, "" if place else unit_of(path)),
            _PHASES[slot_mode],
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

    def _enter(self, tracked: Tracked) -> None:
        self._tracked[tracked.key] = tracked
        self._by_cgroup[tracked.target.cgroup_id] = tracked
        if tracked.reading is None:
            tracked.reading = self._backend.read(tracked.target)
        if self._looking:
            tracked.denials_missed = self._denials.missed()
            self._denials.begin(tracked.target.cgroup_id)
        self._accesses.enter(tracked)
        if tracked.identified:
            self._match(tracked)
        else:
            self._naming.ask(tracked)
        self._tell()

    def _forget(self, tracked: Tracked) -> None:
        self._tracked.pop(tracked.key, None)
        if self._by_cgroup.get(tracked.target.cgroup_id) is tracked:
            del self._by_cgroup[tracked.target.cgroup_id]
        tracked.sights.forget(self._use)
        self._denial_counts.forget(tracked.key)
        if tracked.reading:
            self._children_refused += tracked.reading.ledger.counts.get("children_full", 0)
        if self.failed:
            self._look.set()  # there is room now
        self._tell()

    def _tell(self) -> None:
        for each in self.on_change:
            each.set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- whose it is

    def holds(self, tracked: Tracked) -> bool:
        """As naming.Slots."""
        return self._tracked.get(tracked.key) is tracked

    def worth(self, tracked: Tracked, since: float) -> bool:
        """As naming.Slots."""
        if self._restoring or any(each.wants(tracked.subject) for each in self._askers):
            return True
        return time.monotonic() - since < UNKNOWN and any(each.open for each in self._askers)

    def named(self, tracked: Tracked, container: Container | None) -> None:
        """As naming.Slots."""
        place = tracked.subject.place
        tracked.identified = True
        if place and container:
            tracked.subject = Subject(place.path, place, container)
        elif place and any(asker.wants(tracked.subject) for asker in self._askers):
            self.unnamed += 1
        tracked.changed()
        self._match(tracked)
        self._settle(tracked)
        self._tell()

    def _match(self, tracked: Tracked, askers: Collection[Asker] = ()) -> None:
        """Tell these askers of it, or all; what is not identified yet may still become somebody's."""
        if not tracked.identified or tracked.leaving:
            return
        if tracked.subject.container and tracked.subject.container.not_recordable:
            return
        for asker in askers or self._askers:
            if asker not in tracked.askers and asker.wants(tracked.subject):
                self._take_on(tracked, asker)

    def _settle(self, tracked: Tracked) -> None:
        """Hand on what has ended, give back what nobody asked for."""
        if self._restoring:
            return
        if tracked.identified and not tracked.leaving and (tracked.ended or not tracked.askers):
            tracked.leaving = True
            self._leaving.put_nowait(tracked)

    # --- what happens

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._backend.fileno(), self._wake.set)
        work = asyncio.create_task(self._hand_on_all())
        look = asyncio.create_task(self._follow_index())
        try:
            await self._follow()
        finally:
            loop.remove_reader(self._backend.fileno())
            for task in (work, look, *self._tasks):
                task.cancel()
            await asyncio.gather(work, look, *self._tasks, return_exceptions=True)
            await self._naming.close()

    async def _follow(self) -> None:
        ticks = 0
        while True:
            idle = not self._tracked and not self._roots.armed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if idle else TICK):
                    await self._wake.wait()
            self._wake.clear()
            ticks += 1
            events = self._backend.events()
            await self._take(events)
            # events are lost only where others were in their way
            if ticks % SWEEP == 0 or (events and self._lost_in_ring() != self._ring_full):
                self._sweep()
            if self._stale_roots or ticks % REFRESH == 0:
                await self._arm()
            self._read_dirty()
            await self._read_denials(sweep=ticks % SWEEP == 0)
            await self._read_accesses(sweep=ticks % SWEEP == 0)

    async def _read_denials(self, *, sweep: bool) -> None:
        for identity in self._denials.changed():
            tracked = self._by_cgroup.get(identity)
            if tracked and tracked.denials and not tracked.leaving:
                tracked.changed()
                for asker in tracked.askers:
                    asker.touched(tracked)
        if sweep and self._denials.attached:
            # what began a moment ago may be of a container whose begin was not read yet
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - STRAY
            await asyncio.to_thread(self._denials.sweep, frozenset(self._by_cgroup), before)

    async def _read_accesses(self, *, sweep: bool) -> None:
        for tracked in await self._accesses.read(sweep=sweep):
            if not tracked.leaving:
                tracked.changed()
                for asker in tracked.askers:
                    asker.touched(tracked)

    async def _follow_index(self) -> None:
        while True:
            await self._look.wait()
            self._look.clear()
            began = time.monotonic()
            try:
                await self._find_running()
            except RecorderError as error:
                _LOG.error("looking for containers: %s", error)
            # all containers and all askers: many names that become known make few looks
            await asyncio.sleep(RESTS * (time.monotonic() - began))

    async def _take(self, events: list[RingEvent]) -> None:
        for event in events:
            tracked = self._tracked.get((event.slot, event.generation))
            match event.kind:
                case EventKind.EVENT_WATCH:
                    self._stale_roots = True
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
        if any(event.kind in (EventKind.EVENT_BEGIN, EventKind.EVENT_END) for event in events):
            self._index.wake()

    def _begin(self, slot: int, generation: int) -> None:
        target = self._backend.target(slot)
        if target and target.generation == generation:
            self._enter(self._new(target, self._backend.ledger()))

    def _end(self, tracked: Tracked) -> None:
        tracked.ended = True
        tracked.dirty = True
        self._naming.ended(tracked)
        self._settle(tracked)

    def _lost_in_ring(self) -> int:
        return self._backend.ledger().counts.get("ring_full", 0)

    def _sweep(self) -> None:
        """Every slot, whatever the events said."""
        self._ring_full = self._lost_in_ring()
        for target in self._backend.targets():
            tracked = self._tracked.get((target.slot, target.generation))
            if tracked is None:
                self._enter(self._new(target, self._backend.ledger()))
            else:
                tracked.dirty = True

    def _read_dirty(self) -> None:
        for tracked in self.tracked():
            if not tracked.dirty or tracked.leaving:
                continue
            tracked.dirty = False
            before, tracked.reading = tracked.reading, self._backend.read(tracked.target)
            if tracked.reading.ended and not tracked.ended:
                self._end(tracked)
            if tracked.reading != before or tracked.observation is None:
                tracked.changed()
                for asker in tracked.askers:
                    asker.touched(tracked)

    def _observe(
        self, tracked: Tracked, reading: Reading, used: Used | None, *, ended: bool = False
    ) -> Observation:
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
            denied=self._denials.of(tracked.target.cgroup_id, tracked.denials_missed)
            if tracked.denials
            else None,
            used=used,
        )

    # --- ends

    async def _hand_on_all(self) -> None:
        """One after the other, but many that came at once are dropped at once: each drop waits."""
        while True:
            leaving = [await self._leaving.get()]
            while len(leaving) < HANDED_ON and not self._leaving.empty():
                leaving.append(self._leaving.get_nowait())
            try:
                await self._hand_on(leaving)
            except RecorderError as error:
                _LOG.error("ended containers: %s", error)
                await asyncio.sleep(1)

    async def _hand_on(self, leaving: list[Tracked]) -> None:
        # one after the other: who ends everything may meet what is just handed on
        async with self._handing:
            await self._hand_on_locked(leaving)

    async def _hand_on_locked(self, leaving: list[Tracked]) -> None:
        living = [each for each in leaving if not each.ended]
        if living:
            await asyncio.to_thread(self._backend.drop, *(each.target for each in living))
        leaving = [each for each in leaving if self._tracked.get(each.key) is each]
        if self._denials.attached:
            await asyncio.to_thread(self._denials.drop, [each.target.cgroup_id for each in leaving])
        await self._accesses.drop(leaving)
        owed = [each for each in leaving if each.askers]
        readings = dict(zip(owed, await asyncio.gather(*map(self._read_last, owed)), strict=True))
        # events that came since it was last looked at: times of its last first sights
        await self._take(self._backend.events())
        for tracked in leaving:
            if tracked in readings and tracked.askers:
                tracked.reading = readings[tracked]
                used = await self._accesses.last(tracked)
                observation = self._observe(tracked, tracked.reading, used, ended=True)
                self._denial_counts.take(tracked.key, observation)
                if not await self._store(tracked, observation):
                    continue
                for asker in list(tracked.askers):
                    asker.ended(tracked, observation)
            await self._accesses.release([tracked])
            self._backend.release(tracked.target)
            self._denials.release(tracked.target.cgroup_id)
            self._forget(tracked)

    async def _store(self, tracked: Tracked, observation: Observation) -> bool:
        """On disk before the slot is given back, for those who are owed it; False: not yet."""
        owed = [each for each in tracked.askers if each.durable]
        if self._finishing:
            owed = [each for each in owed if not each.capture_id]
        if self._spool is None or not owed:
            return True
        try:
            recordings, captures = tracked.owed()
            entry = Entry(observation, recordings, () if self._finishing else captures)
            await asyncio.to_thread(self._spool.put, entry)
        except (SpoolFull, StorageError) as error:
            _LOG.error("an ended container keeps its slot: %s", error)
            self._use.refuse("spool")
            tracked.leaving = False
            self._start(self._again(tracked))
            return False
        self._use.set("spool", self._spool.bytes)
        return True

    async def _again(self, tracked: Tracked) -> None:
        await asyncio.sleep(2)
        self._settle(tracked)

    async def finish(self) -> None:
        """Ends all recordings in order: nothing counts any more, and everybody has what he asked for."""
        self._finishing = True  # captures end with this agent
        self._roots.disarm()
        for each in self.tracked():
            each.identified = True
            each.leaving = True
        everything = list(self.tracked())
        for start in range(0, len(everything), HANDED_ON):
            await self._hand_on(everything[start : start + HANDED_ON])


def _container(state: TargetState, place: Place) -> Container:
    identity = state.identity
    return Container(
        id=identity.container_id,
        name=identity.name,
        manager=place.manager,
        cgroup_path=identity.cgroup_path or place.path,
        kind=ContainerKind(identity.kind),
        pod=identity.pod,
        labels=identity.labels,
        image=identity.image,
        image_digest=identity.image_digest,
        restart_count=identity.restart_count,
    )
