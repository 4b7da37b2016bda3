"""A running API server, and nothing left of it afterwards."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.api_server import ApiServer, Programs
from tests.cluster.build.recipe import Recipes
from tests.cluster.errors import ClusterError
from tests.guest.cache import Cache, DamagedError
from tests.guest.runs import new_run, sweep

CACHE = "cluster"


def open_cache() -> Cache:
    """The cache of this user; what runs of dead processes left is gone."""
    cache = Cache.default(CACHE)
    sweep(cache.run)
    return cache


def find_programs(cache: Cache) -> Programs:
    """What an API server consists of; ClusterError if something is missing or damaged. Makes nothing."""
    etcd = shutil.which("etcd")
    if etcd is None:
        raise ClusterError("etcd is not installed (make cluster)")
    recipes = Recipes(cache)
    found: dict[str, Path] = {}
    for name in ("kube-apiserver", "kube-controller-manager"):
        try:
            artefact = recipes.find(name)
        except DamagedError as error:
            raise ClusterError(f"{name} is damaged: {error} (make cluster)") from error
        if artefact is None:
            raise ClusterError(f"{name} is not built (make cluster)")
        found[name] = artefact / name
    return Programs(found["kube-apiserver"], found["kube-controller-manager"], Path(etcd))


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
