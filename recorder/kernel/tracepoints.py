"""Attaching programs to classic tracepoints, by perf events (perf_event_open(2)).

One event on one CPU is enough: the program is the tracepoint's, and runs on all CPUs
(kernel/events/core.c, perf_event_attach_bpf_prog).
"""

from __future__ import annotations

import ctypes
import fcntl
import os

from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import BpfLoadError, UnsupportedKernel

_PERF_TYPE_TRACEPOINT = 2
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


def attach_tracepoint(libbpf: Libbpf, program: int, identity: int) -> int:
    """Attaches a program to the tracepoint with this id (tracefs); returns a descriptor that holds it.

    A link where the kernel has links of perf events (5.15), which can be pinned; else the
    perf event itself, which cannot. Raises BpfLoadError.
    """
    event = _open(identity)
    try:
        link: int = libbpf.bpf_link_create(program, event, _BPF_PERF_EVENT, None)
        fcntl.ioctl(event, _PERF_EVENT_IOC_ENABLE, 0)
        if link >= 0:
            return link
        fcntl.ioctl(event, _PERF_EVENT_IOC_SET_BPF, program)
        kept, event = event, -1
    except OSError as error:
        raise BpfLoadError(f"cannot attach to tracepoint {identity}: {error.strerror}") from error
    finally:
        if event >= 0:
            os.close(event)
    return kept


def _open(identity: int) -> int:
    attributes = _Attributes(
        type=_PERF_TYPE_TRACEPOINT, size=ctypes.sizeof(_Attributes), config=identity, sample_period=1
    )
    number = _PERF_EVENT_OPEN.get(os.uname().machine)
    if number is None:
        raise UnsupportedKernel(f"classic tracepoints are not supported on {os.uname().machine}")
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
        raise BpfLoadError(f"cannot open tracepoint {identity}: {reason(ctypes.get_errno())}")
    return fd
