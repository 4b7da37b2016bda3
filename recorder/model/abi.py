"""ABIs: the instruction set, and so the table, that a system call's number belongs to.

Values equal `recorder.record.v1.Abi`. A number means nothing without its ABI:
20 is writev on x86-64 and getpid on i386, and one task can make calls of both.
"""

from enum import IntEnum

__all__ = ["Abi"]


class Abi(IntEnum):
    """An ABI that has a table of names here."""

    X86_64 = 1
    I386 = 2
    X32 = 3
    AARCH64 = 4
    ARM = 5

    @property
    def label(self) -> str:
        """The name that people see, as in `i386:getpid`."""
        return self.name.lower()

    @property
    def scmp_arch(self) -> str:
        """The name in a seccomp profile's `architectures` (OCI runtime specification)."""
        return "SCMP_ARCH_X86" if self is Abi.I386 else f"SCMP_ARCH_{self.name}"

    @property
    def limit(self) -> int:
        """How many numbers the kernel side's bitmap holds, from 0.

        x32 has calls of its own at 512 to 547; no other ABI has any above 511.
        x32's numbers are given without the bit 0x40000000 that marks them.
        arm's private calls (0x0f0000 and up) are beyond: see
        `recorder.model.syscall.ARM_PRIVATE`.
        """
        return 576 if self is Abi.X32 else 512
