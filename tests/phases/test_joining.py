"""Mode exec: who comes into a plain cgroup is set-up until its first exec; what never execs is workload."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from recorder.kernel.layout import SlotMode
from recorder.model.abi import Abi
from tests.phases.busy import busy_cpus
from tests.phases.recording import recording
from tests.phases.watch import Watch
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
JOIN = 'echo $$ >"$0/cgroup.procs"; exec "$@"'
# What `nested j` does after the write that makes it a member.
AFTER_JOINING = calls(Abi.X86_64, "close", "getpgrp")


@pytest.fixture
def plain(container_parent):
    """A cgroup that is recorded in mode exec, and what was seen of it."""
    with Watch(container_parent, SlotMode.MODE_EXEC) as watch:
        cgroup = container_parent / "plain"
        cgroup.mkdir()
        yield watch, cgroup


def end(watch, cgroup):
    identity = cgroup.stat().st_ino
    deadline = time.monotonic() + 10
    while "populated 1" in (cgroup / "cgroup.events").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    cgroup.rmdir()
    return watch.ended(identity)


def test_a_shell_that_joins_and_execs(plain, built_programs, scaled):
    """Only the exec'd program is workload, however often."""
    watch, cgroup = plain
    for _ in range(scaled(200, least=20)):
        subprocess.run(["sh", "-c", JOIN, cgroup, built_programs["five"]], check=True, timeout=30)
    seen = end(watch, cgroup)
    assert seen.problems(FIVE) == []
    assert seen.setup >= calls(Abi.X86_64, "dup2", "close")  # the shell puts its stdout back


def test_on_busy_cpus(plain, built_programs, scaled):
    """Four at a time with every CPU loaded."""
    watch, cgroup = plain
    with busy_cpus():
        for _ in range(scaled(50, least=5)):
            with contextlib.ExitStack() as stack:
                words = ["sh", "-c", JOIN, cgroup, built_programs["five"]]
                shells = [stack.enter_context(subprocess.Popen(words)) for _ in range(4)]
            assert [shell.returncode for shell in shells] == [0] * 4
    assert end(watch, cgroup).problems(FIVE) == []


def test_an_i386_program(plain, built_programs):
    """The exec that starts it is counted for the ABI of who called it."""
    watch, cgroup = plain
    subprocess.run(["sh", "-c", JOIN, cgroup, built_programs["five32"]], check=True, timeout=30)
    assert end(watch, cgroup).problems(EXPECTED["five32"] | EXEC) == []


def test_a_program_that_joins_and_never_execs(plain, built_programs):
    """Its calls count as workload, and the note says so."""
    watch, cgroup = plain
    words = [built_programs["nested"], "j", cgroup]
    subprocess.run(words, stdin=subprocess.DEVNULL, check=True, timeout=30)
    expected = AFTER_JOINING | calls(Abi.X86_64, "read", "exit_group")
    assert end(watch, cgroup).problems(expected, joiner_without_exec=1) == []


def test_one_that_has_not_exec_d_when_the_recording_ends(
    built_programs, scratch_cgroup, recorder_cli, tmp_path
):
    """The same for a task that is still there: its calls are in the record, the verdict is complete."""
    cgroup = scratch_cgroup()
    words = [built_programs["nested"], "j", cgroup]
    with (
        recording(recorder_cli, cgroup, tmp_path / "record.json", "exec") as recorded,
        subprocess.Popen(words, stdin=subprocess.PIPE) as joiner,
    ):
        wait_for_call(joiner.pid, "read")
        seen = recorded.stop()
        joiner.communicate()
    assert seen.problems(AFTER_JOINING | calls(Abi.X86_64, "read"), joiner_without_exec=1) == []
    assert "verdict: complete" in recorded.stderr
    assert "note joiner_without_exec 1" in recorded.stderr


def test_a_joiner_that_leaves_again(plain, built_programs):
    """What it did in the cgroup before it left, without an exec, is workload."""
    watch, cgroup = plain
    words = [built_programs["nested"], "j", cgroup]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as joiner:
        wait_for_call(joiner.pid, "read")
        (cgroup.parent / "cgroup.procs").write_text(str(joiner.pid))
        joiner.communicate()
    seen = end(watch, cgroup)
    assert seen.problems(AFTER_JOINING | calls(Abi.X86_64, "read"), joiner_without_exec=1) == []


def test_a_running_process_that_is_moved_in(plain, built_programs):
    """From then on its calls are the workload's, with the note."""
    watch, cgroup = plain
    with subprocess.Popen([built_programs["signals"], "20"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == b"signal\ndone\n"
    expected = calls(Abi.X86_64, "rt_sigreturn", "write", "clock_nanosleep", "exit_group")
    assert end(watch, cgroup).problems(expected, joiner_without_exec=1) == []


def test_a_process_that_is_moved_in_and_starts_others(plain, built_programs):
    """Nothing that it does from then on is missing, nor what its child does before the child's exec."""
    watch, cgroup = plain
    words = [built_programs["nested"], "f", "-", built_programs["five"]]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        wait_for_call(process.pid, "read")
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        process.communicate()
    own = calls(Abi.X86_64, "fork", "wait4", "getpgrp", "exit_group")
    of_child = calls(Abi.X86_64, "getsid") | FIVE
    assert end(watch, cgroup).problems(own | of_child, joiner_without_exec=1) == []


def wait_for_call(pid: int, name: str) -> None:
    """Until a process is blocked in this call."""
    (call,) = calls(Abi.X86_64, name)
    deadline = time.monotonic() + 10
    while not Path(f"/proc/{pid}/syscall").read_text().startswith(f"{call.number} "):
        assert time.monotonic() < deadline
        os.sched_yield()
