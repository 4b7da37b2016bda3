"""Containers whose cgroups are scopes that systemd makes: a runtime's set-up is apart all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.phases.watch import Watch
from tests.truth import oci
from tests.truth.calls import calls
from tests.truth.containerd import Containerd
from tests.truth.image import write_image
from tests.truth.programs import EXEC, EXPECTED

IMAGE = "localhost/test:1"
FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")


@pytest.fixture(scope="module")
def containerd(
    oci_runtime: str,
    layout: oci.Layout,
    tmp_path_factory: pytest.TempPathFactory,
    built_programs: dict[str, Path],
) -> Iterator[Containerd]:
    """containerd with each runtime, which asks systemd for cgroups."""
    folder = tmp_path_factory.mktemp("image")
    inside = {f"/{name}": built_programs[name] for name in ("five", "signals")}
    rootfs = oci.make_rootfs(folder / "root", inside)
    with Containerd(oci_runtime, layout, systemd_slice="recordertest.slice") as containerd:
        containerd.import_image(write_image(folder / "image.tar", IMAGE, rootfs, ["/five"]))
        yield containerd


@pytest.fixture
def watch(containerd: Containerd) -> Iterator[Watch]:
    """Records each of its containers."""
    with Watch(containerd.cgroup) as watch:
        yield watch


def test_short_containers(containerd, watch, scaled):
    """systemd makes the scope and moves the runtime's process into it; the workload is exact."""
    for step in range(scaled(50, least=3)):
        containerd.run(IMAGE, f"short-{step}", "/five").good()
        (seen,) = watch.all_ended(1)
        assert seen.problems(FIVE) == [], step


def test_exec(containerd, watch, scaled):
    """The same for an exec into a scope."""
    containerd.begin(IMAGE, "entered", "/signals", "100000000")
    cgroup = containerd.container_cgroup("entered")
    identity = cgroup.stat().st_ino
    for _ in range(scaled(20, least=3)):
        containerd.exec("entered", "/five").good()
    assert watch.now(cgroup).problems(RUNNING | FIVE) == []
    containerd.delete("entered")
    assert watch.ended(identity).problems(RUNNING | FIVE) == []
