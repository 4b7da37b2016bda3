"""Agents, a bpffs for each, a node with containerd, and a collector with certificates."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.node import Node, node, write_images
from tests.agent.process import AgentProcess, agent_process
from tests.agent.secure_collector import Uplinked, collector_flags, uplinked_by
from tests.truth import oci
from tests.unit.rpc.certificates import Authority


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
    return collector_flags(authority)


@pytest.fixture(scope="session")
def uplinked(authority: Authority, collector_settings: tuple[str, ...]) -> Uplinked:
    """`with uplinked(agent) as collector`: one with mutual TLS, and the agent has its flags."""
    return uplinked_by(authority, collector_settings)
