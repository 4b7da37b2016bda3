"""Waiting for running programs: by membarrier, and where that is refused by a visit to each CPU."""

import ctypes
import errno
import os
import time

import pytest

from recorder.kernel import quiescence
from recorder.kernel.quiescence import wait_for_runs


@pytest.fixture
def visits(monkeypatch):
    """The CPU sets that this process was put on, in order; the kernel does it as well."""
    made = []
    real = os.sched_setaffinity

    def note(pid, cpus):
        made.append(set(cpus))
        real(pid, cpus)

    monkeypatch.setattr(os, "sched_setaffinity", note)
    return made


class Refusing:
    """syscall(2) on a kernel with nohz_full: membarrier's global command gives EINVAL."""

    def __init__(self):
        self.calls = []

    def __call__(self, *arguments):
        self.calls.append([argument.value for argument in arguments])
        ctypes.set_errno(errno.EINVAL)
        return -1


def test_membarrier_is_enough_where_it_works(visits):
    """The real call returns, soon, and nobody is moved."""
    begun = time.monotonic()
    wait_for_runs()
    assert time.monotonic() - begun < 5
    assert visits == []


def test_membarrier_is_asked_for_a_grace_period(monkeypatch):
    """Its number on this machine and MEMBARRIER_CMD_GLOBAL (linux/membarrier.h), no flags."""
    asked = []

    def accept(*arguments):
        asked.append([argument.value for argument in arguments])
        return 0

    wait_for_runs(accept)
    assert asked == [[{"x86_64": 324, "aarch64": 283}[os.uname().machine], 1, 0, 0]]


def test_where_it_is_refused_each_cpu_is_visited(visits):
    """Afterwards the process may run where it could before."""
    before = os.sched_getaffinity(0)
    refusing = Refusing()
    wait_for_runs(refusing)
    assert len(refusing.calls) == 1
    assert visits[:-1] == [{cpu} for cpu in range(os.cpu_count())]
    assert visits[-1] == before == os.sched_getaffinity(0)


def test_a_cpu_that_cannot_be_visited_is_left_out(monkeypatch):
    """Offline, or beyond the cpuset: the others are visited, and the old affinity comes back."""
    before = os.sched_getaffinity(0)
    real = os.sched_setaffinity
    visited = []

    def one_is_offline(pid, cpus):
        if cpus == {0}:
            raise OSError(errno.EINVAL, "Invalid argument")
        visited.append(set(cpus))
        real(pid, cpus)

    monkeypatch.setattr(os, "sched_setaffinity", one_is_offline)
    wait_for_runs(Refusing())
    assert visited == [*({cpu} for cpu in range(1, os.cpu_count())), before]
    assert os.sched_getaffinity(0) == before


def test_a_machine_without_a_known_number_visits_each_cpu(visits, monkeypatch):
    """A wrong system call would be worse than a slow one."""
    monkeypatch.setattr(quiescence, "_MEMBARRIER", {})
    wait_for_runs(lambda *_: pytest.fail("a system call was made by a guessed number"))
    assert len(visits) == os.cpu_count() + 1
