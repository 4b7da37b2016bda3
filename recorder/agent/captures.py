"""Captures: recordings on request, each for one client, also while that client is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import replace

from recorder.agent.access_parts import parts
from recorder.agent.accesses import AccessReader
from recorder.agent.budget import Use
from recorder.agent.kept_accesses import KeptAccesses
from recorder.agent.observation import boot_id, unrecorded, without_accesses
from recorder.agent.processes import Processes
from recorder.agent.roots import MODES
from recorder.agent.selection import (
    AllSelection,
    CgroupSelection,
    ContainerSelection,
    PodSelection,
    ProcessSelection,
    Selection,
    UnitSelection,
    shown,
)
from recorder.agent.spool import Spool
from recorder.agent.state import CaptureState, FollowedState
from recorder.agent.tracked import Subject, Tracked
from recorder.agent.tracker import Tracker
from recorder.containers.cgroup import find_cgroup
from recorder.containers.choice import SHORT_ID, PodChoice, called
from recorder.containers.container import Container, Manager
from recorder.containers.index import ContainerIndex
from recorder.containers.place import place_of, unit_of
from recorder.containers.unit import unit_cgroup
from recorder.model.accesses import Accesses
from recorder.model.errors import LimitReached, NotFound, NotRecordable, UnsupportedKernel
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation, Record, Source
from recorder.model.wire import to_message, to_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.roles import Access
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["Capture", "Captures"]

_LOG = logging.getLogger(__name__)

NO_ACCESSES = FieldError(
    "kinds",
    "has KIND_ACCESSES, and this agent does not look for accesses",
    'set its agent.accesses to "auto"',
)
NOT_OF_A_PROCESS = FieldError(
    "kinds", "has KIND_ACCESSES, and a process is selected", "select its cgroup: accesses are known by cgroup"
)
NO_DENIALS = FieldError(
    "kinds", "has KIND_DENIALS, and this agent does not look for denials", 'set its agent.denials to "auto"'
)
RESTS = 3
"""Times as long as a look at all captures took is waited before the next."""
AWAY = 120.0
"""Seconds that a capture goes on without its client."""
ENDED = -1
"""In place of how far a log goes: all accesses that there will be."""


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
        if pb.KIND_DENIALS in request.kinds and not self._denials:
            raise InvalidFields([NO_DENIALS])
        self._check_accesses(request)
        capture_id = _id(request, access)
        known = self._captures.get(capture_id) if capture_id else None
        if known:
            self._same(known.request, request)
            if request.selection.WhichOneof("by") == "container":
                # The client's roles may be others than when it began.
                for namespace in self._namespaces(known):
                    access.require_found(namespace)
            if request.HasField("duration"):
                known.request = request
                known.deadline_ns = known.begun_ns + request.duration.ToNanoseconds()
                await self._save()
            return known, True
        selection = await self._select(request.selection, access)
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
            self._check_accesses(request)  # the kernel may have refused just now
        except BaseException:
            await self.end(capture)
            raise
        return capture, False

    def _check_accesses(self, request: pb.CaptureRequest) -> None:
        """Whoever asks for them gets them, or hears why not: never a result that only looks like one."""
        if pb.KIND_ACCESSES not in request.kinds:
            return
        if self._accesses is None:
            raise InvalidFields([NO_ACCESSES])
        if request.selection.WhichOneof("by") == "pid":
            raise InvalidFields([NOT_OF_A_PROCESS])
        if self._accesses.problem:
            raise UnsupportedKernel(f"accesses cannot be seen on this node: {self._accesses.problem}")

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

    @staticmethod
    def _same(known: pb.CaptureRequest, again: pb.CaptureRequest) -> None:
        for name in ("selection", "kinds", "phases"):
            if getattr(known, name) != getattr(again, name):
                raise InvalidFields(
                    [
                        FieldError(
                            name,
                            "is not that of the capture of this name, which goes on",
                            "ask with the same again, or choose another capture_id",
                        )
                    ]
                )

    def _namespaces(self, capture: Capture) -> set[str | None]:
        running = (each.subject.identity() for each in self._tracker.of(capture))
        found = (*capture.identities, *running)
        return {identity.pod.namespace if identity.pod else None for identity in found}

    async def _select(self, asked: pb.Selection, access: Access) -> Selection:
        match asked.WhichOneof("by"):
            case "pod":
                return PodSelection(_pod(asked.pod))
            case "container":
                if not self._visible(asked.container, access):
                    await self._index.refresh(LOOK)
                return self._select_container(asked.container, access)
            case "cgroup":
                return CgroupSelection(find_cgroup(asked.cgroup).name)
            case "unit":
                return UnitSelection(asked.unit, bool(unit_cgroup(self._tracker.mount, asked.unit)))
            case "all":
                return AllSelection()
            case _:
                return ProcessSelection(asked.pid)

    def _visible(self, text: str, access: Access) -> list[Container]:
        found = called(text, self._index.containers().values())
        return [each for each in found if access.may_see(each.pod.namespace if each.pod else None)]

    def _select_container(self, text: str, access: Access) -> Selection:
        visible = self._visible(text, access)
        if not visible:
            unnamed = [
                each.subject.place.container_id
                for each in self._tracker.tracked()
                if each.unknown and each.subject.place and each.subject.place.container_id.startswith(text)
            ]
            if len(unnamed) == 1 and len(text) >= SHORT_ID and access.may_host():
                return ContainerSelection(unnamed[0], running=True)
            access.require_found(None, found=False)
            raise NotFound(f"no container {text}; see: recorder containers")
        if len({each.id for each in visible}) > 1:
            ids = ", ".join(sorted(each.id[:SHORT_ID] for each in visible)[:4])
            raise InvalidFields(
                [FieldError("selection.container", f"{text} is the name of several", f"choose one of {ids}")]
            )
        container = visible[0]
        if container.not_recordable:
            raise NotRecordable(
                f"container {text} runs under the handler {container.not_recordable}, in a virtual machine or"
                " a user-space kernel: its calls never reach this kernel as its own"
            )
        return ContainerSelection(container.id, running=bool(container.cgroup_path and container.pid))

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

    def accesses(self, capture: Capture, told: dict[Source, int], most: int) -> Iterator[pb.Snapshot]:
        """What a stream was not told of accesses yet, in messages of about `most` bytes.

        told: what it was, of running ones how far their logs go.
        """
        if not capture.accesses:
            return
        for source, identity, accesses in capture.ended_ones:
            if told.get(source) != ENDED:
                yield from self._parts(source, identity, accesses, most)
                told[source] = ENDED
        for tracked in self._tracker.of(capture):
            log = tracked.access_log
            source_now = tracked.source(self._tracker.node, boot_id())
            if log is None or source_now is None:
                continue
            observation = to_observation(Observation(source_now, tracked.subject.identity()))
            for upto, part in parts(log.since(told.get(source_now, 0)), most):
                yield _snapshot(observation, part)
                told[source_now] = upto

    @staticmethod
    def _parts(source: Source, identity: Identity, accesses: Accesses, most: int) -> Iterator[pb.Snapshot]:
        observation = to_observation(Observation(source, identity, accesses=Accesses(cut_at=accesses.cut_at)))
        news = ((0, key, seen) for key, seen in accesses.entries.items())
        for _, part in parts(news, most):
            yield _snapshot(observation, part)

    def snapshot(self, capture: Capture) -> pb.Snapshot:
        """What it saw so far, but for accesses."""
        running = [
            *map(self._tracker.observation, self._tracker.of(capture)),
            *map(self._processes.observation, self._processes.of(capture)),
        ]
        shown = running if capture.accesses else map(without_accesses, running)
        record = capture.record(shown, self._tracker.node)
        return pb.Snapshot(record=to_message(record), selected=len(running))

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

    async def finish(
        self, capture: Capture, told: dict[Source, int], most: int
    ) -> AsyncIterator[pb.Snapshot]:
        """Its last words: all that it saw, the accesses of one container after the other, then the rest."""
        for snapshot in self.accesses(capture, told, most):
            yield snapshot
        for tracked in self._tracker.of(capture):
            last = await self._tracker.last_observation(tracked)
            if capture.accesses:
                for snapshot in self._parts(last.source, last.identity, last.accesses, most):
                    yield snapshot
            capture.keep(replace(last, accesses=Accesses()))
        for followed in self._processes.of(capture):
            capture.keep(await self._processes.last_observation(followed))
        yield pb.Snapshot(record=to_message(capture.record((), self._tracker.node)), final=True)

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
            capture = Capture(
                state.request, self._restored(state), state.deadline_ns, state.id, owner, kept=self._kept
            )
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

    def _restored(self, state: CaptureState) -> Selection:
        asked = state.request.selection
        match asked.WhichOneof("by"):
            case "pod":
                return PodSelection(_pod(asked.pod))
            case "container":
                running = any(
                    each.subject.place and each.subject.place.container_id == state.container_id
                    for each in self._tracker.tracked()
                )
                return ContainerSelection(state.container_id, running)
            case "cgroup":
                return CgroupSelection(f"/{asked.cgroup.strip('/')}")
            case "pid":
                return ProcessSelection(asked.pid)
            case "all":
                return AllSelection()
            case _:
                return UnitSelection(asked.unit, bool(unit_cgroup(self._tracker.mount, asked.unit)))

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


def _snapshot(observation: record_pb2.Observation, accesses: list[record_pb2.Access]) -> pb.Snapshot:
    """A part of the accesses of one container."""
    snapshot = pb.Snapshot(record=record_pb2.Record(observations=[observation]))
    snapshot.record.observations[0].accesses.extend(accesses)
    return snapshot


def _pod(asked: pb.PodSelection) -> PodChoice:
    return PodChoice(asked.namespace, asked.name, asked.container)


def _id(request: pb.CaptureRequest, access: Access) -> str:
    """Nobody goes on with another client's capture by its name."""
    if not request.capture_id:
        return ""
    return f"{_owner(access)} {request.capture_id}"


def _owner(access: Access) -> str:
    return "unix:" if access.peer.local else " ".join(sorted(access.peer.names))


LOOK = 2.0
"""Seconds that runtimes have to tell of a container that is not known yet."""
