"""The reader of the ring: by a ring of our own making, byte for byte, and by the kernel's."""

import contextlib
import mmap
import os
import struct

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import Event, EventKind, SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.ring import Ring
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.member import Member
from tests.mixing.hand import deal
from tests.truth.programs import rawsys_calls, word

PAGE = mmap.PAGESIZE
SIZE = PAGE
BUSY, DISCARD = 1 << 31, 1 << 30  # kernel/bpf/ringbuf.c: BPF_RINGBUF_BUSY_BIT, _DISCARD_BIT


class Producer:
    """What kernel/bpf/ringbuf.c does, done to a file: two pages of positions, the data twice in a row."""

    def __init__(self):
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.position = 0

    def put(self, number, flags=0, length=None):
        """Reserves and writes one event; with BUSY it is not committed yet. Its place."""
        event = bytes(
            Event(time_ns=number, cgroup_id=9, slot=1, generation=2, kind=3, bit=4, phase=2, comm=b"c")
        )
        event = event[:length] + b"\xee" * max(0, (length or 0) - len(event))
        place = self.position
        self.write(place, struct.pack("II", len(event) | flags, 0) + event)
        self.position += (8 + len(event) + 7) // 8 * 8
        os.pwrite(self.fd, struct.pack("Q", self.position), PAGE)
        return place

    def write(self, place, data):
        """Both copies of the data, so that what goes over the end is there in one piece."""
        for number, byte in enumerate(data):
            for copy in (0, SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + copy + (place + number) % SIZE)

    def commit(self, place, flags=0):
        """Clears the busy bit of the record at a place."""
        self.write(place, struct.pack("I", 48 | flags))

    @property
    def consumed(self):
        """The consumer's position, as the kernel would see it."""
        return struct.unpack("Q", os.pread(self.fd, 8, 0))[0]


@pytest.fixture
def producer():
    made = Producer()
    yield made
    os.close(made.fd)


@pytest.fixture
def ring(producer):
    made = Ring(producer.fd, SIZE)
    yield made
    made.close()


def numbers(events):
    return [event.time_ns for event in events]


def test_events_come_in_order_and_once(producer, ring):
    assert ring.read() == []
    for number in range(5):
        producer.put(number)
    (event, *_) = events = ring.read()
    assert numbers(events) == [0, 1, 2, 3, 4]
    assert event == (0, 9, 1, 2, 3, 4, 2, b"c")
    assert producer.consumed == producer.position == 5 * 56
    assert ring.read() == []


def test_reading_stops_at_what_is_not_committed(producer, ring):
    """And goes on there, once it is: nothing behind it is taken before, nothing is lost."""
    producer.put(0)
    busy = producer.put(1, BUSY)
    producer.put(2)
    assert numbers(ring.read()) == [0]
    assert producer.consumed == busy
    assert ring.read() == []
    producer.commit(busy)
    assert numbers(ring.read()) == [1, 2]


def test_what_was_discarded_is_skipped(producer, ring):
    producer.put(0, DISCARD)
    producer.put(1)
    late = producer.put(2, BUSY)
    producer.put(3)
    producer.commit(late, DISCARD)
    assert numbers(ring.read()) == [1, 3]
    assert producer.consumed == producer.position


def test_a_discarded_record_of_another_length_is_skipped_whole(producer, ring):
    """Lengths are rounded up to 8."""
    producer.put(0, DISCARD, length=13)
    producer.put(1)
    producer.put(0, DISCARD, length=100)
    producer.put(2)
    assert numbers(ring.read()) == [1, 2]


def test_records_that_lie_over_the_end_are_whole(producer, ring):
    """73 records fill a page but for 8 bytes: from the second round on, one lies over the end."""
    number = 0
    for _ in range(40):
        for _ in range(11):
            producer.put(number)
            number += 1
        assert numbers(ring.read()) == list(range(number - 11, number))
    assert producer.position > 5 * SIZE
    assert producer.consumed == producer.position


def test_a_second_reader_goes_on_where_the_first_stopped(producer, ring):
    """The position lies in the ring itself."""
    producer.put(0)
    ring.read()
    producer.put(1)
    other = Ring(producer.fd, SIZE)
    assert numbers(other.read()) == [1]
    other.close()


def test_close_may_be_repeated(producer):
    ring = Ring(producer.fd, SIZE)
    ring.read()
    ring.close()
    ring.close()
    assert os.fstat(producer.fd).st_size, "the ring is not the reader's to close"


@pytest.mark.root
def test_the_kernels_ring_is_read_whole_many_times_round(scratch_cgroup, built_programs):
    """A ring of one page and ten times its size of events: each first sight once, in order, none lost."""
    rounds = 15
    hands = deal(rounds, seed=5)
    with contextlib.closing(LibbpfBackend(syscalls_spec(Bounds(ring_bytes=PAGE)))) as backend:
        cgroup = scratch_cgroup()
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        seen = []
        times = []
        for hand in hands:
            with Member(cgroup, built_programs["rawsys"], *map(word, hand)) as member:
                assert member.wait() == 0
            events = backend.events()
            assert {event.kind for event in events} == {EventKind.EVENT_FIRST_SIGHT}
            seen += [event.bit for event in events]
            times += [event.time_ns for event in events]
        assert backend.ledger().counts == {}
        assert len(seen) * 56 > 10 * PAGE
        # execve and exit_group besides the hands' calls
        assert len(seen) == len(set(seen)) == len(frozenset().union(*map(rawsys_calls, hands))) + 1
        assert times == sorted(times)
        backend.drop(target)
        backend.release(target)


@pytest.mark.root
def test_the_reader_is_woken_by_a_begin_and_an_end_alone(scratch_cgroup, built_programs):
    """First sights wait for the next look; a new cgroup below a watched root, and its end, do not."""
    with contextlib.closing(LibbpfBackend(syscalls_spec(Bounds()))) as backend:
        root = scratch_cgroup()
        backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
        assert not backend.wait(0)
        cgroup = root / "one"
        cgroup.mkdir()
        assert backend.wait(10)
        (begin,) = backend.events()
        assert (begin.kind, begin.cgroup_id) == (EventKind.EVENT_BEGIN, cgroup.stat().st_ino)
        with Member(cgroup, built_programs["five"]) as member:
            assert member.wait() == 0
        cgroup.rmdir()
        assert backend.wait(10)
        *sights, end = backend.events()
        assert sights
        assert (end.kind, end.cgroup_id) == (EventKind.EVENT_END, begin.cgroup_id)
        assert not backend.wait(0.01)
