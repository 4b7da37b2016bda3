"""A BPF ring buffer, read in batches through its memory map.

The format is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position,
a page with the producer's, then the data, mapped twice in a row so that a record never
wraps. Each record has a head of 8 bytes whose first word is its length, with a bit for
busy (not yet committed) and one for discarded.
"""

from __future__ import annotations

import ctypes
import mmap
import select
from typing import NamedTuple

from recorder.kernel.layout import Event, EventKind
from recorder.model.record import Outcome

OUTCOMES = {EventKind.EVENT_FIRST_SIGHT: Outcome.ALLOWED, EventKind.EVENT_DENIED: Outcome.DENIED}
"""By kind of those events that are first sights of a call: what became of it."""

_PAGE = mmap.PAGESIZE
_HEAD = 8
_BUSY = 1 << 31
_DISCARD = 1 << 30


class RingEvent(NamedTuple):
    """One event; the fields of struct event in bpf/recorder.h."""

    time_ns: int
    cgroup_id: int
    slot: int
    generation: int
    kind: int
    bit: int
    phase: int
    comm: bytes


class Ring:
    """The reader's end. One reader at a time; where it stopped is kept in the ring itself.

    A position is written after its batch was read, so a reader killed in between leaves
    its batch to the next one: events may repeat, and are never lost by that.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._mask = size - 1
        self._consumer_map = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._data_map = mmap.mmap(fd, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._consumer = ctypes.c_uint64.from_buffer(self._consumer_map)
        # Native items are read with one load each; struct's standard formats read byte by byte.
        self._view = memoryview(self._data_map)
        self._producer = self._view[:_PAGE].cast("Q")
        self._words = self._view[_PAGE:].cast("I")
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def read(self) -> list[RingEvent]:
        """All committed events since the last call, in the kernel's order."""
        events: list[RingEvent] = []
        position = self._consumer.value
        end = self._producer[0]
        while position < end:
            offset = position & self._mask
            head = self._words[offset // 4]
            if head & _BUSY:
                break
            length = head & ~(_BUSY | _DISCARD)
            if not head & _DISCARD:
                event = Event.from_buffer_copy(self._data_map, _PAGE + offset + _HEAD)
                events.append(
                    RingEvent(
                        event.time_ns,
                        event.cgroup_id,
                        event.slot,
                        event.generation,
                        event.kind,
                        event.bit,
                        event.phase,
                        event.comm,
                    )
                )
            position += (length + _HEAD + 7) & ~7
        self._consumer.value = position
        return events

    def wait(self, seconds: float) -> bool:
        """Until an event wakes the reader, or the time is over; True if woken."""
        return bool(self._poll.poll(seconds * 1000))

    def fileno(self) -> int:
        """To wait for it together with others; readable when an event that wakes is there."""
        return self._fd

    def close(self) -> None:
        """Unmaps, and may be repeated; the ring itself belongs to whoever loaded or pinned it."""
        if self._data_map.closed:
            return
        del self._consumer
        self._words.release()
        self._producer.release()
        self._view.release()
        self._consumer_map.close()
        self._data_map.close()
