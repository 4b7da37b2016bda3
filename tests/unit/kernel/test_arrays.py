"""Arrays of structs in shared memory."""

import ctypes
import mmap
import os

import pytest

from recorder.kernel.arrays import SharedArray, SharedValue


class Pair(ctypes.Structure):
    _fields_ = (("a", ctypes.c_uint32), ("b", ctypes.c_uint64))


@pytest.fixture
def memory():
    """A file as large as 1000 pairs, to the page, that a map's memory stands for."""
    fd = os.memfd_create("array")
    os.ftruncate(fd, -(-16 * 1000 // mmap.PAGESIZE) * mmap.PAGESIZE)
    yield fd
    os.close(fd)


def test_an_element_is_seen_as_it_is_now(memory):
    """A change after the mapping is seen by the next look, and an old copy stays as it was."""
    array = SharedArray(memory, Pair, 1000)
    assert len(array) == 1000
    os.pwrite(memory, bytes(Pair(1, 2)), 16 * 999)
    first = array[999]
    os.pwrite(memory, bytes(Pair(3, 4)), 16 * 999)
    assert (first.a, first.b) == (1, 2)
    assert (array[999].a, array[999].b) == (3, 4)
    array.close()


class Outer(ctypes.Structure):
    _fields_ = (("first", ctypes.c_uint64), ("pair", Pair))


def test_a_column_is_one_field_of_many_elements(memory):
    """Of 32 and of 64 bits, also of a struct in the element; as many as asked for."""
    pairs = [Pair(number, 2**40 + number) for number in range(5)]
    os.pwrite(memory, b"".join(map(bytes, pairs)), 0)
    array = SharedArray(memory, Pair, 1000)
    assert array.column("a", 5) == [0, 1, 2, 3, 4]
    assert array.column("b", 3) == [2**40, 2**40 + 1, 2**40 + 2]
    assert array.column("a", 0) == []
    array.close()
    os.pwrite(memory, b"".join(bytes(Outer(9, pair)) for pair in pairs), 0)
    outer = SharedArray(memory, Outer, 600)
    assert outer.column("pair.a", 4) == [0, 1, 2, 3]
    assert outer.column("pair.b", 2) == [2**40, 2**40 + 1]
    outer.close()


@pytest.mark.parametrize("index", [-1, 1000])
def test_an_index_beyond_is_refused(index, memory):
    array = SharedArray(memory, Pair, 1000)
    with pytest.raises(IndexError):
        array[index]
    array.close()


def test_close_may_be_repeated(memory):
    array = SharedArray(memory, Pair, 1)
    array.close()
    array.close()


def test_a_value_is_written_field_by_field(memory):
    """The other fields stay, as others may have set them, and a copy is not changed by a later write."""
    shared = SharedValue(memory, Pair)
    os.pwrite(memory, bytes(Pair(1, 2)), 0)
    before = shared.read()
    shared.write(a=7)
    assert os.pread(memory, 16, 0) == bytes(Pair(7, 2))
    assert (before.a, before.b) == (1, 2)
    shared.close()
    shared.close()
