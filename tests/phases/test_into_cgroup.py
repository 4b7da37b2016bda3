"""A task that is born in the cgroup (clone3 with CLONE_INTO_CGROUP), which no attach event names."""

import concurrent.futures
import subprocess
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.phases.busy import busy_cpus
from tests.phases.recording import recording
from tests.truth import strace
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
# Certainly made by into_cgroup's child before its exec, and by no program here afterwards.
STEPS = calls(Abi.X86_64, "unshare", "mount", "pivot_root", "umount2", "chdir")


@pytest.fixture
def start(built_programs, rootfs):
    """`start(cgroup, *program)`: run it there, born in that cgroup, in a root of its own."""

    def run(cgroup: Path, *program: str) -> None:
        words = [built_programs["into_cgroup"], cgroup, rootfs, *program]
        subprocess.run(words, check=True, timeout=30)

    return run


def removed(cgroup: Path) -> int:
    identity = cgroup.stat().st_ino
    cgroup.rmdir()
    return identity


def test_into_a_new_cgroup(start, watch, container_parent, scaled):
    """Its steps to the container are set-up, the exec'd program alone is workload."""
    for step in range(scaled(200, least=20)):
        cgroup = container_parent / f"into-{step}"
        cgroup.mkdir()
        start(cgroup, "/five")
        seen = watch.ended(removed(cgroup))
        assert seen.problems(FIVE) == []
        assert seen.setup >= STEPS


def test_on_busy_cpus(start, watch, container_parent, scaled):
    """The same with every CPU loaded, and four at a time in one cgroup."""
    cgroup = container_parent / "into"
    cgroup.mkdir()
    with busy_cpus(), concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: start(cgroup, "/five"), range(scaled(100, least=12))))
    seen = watch.ended(removed(cgroup))
    assert seen.problems(FIVE) == []
    assert seen.setup >= STEPS


def test_a_members_child(built_programs, rootfs, scratch_cgroup, recorder_cli, tmp_path):
    """A child of a member that is born in the same cgroup is no joiner: its steps are the workload's."""
    cgroup = scratch_cgroup()
    program = [str(word) for word in (built_programs["into_cgroup"], cgroup, rootfs, "/five")]
    with recording(recorder_cli, cgroup, tmp_path / "record.json", "exec") as recorded:
        truth = strace.run(program, cgroup)
        seen = recorded.stop()
    assert truth.status == 0
    assert truth.calls >= STEPS | FIVE
    assert seen.problems(truth.calls) == []


def test_into_a_running_container(start, container, watch, scaled):
    """As an exec into it: only the exec'd program is added to the workload."""
    with container("/signals", "100000") as it:
        it.create()
        it.start()
        it.wait_for_output("ready")
        for _ in range(scaled(50, least=10)):
            start(it.cgroup, "/five")
        seen = watch.now(it.cgroup)
    assert seen.problems(EXPECTED["signals"] | EXPECTED["five"] | EXEC) == []
    assert seen.setup >= STEPS


def test_by_the_command(start, scratch_cgroup, recorder_cli, tmp_path):
    """`recorder record --cgroup` sees the same, in both modes."""
    for phases in ("container", "exec"):
        cgroup = scratch_cgroup()
        with recording(recorder_cli, cgroup, tmp_path / phases, phases) as recorded:
            start(cgroup, "/five")
            seen = recorded.stop()
        assert seen.problems(FIVE) == [], phases
        assert seen.setup >= STEPS
