"""containerd, with its shims, runc and crun: a container's workload is exactly its programs' calls."""

import concurrent.futures
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.phases.recording import recording
from tests.phases.watch import Watch
from tests.truth import oci
from tests.truth.calls import calls
from tests.truth.containerd import CRI_NAMESPACE, PAUSE, Containerd
from tests.truth.cri import Cri
from tests.truth.image import write_image
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

IMAGE = "localhost/test:1"
LONG = ("/signals", "100000000")  # it runs until it is killed
FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
OWN = sorted(calls(Abi.X86_64, "getpgrp", "getsid", "times"))
OF_A_RUNTIME = calls(Abi.X86_64, "capset", "pivot_root", "mount")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, rootfs: Path) -> Path:
    """An image with the programs of known calls."""
    return write_image(tmp_path_factory.mktemp("image") / "image.tar", IMAGE, rootfs, ["/five"])


@pytest.fixture(scope="module")
def containerd(oci_runtime: str, layout: oci.Layout, archive: Path) -> Iterator[Containerd]:
    """containerd with each runtime, and the image."""
    with Containerd(oci_runtime, layout) as containerd:
        containerd.import_image(archive)
        yield containerd


@pytest.fixture
def watch(containerd: Containerd) -> Iterator[Watch]:
    """Records each of its containers."""
    with Watch(containerd.cgroup) as watch:
        yield watch


def asleep(cgroup: Path) -> Path:
    """Wait until the long program in it sleeps: it has made each of its calls then."""
    (sleep,) = calls(Abi.X86_64, "clock_nanosleep")
    deadline = time.monotonic() + oci.TIMEOUT
    while True:
        pids = (cgroup / "cgroup.procs").read_text().split()
        if any(Path(f"/proc/{pid}/syscall").read_text().startswith(f"{sleep.number} ") for pid in pids):
            return cgroup
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def running(containerd: Containerd, identity: str) -> Iterator[Path]:
    """A container whose program goes on; its cgroup."""
    containerd.begin(IMAGE, identity, *LONG)
    try:
        yield asleep(containerd.container_cgroup(identity))
    finally:
        containerd.delete(identity)


def test_short_containers(containerd, watch, scaled):
    """One after the other, in the foreground: always exactly the same workload."""
    for step in range(scaled(200, least=8)):
        containerd.run(IMAGE, f"short-{step}", "/five").good()
        (seen,) = watch.all_ended(1)
        assert seen.problems(FIVE) == [], step
        assert seen.setup >= OF_A_RUNTIME


def test_short_containers_at_once(containerd, watch, scaled):
    """Four at a time, with the shims that each brings."""
    count = scaled(40, least=4)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for ended in pool.map(lambda step: containerd.run(IMAGE, f"at-once-{step}", "/five"), range(count)):
            ended.good()
    for seen in watch.all_ended(count):
        assert seen.problems(FIVE) == []


def test_exec(containerd, watch, scaled):
    """Each exec goes by a shim; the workload grows by the program's calls alone."""
    made = [OWN[step % len(OWN)] for step in range(scaled(50, least=3))]
    with running(containerd, "entered") as cgroup:
        identity = cgroup.stat().st_ino
        for call in made:
            containerd.exec("entered", "/rawsys", word(call)).good()
        assert watch.now(cgroup).problems(RUNNING | rawsys_calls(made)) == []
    assert watch.ended(identity).problems(RUNNING | rawsys_calls(made)) == []


def test_under_its_own_filter(containerd, watch):
    """With containerd's default filter, and without no-new-privileges as Kubernetes has it."""
    options = ("--seccomp", "--allow-new-privs")
    for step in range(3):
        containerd.run(IMAGE, f"filtered-{step}", "/five", options=options).good()
        (seen,) = watch.all_ended(1)
        assert seen.problems(FIVE) == []


def test_containerd_ends_and_comes_back(containerd, watch):
    """A container goes on while containerd is away, killed or stopped; nothing of that is workload."""
    with running(containerd, "staying") as cgroup:
        identity = cgroup.stat().st_ino
        for end in (containerd.kill, containerd.stop):
            end()
            containerd.start()
            containerd.exec("staying", "/five").good()
            assert watch.now(cgroup).problems(RUNNING | FIVE) == []
    assert watch.ended(identity).problems(RUNNING | FIVE) == []


def test_a_pod(containerd, archive, rootfs, tmp_path, watch):
    """By CRI: the sandbox's own program, a container of it and an exec probe into that, apart."""
    pause = write_image(tmp_path / "pause.tar", PAUSE, rootfs, LONG)
    containerd.import_image(archive, CRI_NAMESPACE)
    containerd.import_image(pause, CRI_NAMESPACE)
    with Cri(containerd.socket) as cri:
        sandbox = cri.run_sandbox("pod", containerd.cgroup_parent)
        container = cri.create_container(sandbox, "main", IMAGE, LONG)
        cri.start_container(container)
        assert cri.exec(container, ["/five"]) == 0
        cgroups = [asleep(containerd.cgroup / identity) for identity in (sandbox.identity, container)]
        identities = [cgroup.stat().st_ino for cgroup in cgroups]
        cri.remove_sandbox(sandbox)
    expected = (RUNNING, RUNNING | FIVE)
    for identity, workload in zip(identities, expected, strict=True):
        assert watch.ended(identity).problems(workload) == []


def test_by_the_command_with_the_cgroup_made_before(containerd, recorder_cli, tmp_path):
    """`recorder record --cgroup` from before the container's start, with an exec, to its end."""
    cgroup = containerd.container_cgroup("recorded")
    cgroup.mkdir()
    with recording(recorder_cli, cgroup, tmp_path / "record.json") as recorded:
        with running(containerd, "recorded"):
            containerd.exec("recorded", "/five").good()
        seen = recorded.wait()
    assert seen.problems(RUNNING | FIVE) == []
    assert seen.setup >= OF_A_RUNTIME
    assert "verdict: complete" in recorded.stderr


def test_by_the_command_on_the_parent(containerd, recorder_cli, tmp_path, scaled):
    """All containers below one cgroup as one target."""
    with recording(recorder_cli, containerd.cgroup, tmp_path / "record.json") as recorded:
        for step in range(scaled(20, least=3)):
            containerd.run(IMAGE, f"below-{step}", "/five").good()
        seen = recorded.stop()
    assert seen.problems(FIVE) == []
    assert seen.setup >= OF_A_RUNTIME
