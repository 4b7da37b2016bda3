"""An agent that is reached in every way there is, and clients with certificates of every kind."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from recorder.rpc.v1 import agent_pb2_grpc
from tests.agent.process import AgentProcess, agent_process
from tests.bpffs import bpffs_in
from tests.unit.rpc.certificates import Authority, Signed

ROLES = {
    "spiffe://example.org/a": "capture:a",
    "spiffe://example.org/b": "capture:b",
    "spiffe://example.org/ab": "capture:a,capture:b",
    "spiffe://example.org/all": "capture",
    "spiffe://example.org/host": "host",
    "spiffe://example.org/status": "status",
    "spiffe://example.org/plan": "plan",
    "spiffe://example.org/both": "capture,host",
    "local": "capture:a",
}
"""Of each name, as `--role` takes it."""

CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 << 20),
)


@dataclass(slots=True)
class Secured:
    """Its ports, all on 127.0.0.1: gRPC, probes, metrics by TLS, metrics plain."""

    agent: AgentProcess
    authority: Authority
    grpc: int
    probes: int
    metrics: int
    plain: int
    _signed: dict[str, Signed] = field(default_factory=dict)

    def signed(self, name: str) -> Signed:
        """A certificate for one of `ROLES`, or for any other name."""
        if name not in self._signed:
            kind = "URI" if ":" in name else "DNS"
            self._signed[name] = self.authority.sign(f"{kind}:{name}")
        return self._signed[name]

    @contextlib.contextmanager
    def client(
        self, files: Signed | None, ca: Path | None = None, name: str = "localhost"
    ) -> Iterator[agent_pb2_grpc.AgentStub]:
        """By TCP with TLS; `ca` is whom the client trusts, `name` as whom it takes the server."""
        credentials = grpc.ssl_channel_credentials(
            (ca or self.authority.certificate).read_bytes(),
            files.key.read_bytes() if files else None,
            files.certificate.read_bytes() if files else None,
        )
        options = (*CHANNEL, ("grpc.ssl_target_name_override", name))
        with grpc.secure_channel(f"127.0.0.1:{self.grpc}", credentials, options) as channel:
            yield agent_pb2_grpc.AgentStub(channel)

    @contextlib.contextmanager
    def peer(self, name: str) -> Iterator[agent_pb2_grpc.AgentStub]:
        """The client with a good certificate for this name."""
        with self.client(self.signed(name)) as stub:
            yield stub

    @contextlib.contextmanager
    def root(self) -> Iterator[agent_pb2_grpc.AgentStub]:
        """By the Unix socket, in a connection of its own."""
        with grpc.insecure_channel(f"unix:{self.agent.socket}", CHANNEL) as channel:
            yield agent_pb2_grpc.AgentStub(channel)

    def context(self, files: Signed | None, ca: Path | None = None) -> ssl.SSLContext:
        """Of an HTTPS client."""
        context = ssl.create_default_context(cafile=str(ca or self.authority.certificate))
        if files:
            context.load_cert_chain(files.certificate, files.key)
        return context


def free_ports(count: int) -> list[int]:
    """So many TCP ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in opened]


def known(agent: "Secured", *identities: str) -> None:
    """Until the agent knows these containers, with their cgroups."""
    agent.agent.wait_for(
        lambda _: (
            {each.identity.container_id for each in agent.agent.containers() if each.pid} >= set(identities)
        )
    )


@contextlib.contextmanager
def secured(folder: Path, authority: Authority, *settings: str) -> Iterator[Secured]:
    """One that is not started yet, with reflection; `settings` are more flags."""
    ports = free_ports(4)
    server = authority.sign("DNS:localhost,IP:127.0.0.1")
    flags = {
        "--listen-address": f"127.0.0.1:{ports[0]}",
        "--listen-certificate": str(server.certificate),
        "--listen-key": str(server.key),
        "--listen-client-ca": str(authority.certificate),
        "--web-address": f"127.0.0.1:{ports[1]}",
        "--web-metrics-address": f"127.0.0.1:{ports[2]}",
        "--web-plain-metrics": f"127.0.0.1:{ports[3]}",
    }
    words = [word for pair in flags.items() for word in pair]
    roles = [word for name, rights in ROLES.items() for word in ("--role", f"{name}={rights}")]
    with (
        bpffs_in(folder) as bpffs,
        agent_process(folder / "agent", bpffs, *words, *roles, "--listen-reflection", *settings) as agent,
    ):
        yield Secured(agent, authority, *ports)
