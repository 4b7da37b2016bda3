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


def attach_kprobe(libbpf: Libbpf, program: int, kind: int, function: str) -> int:
    """Attaches a program to where a function of the kernel begins; kind: as kprobe_type says.

    As attach_event. Raises BpfLoadError, also if there is no such function.
    """
    name = ctypes.create_string_buffer(function.encode())
    what = f"the kernel's function {function}"
    # config1 is the name's address, config2 (an offset, 0) is beyond this version of the struct
    event = open_event(kind, 0, ctypes.addressof(name), what)
    return attach_event(libbpf, program, event, what)
