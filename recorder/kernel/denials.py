"""Watching what AppArmor or SELinux deny: loads bpf/denials.bpf.c, attaches it, reads its entries.

Entries and counters are read from shared memory. No call of bpf(2) touches an element of a map
while it is attached: the kernel would skip kprobes on that CPU meanwhile (see SharedValue).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import select
from dataclasses import dataclass

from recorder.kernel.arrays import SharedArray
from recorder.kernel.denials_layout import DenialCounters, Entry, Module, State
from recorder.kernel.denials_reading import denial_of
from recorder.kernel.denials_spec import DenialsSpec
from recorder.kernel.info import program_info
from recorder.kernel.kprobes import attach_kprobe, kprobe_type
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.links import Links
from recorder.kernel.loaded import LoadedObject
from recorder.model.denial import Denial


@dataclass(frozen=True, slots=True)
class DenialLosses:
    """What was not kept, in numbers of denials, but for ring_full.

    table_full: no entry was free; unreadable: the kernel's record could not be read;
    unnamed: SELinux gave no contexts (no audit record was written, as with audit=0 or a
    full backlog); stash_full: denials whose object is not known; missed: runs of programs that
    the kernel skipped (6.1 does not count those of kprobes); ring_full: hints,
    whose entries are there.
    """

    table_full: int = 0
    unreadable: int = 0
    unnamed: int = 0
    stash_full: int = 0
    missed: int = 0
    ring_full: int = 0


class _Hints:
    """The ring of hints: only that there are any matters."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._consumer = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        return bool(self._poll.poll(seconds * 1000))

    def forget(self) -> None:
        """One that is just being written is skipped as well: its entry was there before it."""
        position = ctypes.c_uint64.from_buffer_copy(self._producer).value
        ctypes.c_uint64.from_buffer(self._consumer).value = position

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()


class DenialWatch:
    """Loads the object of a spec, and sees denials between attach and detach.

    Raises what LoadedObject raises, and UnsupportedKernel where there are no kprobes.
    """

    def __init__(self, spec: DenialsSpec) -> None:
        self._libbpf = Libbpf()
        self._spec = spec
        kind = kprobe_type()
        with contextlib.ExitStack() as undo:
            self._object = LoadedObject(self._libbpf, spec)
            undo.callback(self._object.close)
            maps = self._object.map_fds()
            self._programs = self._object.program_fds()
            openers = {
                name: functools.partial(self._open, kind, function) for name, function in spec.kprobes.items()
            }
            self._links = Links(self._libbpf, self._programs, spec.attach, openers=openers)
            self._entries = SharedArray(maps["denials"], Entry, spec.bounds.denials)
            undo.callback(self._entries.close)
            self._counters = SharedArray(maps["counters"], DenialCounters, 1)
            undo.callback(self._counters.close)
            self._hints = _Hints(maps["hints"])
            undo.callback(self._hints.close)
            self._undo = undo.pop_all()

    def _open(self, kind: int, function: str, program: int) -> int:
        return attach_kprobe(self._libbpf, program, kind, function)

    def attach(self) -> None:
        """From the return of this on, denials are seen. Raises BpfLoadError."""
        self._links.attach()

    def detach(self) -> None:
        """What was seen can still be read; may be repeated."""
        self._links.detach()

    def entries(self) -> list[Denial]:
        """All so far, of all cgroups, in the order in which they were first seen."""
        self._hints.forget()
        used = min(self._counters.word(0, "used"), len(self._entries))
        ready = (index for index in range(used) if self._state(index) == State.DENIAL_READY)
        return [denial_of(self._entries[index]) for index in ready]

    def _state(self, index: int) -> int:
        return self._entries.word(index, "state")

    def losses(self) -> DenialLosses:
        """So far. What is under way at this moment may count as unnamed: ask again."""
        counters = self._counters[0]
        selinux = self._spec.module == Module.MODULE_SELINUX
        return DenialLosses(
            table_full=counters.table_full,
            unreadable=counters.unreadable,
            unnamed=max(0, counters.seen - counters.named) if selinux else 0,
            stash_full=counters.stash_full,
            missed=sum(program_info(self._libbpf, fd).missed for fd in self._programs.values()),
            ring_full=counters.ring_full,
        )

    def wait(self, seconds: float) -> bool:
        """Until there is a new entry since the last look at them, or the time is over; True if there is."""
        return self._hints.wait(seconds)

    def close(self) -> None:
        """Detaches and frees all; may be repeated."""
        self._links.close()
        self._undo.close()
