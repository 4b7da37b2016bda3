"""Names of system calls, by ABI and number.

A name is given only where the table has one: an unknown ABI or number gives
None, never a guess. The table is generated (scripts/generate_syscall_table.py)
and holds what its kernel has, and the retired calls that older kernels have.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from recorder.model import syscall_table
from recorder.model.abi import Abi

__all__ = ["ARM_PRIVATE", "TABLE_KERNEL", "known_names", "syscall_name", "syscall_number"]

TABLE_KERNEL: Final = syscall_table.KERNEL
"""The kernel release whose calls the table has, as "7.2"."""

_NAMES: Final[Mapping[int, Mapping[int, str]]] = {
    Abi.X86_64: MappingProxyType(syscall_table.X86_64),
    Abi.I386: MappingProxyType(syscall_table.I386),
    Abi.X32: MappingProxyType(syscall_table.X32),
    Abi.AARCH64: MappingProxyType(syscall_table.AARCH64),
    Abi.ARM: MappingProxyType(syscall_table.ARM),
}
_NONE: Final[Mapping[int, str]] = MappingProxyType({})

ARM_PRIVATE: Final[Mapping[int, str]] = MappingProxyType(syscall_table.ARM_PRIVATE)
"""arm's private calls (0x0f0000 + n; arch/arm/include/uapi/asm/unistd.h).

They are far beyond the bitmap, so a recording counts them as the note
`unknown_number` and `syscall_name` does not name them. A seccomp filter does see
them: a profile for arm has to allow by name those it needs.
"""


def known_names(abi: int) -> Mapping[int, str]:
    """Return an ABI's names by number, ascending; empty for an unknown ABI."""
    return _NAMES.get(abi, _NONE)


def syscall_name(abi: int, number: int) -> str | None:
    """Return the name of a number (x32: without the bit 0x40000000), or None."""
    return known_names(abi).get(number)


def syscall_number(abi: int, name: str) -> int | None:
    """Return the number of a name in an ABI, or None if that ABI has no such call."""
    return _numbers(abi).get(name)


@lru_cache(maxsize=len(Abi))
def _numbers(abi: int) -> Mapping[str, int]:
    return {name: number for number, name in known_names(abi).items()}
