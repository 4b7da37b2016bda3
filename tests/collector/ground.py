"""A collector's service with its two servers, and agents and people that are clients by real gRPC."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from recorder.collector.agents.connection import ConnectionBounds
from recorder.collector.agents.ingest import IngestBounds
from recorder.collector.people.authority import Authority as Reviewer
from recorder.collector.people.authority import Person
from recorder.collector.people.records import RecordsBounds
from recorder.collector.service import NAME, CollectorService, ServiceBounds, agent_limits, people_limits
from recorder.collector.store.async_store import AsyncStore
from recorder.model.abi import Abi
from recorder.model.errors import PlatformUnreachable
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Identity, Observation, Outcome, Phase, Pod, Source
from recorder.model.wire import to_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.limits import Limits, channel_options
from recorder.rpc.server import Listening, Server
from recorder.rpc.tls import TlsFiles, channel_credentials, token_credentials
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc
from tests.collector.memory_store import MemoryStore
from tests.collector.platform import FakePlatform
from tests.unit.rpc.certificates import Authority, Signed

WAIT = 30.0
"""Seconds until a test that waits has failed."""
CALLS = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)
QUICK = ServiceBounds(
    ingest=IngestBounds(retry_seconds=0.05),
    records=RecordsBounds(watch_seconds=0.01, recheck_seconds=0.2),
    review_seconds=0.1,
)


@dataclass
class FakeReviewer(Reviewer):
    """`tokens`: whose they are. `readers`: namespaces by person; "" is all. `asked`: every question."""

    tokens: dict[str, str] = field(default_factory=dict)
    readers: dict[str, set[str]] = field(default_factory=dict)
    away: bool = False
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def person(self, token: str) -> Person | None:
        self._ask("person", token)
        name = self.tokens.get(token)
        return Person(name, f"uid-{name}", ("system:authenticated",)) if name else None

    async def may_read(self, person: Person, namespace: str) -> bool:
        self._ask("read", person.name, namespace)
        allowed = self.readers.get(person.name, set())
        return namespace in allowed or "" in allowed

    async def may_scrape(self, person: Person) -> bool:
        self._ask("scrape", person.name)
        return False

    def _ask(self, *question: str) -> None:
        if self.away:
            raise PlatformUnreachable("the test's API server is away")
        self.asked.append(question)


@dataclass
class Certificates:
    """One CA for all; made once a session, since openssl takes its time."""

    authority: Authority
    server: Signed
    _nodes: dict[str, Signed] = field(default_factory=dict)

    def names(self, names: str) -> Signed:
        """With these subject alternative names, as openssl writes them."""
        if names not in self._nodes:
            self._nodes[names] = self.authority.sign(names)
        return self._nodes[names]

    def node(self, node: str) -> Signed:
        """An agent's."""
        return self.names(f"URI:spiffe://recorder/node/{node}")


@dataclass
class Ground:
    """A collector that serves. `changed`: what the publisher would have been told."""

    service: CollectorService
    store: Any
    platform: FakePlatform
    certificates: Certificates
    socket: Path
    agents: Server
    people: Server
    changed: list[frozenset[str]]

    async def until(self, what: Callable[[], object]) -> None:
        """Until it is true, looked at after each turn of the loop."""
        async with asyncio.timeout(WAIT):
            while not what():
                await asyncio.sleep(0.002)

    @contextlib.asynccontextmanager
    async def agent(
        self, node: str = "node-a", *, names: str = "", says: str | None = None, hello: bool = True
    ) -> AsyncIterator["RawAgent"]:
        """An agent by mTLS, whose certificate has `names`, else its node's. `says`: another node's name."""
        files = self.certificates.names(names) if names else self.certificates.node(node)
        credentials = channel_credentials(files.files(), self.certificates.authority.certificate)
        address = f"localhost:{self.agents.tcp_port}"
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.max_send_message_length", 64 << 20),
            # one that does not read takes 64 KiB in advance, not what it measures that it could
            ("grpc.http2.bdp_probe", 0),
        ]
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            made = RawAgent(node, channel)
            if hello:
                await made.hello(node if says is None else says)
            yield made

    @contextlib.asynccontextmanager
    async def local_agent(self, node: str) -> AsyncIterator["RawAgent"]:
        """An agent of this machine, by the Unix socket."""
        async with self._unix() as channel:
            made = RawAgent(node, channel)
            await made.hello(node)
            yield made

    def _unix(self) -> grpc.aio.Channel:
        options = [*channel_options(Limits()), ("grpc.default_authority", "localhost")]
        return grpc.aio.insecure_channel(f"unix:{self.socket}", options=options)

    @contextlib.asynccontextmanager
    async def person(self, token: str) -> AsyncIterator[collector_pb2_grpc.CollectorStub]:
        """A person by TLS, with a token; empty: with none."""
        ca = self.certificates.authority.certificate
        credentials = token_credentials(token, ca) if token else grpc.ssl_channel_credentials(ca.read_bytes())
        options = channel_options(people_limits())
        address = f"localhost:{self.people.tcp_port}"
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            yield collector_pb2_grpc.CollectorStub(channel)

    @contextlib.asynccontextmanager
    async def root(self) -> AsyncIterator[collector_pb2_grpc.CollectorStub]:
        """By the Unix socket."""
        async with self._unix() as channel:
            yield collector_pb2_grpc.CollectorStub(channel)


class RawAgent:
    """What an agent can send, and what it hears, without its good manners."""

    def __init__(self, node: str, channel: grpc.aio.Channel) -> None:
        self.node = node
        self.sequence = 0
        self._channel = channel
        self.call = channel.stream_stream(f"/{NAME}/Connect")()

    async def hello(self, node: str, **more: Any) -> None:
        await self.send(pb.AgentMessage(hello=pb.Hello(node=node, boot_id="boot", **more)))

    async def send(self, message: pb.AgentMessage) -> None:
        await self.send_bytes(message.SerializeToString())

    async def send_bytes(self, data: bytes) -> None:
        """Nothing happens if the stream has ended: `hear` and `ended` say how."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with asyncio.timeout(WAIT):
                await self.call.write(data)

    async def report(self, observation: Any, *recordings: str, not_recorded: str = "") -> int:
        """Send one; its sequence."""
        self.sequence += 1
        if isinstance(observation, Observation):
            observation = to_observation(observation)
        report = pb.Report(
            sequence=self.sequence,
            recordings=recordings,
            observation=observation,
            not_recorded=not_recorded,
        )
        await self.send(pb.AgentMessage(report=report))
        return self.sequence

    async def hear(self) -> pb.CollectorMessage:
        """The next message. AioRpcError if the stream has ended."""
        async with asyncio.timeout(WAIT):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, await self.call.code()
        return pb.CollectorMessage.FromString(data)

    async def plan(self) -> pb.Plan:
        """The next message, which is a plan."""
        message = await self.hear()
        assert message.WhichOneof("message") == "plan", message
        return message.plan

    async def acknowledged(self) -> tuple[int, str]:
        """The next acknowledgement, plans aside: its sequence, and why it is refused."""
        while True:
            message = await self.hear()
            if message.WhichOneof("message") == "acknowledgement":
                return message.acknowledgement.sequence, message.acknowledgement.refused

    async def answer(self, observation: Any, *recordings: str, not_recorded: str = "") -> str:
        """Report, and why it is refused; empty: it is stored."""
        sequence = await self.report(observation, *recordings, not_recorded=not_recorded)
        got, refused = await self.acknowledged()
        assert got == sequence
        return refused

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """How the collector ended the stream; what it said before is read, without which gRPC has no end."""
        async with asyncio.timeout(WAIT):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            return await self.call.code(), await self.call.details()


def container(number: int, namespace: str = "ns", name: str = "app", pod: str = "") -> Identity:
    """A container of a pod; `namespace` empty: of none."""
    return Identity(
        name=name,
        container_id=f"{number:064x}",
        cgroup_path=f"/kubepods/pod-{number}",
        pod=Pod(namespace, pod or f"pod-{number}", f"uid-{number}") if namespace else None,
        labels={"app": "web"},
    )


def observed(
    number: int = 1,
    calls: tuple[int, ...] = (0, 1),
    *,
    node: str = "node-a",
    identity: Identity | None = None,
    ended: bool = False,
) -> Observation:
    """What a container's source has seen."""
    return Observation(
        Source(node, "boot", number, 1),
        identity or container(number),
        calls={CALLS: Numbers.of(calls)},
        ended=ended,
    )


def message_of(observation: Observation) -> record_pb2.Observation:
    """To be changed by a test."""
    return to_observation(observation)


def bounds(**more: Any) -> ServiceBounds:
    """`QUICK` with some of its connection's bounds changed."""
    return ServiceBounds(
        ingest=QUICK.ingest,
        records=QUICK.records,
        review_seconds=QUICK.review_seconds,
        connection=ConnectionBounds(**more),
    )


@contextlib.asynccontextmanager
async def ground(
    certificates: Certificates,
    folder: Path,
    *,
    platform: FakePlatform | None = None,
    store: Any = None,
    store_at: Path | None = None,
    reviewer: Reviewer | None = None,
    bounds: ServiceBounds = QUICK,
    port: int = 0,
) -> AsyncIterator[Ground]:
    """A collector that serves; stopped at the end, whatever happened.

    store_at: a real store's file, in place of `store`. port: the agents'; 0: one that is free.
    """
    real = await AsyncStore.open(store_at) if store_at else None
    store, platform = real or store or MemoryStore(), platform or FakePlatform()
    changed: list[frozenset[str]] = []
    service = CollectorService(store, platform, reviewer, bounds, changed.append)
    server, ca = certificates.server, certificates.authority.certificate
    socket = folder / "collector.sock"
    services = {NAME: service.add_to_server}
    agents = Server(
        services,
        Listening(tcp=f"localhost:{port}", tls=server.files(ca), limits=agent_limits(bounds.agents)),
    )
    people = Server(
        services,
        Listening(
            socket=socket,
            tcp="localhost:0",
            tls=TlsFiles(server.certificate, server.key),
            tokens=True,
            limits=people_limits(),
        ),
    )
    running = asyncio.create_task(service.run())
    watching = asyncio.create_task(platform.run(service.recordings_changed))
    try:
        await agents.start()
        await people.start()
        yield Ground(service, store, platform, certificates, socket, agents, people, changed)
        if running.done():
            raise running.exception().exceptions[0]
    finally:
        service.stop()
        await agents.stop(0)
        await people.stop(0)
        for task in (running, watching):
            task.cancel()
        await asyncio.gather(running, watching, return_exceptions=True)
        if real:
            await real.close()
