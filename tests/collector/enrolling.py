"""A collector that enrols agents: its CA, its certificate, and a port for who has none yet."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from recorder.agent.enrolment import Enrolment
from recorder.agent.uplink import Pace
from recorder.collector.agents.enrolment import NAME, EnrolmentService, enrolment_limits
from recorder.collector.agents.turnstile import Turnstile
from recorder.collector.figures import ServiceFigures
from recorder.collector.identity import CollectorIdentity, Lives
from recorder.identity.authority_folder import AuthorityFolder
from recorder.model.enrolment import NotVouched, Refusal, Vouched
from recorder.model.errors import PlatformUnreachable
from recorder.rpc.server import Listening, Server
from recorder.rpc.v1 import collector_pb2_grpc
from tests.collector.ground import Certificates
from tests.unit.rpc.certificates import Signed

PATTERN = "spiffe://recorder/node/{node}"
LIVES = Lives()
QUICK = Pace(first_backoff=0.02, last_backoff=0.2, connect=20)


@dataclass
class FakeNodes:
    """`tokens`: whose they are. `refuses`: why not. `away`: it cannot be asked. `asked`: all of them."""

    tokens: dict[str, str] = field(default_factory=dict)
    refuses: dict[str, Refusal] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def vouch(self, token: str) -> Vouched | NotVouched:
        if self.away:
            raise PlatformUnreachable("the test's API server is away")
        self.asked.append(token)
        if token in self.tokens:
            return Vouched(self.tokens[token], "agent-x")
        return NotVouched(self.refuses.get(token, Refusal.TOKEN), f"not {token!r}")


@dataclass
class FakeTrust:
    """What was published, the newest last. `away`: it cannot be."""

    said: list[str] = field(default_factory=list)
    away: bool = False

    async def publish(self, certificates: str) -> bool:
        if self.away:
            raise PlatformUnreachable("the test's API server is away")
        news = not self.said or self.said[-1] != certificates
        self.said.append(certificates)
        return news


@dataclass
class _Public:
    """In the place of a test's CA, whose key nobody has."""

    certificate: Path


@dataclass
class Clock:
    """Unix time that a test moves."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@dataclass
class Office:
    """Who signs, and where. Its server listens on `port`."""

    folder: AuthorityFolder
    identity: CollectorIdentity
    nodes: FakeNodes
    trust: FakeTrust
    figures: ServiceFigures
    server: Server
    place: Path

    @property
    def address(self) -> str:
        return f"localhost:{self.server.tcp_port}"

    @property
    def ca(self) -> Path:
        return self.folder.path / "ca.crt"

    @property
    def certificates(self) -> Certificates:
        """As `ground` takes them: for a collector whose port for agents is of the same CA."""
        files = self.identity.files
        return Certificates(_Public(self.ca), Signed(files.certificate, files.key))  # type: ignore[arg-type]

    def token(self, text: str) -> Path:
        """A file with that token."""
        path = self.place / "token"
        path.write_text(text)
        return path

    def agent(self, token: Path, *, node: str = "node-a", **more: Any) -> Enrolment:
        """An agent's side."""
        return Enrolment(self.address, token, more.pop("ca", self.ca), node, pace=QUICK, **more)

    @contextlib.asynccontextmanager
    async def stub(self, token: str = "") -> AsyncIterator[collector_pb2_grpc.EnrolmentStub]:
        """Anybody who knows the CA; with a token or without."""
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        if token:
            credentials = grpc.composite_channel_credentials(
                credentials, grpc.access_token_call_credentials(token)
            )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.secure_channel(self.address, credentials, options=options) as channel:
            yield collector_pb2_grpc.EnrolmentStub(channel)


@contextlib.asynccontextmanager
async def office(
    place: Path,
    *,
    lives: Lives = LIVES,
    clock: Callable[[], float] = time.time,
    turnstile: Turnstile | None = None,
) -> AsyncIterator[Office]:
    """It serves; stopped at the end."""
    nodes, trust, figures = FakeNodes(), FakeTrust(), ServiceFigures()
    folder = AuthorityFolder.open(place / "identity", clock(), life=lives.authority)
    identity = CollectorIdentity(folder, ["localhost"], lives, trust, figures, clock=clock)
    identity.begin()
    service = EnrolmentService(
        nodes, identity, PATTERN, figures, turnstile=turnstile or Turnstile(1000, 1000), clock=clock
    )
    where = Listening(tcp="localhost:0", tls=identity.files, tokens=True, limits=enrolment_limits())
    server = Server({NAME: service.add_to_server}, where)
    await server.start()
    try:
        yield Office(folder, identity, nodes, trust, figures, server, place)
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def running(enrolment: Enrolment) -> AsyncIterator[asyncio.Task[None]]:
    """Its `run`, until the end."""
    task = asyncio.create_task(enrolment.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
