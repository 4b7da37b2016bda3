"""Mode exec by bcc: who comes in from outside, and how, beside what libbpf says of the same run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.bcc.born import born_in
from tests.member import Guest, Member, Process
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

SECONDS = 60.0


def wait_until_it_reads(pid):
    """Until it waits in read (number 0)."""
    end = time.monotonic() + SECONDS
    while not Path(f"/proc/{pid}/syscall").read_text().startswith("0 "):
        assert time.monotonic() < end
        time.sleep(0.005)


def test_who_is_made_in_the_cgroup_is_set_up_until_its_exec(pair, scratch_cgroup, built_programs):
    """No attach event comes, and the fork event does not say where the child is."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    for _ in range(20):
        born_in(cgroup, built_programs["five"])
    seen = recordings.finish()
    assert seen.workload == EXPECTED["five"] | EXEC
    assert seen.setup >= calls(Abi.X86_64, "getpgrp", "execve")
    assert seen.ledger == {}


def test_who_is_made_in_the_cgroup_and_never_execs_is_workload(pair, scratch_cgroup):
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    born_in(cgroup)
    born_in(cgroup)
    seen = recordings.finish()
    assert seen.workload >= calls(Abi.X86_64, "getpgrp", "exit_group")
    assert (seen.setup, seen.ledger) == (frozenset(), {"joiner_without_exec": 2})


def test_a_member_that_makes_a_child_in_a_cgroup_below(pair, scratch_cgroup):
    """It is no joiner: what it does before its exec is workload, as is the rest."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    below = cgroup / "below"
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[2]);"
        "from tests.bcc.born import born_in; os.mkdir(sys.argv[1]); born_in(sys.argv[1], '/bin/true')"
    )
    # This interpreter, which has what the tests import.
    with Member(cgroup, sys.executable, "-c", program, below, os.getcwd()) as member:
        assert member.wait(SECONDS) == 0
    seen = recordings.finish()
    assert seen.workload >= calls(Abi.X86_64, "clone3", "getpgrp")
    assert not seen.setup & calls(Abi.X86_64, "getpgrp")
    assert seen.ledger == {}


def test_what_is_left_of_one_recording_is_not_taken_for_the_next(recording, bcc, scratch_cgroup):
    """A task that was made elsewhere and outlives it: nobody sees its end, and its number comes again."""
    elsewhere, cgroup = scratch_cgroup(), scratch_cgroup()
    begun = recording(cgroup)
    waiting, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        born_in(elsewhere, program=None, body=lambda: os.read(waiting, 1))
        os._exit(0)
    end = time.monotonic() + SECONDS
    while not bcc._state[0].unresolved:
        assert time.monotonic() < end
        time.sleep(0.01)
    begun.finish()
    assert (bcc._state[0].unresolved, list(bcc._joiners.items())) == (0, [])
    os.close(go)
    os.close(waiting)
    assert os.waitpid(pid, 0)[1] == 0


def test_who_joins_and_never_execs_is_workload(pair, scratch_cgroup):
    """While it is there, and when it has left."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    with Guest(cgroup) as guest:
        wait_until_it_reads(guest.pid)  # one recording ends before the other
        seen = recordings.finish()
    assert seen.workload >= calls(Abi.X86_64, "write", "read")
    assert (seen.setup, seen.ledger) == (frozenset(), {"joiner_without_exec": 1})
    recordings = pair(cgroup)
    with Guest(cgroup) as guest:
        guest.leave()
    seen = recordings.finish()
    assert seen.workload >= calls(Abi.X86_64, "write", "read", "exit_group")
    assert (seen.setup, seen.ledger) == (frozenset(), {"joiner_without_exec": 1})


def test_who_is_moved_in_while_it_runs(pair, scratch_cgroup, built_programs):
    """From then on its calls count; with an exec they are set-up until then."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    with subprocess.Popen([built_programs["signals"], "20"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == b"signal\ndone\n"
    seen = recordings.finish()
    assert seen.workload == calls(Abi.X86_64, "rt_sigreturn", "write", "clock_nanosleep", "exit_group")
    assert seen.ledger == {"joiner_without_exec": 1}


def test_who_is_moved_out_again(pair, scratch_cgroup):
    """What it did in between, without an exec, is workload; what it does outside is nobody's."""
    cgroup, outside = scratch_cgroup(), scratch_cgroup()
    recordings = pair(cgroup)
    with Guest(cgroup) as guest:
        wait_until_it_reads(guest.pid)
        (outside / "cgroup.procs").write_text(str(guest.pid))
        guest.leave()
    seen = recordings.finish()
    assert seen.workload <= calls(Abi.X86_64, "write", "read")
    assert seen.ledger == {"joiner_without_exec": 1}


def test_children_made_before_and_during_the_recording_count(pair, scratch_cgroup, built_programs):
    """Those that were there, those made later, and those below them."""
    cgroup = scratch_cgroup()
    (cgroup / "before" / "deep").mkdir(parents=True)
    recordings = pair(cgroup)
    (cgroup / "later" / "deep" / "deeper").mkdir(parents=True)
    places = {"five": "before", "int80": "before/deep", "x32call": "later", "five32": "later/deep/deeper"}
    for name, place in places.items():
        with Member(cgroup / place, built_programs[name]) as member:
            assert member.wait() == 0
    seen = recordings.finish(by_structures=True)
    assert seen.workload == EXEC.union(*(EXPECTED[name] for name in places))
    assert seen.ledger == {}


def test_a_recording_of_a_running_process_is_late(pair, scratch_cgroup, built_programs):
    cgroup = scratch_cgroup()
    with subprocess.Popen([built_programs["signals"], "20"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        recordings = pair(cgroup)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == b"signal\ndone\n"
    seen = recordings.finish()
    assert seen.workload >= calls(Abi.X86_64, "rt_sigreturn", "exit_group")
    assert seen.ledger == {"attached_late": 1}


def test_what_the_child_of_a_joiner_does_before_its_exec(pair, scratch_cgroup):
    """It is workload: its parent may never exec."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)

    def joins_and_forks():
        (cgroup / "cgroup.procs").write_text("0")
        child = os.fork()
        if child == 0:
            os.getsid(0)
            os.execv("/bin/true", ["true"])  # noqa: S606  as above
        os.waitpid(child, 0)
        os._exit(0)

    with Process(joins_and_forks) as joiner:
        assert joiner.wait() == 0
    seen = recordings.finish()
    assert seen.workload >= calls(Abi.X86_64, "getsid", "execve")
    assert seen.ledger == {"joiner_without_exec": 1}
