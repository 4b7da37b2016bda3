"""Which functions the running kernel has, by its type information."""

from __future__ import annotations

from recorder.kernel.libbpf import Libbpf
from recorder.kernel.preemption import KERNEL_BTF
from recorder.model.errors import NoBtf

KIND_FUNC = 12
"""BTF_KIND_FUNC (include/uapi/linux/btf.h)."""


class KernelFunctions:
    """Answers while it is open; the information takes some MiB of this process's memory.

    Raises NoBtf if the kernel has none.
    """

    def __init__(self, libbpf: Libbpf) -> None:
        self._libbpf = libbpf
        handle: int | None = libbpf.btf__load_vmlinux_btf()
        if not handle:
            raise NoBtf(
                f"{KERNEL_BTF} cannot be read: the kernel was built without CONFIG_DEBUG_INFO_BTF; "
                "boot a distribution kernel of 5.15 or newer that has it"
            )
        self._handle = handle

    def has(self, name: str) -> bool:
        """Whether programs may name it as what they are attached to."""
        found: int = self._libbpf.btf__find_by_name_kind(self._handle, name.encode(), KIND_FUNC)
        return found > 0

    def close(self) -> None:
        """May be repeated."""
        if self._handle:
            self._libbpf.btf__free(self._handle)
            self._handle = 0
