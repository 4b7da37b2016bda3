"""Whether the running kernel lets tasks be preempted inside tracing programs."""

from __future__ import annotations

import functools
from pathlib import Path

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")

# Came with the change that runs the programs of system call tracepoints with preemption on
# (Linux 7); 6.18 does not have it.
_MARK = b"\0trace_call_bpf_faultable\0"
_CHUNK = 1 << 18


@functools.cache
def programs_are_preemptible(btf: Path = KERNEL_BTF) -> bool:
    """Reads the names in the kernel's type information, a quarter of a MiB at a time; False without it."""
    tail = b""
    try:
        with btf.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                if _MARK in tail + chunk:
                    return True
                tail = chunk[-len(_MARK) :]
    except FileNotFoundError:
        return False
    return False
