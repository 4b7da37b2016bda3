"""The agent's core: which cgroups have slots, whose they are, and who asked.

Everything here runs in one event loop. The kernel side is the truth: events are hints, and
what they would have said is found by looking again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.agent.accesses import AccessReader
from recorder.agent.askers import Askers
from recorder.agent.beginning import begin
from recorder.agent.budget import Use
from recorder.agent.denials import Denials
from recorder.agent.handover import Handover
from recorder.agent.naming import Naming
from recorder.agent.observer import Observer
from recorder.agent.roots import Roots
from recorder.agent.running_containers import RunningContainers
from recorder.agent.slots import PHASES, Slots
from recorder.agent.spool import Spool
from recorder.agent.state import TargetState
from recorder.agent.tracked import Asker, Subject, Tracked
from recorder.agent.tracked_accesses import TrackedAccesses
from recorder.agent.tracked_denials import TrackedDenials
from recorder.agent.tracked_state import recalled, state_of
from recorder.containers.cgroup import Cgroup
from recorder.containers.container import Container
from recorder.containers.index import ContainerIndex
from recorder.kernel.backend import Backend
from recorder.kernel.layout import EventKind, SlotMode
from recorder.model.errors import BpfLimit
from recorder.model.ledger import Ledger
from recorder.model.record import Observation

if TYPE_CHECKING:
    from recorder.service.metrics import Row

__all__ = ["Tracker"]

_LOG = logging.getLogger(__name__)

TICK = 0.25  # seconds between two looks while something is recorded
SWEEP = 20  # ticks between two looks at every slot: what a lost event would have said
REFRESH = 40  # ticks between two scans of the tree of cgroups
UNKNOWN = 60.0  # seconds that a living container of which no runtime knows keeps its slot


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
        self._node = node
        self._mount = mount
        self._namespaces = namespaces
        self._source = denials or Denials(None)
        self._reader = accesses or AccessReader(None)
        self._askers = Askers()
        self._roots = Roots(backend, self._source, mount, self._askers)
        self._slots = Slots(
            backend, mount, use, namespaces=namespaces, entered=self._entered, ended=self._ended
        )
        self._denials = TrackedDenials(
            backend, self._source, self._roots, slots=self._slots, askers=self._askers
        )
        self._accesses = TrackedAccesses(self._reader, self.tracked, self._tell)
        self._observer = Observer(backend, self._denials, self._accesses, node=node)
        self._handover = Handover(
            backend,
            spool,
            use,
            slots=self._slots,
            observer=self._observer,
            denials=self._denials,
            accesses=self._accesses,
            catch_up=self._catch_up,
            gone=self._gone,
            again=self._settle,
        )
        self._running = RunningContainers(
            index,
            mount,
            namespaces=namespaces,
            slots=self._slots,
            askers=self._askers,
            catch_up=self._catch_up,
            add=self._add_running,
        )
        self._naming = Naming(index, self)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._restoring = False
        self.unnamed = 0
        self.inherited = Ledger()
        """What was lost between the last agent and this one."""
        self.on_change: list[asyncio.Event] = []
        """Set when a slot came or went, or it became known whose one is: what a next agent needs changed."""

    # --- what others see

    @property
    def attached(self) -> bool:
        """Whether any program may be attached."""
        return bool(self._slots) or self._roots.armed

    def tracked(self) -> Iterator[Tracked]:
        """All slots in use."""
        return iter(self._slots)

    def of(self, asker: Asker) -> Iterator[Tracked]:
        """An asker's own."""
        return (each for each in self._slots if asker in each.askers)

    def by_cgroup(self, identity: int) -> Tracked | None:
        """Whose slot counts for a cgroup."""
        return self._slots.by_cgroup(identity)

    @property
    def failed(self) -> Mapping[str, str]:
        """Why a container that somebody wants is not recorded, by container id."""
        return self._running.failed

    def ledger(self) -> Ledger:
        """Of the kernel side as a whole, and of the agent."""
        return self._backend.ledger() + Ledger({"identity_unknown": self.unnamed}) + self.inherited

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.use, with what slots that were given back had."""
        use = dict(self._backend.use())
        children, refused = use["children"]
        use["children"] = children, refused + self._slots.children_refused
        watched, refused = use["roots"]
        use["roots"] = watched, refused + self._roots.refused
        use["denials"] = self._source.use()
        return {**use, **self._reader.use()}

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.runs."""
        return {**self._backend.runs(), **self._reader.runs()}

    def accessed(self) -> list[Row]:
        """How many different accesses were seen so far, by kind."""
        return self._accesses.rows()

    def denied(self) -> list[Row]:
        """How often something was denied so far, by namespace, kind and class."""
        for each in self._slots:
            if each.denials and not each.leaving:
                self._denials.count(each, self.observation(each))
        return self._denials.rows()

    def observation(self, tracked: Tracked) -> Observation:
        """What was seen of a slot so far, but for its accesses: those are in its log."""
        return self._observer.so_far(tracked)

    async def last_observation(self, tracked: Tracked) -> Observation:
        """What was seen of a slot in all, for an asker that ends while it goes on."""
        return await self._observer.last(tracked, await self._observer.read_last(tracked))

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
        return tuple(filter(None, (state_of(each, self._node) for each in self._slots)))

    @property
    def accesses_since_ns(self) -> int:
        """From when on accesses are seen, of CLOCK_BOOTTIME; 0: they are not."""
        return self._accesses.since_ns if self._reader.attached else 0

    # --- who wants what

    async def ask(self, asker: Asker) -> None:
        """From now on; also of what is there already. Raises BpfError only if nothing of it can be had."""
        await self.join(asker)
        await self._roots.arm()
        for each in self._slots:
            self._match(each, asker)
        await self._running.find(asker)
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
        self._roots.disarm_if_idle()
        if asker.denials:
            self._start(self._look_for_denials())
        if asker.accesses:
            self._start(self._look_for_accesses())
        self._wake.set()

    async def changed(self, asker: Asker) -> None:
        """It wants others than before."""
        await self.ask(asker)
        for each in self.of(asker):
            if not asker.wants(each.subject):
                each.askers.discard(asker)
                self._settle(each)
        self._roots.disarm_if_idle()

    async def _look_for_denials(self) -> None:
        await self._denials.look(restoring=self._restoring)

    async def _look_for_accesses(self) -> None:
        await self._accesses.look(self._askers.accesses, restoring=self._restoring)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- slots

    async def add(self, subject: Subject, mode: SlotMode, asker: Asker | None = None) -> Tracked:
        """A slot for a cgroup that is there; `asker`'s at once. Raises CgroupNotFound or BpfError."""
        cgroup = Cgroup(self._mount / subject.path.lstrip("/"), self._mount)
        known = await self._slots.standing(cgroup.id)
        if asker:
            await self.join(asker)
        if known:
            return self._give(known, asker)
        base = self._backend.ledger()
        try:
            target, late = begin(self._backend, cgroup, mode)
        except BpfLimit:
            met = self._slots.meet(cgroup.id)
            if met is None:
                raise
            return self._give(met, asker)
        # A container that nobody named yet: its runtime is asked.
        identified = subject.place is None or subject.container is not None
        tracked = Tracked(target, subject, PHASES[mode], late=late, base=base, identified=identified)
        self._give(tracked, asker)
        self._slots.enter(tracked)
        return tracked

    async def _add_running(self, subject: Subject) -> None:
        self._match(await self.add(subject, SlotMode.MODE_CONTAINER))

    def _give(self, tracked: Tracked, asker: Asker | None) -> Tracked:
        if asker:
            self._take_on(tracked, asker)
        return tracked

    def _take_on(self, tracked: Tracked, asker: Asker) -> None:
        """What it wants to be looked for is from the first asker that wants it on."""
        tracked.askers.add(asker)
        if not tracked.denials and asker.wants_denials(tracked.subject):
            self._denials.want(tracked, self._slots.begun(tracked))
        if not tracked.accesses and asker.wants_accesses(tracked.subject):
            self._accesses.want(tracked, self._slots.begun(tracked))
            self._wake.set()
        asker.touched(tracked)

    def adopt(self, states: Iterable[TargetState], accesses_since_ns: int = 0) -> None:
        """Slots that another agent left: with what it knew of them, as far as it said."""
        self._restoring = True
        self._accesses.adopt(accesses_since_ns)
        known = {(each.target.slot, each.target.generation): each for each in states}
        everything = self._backend.ledger()
        for target in self._backend.targets():
            state = known.get((target.slot, target.generation))
            tracked = self._slots.made(target, state.base if state else Ledger())
            if state:
                self._recall(tracked, state)
            self._slots.enter(tracked)
            if state is None and everything.counts:
                _LOG.info("slot %d of cgroup %d: nothing is known of its begin", *tracked.key)

    def _recall(self, tracked: Tracked, state: TargetState) -> None:
        tracked.late = tracked.late or state.late
        tracked.subject = recalled(tracked.subject.path, state.identity, self._namespaces)
        tracked.identified = tracked.subject.container is not None
        self._denials.recall(tracked, state)
        self._accesses.recall(tracked, state)

    def restored(self) -> None:
        """All askers of the last agent are there again: what has ended is handed on, the rest given back."""
        self._restoring = False
        # also: no more, if nobody goes on with it
        self._start(self._look_for_denials())
        self._start(self._look_for_accesses())
        for each in self._slots:
            self._match(each)
            self._settle(each)

    def _entered(self, tracked: Tracked) -> None:
        self._denials.enter(tracked)
        self._accesses.enter(tracked)
        if tracked.identified:
            self._match(tracked)
        else:
            self._naming.ask(tracked)
        self._tell()

    def _ended(self, tracked: Tracked) -> None:
        self._naming.ended(tracked)
        self._settle(tracked)

    def _gone(self, _tracked: Tracked) -> None:
        self._running.room()
        self._tell()

    def _tell(self) -> None:
        for each in self.on_change:
            each.set()

    # --- whose it is

    def holds(self, tracked: Tracked) -> bool:
        """As naming.Holder."""
        return self._slots.holds(tracked)

    def worth(self, tracked: Tracked, since: float) -> bool:
        """As naming.Holder."""
        if self._restoring or self._askers.want(tracked.subject):
            return True
        return time.monotonic() - since < UNKNOWN and self._askers.open

    def named(self, tracked: Tracked, container: Container | None) -> None:
        """As naming.Holder."""
        place = tracked.subject.place
        tracked.identified = True
        if place and container:
            tracked.subject = Subject(place.path, place, container)
        elif place and self._askers.want(tracked.subject):
            self.unnamed += 1
        tracked.changed()
        self._match(tracked)
        self._settle(tracked)
        self._tell()

    def _match(self, tracked: Tracked, asker: Asker | None = None) -> None:
        """Tell this asker of it, or all; what is not identified yet may still become somebody's."""
        if not tracked.identified or tracked.leaving:
            return
        if tracked.subject.container and tracked.subject.container.not_recordable:
            return
        for each in (asker,) if asker else self._askers:
            if each not in tracked.askers and each.wants(tracked.subject):
                self._take_on(tracked, each)

    def _settle(self, tracked: Tracked) -> None:
        """Hand on what has ended, give back what nobody asked for."""
        if self._restoring:
            return
        if tracked.identified and not tracked.leaving and (tracked.ended or not tracked.askers):
            self._handover.put(tracked)

    # --- what happens

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._backend.fileno(), self._wake.set)
        work = asyncio.create_task(self._handover.run())
        look = asyncio.create_task(self._running.run())
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
            idle = not self._slots and not self._roots.armed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if idle else TICK):
                    await self._wake.wait()
            self._wake.clear()
            ticks += 1
            sweep = ticks % SWEEP == 0
            events = self._catch_up()
            # events are lost only where others were in their way
            if sweep or (events and self._slots.events_lost):
                self._slots.sweep()
            if self._roots.stale or ticks % REFRESH == 0:
                await self._roots.arm()
            self._slots.read_dirty()
            await self._denials.read(sweep=sweep)
            for tracked in await self._accesses.read(sweep=sweep):
                if not tracked.leaving:
                    tracked.news()

    def _catch_up(self) -> bool:
        """Takes what the kernel side says; whether it said something."""
        kinds = self._slots.take()
        if EventKind.EVENT_WATCH in kinds:
            self._roots.stale = True
        if not kinds.isdisjoint((EventKind.EVENT_BEGIN, EventKind.EVENT_END)):
            self._index.wake()
        return bool(kinds)

    async def finish(self) -> None:
        """Ends all recordings in order: nothing counts any more, and everybody has what he asked for."""
        self._roots.disarm()
        await self._handover.finish()
