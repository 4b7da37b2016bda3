"""A process of many simulated agents: the real uplink of each, by mTLS, with containers that are made up.

python -m benchmarks.load_agents PORT CERTIFICATES FIRST COUNT WORKLOADS

Commands by lines on its standard input, an answer in JSON for each on its standard output:
connect (all at once), begin (all have their containers now), change RATE (containers a second, of all;
0: none), state, lags (those since the last time: [when acknowledged, seconds since the change], and how
late its own clock was at most).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from benchmarks.load_certificates import LoadCertificates
from benchmarks.load_cluster import CONTAINERS, PODS, LoadPod, node_name, pod_at, recording_id
from recorder.agent.outbox import Part
from recorder.agent.uplink import Uplink
from recorder.model.numbers import Numbers
from recorder.record.v1 import record_pb2
from recorder.rpc.tls import channel_credentials
from recorder.rpc.v1 import collector_pb2 as pb

BOOT = 1_000_000_000_000
WALL = 1_700_000_000_000_000_000
SETUP = range(50)
WORKLOAD = range(110)
LATER = range(110, 330)
"""Calls that a container makes for the first time while it runs, in its own order."""
COMMS = (b"runc:[2:INIT]", b"java", b"worker-1", b"worker-2")
REPLACED = 0.02
"""The part of changes in which a pod ends and another one takes its place."""
TICK = 0.05


def _sight(phase: int, number: int, time_ns: int) -> record_pb2.FirstSight:
    comm = COMMS[0] if phase == record_pb2.PHASE_SETUP else COMMS[1 + number % 3]
    return record_pb2.FirstSight(
        abi=record_pb2.ABI_X86_64,
        phase=phase,  # type: ignore[arg-type]  # an enum is open
        outcome=record_pb2.OUTCOME_ALLOWED,
        number=number,
        time_ns=time_ns,
        comm=comm,
    )


def _template() -> record_pb2.Observation:
    """What all containers have seen when their agents report them first."""
    setup, workload = record_pb2.PHASE_SETUP, record_pb2.PHASE_WORKLOAD
    made = record_pb2.Observation(
        provenance=record_pb2.Provenance(
            recorder_version="0.1.0",
            kernel_release="6.1.0-44-amd64",
            machine="x86_64",
            loader="libbpf",
            phases="container",
            runtime="runc",
            runtime_version="1.1.5",
        ),
        wall_offset_ns=WALL,
    )
    for phase, numbers in ((setup, SETUP), (workload, WORKLOAD)):
        made.calls.add(
            abi=record_pb2.ABI_X86_64,
            phase=phase,
            outcome=record_pb2.OUTCOME_ALLOWED,
            numbers=Numbers.of(numbers).to_bytes(),
        )
        made.first_sights.extend(_sight(phase, each, BOOT + each * 1_000_000) for each in numbers)
    return made


TEMPLATE = _template()
ORDERS = [random.Random(each).sample(LATER, len(LATER)) for each in range(64)]


class LoadContainer:
    """One container. `later`: how many calls it made for the first time since; times are `time.monotonic`.

    changed, sent: since when something is not sent; since when something that is sent is not acknowledged.
    """

    __slots__ = ("changed", "ended", "later", "name", "pod", "sent", "serial")

    def __init__(self, pod: LoadPod, name: str, serial: int, now: float) -> None:
        self.pod = pod
        self.name = name
        self.serial = serial
        self.later = 0
        self.ended = False
        self.changed = now
        self.sent = 0.0

    def observation(self) -> record_pb2.Observation:
        """Its state now."""
        pod, serial = self.pod, self.serial
        made = record_pb2.Observation()
        made.CopyFrom(TEMPLATE)
        made.source.node = node_name(pod.node)
        made.source.boot_id = f"00000000-0000-4000-8000-{pod.node:012x}"
        made.source.cgroup_id = 1 << 33 | serial
        made.source.epoch = BOOT + serial
        identity = made.identity
        identity.name = self.name
        identity.container_id = f"{pod.node:032x}{serial:032x}"
        identity.cgroup_path = f"/kubepods/burstable/pod{pod.uid}/{identity.container_id}"
        identity.kind = record_pb2.CONTAINER_KIND_NORMAL
        identity.pod.namespace, identity.pod.name, identity.pod.uid = pod.namespace, pod.name, pod.uid
        identity.image = f"registry.example.org/shop/workload-{pod.workload}/{self.name}:1.2.3"
        identity.image_digest = f"sha256:{pod.workload:064x}"
        identity.labels.update(pod.labels)
        order = ORDERS[(pod.node + serial) % len(ORDERS)][: self.later]
        if order:
            seen = Numbers.of(WORKLOAD) | Numbers.of(order)
            made.calls[1].numbers = seen.to_bytes()
            made.first_sights.extend(
                _sight(record_pb2.PHASE_WORKLOAD, each, BOOT + (1 + at) * 1_000_000_000)
                for at, each in enumerate(order)
            )
        made.first_seen_ns = BOOT
        made.last_seen_ns = BOOT + (1 + self.later) * 1_000_000_000
        made.ended = self.ended
        return made


class LoadAgent:
    """One node: the Outbox of a real uplink. `lags`: where to say how long acknowledgements took."""

    def __init__(
        self, endpoint: str, certificates: LoadCertificates, node: int, workloads: int, lags: list[Any]
    ) -> None:
        self.node = node
        self.planned: frozenset[str] = frozenset()
        self._workloads = workloads
        self._lags = lags
        self._serial = 0
        self._revision = ""
        self._news: dict[LoadContainer, None] = {}
        self._flying: dict[LoadContainer, None] = {}
        self._came = asyncio.Event()
        self._places: list[list[LoadContainer]] = []
        tls, ca = certificates.node(node), certificates.authority
        self.uplink = Uplink(endpoint, lambda: channel_credentials(tls, ca), self._hello, self, self._on_plan)

    def begin(self) -> None:
        """Its containers are there."""
        self._places = [self._made(pod_at(self.node, each, self._workloads)) for each in range(PODS)]

    def _made(self, pod: LoadPod) -> list[LoadContainer]:
        made = []
        for name in CONTAINERS:
            self._serial += 1
            made.append(LoadContainer(pod, name, self._serial, time.monotonic()))
        self._news |= dict.fromkeys(made)
        self._came.set()
        return made

    def change(self, place: int, container: int) -> None:
        """It makes a call for the first time."""
        self._changed(self._places[place][container]).later += 1

    def replace(self, place: int) -> None:
        """The pod ends, and another one begins."""
        for each in self._places[place]:
            self._changed(each).ended = True
        pod = self._places[place][0].pod
        self._places[place] = self._made(pod_at(self.node, place, self._workloads, pod.generation + 1))

    def _changed(self, container: LoadContainer) -> LoadContainer:
        container.changed = container.changed or time.monotonic()
        if container not in self._flying:
            self._news[container] = None
        self._came.set()
        return container

    # --- Outbox

    async def next(self) -> Part:
        while True:
            each = next(iter(self._news), None)
            if each and self.planned:
                del self._news[each]
                self._flying[each] = None
                each.sent, each.changed = each.sent or each.changed, 0.0
                return Part(each, (recording_id(each.pod.workload),), each.observation())
            self._came.clear()
            await self._came.wait()

    def acknowledged(self, key: Hashable) -> None:
        assert isinstance(key, LoadContainer)  # noqa: S101 -- the uplink gives back what it got
        now = time.monotonic()
        self._lags.append((now, now - key.sent))
        key.sent = 0.0
        del self._flying[key]
        if key.changed:
            self._news[key] = None
            self._came.set()

    def refused(self, key: Hashable) -> None:
        raise RuntimeError(f"the collector refuses a report of {node_name(self.node)}")

    def rewind(self) -> None:
        self._news |= self._flying
        self._flying.clear()

    def unacknowledged(self) -> int:
        return len(self._news) + len(self._flying)

    def _hello(self) -> pb.Hello:
        return pb.Hello(
            node=node_name(self.node),
            boot_id=f"00000000-0000-4000-8000-{self.node:012x}",
            recorder_version="0.1.0",
            kernel_release="6.1.0-44-amd64",
            machine="x86_64",
            loader="libbpf",
            kinds=[1],
            plan_revision=self._revision,
        )

    async def _on_plan(self, message: pb.Plan) -> None:
        self._revision = message.revision
        self.planned = frozenset(each.id for each in message.recordings)
        self._came.set()


class LoadAgents:
    """All of this process, and what they are told."""

    def __init__(self, port: int, certificates: LoadCertificates, nodes: range, workloads: int) -> None:
        self._lags: list[tuple[float, float]] = []
        self._late = 0.0
        self._rate = 0.0
        self._random = random.Random(nodes.start)
        self._agents = [
            LoadAgent(f"127.0.0.1:{port}", certificates, each, workloads, self._lags) for each in nodes
        ]
        self._running: list[asyncio.Task[None]] = []

    def connect(self) -> dict[str, Any]:
        """All at once."""
        self._running += [asyncio.create_task(each.uplink.run()) for each in self._agents]
        return {}

    def begin(self) -> dict[str, Any]:
        """All have their containers now."""
        for each in self._agents:
            each.begin()
        self._running.append(asyncio.create_task(self._change()))
        return {}

    def change(self, rate: float) -> dict[str, Any]:
        """So many containers a second from now on."""
        self._rate = rate
        return {}

    def state(self) -> dict[str, Any]:
        """How far they are."""
        failed = [each.exception() for each in self._running if each.done()]
        if failed:
            raise RuntimeError(f"an agent has ended: {failed[0]!r}")
        connected = sum(each.uplink.status().connected for each in self._agents)
        return {"connected": connected, "waiting": sum(each.unacknowledged() for each in self._agents)}

    def lags(self) -> dict[str, Any]:
        """Since the last time."""
        answer = {"lags": list(self._lags), "late": self._late}
        self._lags.clear()
        self._late = 0.0
        return answer

    async def _change(self) -> None:
        """Evenly: what a late tick did not do the next one does."""
        owed, before = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            self._late = max(self._late, now - before - TICK)
            owed += self._rate * (now - before)
            before = now
            while owed >= 1:
                agent = self._random.choice(self._agents)
                place = self._random.randrange(PODS)
                if self._random.random() < REPLACED:
                    agent.replace(place)
                else:
                    agent.change(place, self._random.randrange(len(CONTAINERS)))
                owed -= 1


async def _serve(agents: LoadAgents) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *arguments = line.split()
        answer = getattr(agents, command)(*map(float, arguments))
        print(json.dumps(answer), flush=True)


async def _main(port: str, certificates: str, first: str, count: str, workloads: str) -> None:
    # thousands of agents say the same of a collector that is away
    logging.getLogger("recorder.agent.uplink").setLevel(logging.ERROR)
    nodes = range(int(first), int(first) + int(count))
    await _serve(LoadAgents(int(port), LoadCertificates(Path(certificates)), nodes, int(workloads)))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
