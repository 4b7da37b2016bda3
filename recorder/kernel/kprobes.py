"""Attaching programs to kernel functions, by perf events of the PMU `kprobe` (Linux 4.17)."""

from __future__ import annotations

import ctypes
from pathlib import Path

from recorder.kernel.libbpf import Libbpf
from recorder.kernel.perf_event import attach_event, open_event
from recorder.model.errors import UnsupportedKernel

PMU_TYPE = Path("/sys/bus/event_source/devices/kprobe/type")
PINNED_KPROBES = (5, 15)
"""The first kernel that has links of perf events, which can be pinned."""


def kprobe_type(place: Path = PMU_TYPE) -> int:
    """The number of the PMU. Raises UnsupportedKernel if the kernel has no kprobes."""
    try:
        return int(place.read_text())
    except OSError as error:
        raise UnsupportedKernel(
            f"the kernel has no kprobes ({place}: {error.strerror}), which denials need: "
            "boot one that was built with CONFIG_KPROBES and CONFIG_PERF_EVENTS"
        ) from error


def open_kprobe(kind: int, function: str) -> int:
    """An event where a function of the kernel begins, for attach_event; kind: as kprobe_type says.

    Raises BpfLoadError, also if there is no such function.
    """
    name = ctypes.create_string_buffer(function.encode())
    # config1 is the name's address, config2 (an offset, 0) is beyond this version of the struct
    return open_event(kind, 0, ctypes.addressof(name), kernel_function(function))


def kernel_function(function: str) -> str:
    """What errors call it."""
    return f"the kernel's function {function}"


def attach_kprobe(libbpf: Libbpf, program: int, kind: int, function: str) -> int:
    """Attaches a program to where a function of the kernel begins: open_kprobe and attach_event."""
    return attach_event(libbpf, program, open_kprobe(kind, function), kernel_function(function))
