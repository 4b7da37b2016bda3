"""podman, with conmon, runc and crun: a container's workload is exactly its programs' calls."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.phases.recording import recording
from tests.phases.watch import Watch
from tests.truth import oci
from tests.truth.calls import calls
from tests.truth.podman import Podman
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
OWN = sorted(calls(Abi.X86_64, "getpgrp", "getsid", "times"))
OF_A_RUNTIME = calls(Abi.X86_64, "capset", "pivot_root", "mount")
HOOK = calls(Abi.X86_64, "personality")
LONG = ("/signals", "100000")


@pytest.fixture
def podman(oci_runtime: str, layout: oci.Layout) -> Iterator[Podman]:
    """podman with each runtime, and the cgroup of its containers there before them."""
    with Podman(oci_runtime, layout) as podman:
        podman.cgroup.mkdir(parents=True)
        yield podman


@pytest.fixture
def watch(podman: Podman) -> Iterator[Watch]:
    """Records each of podman's containers."""
    with Watch(podman.cgroup) as watch:
        yield watch


def one_container(watch: Watch):
    """What was seen of the one container that ended; conmon may have a cgroup beside it."""
    (seen,) = watch.all_ended(1, lambda seen: seen.setup >= OF_A_RUNTIME)
    return seen


def running(podman: Podman) -> Path:
    """The cgroup of the one container that runs."""
    (cgroup,) = podman.cgroup.glob("libpod-*")
    return cgroup


def test_run(podman, watch, rootfs, scaled):
    """In the foreground, again and again: podman with runc execs runc once more after the join."""
    for _ in range(scaled(50, least=5)):
        podman.run(rootfs, ["/five"]).good()
        assert one_container(watch).problems(FIVE) == []


def test_exec(podman, watch, rootfs, scaled):
    """Each exec goes through a conmon of its own; the workload grows by the program's calls alone."""
    podman.run(rootfs, LONG, "--detach", "--name", "it").good()
    made = [OWN[step % len(OWN)] for step in range(scaled(50, least=5))]
    for call in made:
        podman.call("exec", "it", "/rawsys", word(call)).good()
    assert watch.now(running(podman)).problems(RUNNING | rawsys_calls(made)) == []
    podman.call("kill", "it").good()
    assert one_container(watch).problems(RUNNING | rawsys_calls(made)) == []


def test_hooks(podman, watch, rootfs, built_programs, tmp_path):
    """Hooks of podman's hook folder are set-up."""
    hooks = {
        "create": (str(built_programs["hook"]), ["createContainer"]),
        "start": ("/hook", ["startContainer"]),
    }
    for name, (path, stages) in hooks.items():
        hook = {"path": path, "args": [path, *map(word, HOOK)]}
        config = {"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": stages}
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    # podman looks for the programs itself, also for one that is in the container alone
    for _ in range(3):
        podman.run(rootfs, ["/five"], "--hooks-dir", str(tmp_path)).good()
        seen = one_container(watch)
        assert seen.problems(FIVE) == []
        assert seen.setup >= HOOK


def test_by_the_command_with_the_cgroup_made_before(podman, rootfs, recorder_cli, tmp_path):
    """`podman create`, then the recording, then `podman start`, and an exec."""
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--pids-limit=-1")
    where = ("--network", "none", "--cgroup-parent", f"/{podman.cgroup.relative_to(podman.layout.cgroup2)}")
    created = podman.call("create", "--rm", *limits, *where, "--rootfs", str(rootfs), *LONG).good()
    identity = created.stdout.strip()
    cgroup = podman.cgroup / f"libpod-{identity}"
    cgroup.mkdir()
    with recording(recorder_cli, cgroup, tmp_path / "record.json") as recorded:
        podman.call("start", identity).good()
        podman.call("exec", identity, "/five").good()
        podman.call("kill", identity).good()
        seen = recorded.wait()
    assert seen.problems(RUNNING | FIVE) == []
    assert seen.setup >= OF_A_RUNTIME
    assert "verdict: complete" in recorded.stderr


def test_by_the_command_on_the_parent(podman, rootfs, recorder_cli, tmp_path, scaled):
    """All containers of one parent as one target."""
    with recording(recorder_cli, podman.cgroup, tmp_path / "record.json") as recorded:
        for _ in range(scaled(10, least=2)):
            podman.run(rootfs, ["/five"]).good()
        seen = recorded.stop()
    assert seen.problems(FIVE) == []
    assert seen.setup >= OF_A_RUNTIME
