"""The `always` set: calls that the kernel makes for a program, or answers for it.

Whether a recording sees them depends on signals, on the clock source and on how
the program ends, not on what the program does. So every profile allows them, in
each of its ABIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from recorder.model.abi import Abi
from recorder.model.syscall import ARM_PRIVATE, known_names

__all__ = ["ALWAYS", "always"]

# The ends of a thread and of a process. A process that a signal ends makes no
# call; recorded once like that, it must be able to end by itself.
_END = ("exit", "exit_group")

# The way back from a signal handler: the return address that the kernel (vDSO)
# or libc puts on the stack leads to this call. Strict seccomp allows it too
# (kernel/seccomp.c, mode1_syscalls). `sigreturn` is that of 32-bit handlers
# without SA_SIGINFO (arch/x86/kernel/signal_32.c, arch/arm/kernel/signal.c).
_SIGNAL_RETURN = ("rt_sigreturn", "sigreturn")

# After SIGSTOP and SIGCONT, or the freezer, the kernel resumes a sleeping call
# that has a time limit (nanosleep, poll, futex) by changing the number in the
# task's register to this one (ERESTART_RESTARTBLOCK in the signal code of each
# architecture).
_RESTART = ("restart_syscall",)

# What the vDSO answers without entering the kernel, as long as the clock source
# allows it (lib/vdso/gettimeofday.c falls back to the call). An unstable TSC, a
# migrated virtual machine or a clock that the vDSO has not got turns them into
# calls. The vDSO's getrandom is not here: it draws its first key by the call, so
# a recording of a program that uses it has seen that.
_VDSO = (
    "clock_getres",
    "clock_getres_time64",  # 32-bit
    "clock_gettime",
    "clock_gettime64",  # 32-bit
    "getcpu",
    "gettimeofday",
    "time",
)

# What each architecture's vDSO exports (arch/*/kernel/vdso/vdso*.lds.S). A name
# that the ABI's table lacks drops out below.
_VDSO_OF: Final[Mapping[Abi, tuple[str, ...]]] = {
    Abi.X86_64: _VDSO,
    Abi.I386: _VDSO,
    Abi.X32: _VDSO,
    Abi.AARCH64: tuple(name for name in _VDSO if name != "getcpu"),
    Abi.ARM: tuple(name for name in _VDSO if name != "getcpu"),
}

# arm's private calls of every program's start and of every code generator. A
# filter sees them; a recording cannot, since their numbers lie far beyond its
# bitmap (arch/arm/kernel/traps.c, arm_syscall).
_ARM_PRIVATE = ("cacheflush", "get_tls", "set_tls")


def _set(abi: Abi) -> frozenset[str]:
    known = set(known_names(abi).values())
    names = {*_END, *_SIGNAL_RETURN, *_RESTART, *_VDSO_OF[abi]} & known
    if abi is Abi.ARM:
        names |= {*_ARM_PRIVATE} & set(ARM_PRIVATE.values())
    return frozenset(names)


ALWAYS: Final[Mapping[Abi, frozenset[str]]] = MappingProxyType({abi: _set(abi) for abi in Abi})
"""The set of each ABI: only names that its table has."""


def always(abi: Abi) -> frozenset[str]:
    """Return the names that every profile allows in an ABI."""
    return ALWAYS[abi]
