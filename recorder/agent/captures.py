"""Captures: recordings on request, each for one client, also while that client is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from recorder.agent.accesses import AccessReader
from recorder.agent.budget import Use
from recorder.agent.capture import Capture
from recorder.agent.capture_request import check_accesses, check_denials, check_same
from recorder.agent.kept_accesses import KeptAccesses
from recorder.agent.processes import Processes
from recorder.agent.roots import MODES
from recorder.agent.selection import (
    CgroupSelection,
    PodSelection,
    ProcessSelection,
    UnitSelection,
    shown,
)
from recorder.agent.selections import Selections
from recorder.agent.spool import Spool
from recorder.agent.state import CaptureState, FollowedState
from recorder.agent.tracked import Subject
from recorder.agent.tracker import Tracker
from recorder.containers.container import Manager
from recorder.containers.index import ContainerIndex
from recorder.containers.place import place_of, unit_of
from recorder.containers.unit import unit_cgroup
from recorder.model.errors import LimitReached
from recorder.model.record import Observation
from recorder.rpc.roles import Access
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["Captures"]

_LOG = logging.getLogger(__name__)

RESTS = 3
"""Times as long as a look at all captures took is waited before the next."""
AWAY = 120.0
"""Seconds that a capture goes on without its client."""


class Captures:
    """All captures of the agent, `most` of them at a time.

    `save` is awaited when what outlives the agent has changed. denials: they can be asked for; accesses: how
    they are seen, None where they cannot be asked for; kept: how many are kept of what has ended.
    """

    def __init__(
        self,
        tracker: Tracker,
        processes: Processes,
        index: ContainerIndex,
        spool: Spool,
        *,
        use: Use,
        save: Callable[[], Awaitable[None]],
        most: int,
        denials: bool = False,
        accesses: AccessReader | None = None,
        kept: int = 0,
    ) -> None:
        self._accesses = accesses
        self._kept = KeptAccesses(kept)
        self._tracker = tracker
        self._processes = processes
        self._index = index
        self._selections = Selections(tracker, index)
        self._spool = spool
        self._use = use
        self._save = save
        self._most = most
        self._denials = denials
        self._captures: dict[str, Capture] = {}
        self._others: set[Capture] = set()  # without a name
        self._known = asyncio.Event()  # something else than before, of containers
        index.subscribe(self._known.set)

    def all(self) -> list[Capture]:
        """Those that are there, by their names, then those without."""
        return [*(self._captures[name] for name in sorted(self._captures)), *self._others]

    def states(self) -> tuple[CaptureState, ...]:
        """What a next agent needs to know of them."""
        return tuple(
            CaptureState(
                name, each.request, each.deadline_ns, each.selection.container_id, self._followed(each)
            )
            for name, each in sorted(self._captures.items())
        )

    def _followed(self, capture: Capture) -> FollowedState | None:
        for each in self._processes.of(capture):
            return FollowedState(each.target, each.identity, each.base)
        return None

    def statuses(self) -> list[pb.CaptureStatus]:
        """As GetStatus has them."""
        return [
            pb.CaptureStatus(
                capture_id=each.request.capture_id,
                selection=shown(each.request.selection),
                recorded=sum(1 for _ in (*self._tracker.of(each), *self._processes.of(each))),
                connected=each.connected,
            )
            for each in self.all()
        ]

    async def begin(self, request: pb.CaptureRequest, access: Access) -> tuple[Capture, bool]:
        """A new capture, or the one of that name: then True. Raises RecorderError."""
        check_denials(request, self._denials)
        check_accesses(request, self._accesses)
        capture_id = _id(request, access)
        known = self._captures.get(capture_id) if capture_id else None
        if known:
            check_same(known.request, request)
            if request.selection.WhichOneof("by") == "container":
                # The client's roles may be others than when it began.
                for namespace in self._namespaces(known):
                    access.require_found(namespace)
            if request.HasField("duration"):
                known.request = request
                known.deadline_ns = known.begun_ns + request.duration.ToNanoseconds()
                await self._save()
            return known, True
        selection = await self._selections.select(request.selection, access)
        owner = _owner(access)
        if not access.peer.local and self._of(owner) >= max(1, self._most // 4):
            raise LimitReached(
                f"{access.peer} has {self._of(owner)} captures already, a fourth of what this agent takes"
                " (memory.captures); end one of them"
            )
        if not self._use.take("captures"):
            raise LimitReached(
                "there are as many captures as this agent takes (memory.captures); end one of them"
            )
        duration = request.duration.ToNanoseconds() if request.HasField("duration") else 0
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        deadline = now + duration if duration else 0
        capture = Capture(request, selection, deadline, capture_id, owner, kept=self._kept)
        self._enter(capture)
        try:
            await self._add(capture)
            await self._save()
            await self._tracker.ask(capture)
            check_accesses(request, self._accesses)  # the kernel may have refused just now
        except BaseException:
            await self.end(capture)
            raise
        return capture, False

    @property
    def processes(self) -> Processes:
        """Those that captures follow."""
        return self._processes

    def _of(self, owner: str) -> int:
        return sum(1 for each in self.all() if each.owner == owner)

    def _enter(self, capture: Capture) -> None:
        if capture.capture_id:
            self._captures[capture.capture_id] = capture
        else:
            self._others.add(capture)

    def _namespaces(self, capture: Capture) -> set[str | None]:
        running = (each.subject.identity() for each in self._tracker.of(capture))
        found = (*capture.identities, *running)
        return {identity.pod.namespace if identity.pod else None for identity in found}

    async def _add(self, capture: Capture) -> None:
        """What is there and is no container of a runtime has no slot yet."""
        selection = capture.selection
        if isinstance(selection, ProcessSelection):
            await self._processes.follow(selection.pid, capture)
            capture.news()
            return
        if isinstance(selection, CgroupSelection):
            path = selection.path
        elif isinstance(selection, UnitSelection) and (
            cgroup := unit_cgroup(self._tracker.mount, selection.unit)
        ):
            path = cgroup.name
        else:
            return
        place = place_of(path)
        container = self._index.find(place.container_id) if place else None
        default = "container" if place else "exec"
        subject = Subject(path, place, container, "" if place else unit_of(path))
        await self._tracker.add(subject, MODES[capture.request.phases or default], capture)

    def over(self, capture: Capture) -> bool:
        """Its time is over, or all that it selects has ended."""
        if capture.seconds_left() <= 0:
            return True
        if (
            not capture.seen
            or next(self._tracker.of(capture), None)
            or next(self._processes.of(capture), None)
        ):
            return False
        if isinstance(capture.selection, PodSelection) and not self._all_named():
            return False
        return capture.selection.over(self._index.containers().values())

    def _all_named(self) -> bool:
        """Whether it is known who is of a pod, and which pods there are: not of a runtime that is down."""
        asked = (each for each in self._tracker.tracked() if each.subject.of_pod and not each.identified)
        return self._index.knows(Manager.CRI) and next(asked, None) is None

    async def end(self, capture: Capture) -> None:
        """It is over; what was kept for it goes."""
        self._tracker.leave(capture)
        await self._processes.leave(capture)
        was = self._captures.pop(capture.capture_id, None) if capture.capture_id else None
        if was is None and capture not in self._others:
            return
        self._others.discard(capture)
        self._kept.forget(capture)
        self._use.give("captures")
        if capture.capture_id:
            for source in list(capture.sources):
                await asyncio.to_thread(self._spool.settle, source, capture=capture.capture_id)
            self._use.set("spool", self._spool.bytes)
            await self._save()

    async def restore(self, states: Iterable[CaptureState]) -> None:
        """Those of the last agent: they go on, and their clients have some time to come back."""
        for state in states:
            if not self._use.take("captures"):
                _LOG.error("capture %s of the last agent is one too many, and ends", state.id)
                continue
            owner = state.id.rpartition(" ")[0]
            selection = self._selections.restored(state)
            capture = Capture(state.request, selection, state.deadline_ns, state.id, owner, kept=self._kept)
            self._enter(capture)
            if isinstance(capture.selection, ProcessSelection):
                self._follow_again(capture, state, capture.selection.pid)
            await self._tracker.ask(capture)
        await self._processes.settle()

    def _follow_again(self, capture: Capture, state: CaptureState, pid: int) -> None:
        followed = state.followed
        if followed and followed.target in self._processes.adopted:
            self._processes.resume(followed.target, pid, followed.identity, followed.base, capture)
        capture.seen = True  # else what its process did is lost: it ends, and its client hears that

    def keep(self, capture_id: str, observation: Observation) -> bool:
        """What the spool has of a capture; False: there is no such capture."""
        capture = self._captures.get(capture_id)
        if capture:
            capture.keep(observation)
        return capture is not None

    async def run(self) -> None:
        """Ends captures whose clients stay away, and tells those that are over, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_left())
            group.create_task(self._follow_index())

    async def _follow_index(self) -> None:
        """What a pod's capture waits for is a change of what the runtimes know."""
        while True:
            await self._known.wait()
            self._known.clear()
            began = time.monotonic()
            for each in self.all():
                if each.connected and self.over(each):
                    each.changed.set()
            # all captures and all slots: many names that become known make few looks
            await asyncio.sleep(RESTS * (time.monotonic() - began))

    async def _end_left(self) -> None:
        while True:
            await asyncio.sleep(5)
            for each in list(self._captures.values()):
                if not each.connected and time.monotonic() - each.away_since > AWAY:
                    _LOG.warning("capture %s ends: its client did not come back", each.capture_id)
                    await self.end(each)


def _id(request: pb.CaptureRequest, access: Access) -> str:
    """Nobody goes on with another client's capture by its name."""
    if not request.capture_id:
        return ""
    return f"{_owner(access)} {request.capture_id}"


def _owner(access: Access) -> str:
    return "unix:" if access.peer.local else " ".join(sorted(access.peer.names))
