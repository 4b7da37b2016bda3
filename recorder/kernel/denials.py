"""Watching what AppArmor or SELinux deny: loads bpf/denials.bpf.c, attaches it, reads its entries.

Entries and counters are read from shared memory. No call of bpf(2) touches an element of a map
while it is attached: the kernel would skip kprobes on that CPU meanwhile (see SharedValue).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
import select
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from recorder.kernel import pins
from recorder.kernel.arrays import SharedArray
from recorder.kernel.control import run_control
from recorder.kernel.denial_source import (
    DenialCgroup,
    DenialLosses,
    DenialReading,
    Flush,
    Scope,
    nothing_to_flush,
)
from recorder.kernel.denials_layout import (
    DenialCounters,
    Entry,
    Module,
    Numbers,
    Op,
    Owner,
    OwnerScope,
    OwnerState,
    State,
)
from recorder.kernel.denials_pins import AdoptedDenials
from recorder.kernel.denials_reading import denial_of
from recorder.kernel.denials_spec import DenialsSpec
from recorder.kernel.info import program_info, program_runs
from recorder.kernel.kprobes import kprobe_type, open_kprobe
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.links import Links
from recorder.kernel.loaded import LoadedObject
from recorder.kernel.perf_event import attach_event
from recorder.kernel.quiescence import wait_for_runs
from recorder.kernel.tracefs import tracepoint_id
from recorder.kernel.tracepoints import open_tracepoint
from recorder.model.denial import Denial
from recorder.model.errors import BpfLimit

_SCOPES = {
    OwnerScope.SCOPE_OWN: Scope.OWN,
    OwnerScope.SCOPE_WHOLE: Scope.WHOLE,
    OwnerScope.SCOPE_EACH: Scope.EACH,
}
_CHANGING = ("numbers.recorded", "numbers.table_full", "numbers.unreadable", "numbers.seen", "removed")
_NEW = (0, 0, 0, 0)
_WANTED = {Scope.WHOLE: OwnerScope.SCOPE_WHOLE, Scope.EACH: OwnerScope.SCOPE_EACH}


class _Hints:
    """The ring of hints: only that there are any matters."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._consumer = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def fileno(self) -> int:
        return self._fd

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
    """Loads the object of a spec, or takes over the one that is pinned in `adopt`; see DenialSource.

    ahead: what programs are attached to is opened at once, for a process that attaches when it has given up
    the capability to (CAP_SYS_ADMIN, where kernel.perf_event_paranoid is above 2).

    Raises what LoadedObject raises, PinMismatch, and UnsupportedKernel where there are no kprobes.
    """

    def __init__(
        self,
        spec: DenialsSpec,
        *,
        adopt: Path | None = None,
        flush: Flush = nothing_to_flush,
        ahead: bool = False,
    ) -> None:
        self._libbpf = Libbpf()
        self._flush = flush
        self._unflushed = 0
        self._spec = spec
        self._lock = threading.RLock()
        kind = kprobe_type()
        self._object: LoadedObject | AdoptedDenials
        with contextlib.ExitStack() as undo:
            if adopt:
                self._object = AdoptedDenials(self._libbpf, spec, adopt)
            else:
                self._object = LoadedObject(self._libbpf, spec)
            undo.callback(self._object.close)
            self._maps = self._object.map_fds()
            self._programs = self._object.program_fds()
            opening: dict[str, Callable[[], int]] = {
                **{name: functools.partial(open_kprobe, kind, what) for name, what in spec.kprobes.items()},
                **{
                    # Read now: later this process may have given up the capability that opens tracefs.
                    name: functools.partial(open_tracepoint, tracepoint_id(what))
                    for name, what in spec.events.items()
                },
            }
            if ahead:
                for name, opened in opening.items():
                    event = opened()
                    undo.callback(os.close, event)
                    opening[name] = functools.partial(os.dup, event)
            openers = {name: functools.partial(self._open, name, opened) for name, opened in opening.items()}
            folder = adopt / pins.LINKS if adopt else None
            self._links = Links(self._libbpf, self._programs, spec.attach, folder, openers)
            undo.callback(self._links.close)
            self._entries = SharedArray(self._maps["denials"], Entry, spec.bounds.denials)
            undo.callback(self._entries.close)
            self._owners = SharedArray(self._maps["owners"], Owner, spec.bounds.cgroups)
            undo.callback(self._owners.close)
            self._counters = SharedArray(self._maps["counters"], DenialCounters, 1)
            undo.callback(self._counters.close)
            self._hints = _Hints(self._maps["hints"])
            undo.callback(self._hints.close)
            if not adopt:
                self._control(Op.DENIAL_OPEN)
            elif self._links.any:
                # Whole already, unless who pinned it was killed in the middle of attaching.
                self._links.attach()
            self._undo = undo.pop_all()
        self._known: dict[int, tuple[int, ...]] = {}

    def _open(self, name: str, opened: Callable[[], int], program: int) -> int:
        return attach_event(self._libbpf, program, opened(), f"the event of {name}")

    def _control(self, op: Op, *arguments: int) -> int:
        return run_control(self._libbpf, self._programs[self._spec.control], op, *arguments)

    @property
    def name(self) -> str:
        """As DenialSource.name."""
        return "lsm"

    @property
    def attached(self) -> bool:
        """As DenialSource.attached."""
        return self._links.any

    def attach(self) -> None:
        """As DenialSource.attach."""
        with self._lock:
            self._links.attach()

    def detach(self) -> None:
        """As DenialSource.detach."""
        with self._lock:
            self._links.detach()

    def watch(self, cgroup_id: int, scope: Scope = Scope.WHOLE) -> None:
        """As DenialSource.watch."""
        with self._lock:
            if self._control(Op.DENIAL_WATCH, cgroup_id, _WANTED[scope]):
                self._unflushed += not self._flush()
                return
        raise BpfLimit(
            f"denials of cgroup {cgroup_id} cannot be watched: all {self._spec.bounds.cgroups} places are "
            "taken, or what was dropped of it is not released yet"
        )

    def _cgroup(self, owner: Owner) -> DenialCgroup:
        return DenialCgroup(
            cgroup_id=owner.cgroup_id,
            epoch=owner.begun_ns,
            scope=_SCOPES[OwnerScope(owner.scope)],
            dropped=owner.state == OwnerState.OWNER_DROPPED,
            removed=owner.removed == owner.cgroup_id,
        )

    def _indexes(self) -> dict[int, int]:
        """By the cgroup's id, where its owner is."""
        used = min(self._counters.word(0, "owners_used"), len(self._owners))
        ids = self._owners.column("cgroup_id", used)
        states = self._owners.column("state", used)
        return {
            cgroup_id: index
            for index, (cgroup_id, state) in enumerate(zip(ids, states, strict=True))
            if state != OwnerState.OWNER_FREE
        }

    def cgroups(self) -> Sequence[DenialCgroup]:
        """As DenialSource.cgroups."""
        with self._lock:
            return [self._cgroup(self._owners[index]) for index in self._indexes().values()]

    def changed(self) -> frozenset[int]:
        """As DenialSource.changed; reads a few words of each cgroup, and no entries."""
        with self._lock:
            self._hints.forget()
            indexes = self._indexes()
            used = max(indexes.values(), default=-1) + 1
            # `recorded` is counted when the entry is there; what has no entry changes the others.
            columns = [self._owners.column(field, used) for field in _CHANGING]
            found = {number: tuple(each[index] for each in columns) for number, index in indexes.items()}
            fresh = {number for number, each in found.items() if self._known.get(number, _NEW) != each[:-1]}
            self._known = {number: each[:-1] for number, each in found.items()}
            return frozenset(fresh | {number for number, each in found.items() if each[-1] == number})

    def _ready(self, cgroup_ids: Iterable[int] | None = None) -> list[int]:
        used = min(self._counters.word(0, "used"), len(self._entries))
        wanted = None if cgroup_ids is None else frozenset(cgroup_ids)
        states = self._entries.column("state", used)
        ids = self._entries.column("cgroup_id", used)
        return [
            index
            for index, (state, cgroup_id) in enumerate(zip(states, ids, strict=True))
            if state == State.DENIAL_READY and (wanted is None or cgroup_id in wanted)
        ]

    def _denials(self, indexes: Iterable[int]) -> list[Denial]:
        found = [denial_of(self._entries[index]) for index in indexes]
        return sorted(found, key=lambda denial: denial.first.time_ns)

    def read(self, cgroup_id: int) -> DenialReading | None:
        """As DenialSource.read."""
        with self._lock:
            index = self._indexes().get(cgroup_id)
            if index is None:
                return None
            denials = self._denials(self._ready([cgroup_id]))
            owner = self._owners[index]  # afterwards: what an entry lacks is in it
            return DenialReading(self._cgroup(owner), tuple(denials), self._lost(owner.numbers))

    def entries(self) -> list[Denial]:
        """All so far, of all cgroups, in the order in which they were first seen."""
        with self._lock:
            self._hints.forget()
            return self._denials(self._ready())

    def drop(self, *cgroup_ids: int) -> None:
        """As DenialSource.drop."""
        with self._lock:
            for cgroup_id in cgroup_ids:
                self._control(Op.DENIAL_DROP, cgroup_id)
            wait_for_runs()
            if cgroup_ids:
                self._unflushed += not self._flush()

    def release(self, cgroup_id: int) -> None:
        """As DenialSource.release."""
        with self._lock:
            index = self._indexes().get(cgroup_id)
            if index is None or self._owners.word(index, "state") != OwnerState.OWNER_DROPPED:
                return
            for entry in self._ready([cgroup_id]):
                self._control(Op.DENIAL_GIVE_BACK, entry)
            self._control(Op.DENIAL_FORGET, cgroup_id)
            self._known.pop(cgroup_id, None)

    def _lost(self, numbers: Numbers) -> DenialLosses:
        selinux = self._spec.module == Module.MODULE_SELINUX
        return DenialLosses(
            table_full=numbers.table_full,
            unreadable=numbers.unreadable,
            unnamed=max(0, numbers.seen - numbers.named) if selinux else 0,
            stash_full=numbers.stash_full,
        )

    def losses(self) -> DenialLosses:
        """As DenialSource.losses. What is under way at this moment may count as unnamed: ask again."""
        with self._lock:
            owned = [self._lost(self._owners[index].numbers) for index in self._indexes().values()]
            counters = self._counters[0]
        parts = [self._lost(counters.past), *owned]
        return DenialLosses(
            table_full=sum(each.table_full for each in parts),
            unreadable=sum(each.unreadable for each in parts),
            unnamed=sum(each.unnamed for each in parts),
            stash_full=sum(each.stash_full for each in parts),
            missed=sum(program_info(self._libbpf, self._programs[name]).missed for name in self._spec.attach),
            cgroups_full=counters.owners_full,
            between=counters.between,
            ring_full=counters.ring_full,
            elsewhere=counters.elsewhere,
            unflushed=self._unflushed,
        )

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """By program, ns and how often it ran; only while kernel.bpf_stats_enabled is set."""
        return program_runs(self._libbpf, {name: self._programs[name] for name in self._spec.attach})

    def wait(self, seconds: float) -> bool:
        """As DenialSource.wait."""
        return self._hints.wait(seconds)

    def fileno(self) -> int:
        """As DenialSource.fileno."""
        return self._hints.fileno()

    def pin(self, folder: Path) -> None:
        """As DenialSource.pin."""
        with self._lock:
            pins.pin_all(self._libbpf, folder, self._maps, self._programs, self._links)

    def close(self) -> None:
        """As DenialSource.close."""
        self._links.close()
        self._undo.close()
