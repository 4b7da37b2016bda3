"""Arrays of structs in memory that the kernel shares (BPF arrays with BPF_F_MMAPABLE)."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any, Generic, TypeVar

Struct = TypeVar("Struct", bound=ctypes.Structure)


class SharedArray(Generic[Struct]):
    """A view, read-only by default: each element is copied when asked for, without a system call.

    Counters and bits only grow while an element belongs to one target, so a copy that
    races with a writer is merely a moment older in places.
    """

    def __init__(self, fd: int, element: type[Struct], count: int, *, writable: bool = False) -> None:
        self._element = element
        self._size = ctypes.sizeof(element)
        self._count = count
        length = -(-self._size * count // mmap.PAGESIZE) * mmap.PAGESIZE
        access = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        self._map = mmap.mmap(fd, length, mmap.MAP_SHARED, access)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Struct:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._element.from_buffer_copy(self._map, index * self._size)

    def word(self, index: int, field: str) -> int:
        """One integer field of 32 bits of an element, without a copy of the rest."""
        found: int = ctypes.c_uint32.from_buffer_copy(
            self._map, index * self._size + getattr(self._element, field).offset
        ).value
        return found

    def column(self, field: str, count: int) -> list[int]:
        """One integer field of 32 or 64 bits, of the first `count` elements; `a.b`: of a struct in it."""
        kind: Any = self._element
        start = 0
        for name in field.split("."):
            place = getattr(kind, name)
            start += place.offset
            kind = {each[0]: each[1] for each in kind._fields_}[name]
        step, start = self._size // place.size, start // place.size
        with (
            memoryview(self._map) as whole,
            whole.cast("I" if place.size == 4 else "Q") as words,
            words[start : start + count * step : step] as wanted,
        ):
            return wanted.tolist()

    def store(self, index: int, field: str, value: int) -> None:
        """Writes one integer field of an element; the others stay as they are."""
        place = getattr(self._element, field)
        start = index * self._size + place.offset
        self._map[start : start + place.size] = value.to_bytes(place.size, sys.byteorder)

    def mark(self, index: int, field: str, position: int) -> None:
        """Writes 1 to one byte of a field of bytes."""
        self._map[index * self._size + getattr(self._element, field).offset + position] = 1

    def close(self) -> None:
        """Unmaps; may be repeated."""
        self._map.close()


class SharedValue(Generic[Struct]):
    """The only element of such an array, which this side writes as well: field by field, in place.

    Not by bpf(2): while a task is in a call on an element of a map, Linux skips the programs of
    classic tracepoints on its CPU, and where preemption is on, those of other tasks too
    (bpf_disable_instrumentation, include/linux/bpf.h).
    """

    def __init__(self, fd: int, kind: type[Struct]) -> None:
        self._kind = kind
        self._map = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def read(self) -> Struct:
        """A copy."""
        return self._kind.from_buffer_copy(self._map)

    def write(self, **fields: int | ctypes.Structure) -> None:
        """Sets these, and leaves the others."""
        value = self._kind.from_buffer(self._map)
        for name, content in fields.items():
            setattr(value, name, content)

    def close(self) -> None:
        """Unmaps; may be repeated."""
        self._map.close()
