"""Agents that nobody's kernel is behind: the real uplink, with containers whose calls and times are given.

The same trace, replayed against two collectors, says the same to both, so what they make of
it can be compared byte for byte. Everything is used in one event loop.
"""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc

from recorder.agent.outbox import Part
from recorder.agent.plan import Plan, plan_of
from recorder.agent.uplink import Pace, Uplink
from recorder.containers.container import Container, Manager
from recorder.model.abi import Abi
from recorder.model.accesses import Accesses
from recorder.model.denial import DenialCount, DenialKey
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    ContainerKind,
    FirstSight,
    Observation,
    Outcome,
    Phase,
    Pod,
    Provenance,
    SightKey,
    Source,
)
from recorder.model.syscall import syscall_number
from recorder.model.wire import to_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.tls import TlsFiles, channel_credentials
from recorder.rpc.v1 import agent_pb2
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["SimulatedAgent", "SimulatedContainer", "calls", "numbers_of"]

BOOT = 1_000_000_000_000
"""CLOCK_BOOTTIME at which every trace begins, ns."""
WALL = 1_700_000_000_000_000_000
"""What makes a Unix time of it: 2023-11-14."""
QUICK = Pace(first_backoff=0.05, last_backoff=0.5, connect=5.0, acknowledge=20.0)
RECORDINGS = 4096


def numbers_of(*names: str, abi: Abi = Abi.X86_64) -> Numbers:
    """The numbers of calls by name."""
    found = [syscall_number(abi, name) for name in names]
    assert None not in found, names
    return Numbers.of(number for number in found if number is not None)


def calls(
    *names: str, abi: Abi = Abi.X86_64, phase: Phase = Phase.WORKLOAD, outcome: Outcome = Outcome.ALLOWED
) -> dict[CallKey, Numbers]:
    """What an observation holds if just these were seen."""
    return {CallKey(abi, phase, outcome): numbers_of(*names, abi=abi)}


@dataclass
class SimulatedContainer:
    """One container of a node; a restart of it is another one of the same pod and name."""

    name: str
    pod: Pod | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    serial: int = 1  # unique on its node: cgroup id, epoch and container id come from it
    kind: ContainerKind = ContainerKind.NORMAL
    machine: str = "x86_64"
    restart: int = 0
    observation: Observation | None = None
    not_recorded: str = ""
    denials_by: str = ""  # whose denials are looked for on its node, and by what

    @property
    def id(self) -> str:
        return f"{self.serial:064x}"

    def container(self) -> Container:
        """As the plan looks at it."""
        manager = Manager.CRI if self.pod else Manager.PODMAN
        return Container(
            id=self.id,
            name=self.name,
            manager=manager,
            cgroup_path=f"/kubepods/pod{self.pod.uid}/{self.id}" if self.pod else f"/libpod/{self.id}",
            kind=self.kind,
            pod=self.pod,
            labels=self.labels,
            image=f"localhost/{self.name}:1",
            image_digest=f"sha256:{self.serial:064x}",
            runtime="runc",
            runtime_version="1.1.5",
            restart_count=self.restart,
        )

    def begin(self, node: str, boot: str) -> Observation:
        """Nothing seen yet."""
        made_by = Provenance("0.1.0", "6.1.0", self.machine, "libbpf", "container", "runc", "1.1.5")
        return Observation(
            source=Source(node, boot, self.serial, BOOT + self.serial),
            identity=self.container().identity(),
            provenance=replace(made_by, denials=self.denials_by),
            first_seen_ns=BOOT + self.serial,
            last_seen_ns=BOOT + self.serial,
            wall_offset_ns=WALL,
        )


class SimulatedAgent:
    """One node. `run` it as a task; `see` and `end` say what its containers do.

    endpoint: HOST:PORT or unix:PATH. tls: its certificate, and the CA that signed the collector's; or what
    makes credentials of both, for each connection.
    on_recorded: called with a container when the plan first asks for it.
    """

    def __init__(
        self,
        endpoint: str,
        node: str,
        tls: tuple[TlsFiles, Path] | Callable[[], grpc.ChannelCredentials] | None = None,
        *,
        pace: Pace = QUICK,
        boot: str = "boot-1",
    ) -> None:
        self.kinds = [agent_pb2.KIND_SYSCALLS, agent_pb2.KIND_DENIALS, agent_pb2.KIND_ACCESSES]
        self.problems: list[agent_pb2.KindProblem] = []
        self.modules = [agent_pb2.SecurityModule(name="apparmor"), agent_pb2.SecurityModule(name="selinux")]
        self.node = node
        self.boot = boot
        self.plan = Plan()
        self.plans = 0
        self.not_stored: set[Hashable] = set()
        self.containers: dict[Source, SimulatedContainer] = {}
        self._tls = tls
        self._news: dict[Source, None] = {}
        self._flying: dict[Source, bool] = {}  # whether it changed since it was given
        self._again: dict[Source, record_pb2.Observation] = {}
        self._came = asyncio.Event()
        self._changed = asyncio.Condition()
        self.uplink = Uplink(endpoint, self._credentials, self._hello, self, self._on_plan, pace=pace)

    # what its containers do

    def see(self, container: SimulatedContainer, *names: str, abi: Abi = Abi.X86_64, at: int = 0) -> None:
        """It made these calls for the first time, `at` seconds after the trace's beginning."""
        seen = calls(*names, abi=abi)
        time = BOOT + at * 1_000_000_000 + container.serial
        sights = {
            SightKey(*key, number): FirstSight(time, b"main")
            for key, numbers in seen.items()
            for number in numbers
        }
        before = container.observation or container.begin(self.node, self.boot)
        news = replace(before, calls=seen, first_sights=sights, last_seen_ns=time)
        self._put(container, before.join(news))

    def lose(self, container: SimulatedContainer, cause: str, count: int = 1) -> None:
        """Its ledger says so."""
        before = container.observation or container.begin(self.node, self.boot)
        self._put(container, replace(before, ledger=before.ledger.join(Ledger({cause: count}))))

    def access(self, container: SimulatedContainer, accesses: Accesses) -> None:
        """It used this, besides what it used before."""
        before = container.observation or container.begin(self.node, self.boot)
        self._put(container, before.join(replace(before, accesses=accesses)))

    def deny(
        self,
        container: SimulatedContainer,
        denials: Mapping[DenialKey, DenialCount],
        calls: Mapping[CallKey, Numbers] | None = None,
    ) -> None:
        """AppArmor or SELinux denied it this so often by now, and a filter these calls."""
        before = container.observation or container.begin(self.node, self.boot)
        self._put(container, before.join(replace(before, denials=denials, calls=calls or {})))

    def end(self, container: SimulatedContainer) -> None:
        """It has ended, or was never more than begun."""
        before = container.observation or container.begin(self.node, self.boot)
        self._put(container, replace(before, ended=True))

    def refuse(self, container: SimulatedContainer, why: str) -> None:
        """It is of those that cannot be recorded."""
        container.not_recorded = why
        self._put(container, container.observation or container.begin(self.node, self.boot))

    def repeat(self, container: SimulatedContainer, before: Observation | None = None) -> None:
        """Send its state once more, or one of before: repeated, late and out of order."""
        assert container.observation
        source = container.observation.source
        self._again[source] = to_observation(before or container.observation)
        self._news[source] = None
        self._came.set()

    def _put(self, container: SimulatedContainer, observation: Observation) -> None:
        container.observation = observation
        self.containers[observation.source] = container
        if observation.source in self._flying:
            self._flying[observation.source] = True
        else:
            self._news[observation.source] = None
        self._came.set()

    # Outbox

    async def next(self) -> Part:
        while True:
            for source in list(self._news):
                container = self.containers[source]
                assert container.observation
                recordings = self.plan.recordings_for(container.container())
                if not recordings:
                    continue
                del self._news[source]
                self._flying[source] = False
                late = self._again.pop(source, None)
                message = late or to_observation(container.observation)
                if late:  # what is true now follows
                    self._flying[source] = True
                return Part(source, recordings, message, container.not_recorded)
            self._came.clear()
            await self._came.wait()

    def acknowledged(self, key: Hashable) -> None:
        assert isinstance(key, Source)
        if self._flying.pop(key, False):
            self._news[key] = None
            self._came.set()

    def refused(self, key: Hashable) -> None:
        self.not_stored.add(key)
        self.acknowledged(key)

    def rewind(self) -> None:
        self._news |= dict.fromkeys(self._flying)
        self._flying.clear()
        self._came.set()

    def unacknowledged(self) -> int:
        wanted = [
            source for source in self._news if self.plan.recordings_for(self.containers[source].container())
        ]
        return len(wanted) + len(self._flying)

    # its end of the stream

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if callable(self._tls):
            return self._tls()
        return channel_credentials(*self._tls) if self._tls else None

    def _hello(self) -> pb.Hello:
        return pb.Hello(
            node=self.node,
            boot_id=self.boot,
            recorder_version="0.1.0",
            kernel_release="6.1.0",
            machine="x86_64",
            loader="libbpf",
            kinds=self.kinds,
            problems=self.problems,
            modules=self.modules,
            plan_revision=self.plan.revision,
        )

    async def _on_plan(self, message: pb.Plan) -> None:
        self.plan = plan_of(message, RECORDINGS)
        self.plans += 1
        # a recording that is new wants all that its containers did so far
        self._news |= dict.fromkeys(source for source in self.containers if source not in self._flying)
        self._came.set()
        async with self._changed:
            self._changed.notify_all()

    async def until_planned(self, what: Callable[[Plan], object], seconds: float = 30.0) -> None:
        """Until the plan is such."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: what(self.plan))

    async def until_stored(self, seconds: float = 30.0) -> None:
        """Until the collector has acknowledged all that its plan asks for."""
        async with asyncio.timeout(seconds):
            while self.unacknowledged():
                await asyncio.sleep(0.005)
