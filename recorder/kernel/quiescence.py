"""Waiting until every program run that began before has ended."""

from __future__ import annotations

import ctypes
import os
from typing import Protocol

_MEMBARRIER_CMD_GLOBAL = 1
# membarrier's number (the kernel's system call tables), by machine as in `uname -m`.
_MEMBARRIER = {"x86_64": 324, "aarch64": 283}


class Syscall(Protocol):
    """libc's syscall(2): the number and its arguments, -1 on failure."""

    def __call__(self, *arguments: ctypes.c_long) -> int: ...


def wait_for_runs(syscall: Syscall | None = None) -> None:
    """Returns when no BPF program that was running at the call still runs.

    Programs of tracepoints and functions run in a read-side section of RCU. membarrier(2) with
    MEMBARRIER_CMD_GLOBAL waits for a grace period, which ends after all of them
    (kernel/sched/membarrier.c); it gives EINVAL where CPUs run without a tick (nohz_full),
    and there a visit to each CPU does the same for programs that run with preemption off. With
    one CPU online it waits for nothing, which is right for those alone: a run that a preemptible
    kernel has preempted there may go on.
    """
    if syscall is None:
        syscall = ctypes.CDLL(None, use_errno=True).syscall
    number = _MEMBARRIER.get(os.uname().machine)
    if number is not None:
        arguments = (number, _MEMBARRIER_CMD_GLOBAL, 0, 0)
        if syscall(*(ctypes.c_long(argument) for argument in arguments)) == 0:
            return
    _visit_each_cpu()


def _visit_each_cpu() -> None:
    """Running on a CPU proves that what ran there with preemption off is over."""
    before = os.sched_getaffinity(0)
    try:
        for cpu in range(os.cpu_count() or 1):
            try:
                os.sched_setaffinity(0, {cpu})
            except OSError:  # offline, or not ours to use: nothing can be running there for us
                continue
    finally:
        os.sched_setaffinity(0, before)
