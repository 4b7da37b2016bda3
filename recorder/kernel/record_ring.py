"""A BPF ring buffer whose records differ in length; recorder.kernel.ring has the format."""

from __future__ import annotations

import ctypes
import mmap

_PAGE = mmap.PAGESIZE
_HEAD = 8
_BUSY = 1 << 31
_DISCARD = 1 << 30


class RecordRing:
    """The reader's end, for one reader."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._mask = size - 1
        self._consumer = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._data = mmap.mmap(fd, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)

    def read(self) -> list[bytes]:
        """All that are complete since the last call, in the kernel's order."""
        found: list[bytes] = []
        position = ctypes.c_uint64.from_buffer_copy(self._consumer).value
        end = ctypes.c_uint64.from_buffer_copy(self._data).value
        while position < end:
            start = _PAGE + (position & self._mask)
            head = ctypes.c_uint32.from_buffer_copy(self._data, start).value
            if head & _BUSY:
                break
            length = head & ~(_BUSY | _DISCARD)
            if not head & _DISCARD:
                found.append(self._data[start + _HEAD : start + _HEAD + length])
            position += (length + _HEAD + 7) & ~7
        ctypes.c_uint64.from_buffer(self._consumer).value = position
        return found

    def fileno(self) -> int:
        """Readable when there is a record."""
        return self._fd

    def close(self) -> None:
        """Unmaps; may be repeated."""
        self._consumer.close()
        self._data.close()
