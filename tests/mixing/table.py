"""The kernel side's table from cgroup id to slot: what is in it, and what of it overflowed."""

import ctypes
import mmap
from array import array
from dataclasses import dataclass

from recorder.kernel import layout
from recorder.kernel.libbpf_backend import LibbpfBackend


@dataclass(frozen=True, slots=True)
class Table:
    """ids: cgroup ids in the sets; behind: in the hash map behind; overflowed: what the sets say of it."""

    ids: tuple[int, ...]
    behind: tuple[int, ...]
    overflowed: int

    @property
    def empty(self) -> bool:
        """Nothing is left, and no set believes that something of it is behind."""
        return not (self.ids or self.behind or self.overflowed)


def table_of(backend: LibbpfBackend) -> Table:
    """A backend's table at this moment."""
    length = backend._spec.bounds.sets * ctypes.sizeof(layout.Set)
    with mmap.mmap(
        backend._maps["table"], -(-length // mmap.PAGESIZE) * mmap.PAGESIZE, prot=mmap.PROT_READ
    ) as memory:
        # By whole columns: a table may have many thousand sets.
        words = array("Q", memory[:length])
    step = ctypes.sizeof(layout.Set) // 8
    overflowed = words[layout.Set.overflowed.offset // 8 :: step]
    return Table(
        ids=tuple(each for way in range(layout.SET_WAYS) for each in words[way::step] if each),
        behind=tuple(_keys(backend, backend._maps["table_overflow"])),
        overflowed=sum(word & 0xFFFFFFFF for word in overflowed),
    )


def _keys(backend: LibbpfBackend, fd: int) -> list[int]:
    keys: list[int] = []
    key, following = ctypes.c_uint64(), ctypes.c_uint64()
    start = None
    while backend._libbpf.bpf_map_get_next_key(fd, start, ctypes.addressof(following)) == 0:
        keys.append(following.value)
        key.value = following.value
        start = ctypes.addressof(key)
    return keys
