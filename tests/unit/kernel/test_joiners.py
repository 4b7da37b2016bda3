"""Tasks whose phase is open at a final reading: each is there once, however many, and nobody else's."""

import contextlib
import ctypes
import os
import signal
from pathlib import Path

import pytest

from recorder.kernel import layout, libbpf_backend
from recorder.kernel.arrays import SharedArray
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.abi import Abi
from recorder.model.errors import BpfLoadError
from recorder.model.record import Phase
from tests.member import Process
from tests.mixing.hand import recorded
from tests.truth.calls import Call, safe_calls

pytestmark = pytest.mark.root

FIT = layout.EXCHANGE_JOINERS
# What a joining task of this test does besides: the end of the write that joined, a word to the
# test, and waiting; and what the C library and Python may call in between.
BESIDE = frozenset({"write", "pause", "close", "brk", "mmap", "munmap", "futex", "rt_sigreturn"})
CALLS = [call for call in safe_calls(Abi.X86_64) if str(call) not in BESIDE]


class Joined(Process):
    """Has joined a cgroup and made one call there when the constructor returns; stays, and never execs."""

    def __init__(self, cgroup: Path, call: Call) -> None:
        syscall, number = ctypes.CDLL(None).syscall, ctypes.c_long(call.number)
        procs = os.open(cgroup / "cgroup.procs", os.O_WRONLY)
        done, say = os.pipe()

        def stay() -> None:
            os.write(procs, b"0")
            syscall(number, -1, -1, -1, -1, -1, -1)
            os.write(say, b"x")
            signal.pause()

        super().__init__(stay)
        for fd in (procs, say):
            os.close(fd)
        try:
            assert os.read(done, 1) == b"x", "it did not join"
        finally:
            os.close(done)


@pytest.fixture
def backend():
    with contextlib.closing(LibbpfBackend(syscalls_spec(Bounds(joiners=400)))) as made:
        yield made


def own_calls(reading) -> frozenset[Call]:
    """Without what all of them do."""
    return frozenset(
        call for call in recorded(reading.calls.items(), Phase.WORKLOAD) if str(call) not in BESIDE
    )


@pytest.mark.parametrize("number", [0, 1, FIT - 1, FIT, FIT + 1, 5 * FIT])
def test_all_of_them_are_there_once(number, backend, scratch_cgroup):
    """Also if more than fit at a time; a member of another target is not, and one that ended is."""
    cgroup, other = scratch_cgroup(), scratch_cgroup()
    target, _ = (backend.add(path.stat().st_ino, SlotMode.MODE_EXEC) for path in (cgroup, other))
    mine, foreign = CALLS[:number], CALLS[-2:]
    with contextlib.ExitStack() as stack:
        for where, calls in ((cgroup, mine), (other, foreign)):
            joined = [stack.enter_context(Joined(where, call)) for call in calls]
            if joined:
                joined[0].end()
        reading = backend.read(target, final=True)
        assert own_calls(reading) == frozenset(mine)
        assert reading.ledger.counts == ({"joiner_without_exec": number} if number else {})
        assert own_calls(backend.read(target)) == frozenset(mine[:1]), "a snapshot has them not"


def test_while_others_come_and_go(backend, scaled, scratch_cgroup):
    """Their entries are removed and used again all the time."""
    cgroup, other = scratch_cgroup(), scratch_cgroup()
    target, _ = (backend.add(path.stat().st_ino, SlotMode.MODE_EXEC) for path in (cgroup, other))
    mine, foreign = CALLS[: 3 * FIT], CALLS[-1]
    with contextlib.ExitStack() as stack:
        for call in mine:
            stack.enter_context(Joined(cgroup, call))
        churn = stack.enter_context(Process(lambda: _come_and_go(other, foreign)))
        for _ in range(scaled(2000, least=100)):
            reading = backend.read(target, final=True)
            assert own_calls(reading) == frozenset(mine)
            assert reading.ledger.counts == {"joiner_without_exec": len(mine)}
        assert not os.waitid(os.P_PID, churn.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), "it went on"
    assert backend._counters[0].removals_ended > len(mine)


def _come_and_go(cgroup: Path, call: Call) -> None:
    """Until it is killed: four at a time join, call, and end."""
    syscall, number = ctypes.CDLL(None).syscall, ctypes.c_long(call.number)
    procs = os.open(cgroup / "cgroup.procs", os.O_WRONLY)
    while True:
        for _ in range(4):
            if os.fork() == 0:
                os.write(procs, b"0")
                syscall(number, -1, -1, -1, -1, -1, -1)
                os._exit(0)
        for _ in range(4):
            os.wait()


def test_a_removal_that_does_not_end_is_an_error(backend, scratch_cgroup, monkeypatch):
    """Not a reading that may lack somebody."""
    target = backend.add(scratch_cgroup().stat().st_ino, SlotMode.MODE_EXEC)
    with contextlib.closing(
        SharedArray(backend._maps["counters"], layout.Counters, 1, writable=True)
    ) as counters:
        counters.store(0, "removals_begun", backend._counters[0].removals_ended + 1)
    waited = []
    monkeypatch.setattr(libbpf_backend, "wait_for_runs", lambda: waited.append(1))
    with pytest.raises(BpfLoadError, match="joining tasks ended during each of 100 looks"):
        backend.read(target, final=True)
    assert len(waited) == 100, "each time until the runs were over"
