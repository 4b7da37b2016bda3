"""Fixtures of the tests against a real API server, which run when their path is named (`make test-cluster`).

A test that fails shows what the servers logged meanwhile.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.asked import is_asked
from tests.cluster import crds
from tests.cluster.api_server import ApiServer, Programs
from tests.cluster.errors import ClusterError
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.images import import_images
from tests.cluster.scene import OPT_IN, Scene, scene
from tests.cluster.start import find_cluster_programs, find_programs, open_cache, running, running_node
from tests.collector.ground import Certificates
from tests.collector.process import QUICK
from tests.collector.simulated_agent import SimulatedAgent
from tests.guest.cache import Cache
from tests.truth.oci import Layout
from tests.unit.rpc.certificates import Authority

HERE = Path(__file__).parent
CRDS = HERE.parents[1] / "deploy/crds"  # ours, for a cluster without SPO
SPO_CRDS = HERE / "spo_crds"  # SPO's own
SERVERS = pytest.StashKey[list["Logging"]]()
PROFILE_KINDS = ("AppArmorProfile", "SeccompProfile", "SelinuxProfile")
LOGGED = pytest.StashKey[dict[str, list[int]]]()

_serial = itertools.count(1)


class Logging(Protocol):
    """What a failed test shows the logs of. `url`: which it is."""

    @property
    def url(self) -> str:
        """As above."""

    def log_sizes(self) -> list[int]:
        """For `last_words`, of the logs as they are now."""

    def last_words(self, since: Sequence[int] = ()) -> str:
        """The ends of the logs."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect this folder only for who names it, or something in it."""
    return None if is_asked(HERE, collection_path, config) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the node are last: it runs no longer than it is needed."""
    items.sort(key=lambda item: "node" in getattr(item, "fixturenames", ()))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """From here on the logs are this test's."""
    item.stash[LOGGED] = {server.url: server.log_sizes() for server in item.session.stash.get(SERVERS, [])}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers logged during a failed test."""
    report = yield
    if report.failed:
        logged = item.stash.get(LOGGED, {})
        for server in item.session.stash.get(SERVERS, []):
            words = server.last_words(logged.get(server.url, ()))
            report.sections.append((f"logs of {server.url}", words))
    return report


@pytest.fixture(scope="session")
def cluster_cache() -> Cache:
    """The cache of this user."""
    return open_cache()


@pytest.fixture(scope="session")
def programs(cluster_cache: Cache) -> Programs:
    """What an API server consists of; skips where it is not built, or damaged."""
    try:
        return find_programs(cluster_cache)
    except ClusterError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def new_api_server(
    request: pytest.FixtureRequest, programs: Programs, cluster_cache: Cache
) -> Iterator[Callable[[], ApiServer]]:
    """`new_api_server()` starts one more, without kinds of ours; it ends with the session, or by `close`."""
    servers = request.session.stash.setdefault(SERVERS, [])
    with contextlib.ExitStack() as stack:

        def start() -> ApiServer:
            servers.append(stack.enter_context(running(cluster_cache, programs)))
            return servers[-1]

        yield start


@pytest.fixture(scope="session")
def api_server(new_api_server: Callable[[], ApiServer]) -> ApiServer:
    """The API server with our kinds (deploy/crds): one for all tests, each of which cleans what it made."""
    server = new_api_server()
    crds.install(server.client, CRDS)
    return server


@pytest.fixture(scope="session")
def spo_api_server(new_api_server: Callable[[], ApiServer]) -> ApiServer:
    """Another one, with the kinds as SPO has them (spo_crds): what SPO does not know is pruned."""
    server = new_api_server()
    crds.install(server.client, SPO_CRDS)
    return server


@pytest.fixture(scope="session")
def node(
    request: pytest.FixtureRequest,
    cluster_cache: Cache,
    layout: Layout,
    built_programs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """A cluster of one node on which pods run, with our kinds and the image of the tests: one for all tests.

    Skips where it cannot be.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root to run pods (sudo make test-cluster)")
    try:
        found = find_cluster_programs(cluster_cache)
    except ClusterError as error:
        pytest.skip(str(error))
    with running_node(cluster_cache, found, layout) as cluster:
        request.session.stash.setdefault(SERVERS, []).append(cluster)
        try:
            crds.install(cluster.client, CRDS)
            import_images(cluster, built_programs, tmp_path_factory.mktemp("images"))
            yield cluster
        finally:
            request.session.stash[SERVERS].remove(cluster)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, the collector's certificate, and those of nodes as they are asked for."""
    authority = Authority(tmp_path_factory.mktemp("cluster-ca"))
    return Certificates(authority, authority.sign("DNS:localhost,IP:127.0.0.1"))


def _namespaces(api_server: ApiServer) -> Iterator[Callable[..., str]]:
    made: list[tuple[ApiServer, str]] = []

    def make(labels: Mapping[str, str] | None = None, server: ApiServer = api_server) -> str:
        name = f"test-{os.getpid()}-{next(_serial)}"
        server.client.create(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": dict(labels or {})},
            }
        )
        made.append((server, name))
        server.client.wait("ServiceAccount", "default", lambda account: account is not None, name)
        return name

    yield make
    for server, name in made:
        for kind in ("SeccompProfile", "AppArmorProfile", "SelinuxProfile"):
            server.client.delete_all(kind, labels=f"spo.x-k8s.io/recording-namespace={name}")
        server.client.delete("Namespace", name)


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[Callable[..., str]]:
    """`namespace(labels=None, server=api_server)` makes a namespace; it has the service account `default`.

    At the end it and the profiles whose label says that they come from it are deleted.
    """
    yield from _namespaces(api_server)


@pytest.fixture(scope="module")
def new_namespace(api_server: ApiServer) -> Iterator[Callable[..., str]]:
    """As `namespace`, for what several tests of a module share."""
    yield from _namespaces(api_server)


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest,
    api_server: ApiServer,
    new_namespace: Callable[..., str],
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """A collector in the cluster, for a module: with its SETTINGS, if it has some."""
    settings = getattr(request.module, "SETTINGS", QUICK)
    folder = tmp_path_factory.mktemp("cluster") / "c"
    with scene(api_server, new_namespace, certificates, folder, settings) as made:
        yield made


@pytest.fixture
def place(cluster: Scene) -> str:
    """A namespace that opted in. Profiles have none: recordings are called after it, or after their test."""
    return cluster.namespace(OPT_IN)


@pytest.fixture
def agent(cluster: Scene) -> Iterator[SimulatedAgent]:
    """One of the cluster's, until the end of the test."""
    made = cluster.agent()
    yield made
    cluster.stop(made)
