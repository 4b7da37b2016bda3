"""Records of different lengths, out of memory that has the kernel's format (kernel/bpf/ringbuf.c)."""

import contextlib
import mmap
import os
import struct

import pytest

from recorder.kernel.record_ring import RecordRing

SIZE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30


@pytest.fixture
def ring():
    """A file with the pages of a ring; the second copy of its data is not needed: no record wraps here."""
    fd = os.memfd_create("ring")
    os.ftruncate(fd, 4 * SIZE)
    with contextlib.closing(RecordRing(fd, SIZE)) as made:
        yield fd, made
    os.close(fd)


def _put(fd, position, content, flags=0):
    os.pwrite(fd, struct.pack("=II", len(content) | flags, 0) + content, 2 * SIZE + position)
    return position + (len(content) + 8 + 7) // 8 * 8


def test_records_of_any_length(ring):
    """Discarded ones are left out, and the reader goes on where it was."""
    fd, made = ring
    end = _put(fd, 0, b"one")
    end = _put(fd, end, b"gone", DISCARD)
    end = _put(fd, end, b"x" * 500)
    os.pwrite(fd, struct.pack("=Q", end), SIZE)
    assert made.read() == [b"one", b"x" * 500]
    assert made.read() == []
    os.pwrite(fd, struct.pack("=Q", _put(fd, end, b"three")), SIZE)
    assert made.read() == [b"three"]


def test_one_that_is_being_written_is_waited_for(ring):
    """And what is behind it comes after it."""
    fd, made = ring
    middle = _put(fd, 0, b"first")
    end = _put(fd, _put(fd, middle, b"second", BUSY), b"third")
    os.pwrite(fd, struct.pack("=Q", end), SIZE)
    assert made.read() == [b"first"]
    _put(fd, middle, b"second")
    assert made.read() == [b"second", b"third"]
