"""Programs on perf events (perf_event_open(2)): what classic tracepoints and kernel functions share.

One event on one CPU is enough: the program is the tracepoint's or the probe's, and runs on all
CPUs (kernel/events/core.c, perf_event_attach_bpf_prog).
"""

from __future__ import annotations

import ctypes
import fcntl
import os

from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import BpfLoadError, UnsupportedKernel

_PERF_FLAG_FD_CLOEXEC = 8
_PERF_EVENT_IOC_ENABLE = 0x2400
_PERF_EVENT_IOC_SET_BPF = 0x40042408
_BPF_PERF_EVENT = 41
# perf_event_open's number (the kernel's system call tables), by machine as in `uname -m`.
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}


class _Attributes(ctypes.Structure):
    """The first version of struct perf_event_attr (include/uapi/linux/perf_event.h), 64 bytes."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
    )


def attach_event(libbpf: Libbpf, program: int, event: int, what: str) -> int:
    """Attaches a program to an event, which this closes or keeps; returns a descriptor that holds it.

    A link where the kernel has links of perf events (5.15), which can be pinned; else the
    perf event itself, which cannot. Raises BpfLoadError, naming `what` it is.
    """
    try:
        link: int = libbpf.bpf_link_create(program, event, _BPF_PERF_EVENT, None)
        fcntl.ioctl(event, _PERF_EVENT_IOC_ENABLE, 0)
        if link >= 0:
            return link
        fcntl.ioctl(event, _PERF_EVENT_IOC_SET_BPF, program)
        kept, event = event, -1
    except OSError as error:
        raise BpfLoadError(f"cannot attach to {what}: {error.strerror}") from error
    finally:
        if event >= 0:
            os.close(event)
    return kept


def open_event(kind: int, config: int, config1: int, what: str) -> int:
    """An event of a PMU; config and config1 as that one has them. Raises BpfLoadError, UnsupportedKernel."""
    attributes = _Attributes(
        type=kind, size=ctypes.sizeof(_Attributes), config=config, sample_period=1, config1=config1
    )
    number = _PERF_EVENT_OPEN.get(os.uname().machine)
    if number is None:
        raise UnsupportedKernel(f"programs on perf events are not supported on {os.uname().machine}")
    arguments = (
        ctypes.c_long(number),
        ctypes.byref(attributes),
        ctypes.c_long(-1),
        ctypes.c_long(0),
        ctypes.c_long(-1),
        ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC),
    )
    fd: int = ctypes.CDLL(None, use_errno=True).syscall(*arguments)
    if fd < 0:
        raise BpfLoadError(f"cannot open {what}: {reason(ctypes.get_errno())}")
    return fd
