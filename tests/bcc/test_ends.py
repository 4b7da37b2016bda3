"""Tasks that end while the record is read, or whose end nobody sees: nothing of them is lost or mixed."""

import ctypes
import os
import time

import pytest

from recorder.kernel import bcc_layout
from recorder.kernel.layout import JoinerState, SlotMode
from recorder.model.abi import Abi
from recorder.model.record import Phase
from tests.bcc.born import born_in
from tests.bcc.seen import Seen
from tests.member import Process
from tests.mixing.hand import recorded
from tests.truth.calls import Call, calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

X32_BIT = 0x40000000
# The last number of the last bitmap: what is moved is moved in this order. With bad arguments, or unknown.
LATE = Call(Abi.X32, 547)
ITS_CALLS = calls(Abi.X86_64, "exit_group") | {LATE}


@pytest.fixture
def kept_cgroup(bcc, unused, scratch_cgroup):
    """A cgroup; another one is recorded all the time, since attaching and detaching take long."""
    bcc.add(scratch_cgroup().stat().st_ino, SlotMode.MODE_EXEC)
    return scratch_cgroup()


def came_and_went(cgroup):
    """A task that joined, called and ended; its number is free, and the kernel frees it some time later."""

    def body():
        (cgroup / "cgroup.procs").write_text("0")
        ctypes.CDLL(None).syscall(ctypes.c_long(X32_BIT + LATE.number), -1, 0, 0, 0, 0, 0)
        os._exit(0)

    process = Process(body)
    assert process.wait() == 0
    return process.pid


@pytest.fixture
def until_it_is_settled(bcc):
    """`until_it_is_settled(pid, seconds)`: returns within microseconds of the moment when its entry is gone.

    False if that does not come in time.
    """
    key, entry = ctypes.c_uint32(), bcc_layout.Joiner()
    map_fd, look = bcc._maps["joiners"], bcc._libbpf.bpf_map_lookup_elem

    def spin(pid, seconds):
        key.value = pid
        places = ctypes.addressof(key), ctypes.addressof(entry)
        end = time.monotonic() + seconds
        while look(map_fd, *places) == 0:
            if time.monotonic() > end:
                return False
        return True

    return spin


@pytest.fixture
def freed(bcc, kept_cgroup, until_it_is_settled):
    """`freed()`: a number that a task had whose end the kernel has reported: none is still to come.

    The kernel frees it after a grace period. On a machine with one CPU membarrier(2) does not wait for one,
    so the report itself is waited for, and made again if the kernel skipped it.
    """

    def make():
        target = bcc.add(kept_cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        for _ in range(10):
            number = came_and_went(kept_cgroup)
            if until_it_is_settled(number, 10):
                break
        else:
            raise TimeoutError("no end of ten tasks was reported")
        bcc.drop(target)
        bcc.release(target)
        return number

    return make


def test_a_reading_while_the_kernel_settles_a_task(
    bcc, kept_cgroup, scaled, monkeypatch, until_it_is_settled
):
    """At the worst moment, when its calls wait no longer and are on their way: they are all there."""
    cpus = sorted(os.sched_getaffinity(0))
    pids, real = [], bcc._waiting
    monkeypatch.setattr(
        bcc, "_waiting", lambda target: [] if until_it_is_settled(pids[-1], 1) else real(target)
    )
    try:
        for _ in range(scaled(300, least=20)):
            target = bcc.add(kept_cgroup.stat().st_ino, SlotMode.MODE_EXEC)
            os.sched_setaffinity(0, {cpus[0]})  # who reaps it frees it
            pids.append(came_and_went(kept_cgroup))
            os.sched_setaffinity(0, {cpus[-1]})
            reading = bcc.read(target, final=True)
            assert recorded(reading.calls.items(), Phase.WORKLOAD) >= ITS_CALLS
            assert dict(reading.ledger.counts) == {"joiner_without_exec": 1}
            bcc.drop(target)
            bcc.release(target)
    finally:
        os.sched_setaffinity(0, cpus)


def test_an_end_that_the_kernel_does_not_report(bcc, kept_cgroup, until_it_is_settled):
    """It skips a run that interrupts another use of BPF on the same CPU: nothing is lost by that."""
    for _ in range(10):
        target = bcc.add(kept_cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        until_it_is_settled(came_and_went(kept_cgroup), 0.5)
        bcc.drop(target)
        reading = bcc.read(target, final=True)
        bcc.release(target)
        assert recorded(reading.calls.items(), Phase.WORKLOAD) >= ITS_CALLS
        assert dict(reading.ledger.counts) == {"joiner_without_exec": 1}
    assert bcc.ledger().losses() == {}


@pytest.mark.parametrize("state", [JoinerState.JOINER_CONFIRMED, JoinerState.JOINER_UNDECIDED])
def test_a_number_that_was_another_tasks(state, recording, bcc, freed, scratch_cgroup, built_programs):
    """What is left of who had the process id before is settled by the fork: the new task is itself."""
    cgroup = scratch_cgroup()
    begun = recording(cgroup)
    number = freed()
    left = bcc_layout.Joiner(slot=begun.target.slot, generation=begun.target.generation, state=state)
    its_call, its_note = frozenset[Call](), {}
    if state == JoinerState.JOINER_UNDECIDED:
        (call,) = its_call = calls(Abi.X86_64, "getsid")
        its_note = {"joiner_without_exec": 1}
        held = bcc_layout.Held()
        held.seen[call.number] = 1
        assert bcc._held.put(ctypes.c_uint32(number), held) == 0
    assert bcc._joiners.put(ctypes.c_uint32(number), left) == 0
    born_in(cgroup, built_programs["five"], pid=number)
    seen = Seen.of(begun.finish())
    assert seen.workload == EXPECTED["five"] | EXEC | its_call
    assert seen.setup >= calls(Abi.X86_64, "getpgrp", "execve")
    assert seen.ledger == its_note
