"""The recorder by libbpf keeps what the Backend protocol promises, on this kernel."""

import contextlib
import os
import select
import time
from pathlib import Path

import pytest

from recorder.kernel.backend import Target, WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.abi import Abi
from recorder.model.errors import BpfLimit, BpfLoadError
from recorder.model.record import CallKey, Outcome, Phase
from tests.kernel_objects import held_by
from tests.member import Member
from tests.mixing.hand import expected, recorded
from tests.mixing.table import table_of
from tests.truth.calls import Call

pytestmark = pytest.mark.root

EXEC = SlotMode.MODE_EXEC
GETPID, GETUID = Call(Abi.X86_64, 39), Call(Abi.X86_64, 102)


@pytest.fixture
def load():
    """`load(slots=2, ...)`: a backend, closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**bounds):
            return stack.enter_context(contextlib.closing(LibbpfBackend(syscalls_spec(Bounds(**bounds)))))

        yield make


@pytest.fixture
def call(built_programs):
    """`call(cgroup, *calls)`: a program that makes these calls in the cgroup, to its end."""

    def make(cgroup, *made):
        with Member(cgroup, built_programs["rawsys"], *(str(each.number) for each in made)) as member:
            assert member.wait() == 0

    return make


def links():
    return len([each for each in held_by(os.getpid()) if each.kind == "link"])


def workload(reading):
    return recorded(reading.calls.items(), Phase.WORKLOAD)


def identity(path):
    return path.stat().st_ino


def test_programs_are_attached_while_there_is_something_to_record(load, scratch_cgroup):
    """Idle costs nothing: with the last target or watched root the links go."""
    backend = load()
    assert links() == 0
    target = backend.add(identity(scratch_cgroup()), EXEC)
    assert links() == 7
    root = scratch_cgroup()
    backend.watch(identity(root), WatchRule(EXEC))
    backend.drop(target)
    assert links() == 7
    backend.release(target)
    assert links() == 7, "a root is watched"
    backend.unwatch(identity(root))
    assert links() == 0
    backend.add(identity(root), EXEC)
    assert links() == 7


def test_a_cgroup_is_recorded_once(load, scratch_cgroup, call):
    """Added again it is refused, also as a child that counts for its parent; the first goes on."""
    backend = load()
    cgroup = scratch_cgroup()
    target = backend.add(identity(cgroup), EXEC)
    child = scratch_cgroup("below", parent=cgroup)
    for path in (cgroup, child):
        with pytest.raises(BpfLimit, match="is being recorded already"):
            backend.add(identity(path), EXEC)
    call(child, GETPID)
    assert backend.targets() == [target]
    assert workload(backend.read(target)) == expected((GETPID,))
    assert backend.ledger().counts == {}


def test_a_slot_is_free_only_after_drop_and_release(load, scratch_cgroup, call):
    """release of a live target does nothing; after drop the bits stay until it."""
    backend = load(slots=1)
    cgroup = scratch_cgroup()
    target = backend.add(identity(cgroup), EXEC)
    call(cgroup, GETPID)
    backend.release(target)
    assert backend.targets() == [target]
    assert not backend.read(target).ended
    backend.drop(target)
    call(cgroup, GETUID)
    reading = backend.read(target)
    assert reading.ended
    assert workload(reading) == expected((GETPID,))
    with pytest.raises(BpfLimit, match="all 1 slots are in use"):
        backend.add(identity(scratch_cgroup()), EXEC)
    backend.release(target)
    assert backend.targets() == []
    again = backend.add(identity(cgroup), EXEC)
    assert again.slot == target.slot
    assert again.generation != target.generation
    assert backend.read(again).calls == {}


def test_a_stale_target_touches_nobody(load, scratch_cgroup, call):
    """drop, release and adopt by a target whose slot is another's by now."""
    backend = load(slots=1)
    stale = backend.add(identity(scratch_cgroup()), EXEC)
    backend.drop(stale)
    backend.release(stale)
    cgroup, other = scratch_cgroup(), scratch_cgroup()
    target = backend.add(identity(cgroup), EXEC)
    backend.drop(stale)
    backend.adopt(stale, [identity(other)])
    call(cgroup, GETPID)
    call(other, GETUID)
    backend.drop(target)
    backend.release(stale)
    assert backend.targets() == [target]
    assert workload(backend.read(target)) == expected((GETPID,))
    assert backend.read(stale).ledger.counts == {"slot_reused": 1}
    assert backend.read(stale).calls == {}


def test_times_are_of_the_boot_clock_and_the_end_is_the_first_one(load, scratch_cgroup):
    """A drop after the cgroup's own end does not move it."""

    def now():
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    backend = load()
    cgroup = scratch_cgroup()
    begun = now()
    target = backend.add(identity(cgroup), EXEC)
    reading = backend.read(target)
    assert begun <= reading.epoch <= now()
    assert (reading.ended, reading.ended_ns) == (False, 0)
    before = now()
    cgroup.rmdir()
    after = now()
    ended = backend.read(target)
    assert ended.ended
    assert before <= ended.ended_ns <= after
    backend.drop(target)
    assert backend.read(target).ended_ns == ended.ended_ns
    assert ended.epoch == reading.epoch


def test_children_count_for_their_target_as_long_as_they_are_there(load, scratch_cgroup, call):
    """New ones, those of children, and those that were there before; a removed one makes room for another."""
    backend = load(children=2)
    cgroup = scratch_cgroup()
    old = scratch_cgroup("old", parent=cgroup)
    target = backend.add(identity(cgroup), EXEC)
    backend.adopt(target, [identity(old)])
    call(old, GETPID)
    for _ in range(5):
        below = scratch_cgroup("below", parent=old)
        below.rmdir()
    below = scratch_cgroup("below", parent=old)
    call(below, GETUID)
    reading = backend.read(target)
    assert workload(reading) == expected((GETPID, GETUID))
    assert reading.ledger.counts == {}
    below.rmdir()
    old.rmdir()
    assert not backend.read(target).ended, "the end of a child is not the target's"
    cgroup.rmdir()
    assert backend.read(target).ended
    assert table_of(backend).empty


def test_a_drop_takes_the_children_along(load, scratch_cgroup, call):
    """Also those in the hash map behind the table."""
    backend = load(children=16, table_sets=1)
    cgroup = scratch_cgroup()
    target = backend.add(identity(cgroup), EXEC)
    below = [scratch_cgroup(f"below-{number}", parent=cgroup) for number in range(12)]
    assert table_of(backend).behind
    backend.drop(target)
    for path in below:
        call(path, GETPID)
    assert backend.read(target).calls == {}
    backend.release(target)
    assert table_of(backend).empty


def test_a_watched_root_gives_its_children_slots_and_not_itself(load, scratch_cgroup, call):
    """Grandchildren count for the child; after unwatch nobody new gets one, and who is there stays."""
    backend = load()
    root = scratch_cgroup()
    backend.watch(identity(root), WatchRule(EXEC))
    call(root, GETUID)
    assert backend.targets() == []
    child = scratch_cgroup("one", parent=root)
    call(scratch_cgroup("below", parent=child), GETPID)
    (target,) = backend.targets()
    assert target.cgroup_id == identity(child)
    backend.unwatch(identity(root))
    scratch_cgroup("two", parent=root)
    assert backend.targets() == [target]
    assert workload(backend.read(target)) == expected((GETPID,))


def test_roots_have_a_bound_and_end_with_their_cgroup(load, scratch_cgroup):
    """Refused beyond it; a removed root gives its place back."""
    backend = load(roots=1)
    first, second = scratch_cgroup(), scratch_cgroup()
    backend.watch(identity(first), WatchRule(EXEC))
    backend.watch(identity(first), WatchRule(EXEC))
    with pytest.raises(BpfLimit, match="all 1 places for watched cgroups are in use"):
        backend.watch(identity(second), WatchRule(EXEC))
    first.rmdir()
    backend.watch(identity(second), WatchRule(EXEC))


def test_a_failed_watch_does_not_leave_programs_attached(load, scratch_cgroup, monkeypatch):
    """Nothing is recorded, so nothing may run."""
    backend = load()
    monkeypatch.setattr(backend, "_control", lambda *_: -22)
    with pytest.raises(BpfLoadError, match="cannot watch a cgroup"):
        backend.watch(identity(scratch_cgroup()), WatchRule(EXEC))
    assert links() == 0


def test_a_late_target_has_its_first_call_from_then_on(load, scratch_cgroup, built_programs):
    """A task that was there before the add is a member: its calls count, without an exec."""
    backend = load()
    cgroup = scratch_cgroup()
    reader, writer = os.pipe()
    with Member(cgroup, "/bin/cat", stdin=reader) as member:
        os.write(writer, b"x")
        deadline = time.monotonic() + 10
        while f"/{cgroup.name}" not in Path(f"/proc/{member.pid}/cgroup").read_text():
            assert time.monotonic() < deadline
        target = backend.add(identity(cgroup), EXEC, late=True)
        os.close(writer)
        os.close(reader)
        assert member.wait() == 0
    reading = backend.read(target, final=True)
    key = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)
    assert 231 in reading.calls[key]  # exit_group
    assert reading.started
    assert reading.ledger.counts == {}


def test_waiting_ends_with_an_event_or_with_the_time(load, scratch_cgroup):
    """fileno serves select as well."""
    backend = load()
    begun = time.monotonic()
    assert not backend.wait(0.05)
    assert time.monotonic() - begun >= 0.05
    root = scratch_cgroup()
    backend.watch(identity(root), WatchRule(EXEC))
    scratch_cgroup("one", parent=root)
    assert backend.wait(10)
    assert select.select([backend.fileno()], [], [], 0)[0] == [backend.fileno()]
    assert backend.events()
    assert select.select([backend.fileno()], [], [], 0)[0] == []


def test_a_reading_is_cumulative(load, scratch_cgroup, call):
    """Two looks without a call in between are equal; the second of two calls adds to the first."""
    backend = load()
    cgroup = scratch_cgroup()
    target = backend.add(identity(cgroup), EXEC)
    call(cgroup, GETPID)
    first = backend.read(target)
    assert backend.read(target) == first
    call(cgroup, GETUID)
    assert workload(backend.read(target)) == workload(first) | expected((GETUID,))


def test_two_backends_record_the_same_cgroup(load, scratch_cgroup, call):
    """Each has its own slots and its own end."""
    first, second = load(), load()
    cgroup = scratch_cgroup()
    one, two = first.add(identity(cgroup), EXEC), second.add(identity(cgroup), EXEC)
    call(cgroup, GETPID)
    first.drop(one)
    call(cgroup, GETUID)
    assert workload(first.read(one)) == expected((GETPID,))
    assert workload(second.read(two)) == expected((GETPID, GETUID))


def test_close_frees_all_and_may_be_repeated(load, scratch_cgroup):
    """Also with a target that was never dropped."""
    before = held_by(os.getpid())
    backend = load()
    backend.add(identity(scratch_cgroup()), EXEC)
    assert held_by(os.getpid()) != before
    backend.close()
    assert held_by(os.getpid()) == before
    backend.close()


def test_a_target_is_a_value():
    """Two readers may compare what they hold."""
    assert Target(1, 2, 3) == Target(1, 2, 3)
    assert len({Target(1, 2, 3), Target(1, 2, 3), Target(1, 3, 3)}) == 2
