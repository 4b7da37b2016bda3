"""Containers of a real podman, without its daemon: named as `podman inspect` names them."""

import asyncio
import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Mapping

import pytest

from recorder.containers.container import Manager
from recorder.containers.place import place_of
from recorder.containers.podman import PodmanSource, Storage
from recorder.containers.root import watch_roots
from tests.containers.conftest import following, until
from tests.containers.pods import BRIEF, SLEEP
from tests.truth.image import write_image
from tests.truth.podman import Podman

pytestmark = pytest.mark.root

NONE: Mapping[str, str] = {}
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--pids-limit=-1")


@pytest.fixture(scope="module")
def podman(oci_runtime, layout, busybox_root, tmp_path_factory):
    """podman with each runtime, an image, and the cgroup of its containers."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed (make setup)")
    archive = write_image(tmp_path_factory.mktemp("i") / "i.tar", "localhost/test:1", busybox_root, SLEEP)
    with Podman(oci_runtime, layout) as podman:
        podman.cgroup.mkdir(parents=True)
        podman.call("load", "--input", str(archive)).good()
        yield podman


@pytest.fixture
def source(podman):
    yield PodmanSource([Storage(podman.folder / "root", podman.folder / "run")])
    podman.call("rm", "--all", "--force", "--time", "0").good()


def where(podman):
    return ("--network", "none", "--cgroup-parent", f"/{podman.cgroup.relative_to(podman.layout.cgroup2)}")


def labelled(labels):
    return [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]


def begin(podman, name, *args, labels=NONE):
    """A container of the image that runs; what podman says of it."""
    said = podman.call("images", "--quiet", "--no-trunc").good().stdout.split()
    options = (*LIMITS, *where(podman), *labelled(labels))
    podman.call("run", "--detach", "--name", name, *options, said[0], *args).good()
    return inspected(podman, name)


def inspected(podman, name):
    (told,) = json.loads(podman.call("inspect", name).good().stdout)
    return told


def as_told(podman, found, told):
    assert (found.id, found.name, found.manager) == (told["Id"], told["Name"], Manager.PODMAN)
    assert (found.image, found.image_digest) == (told["ImageName"], told["ImageDigest"])
    assert found.pid == told["State"]["Pid"]
    assert found.cgroup_path == told["State"]["CgroupPath"]
    assert dict(found.labels) == (told["Config"]["Labels"] or {})
    assert found.runtime == podman.runtime
    version = subprocess.run([podman.runtime, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"{podman.runtime} version {found.runtime_version}\n" in version


def test_containers_are_named(podman, source, scaled):
    """From an image and from a root file system; in the index and by their cgroups; gone when removed."""

    async def body():
        async with following(source) as index:
            told = [
                await asyncio.to_thread(
                    begin, podman, f"web-{number}", *SLEEP, labels={"app": f"web-{number}"}
                )
                for number in range(scaled(10, least=2))
            ]
            index.wake()
            await until(lambda: len(index.containers()) == len(told))
            for each in told:
                path = each["State"]["CgroupPath"]
                assert (podman.layout.cgroup2 / path.lstrip("/")).is_dir()
                found = await index.resolve(place_of(path))
                assert found == index.find(each["Id"])
                as_told(podman, found, each)
            await asyncio.to_thread(podman.call, "rm", "--all", "--force", "--time", "0")
            index.wake()
            await until(lambda: not index.containers())
            assert await index.resolve(place_of(told[0]["State"]["CgroupPath"])) is None

    asyncio.run(body())


def test_a_root_file_system_has_no_image(podman, source, busybox_root):
    """Its name is known all the same."""
    podman.run(busybox_root, SLEEP, "--detach", "--name", "rootfs").good()
    told = inspected(podman, "rootfs")
    found = asyncio.run(source.find(told["Id"]))
    assert (found.name, found.image, found.image_digest) == ("rootfs", "", "")
    assert found.pid == told["State"]["Pid"]


def test_brief_containers_are_named_while_they_are_there(podman, source, busybox_root, scaled):
    """Asked for when the cgroup appears: each of `run` without --rm, which stays known after its end."""

    async def body():
        async with following(source) as index:
            for number in range(scaled(20, least=3)):
                told = await asyncio.to_thread(begin, podman, f"brief-{number}", *BRIEF)
                found = await index.resolve(place_of(f"/x/libpod-{told['Id']}"))
                assert (found.name, found.image) == (f"brief-{number}", told["ImageName"])

    asyncio.run(body())


def created(podman, root, name, labels):
    """One that never runs: podman keeps its configuration."""
    return podman.call("create", "--name", name, *labelled(labels), "--rootfs", str(root), "x").good().stdout


def test_labels_of_many_containers(podman, source, busybox_root, scaled):
    """None, odd ones, and more than a page of the database holds; also of those whose neighbours are gone."""
    long = {f"example.org/{number}": "v" * 3000 for number in range(20)}
    odd = {"empty": "", "words": "a = b, 'c' \"d\"", "ü/é": "日本"}
    told = {}
    for number in range(scaled(200, least=24)):
        labels = ({"number": str(number)}, NONE, odd, long)[number % 4]
        told[created(podman, busybox_root, f"c-{number}", labels).strip()] = labels
    for identity in list(told)[::3]:
        podman.call("rm", identity).good()
        del told[identity]
    for identity, labels in told.items():
        found = asyncio.run(source.find(identity))
        assert dict(found.labels) == labels
        assert dict(found.labels) == (inspected(podman, identity)["Config"]["Labels"] or {})
    assert source.status().problem == ""


def test_labels_are_whole_while_podman_writes(podman, source, busybox_root):
    """Whoever is asked for has its own labels or cannot be read at that moment, never another's."""
    identity = created(podman, busybox_root, "it", {"app": "web"}).strip()
    made = threading.Event()

    def churn():
        for number in range(6):
            created(podman, busybox_root, f"n-{number}", {"n": "x" * 5000})
            podman.call("rm", f"n-{number}").good()
        made.set()

    writer = threading.Thread(target=churn)
    writer.start()
    seen = set()
    while not made.is_set():
        found = asyncio.run(source.find(identity))
        seen.add(tuple(found.labels.items()))
    writer.join()
    assert seen == {(("app", "web"),)}


def test_a_damaged_database_leaves_the_names(podman, busybox_root, tmp_path, scaled):
    """Whatever its bytes are: the container has its name, and the status says what is wrong."""
    identity = created(podman, busybox_root, "it", {"app": "web"}).strip()
    storage = Storage(tmp_path / "root", tmp_path / "run")
    shutil.copytree(podman.folder / "root/vfs-containers", storage.graph_root / "vfs-containers")
    database = storage.graph_root / "libpod/bolt_state.db"
    database.parent.mkdir()
    whole = (podman.folder / "root/libpod/bolt_state.db").read_bytes()
    odds = random.Random(7)
    broken = [b"", whole[:100], whole[:5000], bytes(len(whole)), os.urandom(len(whole))]
    for _ in range(scaled(300, least=30)):
        data = bytearray(whole)
        for _ in range(odds.randrange(1, 200)):
            data[odds.randrange(len(data))] = odds.randrange(256)
        broken.append(bytes(data))
    for data in broken:
        database.write_bytes(data)
        damaged = PodmanSource([storage])
        found = asyncio.run(damaged.find(identity))
        assert found.name == "it"
        assert dict(found.labels) in ({"app": "web"}, {}) or damaged.status().problem == ""
        assert damaged.status().reachable
    assert "labels are not known" in _problem(storage, database, identity)
    podman.call("rm", "it").good()


def _problem(storage, database, identity):
    database.write_bytes(b"")
    source = PodmanSource([storage])
    asyncio.run(source.find(identity))
    return source.status().problem


def test_a_parent_of_ones_own_is_a_root(podman, source):
    """Found by the container that is in it."""
    begin(podman, "web", *SLEEP)
    found = {root.path for root in watch_roots(podman.layout.cgroup2)}
    assert f"/{podman.cgroup.relative_to(podman.layout.cgroup2)}" in found
