"""Processes whose calls are known from their source, from the call on that they wait in."""

import os

import pytest

from recorder.model.abi import Abi
from tests.tasks.waiting import Waiting
from tests.truth import programs
from tests.truth.calls import calls

pytestmark = pytest.mark.root

LATE = {"attached_late": 1}
GATE = calls(Abi.X86_64, "read", "execve")
KIN = {
    "c": ("wait4", "getuid", "getgid"),
    "o": (),  # the orphan was init's child already: it is nobody's
    "d": ("fork", "wait4", "gettid", "getppid", "getsid"),
    "p": ("clone", "getpgrp"),
}


def native(*names):
    return calls(Abi.X86_64, *names, "exit_group")


@pytest.mark.parametrize("preemptible", [None, True], ids=["default", "classic"])
@pytest.mark.parametrize("name", sorted(programs.EXPECTED))
def test_a_process_that_becomes_a_program(name, preemptible, built_programs, followed):
    """Loops, forks, vfork, clone3, CLONE_UNTRACED, execs, memfd, int $0x80, x32, and a 32-bit program."""
    with Waiting(built_programs["gate"], built_programs[name]) as waiting:
        seen = followed(waiting.pid, waiting.release, preemptible=preemptible)
        assert waiting.wait() == 0
    assert seen.problems(GATE | programs.EXPECTED[name], **LATE) == []


@pytest.mark.parametrize("case", sorted(KIN))
def test_a_family(case, built_programs, followed):
    """Children it has already, orphans from before and after, a child that is its parent's."""
    with Waiting(built_programs["kin"], case, says_ready=True) as waiting:
        seen = followed(waiting.pid, waiting.release)
        assert waiting.wait() == 0
    if case == "p":
        assert os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) == 0
    assert seen.problems(native("read", "geteuid", *KIN[case]), **LATE) == []


@pytest.mark.parametrize("abi", ["", "32"], ids=["64-bit", "32-bit"])
def test_a_call_that_never_returns_is_taken_along(abi, built_programs, load, recorder_cli, tmp_path):
    """A process that waits for ever has shown nothing else."""
    with Waiting(built_programs["gate"]) if not abi else _waiter32(built_programs) as waiting:
        done = recorder_cli.run("record", "--pid", str(waiting.pid), "--duration", "0.1", "-f", "names")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == (["i386:poll"] if abi else ["read"])


def _waiter32(built_programs):
    return Waiting(built_programs["waiter32"], says_ready=True, blocked_in=168)


def test_a_process_that_moves_between_cgroups(built_programs, scratch_cgroup, followed):
    """Where it is does not matter; nobody else in those cgroups is seen."""
    with Waiting(built_programs["gate"], built_programs["five"]) as waiting:

        def move() -> None:
            for cgroup in (scratch_cgroup(), scratch_cgroup()):
                (cgroup / "cgroup.procs").write_text(str(waiting.pid))
            waiting.release()

        seen = followed(waiting.pid, move)
        assert waiting.wait() == 0
    assert seen.problems(GATE | programs.EXPECTED["five"], **LATE) == []
