"""A running API server, or a cluster of one node, and nothing left of it afterwards."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.api_server import ApiServer, Programs
from tests.cluster.build.recipe import Recipes
from tests.cluster.errors import ClusterError
from tests.cluster.node.cluster import Cluster, ClusterPrograms
from tests.cluster.node.kubelet import NodePrograms
from tests.cluster.node.remains import sweep as sweep_nodes
from tests.cluster.node.runtime import find_program, find_runtime_programs
from tests.guest.cache import Cache, DamagedError
from tests.guest.runs import new_run, sweep
from tests.truth.oci import Layout, OciError

CACHE = "cluster"


def open_cache() -> Cache:
    """The cache of this user; what runs of dead processes left is gone."""
    cache = Cache.default(CACHE)
    if os.geteuid() == 0:
        with contextlib.suppress(OciError):  # no cgroup2: nobody could make a node
            sweep_nodes(Layout.detect())
    sweep(cache.run)
    return cache


def _find_built(cache: Cache, *names: str) -> list[Path]:
    recipes = Recipes(cache)
    found = []
    for name in names:
        try:
            artefact = recipes.find(name)
        except DamagedError as error:
            raise ClusterError(f"{name} is damaged: {error} (make cluster)") from error
        if artefact is None:
            raise ClusterError(f"{name} is not built (make cluster)")
        found.append(artefact / name)
    return found


def find_programs(cache: Cache) -> Programs:
    """What an API server consists of; ClusterError if something is missing or damaged. Makes nothing."""
    api_server, controllers = _find_built(cache, "kube-apiserver", "kube-controller-manager")
    return Programs(api_server, controllers, find_program("etcd"))


def find_cluster_programs(cache: Cache) -> ClusterPrograms:
    """The same for a node on which pods run."""
    kubelet, scheduler, proxy = _find_built(cache, "kubelet", "kube-scheduler", "kube-proxy")
    for name in ("iptables", "conntrack", "nsenter", "ip"):  # kube-proxy's, and ours
        find_program(name)
    return ClusterPrograms(
        find_programs(cache),
        NodePrograms(kubelet, scheduler, proxy, find_program("dnsmasq")),
        find_runtime_programs(),
    )


@contextlib.contextmanager
def running(cache: Cache, programs: Programs) -> Iterator[ApiServer]:
    """A new one, ready, without kinds of ours; its folder is in the cache."""
    folder = new_run(cache.run)
    try:
        with ApiServer(folder, programs) as server:
            server.start()
            yield server
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def running_node(cache: Cache, programs: ClusterPrograms, layout: Layout) -> Iterator[Cluster]:
    """A new cluster whose one node is ready; without images and kinds of ours. Root's alone."""
    cluster = Cluster(new_run(cache.run), programs, layout)
    with cluster:
        cluster.start()
        yield cluster
