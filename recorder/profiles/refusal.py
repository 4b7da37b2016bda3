"""What a refused call returns: EPERM if Linux 3.2 had it, ENOSYS if it is newer.

C libraries and language runtimes try new calls first and fall back to old ones,
but only on ENOSYS: EPERM from clone3 ends thread creation, EPERM from statx
the 32-bit dynamic linker. Linux 3.2 is the oldest kernel that glibc (2.26 and newer)
runs on, so whatever is newer is probed for. An older call is never missing on a
real kernel, so there EPERM tells the truth: not permitted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from recorder.model.abi import Abi
from recorder.model.syscall import ARM_PRIVATE, known_names, syscall_name, syscall_number

__all__ = ["ENOSYS", "EPERM", "MULTIPLEXERS", "all_names", "is_newer", "old_names"]

EPERM: Final = 1
ENOSYS: Final = 38

MULTIPLEXERS: Final = frozenset(("ipc", "socketcall"))
"""i386 and arm calls that stand for others, told apart by the first argument.

For a rule on `socket`, libseccomp also opens `socketcall` for that argument; only
a rule of its own for `socketcall` closes it.
"""

# Numbers are given in order of time. This was the last one of Linux 3.2, and
# asm-generic's list (aarch64, Linux 3.7) has it in the same place.
_LAST_OLD: Final = "process_vm_writev"

# x32's own numbers begin anew here; their order is not that of time.
_X32_OWN: Final = 512


def is_newer(abi: Abi, number: int) -> bool:
    """Whether a call came after Linux 3.2; a number without a name did."""
    if abi is Abi.X32 and number >= _X32_OWN:
        name = syscall_name(abi, number)
        native = syscall_number(Abi.X86_64, name) if name else None
        return native is None or is_newer(Abi.X86_64, native)
    last = syscall_number(Abi.X86_64 if abi is Abi.X32 else abi, _LAST_OLD)
    return last is None or number > last


def all_names(abis: Iterable[Abi]) -> frozenset[str]:
    """Return every name that the tables of these ABIs have, arm's private calls included."""
    names: set[str] = set()
    for abi in abis:
        names.update(known_names(abi).values())
        if abi is Abi.ARM:
            names.update(ARM_PRIVATE.values())
    return frozenset(names)


def old_names(abis: Iterable[Abi]) -> frozenset[str]:
    """Return the names that Linux 3.2 had in at least one of these ABIs.

    A rule holds for every ABI of a filter, so one answer must do for all: `socket`
    is new on i386 (4.3) and old on x86_64, and nobody probes for it.
    """
    names: set[str] = set()
    for abi in abis:
        names.update(name for number, name in known_names(abi).items() if not is_newer(abi, number))
        if abi is Abi.ARM:
            names.update(ARM_PRIVATE.values())
    return frozenset(names)
