"""A member that makes a cgroup below its own and moves there stays what it was: workload."""

import subprocess

import pytest

from recorder.kernel.layout import SlotMode
from recorder.model.abi import Abi
from tests.phases.recording import recording
from tests.phases.watch import Watch
from tests.truth import oci, strace
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

# By what `nested` is told to do, from its source; with an exec of `five` at its end where it can.
MOVES = calls(Abi.X86_64, "mkdirat", "openat", "write", "close", "getpgrp")
HOW = {
    "s": MOVES,
    "u": MOVES | calls(Abi.X86_64, "unshare"),
    "b": MOVES,
    "c": MOVES | calls(Abi.X86_64, "pipe2", "fork", "read", "getsid", "wait4", "exit_group"),
}
NAMES = {"s": "itself", "u": "itself, after unshare", "b": "there and back", "c": "a child"}
cases = pytest.mark.parametrize("how", HOW, ids=NAMES.values())


def expected(how):
    return HOW[how] | EXEC | (EXPECTED["five"] if how != "c" else frozenset())


@cases
def test_in_a_container(container, watch, scaled, how):
    """In its delegated cgroup, which it sees by a bind mount."""
    for _ in range(scaled(50, least=5)):
        with container("/nested", how, "/cgroup", "/five", capabilities=["CAP_SYS_ADMIN"]) as it:
            cgroup = it.make_cgroup()
            identity = cgroup.stat().st_ino
            it.config["mounts"].append(oci.mount("/cgroup", "bind", str(cgroup), "bind", "rw"))
            it.__enter__()
            it.create()
            it.start()
            it.wait()
            assert it.output.read_text() == ""
            assert (cgroup / "nested").is_dir()
        assert watch.ended(identity).problems(expected(how)) == []


@cases
def test_an_exec_into_a_container_that_moves(container, watch, scaled, how):
    """A program that was exec'd into the container may move as well; the next exec has its set-up apart."""
    with container("/signals", "100000", capabilities=["CAP_SYS_ADMIN"]) as it:
        cgroup = it.make_cgroup()
        it.config["mounts"].append(oci.mount("/cgroup", "bind", str(cgroup), "bind", "rw"))
        it.__enter__()
        it.create()
        it.start()
        it.wait_for_output("ready")
        running = EXPECTED["signals"] - calls(Abi.X86_64, "exit_group")
        for _ in range(scaled(50, least=5)):
            assert it.exec("/nested", how, "/cgroup", "/five").good().stderr == ""
            (cgroup / "nested").rmdir()
            assert watch.now(cgroup).problems(running | expected(how)) == []


@cases
def test_in_mode_exec(built_programs, container_parent, scaled, how):
    """The same in a plain cgroup, for a program whose shell has joined it."""
    words = [built_programs["nested"], how, built_programs["five"]]
    for step in range(scaled(50, least=5)):
        with Watch(container_parent, SlotMode.MODE_EXEC) as watch:
            cgroup = container_parent / f"exec-{step}"
            cgroup.mkdir()
            identity = cgroup.stat().st_ino
            join = 'echo 0 >"$3/cgroup.procs"; exec "$0" "$1" "$3" "$2"'
            subprocess.run(["sh", "-c", join, *words, cgroup], check=True, timeout=30)
            (cgroup / "nested").rmdir()
            cgroup.rmdir()
            assert watch.ended(identity).problems(expected(how)) == []


SCRIPT = """
cgroup=$1$(sed -n s/^0:://p /proc/self/cgroup)
mkdir "$cgroup/nested"
echo $$ >"$cgroup/nested/cgroup.procs"
exec "$2"
"""


def test_a_shell_in_mode_exec(built_programs, scratch_cgroup, cgroup2, recorder_cli, tmp_path):
    """`mkdir`, `echo $$ >cgroup.procs`, exec: all of it is workload, on the same run as strace saw it."""
    cgroup = scratch_cgroup()
    with recording(recorder_cli, cgroup, tmp_path / "record.json", "exec") as recorded:
        truth = strace.run(["sh", "-c", SCRIPT, "sh", str(cgroup2), str(built_programs["five"])], cgroup)
        seen = recorded.stop()
    assert truth.status == 0
    assert truth.calls >= EXPECTED["five"]
    assert (cgroup / "nested").is_dir()
    assert seen.problems(truth.calls) == []


def test_a_shell_as_the_command(built_programs, scratch_cgroup, cgroup2, recorder_cli):
    """The same as COMMAND of `recorder record`, which makes the cgroup: what strace saw of an equal run."""
    command = ["sh", "-c", SCRIPT, "sh", str(cgroup2), str(built_programs["five"])]
    truth = strace.run(command, scratch_cgroup())
    done = recorder_cli.run("record", "-f", "names", "--", *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == truth.names()
    assert b"verdict: complete" in done.stderr
