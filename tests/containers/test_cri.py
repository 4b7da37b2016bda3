"""Pods of a real containerd: named as the runtime and the kernel know them, through restarts and kills."""

import asyncio
import contextlib
import logging
import subprocess
import time
from pathlib import Path

import pytest

from recorder.containers.cri import CriSource
from recorder.containers.index import ContainerIndex
from recorder.containers.place import place_of
from recorder.containers.root import watch_roots
from recorder.model.errors import RuntimeUnreachable
from recorder.model.record import ContainerKind
from recorder.model.record import Pod as PodName
from tests.containers.conftest import following, until
from tests.containers.pods import BRIEF, SLEEP, config_digest
from tests.truth.oci import Layout

pytestmark = pytest.mark.root

ANNOTATION = "io.kubernetes.cri."
LIES = {"io.kubernetes.container.name": "liar", "io.kubernetes.pod.terminationGracePeriod": "30"}


def as_told(pods, pod, identity, found):
    """What is found of a container equals what `ctr` and the kernel say of it."""
    info = pods.info(identity)
    told = info["Spec"]["annotations"]
    assert found.name == told[f"{ANNOTATION}container-name"]
    assert (found.pod.namespace, found.pod.name) == (
        told[f"{ANNOTATION}sandbox-namespace"],
        told[f"{ANNOTATION}sandbox-name"],
    )
    assert found.pod.uid == pod.uid
    assert found.cgroup_path == info["Spec"]["linux"]["cgroupsPath"] == pods.path(pod, identity)
    assert found.image == told[f"{ANNOTATION}image-name"]
    assert found.image_digest == config_digest(pods.archive)  # it came from no repository
    assert [found.pid] == pods.pids(pod, identity)
    assert (found.runtime, found.runtime_handler, found.sandbox) == ("runc", "runc", False)
    assert not found.not_recordable


def test_pods_with_two_containers_each(pods, scaled):
    """All are followed, resolved by their cgroups, and equal to what others say; then all go."""

    async def body():
        async with following(CriSource(pods.containerd.socket)) as index:
            count = scaled(20, least=4)
            made = []
            for number in range(count):
                pod = await asyncio.to_thread(
                    pods.pod, f"web-{number}", f"ns-{number % 3}", app="web", number=str(number), **LIES
                )
                ids = [await asyncio.to_thread(pods.running, pod, name) for name in ("app", "side")]
                made.append((pod, ids))
                index.wake()
            await until(lambda: sum(each.pid > 0 for each in index.containers().values()) == 3 * count)
            for pod, ids in made:
                for identity in ids:
                    place = place_of(pods.path(pod, identity))
                    assert (place.container_id, place.pod_uid) == (identity, pod.uid)
                    found = await index.resolve(place)
                    assert found == index.find(identity)
                    assert dict(found.labels) == {"app": "web", "number": pod.name.removeprefix("web-")}
                    await asyncio.to_thread(as_told, pods, pod, identity, found)
                sandbox = await index.resolve(place_of(pods.path(pod, pod.sandbox)))
                assert sandbox.sandbox
                assert [sandbox.pid] == pods.pids(pod, pod.sandbox)
                assert sandbox.pod == PodName(pod.namespace, pod.name, pod.uid)
            await asyncio.to_thread(pods.remove_all)
            await until(lambda: not index.containers())

    asyncio.run(body())


def test_the_version_is_that_of_the_program(containerd, pods):
    """Of runc, and of crun by its handler where the machine allows it; containerd's own in the status."""

    async def body():
        source = CriSource(containerd.socket)
        try:
            pod = await asyncio.to_thread(pods.pod, "web")
            found = await source.find(pod.sandbox)
            assert f"runc version {found.runtime_version}\n" in said(containerd, "runc", "--version")
            words = said(containerd, "containerd", "--version").split()
            assert source.status().version.split() == ["containerd", words[2]]
        finally:
            await source.close()

    asyncio.run(body())


def said(containerd, program, *args):
    return subprocess.run([program, *args], capture_output=True, text=True, check=True).stdout


def test_crun_by_its_handler(containerd, pods, layout: Layout):
    """A pod of another handler has that handler's runtime."""
    if "runtimes.crun]" not in (containerd.folder / "config.toml").read_text():
        pytest.skip("crun is not installed (make setup)")

    async def body():
        source = CriSource(containerd.socket)
        try:
            pod = await asyncio.to_thread(pods.pod, "web", handler="crun")
            found = await source.find(pod.sandbox)
            assert (found.runtime, found.runtime_handler) == ("crun", "crun")
            assert f"crun version {found.runtime_version}\n" in said(containerd, "crun", "--version")
        finally:
            await source.close()

    with layout.ground("crun"):
        asyncio.run(body())
        pods.remove_all()


def test_restarts_and_init_containers(pods, scaled):
    """One after the other, as a kubelet does: each attempt is a container of its own, with its count."""

    async def body():
        async with following(CriSource(pods.containerd.socket)) as index:
            pod = await asyncio.to_thread(pods.pod, "web", app="web")
            for name, attempts in (("setup", 1), ("app", scaled(10, least=3))):
                for attempt in range(attempts):
                    identity = await asyncio.to_thread(pods.running, pod, name, BRIEF, attempt)
                    found = await index.resolve(place_of(pods.path(pod, identity)))
                    assert (found.name, found.restart_count, found.pod.name) == (name, attempt, "web")
                    assert found.kind is ContainerKind.UNSPECIFIED
                    await asyncio.to_thread(pods.wait_for_exit, identity)
                    await until(lambda: index.find(identity) is None)  # noqa: B023
                    # it has ended, and the runtime still knows it
                    again = await index.resolve(place_of(pods.path(pod, identity)))
                    assert (again.id, again.restart_count, again.pid) == (identity, attempt, 0)

    asyncio.run(body())


class Appearing:
    """Asks for each container as soon as its cgroup is there, sandboxes included."""

    def __init__(self, index: ContainerIndex, cgroup: Path) -> None:
        self.index = index
        self.cgroup = cgroup
        self.asking: dict[str, asyncio.Task] = {}

    async def run(self) -> None:
        mount = len(str(self.index_mount()))
        while True:
            for folder in self.cgroup.glob("kubepods/burstable/pod*/*"):
                place = place_of(str(folder)[mount:])
                if place and place.path not in self.asking:
                    self.asking[place.path] = asyncio.create_task(self.index.resolve(place))
            await asyncio.sleep(0.001)

    def index_mount(self) -> Path:
        return Layout.detect().cgroup2


def test_asked_for_as_soon_as_the_cgroup_appears(pods, scaled):
    """A sandbox that containerd does not tell of yet, a container that ends within milliseconds: named."""

    async def body():
        async with following(CriSource(pods.containerd.socket), poll_seconds=60) as index:
            appearing = Appearing(index, pods.containerd.cgroup)
            watching = asyncio.create_task(appearing.run())
            expected = {}
            for number in range(scaled(50, least=8)):
                pod = await asyncio.to_thread(pods.pod, f"web-{number}")
                identity = await asyncio.to_thread(pods.running, pod, "brief", BRIEF)
                expected[pods.path(pod, identity)] = ("brief", pod.name)
                expected[pods.path(pod, pod.sandbox)] = ("POD", pod.name)
                await asyncio.to_thread(pods.wait_for_exit, identity)
            await asyncio.sleep(0.1)
            watching.cancel()
            found = {path: await task for path, task in appearing.asking.items()}
            # a container that lived between two looks of ours is asked for now
            for path in expected.keys() - found.keys():
                found[path] = await index.resolve(place_of(path))
            assert {path: (each.name, each.pod.name) for path, each in found.items()} == expected

    asyncio.run(body())


def test_a_container_that_is_removed_is_none_at_once(pods):
    """The runtime has forgotten it: no waiting, also by the index that knew it."""

    async def body():
        async with following(CriSource(pods.containerd.socket)) as index:
            pod = await asyncio.to_thread(pods.pod, "web")
            identity = await asyncio.to_thread(pods.running, pod, "app")
            place = place_of(pods.path(pod, identity))
            assert (await index.resolve(place)).name == "app"
            await asyncio.to_thread(pods.cri.remove_container, identity)
            index.wake()
            await until(lambda: index.find(identity) is None)
            began = time.monotonic()
            assert await index.resolve(place) is None
            assert time.monotonic() - began < 1

    asyncio.run(body())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_containerd_restarted_in_between(pods, how, scaled, caplog):
    """Names delayed and none lost; a question while it is away is answered by an error, never by None."""
    caplog.set_level(logging.INFO, "recorder")
    containerd = pods.containerd

    def lines(word):
        return sum(word in each.message for each in caplog.records)

    async def body():
        async with following(CriSource(containerd.socket)) as index:
            await until(lambda: lines("serves") == 1)
            rounds = scaled(10, least=2)
            for number in range(rounds):
                pod = await asyncio.to_thread(pods.pod, f"web-{number}")
                identity = await asyncio.to_thread(pods.running, pod, "app", SLEEP)
                await asyncio.to_thread(getattr(containerd, how))
                await until(lambda: lines("no names from it") == number + 1)  # noqa: B023
                before = set(index.containers())
                unknown = place_of(pods.path(pod, identity[::-1]))
                with pytest.raises(RuntimeUnreachable):
                    await index.resolve(unknown)
                assert set(index.containers()) == before
                assert not index.statuses()[0].reachable
                await asyncio.to_thread(containerd.start)
                found = None
                async with asyncio.timeout(30):
                    while found is None:
                        with contextlib.suppress(RuntimeUnreachable):
                            found = await index.resolve(place_of(pods.path(pod, identity)))
                assert (found.name, found.pod.name) == ("app", f"web-{number}")
                await until(lambda: lines("serves") == number + 2)  # noqa: B023
                await until(lambda: len(index.containers()) == 2 * (number + 1))  # noqa: B023
            assert lines("no names from it") == rounds

    asyncio.run(body())


def test_roots_of_a_real_tree(pods):
    """Where a kubelet's pods are, and where those to come will be."""
    pod = pods.pod("web")
    pods.running(pod, "app")
    parent = pods.containerd.cgroup_parent
    found = {(root.path, root.levels, root.prefix) for root in watch_roots(pods.containerd.layout.cgroup2)}
    assert found >= {
        (f"{parent}/kubepods", 2, "pod"),
        (f"{parent}/kubepods", 3, "besteffort"),
        (f"{parent}/kubepods/burstable", 2, "pod"),
        (pods.parent(pod.uid), 1, ""),
    }
