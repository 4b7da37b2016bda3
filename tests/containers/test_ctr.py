"""Containers of containerd's own client: their cgroup names them."""

import asyncio

import pytest

from recorder.containers.container import Manager
from recorder.containers.cri import CriSource
from recorder.containers.place import place_of
from recorder.containers.processes import cgroup_of
from recorder.containers.root import watch_roots
from tests.containers.conftest import following
from tests.containers.pods import IMAGE, SLEEP

pytestmark = pytest.mark.root


def test_a_container_of_ctr(containerd):
    """By default below a cgroup of its namespace's name, which is a root to watch; named by its id."""
    identity = f"it-{containerd.folder.name}"
    runtime = ("--runc-root", str(containerd.folder / "runtime"))
    mount = containerd.layout.cgroup2
    was_there = (mount / "default").exists()
    containerd.ctr("run", *runtime, "--detach", "--null-io", IMAGE, identity, *SLEEP).good()
    try:
        lines = containerd.ctr("tasks", "list").good().stdout.splitlines()
        (pid,) = (int(line.split()[1]) for line in lines if line.startswith(identity))
        path = cgroup_of(pid)
        assert "/default" in {root.path for root in watch_roots(mount)}

        async def body():
            async with following(CriSource(containerd.socket)) as index:
                return await index.resolve(place_of(path))

        found = asyncio.run(body())
        assert (found.id, found.name, found.manager) == (identity, identity, Manager.CONTAINERD)
        assert found.cgroup_path == path
    finally:
        containerd.delete(identity)
        if not was_there:
            for hierarchy in (mount, *containerd.layout.v1):
                if (hierarchy / "default").exists():
                    (hierarchy / "default").rmdir()
