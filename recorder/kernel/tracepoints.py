"""Attaching programs to classic tracepoints, by perf events."""

from __future__ import annotations

from recorder.kernel.libbpf import Libbpf
from recorder.kernel.perf_event import attach_event, open_event

_PERF_TYPE_TRACEPOINT = 2


def open_tracepoint(identity: int) -> int:
    """An event of the tracepoint with this id (tracefs), for attach_event. Raises BpfLoadError."""
    return open_event(_PERF_TYPE_TRACEPOINT, identity, 0, f"tracepoint {identity}")


def attach_tracepoint(libbpf: Libbpf, program: int, identity: int) -> int:
    """Attaches a program to the tracepoint with this id; returns a descriptor that holds it.

    As attach_event. Raises BpfLoadError.
    """
    return attach_event(libbpf, program, open_tracepoint(identity), f"tracepoint {identity}")
