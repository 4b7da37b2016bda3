"""A recording that begins when the container runs already: what went before is lost, what comes is exact."""

import subprocess

import pytest

from recorder.model.abi import Abi
from tests.phases.recording import recording
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

SLEEPS = calls(Abi.X86_64, "clock_nanosleep")  # what `signals` does again and again
HANDLES = calls(Abi.X86_64, "rt_sigreturn", "write")  # what it does when it is sent SIGUSR1
FIVE = EXPECTED["five"] | EXEC


def test_a_running_container(container, recorder_cli):
    """The call it is in and all later ones are there; the loss is named."""
    with container("/signals", "100000") as it:
        it.create()
        it.start()
        it.wait_for_output("ready")
        with recording(recorder_cli, it.cgroup, it.folder / "record.json") as recorded:
            it.kill("USR1")
            it.wait_for_output("signal")
            seen = recorded.stop()
    assert seen.problems(SLEEPS | HANDLES, attached_late=1) == []
    assert seen.setup == frozenset()
    assert "verdict: lossy: attached_late 1" in recorded.stderr


def test_an_exec_into_it(container, recorder_cli, scaled):
    """Its set-up is apart all the same, from the first exec on."""
    for _ in range(scaled(10, least=2)):
        with container("/signals", "100000") as it:
            it.create()
            it.start()
            it.wait_for_output("ready")
            with recording(recorder_cli, it.cgroup, it.folder / "record.json") as recorded:
                for _ in range(scaled(50, least=5)):
                    it.exec("/five").good()
                seen = recorded.stop()
        assert seen.problems(SLEEPS | FIVE, attached_late=1) == []
        assert seen.setup


def test_an_exec_that_began_before(container, recorder_cli):
    """A program that was exec'd before is in the container like any other: it is late, too."""
    with container("/signals", "100000") as it:
        it.create()
        it.start()
        it.wait_for_output("ready")
        with subprocess.Popen(
            it.command("exec", it.identity, "/signals", "100000"), stdout=subprocess.PIPE
        ) as before:
            try:
                assert before.stdout.readline() == b"ready\n"
                with recording(recorder_cli, it.cgroup, it.folder / "record.json") as recorded:
                    it.exec("/five").good()
                    seen = recorded.stop()
            finally:
                before.kill()
    assert seen.problems(SLEEPS | FIVE, attached_late=1) == []


def test_between_create_and_start(container, recorder_cli, scaled):
    """The runtime waits in the cgroup for `start`: nothing of the entry point is missing."""
    for _ in range(scaled(20, least=3)):
        with container("/five") as it:
            it.create()
            with recording(recorder_cli, it.cgroup, it.folder / "record.json") as recorded:
                it.start()
                it.wait()
                seen = recorded.stop()
        assert seen.workload >= FIVE
        assert seen.ledger.counts["attached_late"] == 1


def test_another_container_below_the_parent(container, container_parent, recorder_cli, scaled, tmp_path):
    """The parent was late for one container; one that starts afterwards has its set-up apart."""
    with container("/signals", "100000") as it:
        it.create()
        it.start()
        it.wait_for_output("ready")
        with recording(recorder_cli, container_parent, tmp_path / "record.json") as recorded:
            for _ in range(scaled(50, least=10)):
                with container("/five") as another:
                    another.run().good()
            seen = recorded.stop()
    assert seen.problems(SLEEPS | FIVE, attached_late=1) == []


def test_in_mode_exec(built_programs, recorder_cli, scratch_cgroup, tmp_path):
    """A plain cgroup with a task in it, and one that comes in later."""
    cgroup = scratch_cgroup()
    join = 'echo 0 >"$0/cgroup.procs"; exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", join, cgroup, built_programs["signals"], "100000"], stdout=subprocess.PIPE
    ) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            with recording(recorder_cli, cgroup, tmp_path / "record.json", "exec") as recorded:
                subprocess.run(["sh", "-c", join, cgroup, built_programs["five"]], check=True, timeout=30)
                seen = recorded.stop()
        finally:
            running.kill()
    assert seen.problems(SLEEPS | FIVE, attached_late=1) == []
    assert seen.setup
