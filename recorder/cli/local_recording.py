"""Recording what a selection names on this machine, without an agent: its parts, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorder.agent.budget import Budget, Use, bounds_of
from recorder.agent.observation import node_name, unrecorded
from recorder.agent.roots import MODES, rules_of
from recorder.agent.settings import MemorySettings
from recorder.agent.tracked import Subject, Tracked
from recorder.agent.tracker import Tracker
from recorder.cli.container_name import container_name
from recorder.cli.escape import escape
from recorder.cli.local_target import (
    ContainerTarget,
    Target,
    UnitTarget,
    container_cgroup,
    find_container,
    find_pod,
)
from recorder.containers.cgroup import Cgroup, cgroup2_mount
from recorder.containers.container import Container
from recorder.containers.discovery import Discovery
from recorder.containers.index import ContainerIndex
from recorder.containers.place import place_of
from recorder.containers.root import WatchRoot
from recorder.containers.source import Source
from recorder.containers.unit import slice_of, unit_cgroup, unit_roots
from recorder.kernel.backend import Backend
from recorder.kernel.loaders import load
from recorder.kernel.spec import Bounds
from recorder.model.errors import BpfLimit, CgroupNotFound, Interrupted
from recorder.model.record import Identity, Observation, Record

if TYPE_CHECKING:
    from recorder.agent.denials import Denials
    from recorder.cli.live_lines import Notes
    from recorder.cli.live_table import LiveTable
    from recorder.cli.selection import Selection

TICK = 0.5
"""Seconds between two looks while nothing is reported."""
POLL = 0.5
"""Seconds between two lists of a runtime that tells no events: so late the end of a pod is noticed."""
LOOK = 15.0
"""Seconds that runtimes have to tell of all their containers."""
NAMING = 2.0
"""Seconds at the end that runtimes have to say whose containers are that came just before."""
_FROM_NOW, _WHOLE = "from now on: it runs already", "from its first call on"

_There = tuple[Cgroup, Container | None]
"""A cgroup that is there; None: a unit's."""


class LocalRecording:
    """One recording: an Asker of its own tracker. To be made and run in one event loop."""

    durable = False
    capture_id = ""
    units: frozenset[str] = frozenset()
    accesses = False  # the last reading of its backend has them

    def __init__(
        self,
        chosen: Selection,
        endpoint: str | None,
        loader: str,
        display: Notes | LiveTable,
        *,
        denials: Denials | None = None,
        accesses: bool = False,
    ) -> None:
        self.loader = loader
        """As it was asked for; once it was `auto`'s to choose, which one it took, and why."""
        self.denials = denials is not None
        self._denials = denials
        self._accesses = accesses
        self._chosen = chosen
        self._endpoint = endpoint
        self._display = display
        self._mount = cgroup2_mount()
        self._target: Target
        self._index: ContainerIndex
        self._tracker: Tracker
        self._backend: Backend
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._running: set[Tracked] = set()
        self._ended: list[Observation] = []
        self._missed: dict[str, Identity] = {}  # by container id
        self._everywhere = False  # all places are watched where containers appear

    # --- an Asker

    @property
    def open(self) -> bool:
        """Until what may come anywhere has come; what else is watched is not the tracker's matter."""
        return self._target.to_come and not self._seen

    def wants(self, subject: Subject) -> bool:
        """As the target."""
        return self._target.wants(subject)

    def wants_denials(self, subject: Subject) -> bool:
        """Of all that it has, or of nothing."""
        return self.denials

    def wants_accesses(self, subject: Subject) -> bool:
        """As `accesses`."""
        return self.accesses

    def recordings(self, subject: Subject) -> tuple[str, ...]:
        """None: it is no plan."""
        return ()

    def touched(self, tracked: Tracked) -> None:
        """It came, or has something new."""
        if tracked not in self._running:
            self._running.add(tracked)
            name = container_name(tracked.subject.identity())
            self._display.note(f"{name}: recorded {_FROM_NOW if tracked.late else _WHOLE}")
        self._changed.set()

    def missed(self, container: Container) -> None:
        """All that it calls is lost, as long as it has no record."""
        self._missed[container.id] = container.identity()
        self._changed.set()

    def ended(self, tracked: Tracked, observation: Observation) -> None:
        """All that there is of it."""
        self._running.discard(tracked)
        self._ended.append(observation)
        self._changed.set()

    # --- the recording

    def stop(self) -> None:
        """Ends it soon, from the event loop."""
        self._stop.set()
        self._changed.set()

    @property
    def stopped(self) -> bool:
        """Somebody ended it."""
        return self._stop.is_set()

    async def run(self, duration: float | None) -> Record:
        """Until all that is selected has ended, `stop` or `duration` seconds. Raises RecorderError.

        The record has an observation of each container that ran; it may be empty.
        """
        deadline = time.monotonic() + duration if duration else float("inf")
        memory = MemorySettings()
        async with self._indexed(memory.containers):
            cgroups, roots = await self._select()
            loaded = load(self.loader, self._bounds(memory))
            self._backend = loaded.backend
            if loaded.why:
                self.loader = f"{self._backend.loader}, {loaded.why}"
            try:
                use = Use(Budget(memory))
                self._tracker = Tracker(
                    self._backend,
                    self._index,
                    None,
                    use,
                    node=node_name(),
                    mount=self._mount,
                    denials=self._denials,
                )
                async with _running(self._tracker.run()):
                    await self._tracker.join(self)
                    self._watch(roots)
                    await self._begin(cgroups)
                    await self._follow(deadline)
                    await self._tracker.finish()
            finally:
                if self._denials:
                    self._denials.close()
                self._backend.close()
        return self._record(())

    def _bounds(self, memory: MemorySettings) -> Bounds:
        return replace(bounds_of(memory), denials=self.denials, accesses=self._accesses)

    def _record(self, running: Iterable[Observation]) -> Record:
        seen = (*self._ended, *running)
        recorded = {each.identity.container_id for each in seen}
        missed = (identity for name, identity in self._missed.items() if name not in recorded)
        return Record((*seen, *(unrecorded(node_name(), each) for each in missed)))

    @contextlib.asynccontextmanager
    async def _indexed(self, limit: int) -> AsyncIterator[None]:
        sources: Sequence[Source] = ()
        discovery = Discovery(limit=limit)
        if self._endpoint is not None:
            sources = [await asyncio.to_thread(discovery.at, Path(self._endpoint))]
        elif self._chosen.by != "unit":
            sources = await asyncio.to_thread(discovery)
        self._index = ContainerIndex(sources, limit=limit, poll_seconds=POLL, mount=self._mount)
        with _noted(self._display):
            async with _running(self._index.run()):
                yield

    async def _select(self) -> tuple[list[_There], list[WatchRoot]]:
        """The target; what of it runs already, and where more may come."""
        if self._chosen.by == "unit":
            return await self._select_unit(self._chosen.value)
        await self._ask_runtimes()
        containers, statuses = self._index.containers(), self._index.statuses()
        if self._chosen.by == "container":
            container = find_container(self._chosen.value, containers, statuses)
            cgroup = container_cgroup(self._mount, container)
            self._target = ContainerTarget(container, running=cgroup is not None)
            there: list[_There] = [(cgroup, container)] if cgroup else []
            return there, []
        namespace, name, only = self._chosen.parts
        target, its = find_pod(namespace, name, containers, statuses)
        found = [(cgroup, each) for each in its if (cgroup := container_cgroup(self._mount, each))]
        if not found:
            raise CgroupNotFound(
                f"pod {escape(f'{namespace}/{name}')} runs, says its runtime, and none of its containers has"
                " a cgroup here; does the recorder see the machine's whole cgroup v2 tree?"
            )
        parents = frozenset(cgroup.name.rpartition("/")[0] for cgroup, _ in found)
        self._target = target = replace(
            target, choice=replace(target.choice, container=only), parents=parents
        )
        names = sorted(escape(each.name) for each in its if not each.sandbox)
        if only and only not in names:
            self._display.note(
                f"the pod has no container {escape(only)} now ({', '.join(names) or 'none'}); it is recorded"
                " when it comes"
            )
        there = [(cgroup, each) for cgroup, each in found if target.wants(Subject(cgroup.name, None, each))]
        return there, [WatchRoot(path) for path in sorted(parents)]

    async def _ask_runtimes(self) -> None:
        asking = [asyncio.ensure_future(self._index.refresh(LOOK)), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in asking:
                each.cancel()
        if self.stopped:
            raise Interrupted("ended before the container runtimes had said what runs")

    async def _select_unit(self, unit: str) -> tuple[list[_There], list[WatchRoot]]:
        self._target = UnitTarget(unit)
        roots = unit_roots(self._mount, unit, await asyncio.to_thread(slice_of, unit))
        found = unit_cgroup(self._mount, unit)
        return [(found, None)] if found else [], [] if found else roots

    def _watch(self, roots: Iterable[WatchRoot]) -> None:
        for path, found in rules_of(roots).items():
            self._backend.watch(Cgroup(self._mount / path.lstrip("/"), self._mount).id, *found)

    async def _begin(self, cgroups: Iterable[_There]) -> None:
        for cgroup, container in cgroups:
            # one that ended just now has nothing more to show; what else fails is for the person to know
            with contextlib.suppress(CgroupNotFound):
                await self._add(cgroup, container)
        self._everywhere = self.open
        await self._tracker.ask(self)
        what = escape(str(self._chosen))
        self._display.note(f"recording {what}; Ctrl-C ends it")
        if not self._running:
            self._display.note(f"nothing of {what} runs now; it is recorded from its first call on")

    async def _add(self, cgroup: Cgroup, container: Container | None) -> None:
        if container is None:
            subject = Subject(cgroup.name, None, None, self._chosen.value)
            mode = MODES["exec"]
        else:
            subject = Subject(cgroup.name, place_of(cgroup.name), replace(container, cgroup_path=cgroup.name))
            mode = MODES["container"]
        try:
            await self._tracker.add(subject, mode, self)
        except BpfLimit:
            # It was made just now below a watched one: its event is on the way.
            if all(each.cgroup_id != cgroup.id for each in self._backend.targets()):
                raise

    async def _follow(self, deadline: float) -> None:
        while not self.stopped and time.monotonic() < deadline and not self._over():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(TICK, max(0.0, deadline - time.monotonic()))):
                    await self._changed.wait()
            self._changed.clear()
            if self._everywhere and self._seen:
                self._everywhere = False
                await self._tracker.changed(self)
            if isinstance(self._target, UnitTarget) and not self._seen:
                await self._look_for_unit(self._target.unit)
            self._show()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NAMING):
                while self._unnamed():
                    await asyncio.sleep(0.02)

    @property
    def _seen(self) -> bool:
        return bool(self._running or self._ended)

    def _over(self) -> bool:
        if self._running or self._unnamed():
            return False
        return self._target.over(self._index.containers(), seen=self._seen)

    def _unnamed(self) -> bool:
        """Whether there is something of which it is not known yet that it is selected."""
        return any(
            not each.identified and self._target.may_want(each.subject) for each in self._tracker.tracked()
        )

    async def _look_for_unit(self, unit: str) -> None:
        """Where it came in another slice than systemd had said."""
        cgroup = unit_cgroup(self._mount, unit)
        # one that has ended by now is recorded from its event
        with contextlib.suppress(CgroupNotFound):
            if cgroup and self._tracker.by_cgroup(cgroup.id) is None:
                await self._add(cgroup, None)

    def _show(self) -> None:
        running = list(self._tracker.of(self))
        self._display.update(self._record(map(self._tracker.observation, running)), len(running))


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Goes on until the end of the `async with`; if it fails, what is within ends with its error."""
    task, within = asyncio.create_task(work), asyncio.current_task()

    def failed(task: asyncio.Task[None]) -> None:
        if within and not task.cancelled():
            within.cancel()

    task.add_done_callback(failed)
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and (error := task.exception()):
            raise error from None
        raise
    finally:
        task.remove_done_callback(failed)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def _noted(display: Notes | LiveTable) -> Iterator[None]:
    """What the parts would log is said as notes."""
    handler = _Notes(display)
    logger = logging.getLogger("recorder")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, display: Notes | LiveTable) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.note(escape(record.getMessage(), limit=1024))
