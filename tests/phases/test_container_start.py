"""A container's start by runc and crun: the workload is the entry point's calls and its own exec."""

import concurrent.futures
import json
import random
import subprocess

import pytest

from recorder.model.abi import Abi
from tests.phases.busy import busy_cpus
from tests.phases.recording import recording
from tests.phases.seen import Seen
from tests.truth import oci
from tests.truth.calls import call_number, calls, safe_calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
ALLOW_ALL = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}
# What both runtimes certainly do inside the cgroup before the entry point begins.
OF_A_RUNTIME = calls(Abi.X86_64, "capset", "pivot_root", "mount")


def check(seen: Seen, expected=FIVE) -> None:
    assert seen.problems(expected) == []
    assert seen.setup >= OF_A_RUNTIME


def test_run(container, watch, scaled):
    """`run`, again and again: always exactly the same workload, whatever the runtime's threads do."""
    for _ in range(scaled(200, least=20)):
        with container("/five") as it:
            it.run().good()
        (seen,) = watch.all_ended(1)
        check(seen)


def test_create_and_start(container, watch, scaled):
    """A created container has no workload yet; a started one has exactly its own."""
    for _ in range(scaled(50, least=5)):
        with container("/five") as it:
            it.create()
            before = watch.now(it.cgroup)
            assert (before.workload, before.setup >= OF_A_RUNTIME) == (frozenset(), True)
            identity = it.cgroup.stat().st_ino
            it.start()
            it.wait()
        check(watch.ended(identity))


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_under_a_filter(container, watch, no_new_privileges):
    """With a seccomp filter a runtime does its last steps in another order: still set-up."""
    with container("/five", seccomp=ALLOW_ALL, no_new_privileges=no_new_privileges) as it:
        it.run().good()
    check(*watch.all_ended(1))


@pytest.mark.parametrize(
    ("args", "more", "expected"),
    [
        (["/five32"], {}, EXPECTED["five32"] | EXEC),
        (["/script"], {}, FIVE),
        (["five"], {"env": ["PATH=/nowhere:/bin:/"]}, FIVE),
        (["/five"], {"user": (65534, 65534)}, FIVE),
        (["/memfd_exec"], {}, EXPECTED["memfd_exec"] | EXEC),
        (["/signals", "2"], {"host_network": True}, EXPECTED["signals"] | EXEC),
    ],
    ids=["i386", "script", "by PATH", "another user", "memfd", "host network"],
)
def test_entry_points(container, watch, args, more, expected):
    """An i386 program, a script, another user's, one found on PATH, one that execs itself from a memfd."""
    for _ in range(3):
        with container(*args, **more) as it:
            it.run().good()
        check(*watch.all_ended(1), expected=expected)


SPACES = {
    "user": [{"type": "user"}],
    "cgroup": [{"type": "cgroup"}],
    "all": [{"type": "user"}, {"type": "cgroup"}],
}
IDENTITY = [{"containerID": 0, "hostID": 0, "size": 65536}]


@pytest.mark.parametrize("spaces", SPACES)
def test_more_namespaces(container, watch, spaces):
    """A user namespace and a cgroup namespace change the steps by which a runtime enters."""
    for _ in range(3):
        it = container("/five")
        it.config["linux"]["namespaces"] += SPACES[spaces]
        if spaces != "cgroup":
            it.config["linux"] |= {"uidMappings": IDENTITY, "gidMappings": IDENTITY}
        with it:
            it.run().good()
        check(*watch.all_ended(1))


def test_fewer_namespaces(container, watch):
    """A mount namespace alone is enough."""
    it = container("/five")
    it.config["linux"]["namespaces"] = [{"type": "mount"}]
    del it.config["hostname"]  # it needs a namespace
    it.config["mounts"] = [oci.mount("/proc", "proc", "proc")]  # runc closes what /proc/self/fd shows
    with it:
        it.run().good()
    check(*watch.all_ended(1))


def test_namespaces_of_another_container(container, watch):
    """As in a pod: it joins those of a container that runs."""
    with container("/signals", "100000") as first:
        first.create()
        first.start()
        first.wait_for_output("ready")
        shared = {"pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net"}
        for _ in range(3):
            it = container("/five")
            it.config["linux"]["namespaces"] = [{"type": "mount"}] + [
                {"type": kind, "path": f"/proc/{first.pid()}/ns/{name}"} for kind, name in shared.items()
            ]
            del it.config["hostname"]
            with it:
                it.run().good()
            check(*watch.all_ended(1))


def test_a_program_on_a_volume(container, watch, built_programs):
    """The entry point lies on a mount of its own."""
    volume = oci.mount("/volume", "bind", str(built_programs["five"].parent), "bind", "ro")
    with container("/volume/five", mounts=[volume]) as it:
        it.run().good()
    check(*watch.all_ended(1))


def test_an_overlay_as_root(container, watch, rootfs, tmp_path):
    """As images are mounted; also for an exec into it."""
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    layers = f"lowerdir={rootfs},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", tmp_path / "merged"], check=True)
    try:
        it = container("/signals", "100000")
        it.config["root"]["path"] = str(tmp_path / "merged")
        with it:
            it.create()
            it.start()
            it.wait_for_output("ready")
            running = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
            check(watch.now(it.cgroup), expected=running)
            it.exec("/five").good()
            check(watch.now(it.cgroup), expected=running | FIVE)
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)


def test_on_busy_cpus(container, watch, scaled):
    """The same with every CPU loaded: no thread of a runtime leaks when it is kept waiting."""
    with busy_cpus():
        for _ in range(scaled(50, least=5)):
            with container("/five") as it:
                it.run().good()
            check(*watch.all_ended(1))


def test_many_at_once(container, watch, scaled):
    """Eight at a time, each with calls of its own: each workload is one of theirs, and each is there."""
    chooser = random.Random(3)
    safe = safe_calls(Abi.X86_64)

    def run(made):
        with container("/rawsys", *map(word, made)) as it:
            it.run().good()

    for _ in range(scaled(20, least=2)):
        sets = [chooser.sample(safe, 12) for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(run, sets))
        seen = watch.all_ended(len(sets))
        expected = [rawsys_calls(made) | EXEC for made in sets]
        key = sorted  # sets of calls have no order of their own
        assert sorted(map(key, (one.workload for one in seen))) == sorted(map(key, expected))
        assert [dict(one.ledger.counts) for one in seen] == [{}] * len(sets)


def test_calls_of_the_entry_point_that_the_runtime_makes_too(container, watch):
    """A call is in both phases if both make it: set-up takes nothing away from the workload."""
    made = calls(
        Abi.X86_64, "mount", "capset", "pivot_root", "openat", "futex", "close", "prctl", "setgroups"
    )
    with container("/rawsys", *map(word, made)) as it:
        it.run().good()
    check(*watch.all_ended(1), expected=rawsys_calls(made) | EXEC)


def test_by_the_command_with_the_cgroup_made_before(container, recorder_cli, scaled):
    """`recorder record --cgroup` on a cgroup that the runtime then fills ends with it, and is exact."""
    for step in range(scaled(10, least=2)):
        with container("/five") as it:
            output = it.folder / "record.json"
            with recording(recorder_cli, it.make_cgroup(), output) as recorded:
                if step % 2:
                    it.create()
                    it.start()
                    it.wait()
                    it.call("delete", it.identity).good()
                else:
                    it.run().good()
                check(recorded.wait())
                assert "verdict: complete" in recorded.stderr


def test_by_the_command_on_the_parent(container, container_parent, recorder_cli, scaled, tmp_path):
    """On the parent it records all containers that are made below it as one, until Ctrl-C."""
    with recording(recorder_cli, container_parent, tmp_path / "record.json") as recorded:
        for _ in range(scaled(200, least=30)):
            with container("/five") as it:
                it.run().good()
        with container("/rawsys", str(call_number(Abi.X86_64, "getpgrp"))) as it:
            it.create()
            it.start()
            it.wait()
        check(recorded.stop(), expected=FIVE | calls(Abi.X86_64, "getpgrp"))


def test_an_entry_point_that_is_not_there(container, watch, recorder_cli):
    """No exec, so no boundary and no workload: the ledger says that nothing can be told."""
    with container("/missing") as it:
        assert it.run().status != 0
    (seen,) = watch.all_ended(1)
    assert seen.problems([], no_boundary=1) == []
    assert seen.setup
    with (
        container("/missing") as it,
        recording(recorder_cli, it.make_cgroup(), it.folder / "record.json") as recorded,
    ):
        assert it.run().status != 0
        if it.cgroup.exists():  # runc leaves it
            it.cgroup.rmdir()
        seen = recorded.wait()
        assert seen.problems([], no_boundary=1) == []
        assert "verdict: lossy: no_boundary 1" in recorded.stderr


def test_a_runtime_inside_the_recorded_cgroup(container, container_parent, recorder_cli):
    """A runtime that runs in the target itself is not told from its containers: the ledger says so."""
    it = container("/five")
    with it:
        host = container_parent / "host"
        host.mkdir()
        it.config["linux"]["cgroupsPath"] = f"/{host.relative_to(it.layout.cgroup2)}/inner"
        (it.folder / "config.json").write_text(json.dumps(it.config))
        join = 'echo 0 >"$0/cgroup.procs"; exec "$@"'
        run = it.command("run", "--bundle", str(it.folder), it.identity)
        with recording(recorder_cli, host, it.folder / "record.json") as recorded:
            subprocess.run(["sh", "-c", join, host, *run], check=True, timeout=60)
            seen = recorded.stop()
    assert seen.problems([], no_boundary=1) == []
    assert seen.setup >= FIVE | OF_A_RUNTIME
