"""Attaching programs to classic tracepoints, by perf events."""

from __future__ import annotations

from recorder.kernel.libbpf import Libbpf
from recorder.kernel.perf_event import attach_event, open_event

_PERF_TYPE_TRACEPOINT = 2


def attach_tracepoint(libbpf: Libbpf, program: int, identity: int) -> int:
    """Attaches a program to the tracepoint with this id (tracefs); returns a descriptor that holds it.

    As attach_event. Raises BpfLoadError.
    """
    what = f"tracepoint {identity}"
    return attach_event(libbpf, program, open_event(_PERF_TYPE_TRACEPOINT, identity, 0, what), what)
