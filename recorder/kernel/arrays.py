"""Arrays of structs in memory that the kernel shares (BPF arrays with BPF_F_MMAPABLE)."""

from __future__ import annotations

import ctypes
import mmap
from typing import Generic, TypeVar

Struct = TypeVar("Struct", bound=ctypes.Structure)


class SharedArray(Generic[Struct]):
    """A read-only view: each element is copied when asked for, without a system call.

    Counters and bits only grow while an element belongs to one target, so a copy that
    races with a writer is merely a moment older in places.
    """

    def __init__(self, fd: int, element: type[Struct], count: int) -> None:
        self._element = element
        self._size = ctypes.sizeof(element)
        self._count = count
        length = -(-self._size * count // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Struct:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._element.from_buffer_copy(self._map, index * self._size)

    def close(self) -> None:
        """Unmaps; may be repeated."""
        self._map.close()
