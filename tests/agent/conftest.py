"""Agents, a bpffs for each, a node with containerd, and a collector with certificates."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from recorder.kernel import pins
from recorder.rpc.tls import server_credentials
from tests.agent.collector import Collector
from tests.agent.node import Node, node, write_images
from tests.agent.process import AgentProcess, agent_process
from tests.truth import oci
from tests.unit.rpc.certificates import Authority, Signed


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A bpffs that nobody else uses; what is pinned there is gone after the test."""
    folder = tmp_path / "bpffs"
    folder.mkdir()
    subprocess.run(["mount", "-t", "bpf", "none", folder], check=True)
    try:
        yield folder
    finally:
        for pinned in folder.iterdir():
            if pinned.is_dir():
                pins.unpin(pinned)
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def agent(tmp_path: Path, bpffs: Path) -> Iterator[AgentProcess]:
    """An agent without runtimes and without a collector, not started yet; `settings` may be changed first."""
    with agent_process(tmp_path / "agent", bpffs) as made:
        yield made


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, built_programs: dict[str, Path]) -> list[Path]:
    """What a node imports."""
    return write_images(tmp_path_factory.mktemp("images"), built_programs)


@pytest.fixture(scope="module")
def shared_node(layout: oci.Layout, images: list[Path]) -> Iterator[Node]:
    """A node for the tests of a module."""
    with node(layout, images) as made:
        yield made


@pytest.fixture
def pods(shared_node: Node) -> Iterator[Node]:
    """The module's node, without pods before and after the test."""
    yield shared_node
    shared_node.clear()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the collector's certificate and the agents'."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def collector_settings(authority: Authority) -> tuple[str, ...]:
    """An agent's flags to trust and to be trusted, without the endpoint."""
    own = authority.sign("DNS:test-node")
    files = {
        "--collector-certificate": own.certificate,
        "--collector-key": own.key,
        "--collector-ca": authority.certificate,
    }
    return tuple(word for flag, path in files.items() for word in (flag, str(path)))


class SecureCollector(Collector):
    """With mutual TLS. gRPC takes credentials for one server only, so each start has its own."""

    signed: Signed
    authority: Authority

    def start(self) -> None:
        """As Collector.start."""
        self.credentials = server_credentials(self.signed.files(self.authority.certificate))
        super().start()


Uplinked = Callable[[AgentProcess], AbstractContextManager[Collector]]


@pytest.fixture(scope="session")
def uplinked(authority: Authority, collector_settings: tuple[str, ...]) -> Uplinked:
    """`with uplinked(agent) as collector`: one with mutual TLS, and the agent has its flags."""
    signed = authority.sign("DNS:localhost,IP:127.0.0.1")

    @contextlib.contextmanager
    def serve(agent: AgentProcess) -> Iterator[Collector]:
        collector = SecureCollector("127.0.0.1:0")
        collector.signed, collector.authority = signed, authority
        try:
            collector.start()
            agent.settings += ("--collector-endpoint", collector.address, *collector_settings)
            yield collector
        finally:
            collector.close()

    return serve
