"""The recorder of system calls by bcc: bpf/syscalls.bcc.c behind the Backend protocol.

For kernels without BTF, or without atomic operations that give the old value (before 5.12).
bcc compiles in a child (recorder.kernel.bcc_child); here are only descriptors, so this
process is as small as with libbpf. User space changes the tables itself: there is no
control program.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from recorder.kernel import bcc_layout, layout, pins
from recorder.kernel.arrays import SharedArray
from recorder.kernel.backend import Reading, Target, WatchRule
from recorder.kernel.bcc_child import compile_program
from recorder.kernel.bcc_owners import Owners, key_of
from recorder.kernel.bcc_spec import PROGRAMS, BccSpec, Program, check_mode
from recorder.kernel.bitmap import bit_of, calls_of
from recorder.kernel.final_reading import last_look
from recorder.kernel.hash_map import HashMap, Key, Value
from recorder.kernel.headers import Headers
from recorder.kernel.info import program_info, program_runs
from recorder.kernel.layout import JoinerState, SlotMode, SlotState
from recorder.kernel.libbpf import Libbpf, reason
from recorder.kernel.links import Links
from recorder.kernel.quiescence import wait_for_runs
from recorder.kernel.ring import Ring, RingEvent
from recorder.kernel.tracefs import tracepoint_id
from recorder.kernel.tracepoints import attach_tracepoint
from recorder.model.errors import BpfError, BpfLimit, BpfLoadError, CgroupNotFound
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey

_COUNTED = (
    "unknown_number",
    "joiners_full",
    "children_full",
    "table_full",
    "joiner_without_exec",
    "abi_unknown",
)
_OPEN_JOINERS = (JoinerState.JOINER_UNDECIDED, JoinerState.JOINER_PENDING)


class BccBackend:
    """Compiles and loads what the headers allow; see Backend for the methods.

    Attached while there is a target or a watched root, and not otherwise.
    """

    loader = "bcc"

    def __init__(self, spec: BccSpec, headers: Headers) -> None:
        self._libbpf = Libbpf()
        self._spec = spec
        self._headers = headers
        # What is attached belongs to what is in use: no other thread may change the one in between.
        self._lock = threading.RLock()
        compiled = compile_program(spec, headers)
        self._maps = compiled.maps
        self._programs = compiled.programs
        # Read now: later this process may have given up the capability that opens tracefs.
        self._events = {name: tracepoint_id(event) for name, event in spec.events.items()}
        self._links = Links(
            self._libbpf,
            self._programs,
            [program.name for program in PROGRAMS],
            openers={program.name: partial(self._attach, program) for program in PROGRAMS},
        )
        self._closed = False
        self._open_maps()

    def _attach(self, program: Program, fd: int) -> int:
        if program.name in self._events:
            return attach_tracepoint(self._libbpf, fd, self._events[program.name])
        link: int = self._libbpf.bpf_raw_tracepoint_open(program.raw.encode(), fd)
        return link

    def _open_maps(self) -> None:
        slots = self._spec.bounds.slots
        self._slots = SharedArray(self._maps["slots"], bcc_layout.Slot, slots + 1, writable=True)
        self._state = SharedArray(self._maps["state"], bcc_layout.State, 1, writable=True)
        self._ring = Ring(self._maps["events"], self._spec.bounds.ring_bytes)
        self._table = self._hash("table", ctypes.c_uint64, bcc_layout.Place)
        paths = self._hash("paths", bcc_layout.CgroupPath, bcc_layout.Owner)
        self._owners = Owners(paths, self._spec.bounds.roots, partial(self._set, "rules"))
        self._joiners = self._hash("joiners", ctypes.c_uint32, bcc_layout.Joiner)
        self._held = self._hash("held", ctypes.c_uint32, bcc_layout.Held)
        state = bcc_layout.State(
            layout=bcc_layout.LAYOUT_VERSION,
            max_children=self._spec.bounds.children,
        )
        self._set("state", 0, state)
        for index in range(1, slots + 1):
            self._give_back(index)

    def _hash(self, name: str, key: type[Key], value: type[Value]) -> HashMap[Key, Value]:
        return HashMap(self._libbpf, self._maps[name], key, value, self._spec.max_entries[name])

    def _set(self, name: str, index: int, value: ctypes.Structure) -> None:
        key = ctypes.c_uint32(index)
        code = self._libbpf.bpf_map_update_elem(
            self._maps[name], ctypes.addressof(key), ctypes.addressof(value), 0
        )
        if code < 0:
            raise BpfLoadError(f"cannot write to {name}: {reason(code)}")

    def _give_back(self, index: int) -> None:
        value = ctypes.c_uint32(index)
        code = self._libbpf.bpf_map_update_elem(self._maps["free_slots"], None, ctypes.addressof(value), 0)
        if code < 0:
            raise BpfLoadError(f"cannot fill the queue of slots: {reason(code)}")

    def _take(self) -> int:
        value = ctypes.c_uint32()
        fd = self._maps["free_slots"]
        if self._libbpf.bpf_map_lookup_and_delete_elem(fd, None, ctypes.addressof(value)) < 0:
            raise BpfLimit(f"all {self._spec.bounds.slots} slots are in use; end a recording first")
        return value.value

    def add(self, cgroup_id: int, mode: SlotMode, *, late: bool = False, mount_namespace: int = 0) -> Target:
        """As Backend.add; MissingHeaders for a mode that the headers do not allow."""
        check_mode(mode, self._spec, self._headers)
        path = key_of(cgroup_id)
        # Attached first: the first call after the return is seen, and a child made meanwhile too.
        with self._attached():
            return self._add(cgroup_id, path, mode, late, mount_namespace)

    @contextlib.contextmanager
    def _attached(self) -> Iterator[None]:
        """Attaches for something new; if that fails, nothing stays attached for it."""
        with self._lock:
            self._links.attach()
            try:
                yield
            except BpfError:
                self._detach_if_unused()
                raise

    def _add(
        self, cgroup_id: int, path: bcc_layout.CgroupPath, mode: SlotMode, late: bool, mount_namespace: int
    ) -> Target:
        index = self._take()
        slot = bcc_layout.Slot(
            cgroup_id=cgroup_id,
            begun_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            generation=self._slots[index].generation + 1,
            state=SlotState.SLOT_ACTIVE,
            mode=mode,
            # In mode exec whoever is no joiner is the workload, from the first call on.
            started=late or mode == SlotMode.MODE_EXEC,
            mount_namespace=mount_namespace,
            reference=Path("/proc/self/ns/mnt").stat().st_ino,
            late=late,
        )
        self._set("slots", index, slot)
        key = ctypes.c_uint64(cgroup_id)
        code = self._table.insert(key, bcc_layout.Place(id=cgroup_id, slot=index))
        if code == 0:
            code = self._owners.set_slot(path, index)
            if code < 0:
                self._table.remove(key)
                wait_for_runs()
        if code < 0:
            self._slots.store(index, "state", SlotState.SLOT_FREE)
            self._give_back(index)
        if code == -errno.EEXIST:
            raise BpfLimit(f"cgroup {cgroup_id} is being recorded already")
        if code < 0:
            raise BpfLimit("the lookup table is full; end a recording first, or raise the number of slots")
        return self._target(index, slot)

    def adopt(self, target: Target, children: Iterable[int]) -> None:
        """As Backend.adopt; a child beyond the bounds is in the target's ledger."""
        if self._slots[target.slot].generation != target.generation:
            return
        for child in children:
            try:
                path = key_of(child)
            except CgroupNotFound:
                continue
            if self._slots[target.slot].adopted >= self._spec.bounds.children:
                self._add_to(target.slot, "not_adopted")
                continue
            place = bcc_layout.Place(id=child, slot=target.slot)
            code = self._table.insert(ctypes.c_uint64(child), place)
            if code == -errno.EEXIST:
                continue
            if code == 0:
                code = self._owners.set_slot(path, target.slot)
            self._add_to(target.slot, "no_place" if code < 0 else "adopted")

    def _add_to(self, index: int, field: str) -> None:
        self._slots.store(index, field, getattr(self._slots[index], field) + 1)

    def look_for_denied(self, wanted: bool) -> None:
        """As Backend.look_for_denied: it never is able to."""

    def see(self, target: Target, calls: Mapping[CallKey, Numbers]) -> None:
        """As Backend.see."""
        if self._slots[target.slot].generation != target.generation:
            return
        for key, numbers in calls.items():
            for number in numbers:
                with contextlib.suppress(ValueError):  # no kernel has it: it never is in flight for long
                    self._slots.mark(target.slot, "workload", bit_of(key.abi, number))

    def watch(self, root_id: int, *rules: WatchRule) -> None:
        """As Backend.watch; MissingHeaders for a mode that the headers do not allow."""
        for rule in rules:
            check_mode(rule.mode, self._spec, self._headers)
        with self._attached():
            self._owners.watch(root_id, rules)

    def watched(self) -> set[int]:
        """As Backend.watched."""
        return self._owners.watched()

    def unwatch(self, root_id: int) -> None:
        """As Backend.unwatch."""
        self._owners.unwatch(root_id)
        self._detach_if_unused()

    @staticmethod
    def _target(index: int, slot: bcc_layout.Slot) -> Target:
        path: bytes = slot.path
        whole = len(path) < layout.PATH_LENGTH - 1
        return Target(index, slot.generation, slot.cgroup_id, os.fsdecode(path) if whole else "")

    def targets(self) -> list[Target]:
        """As Backend.targets."""
        return [
            self._target(index, self._slots[index])
            for index in range(1, len(self._slots))
            if self._slots.word(index, "state") != SlotState.SLOT_FREE
        ]

    def target(self, slot: int) -> Target | None:
        """As Backend.target."""
        found = self._slots[slot]
        return None if found.state == SlotState.SLOT_FREE else self._target(slot, found)

    def _waiting(self, target: Target) -> list[tuple[JoinerState, list[int]]]:
        """State and calls of the target's joiners whose phase is open."""
        found = []
        for key, row in self._held.items():
            joiner = self._joiners.get(key)
            if (
                joiner
                and joiner.state in _OPEN_JOINERS
                and (joiner.slot, joiner.generation) == (target.slot, target.generation)
            ):
                found.append((JoinerState(joiner.state), bcc_layout.words_of(row.seen)))
        return found

    def read(self, target: Target, *, final: bool = False) -> Reading:
        """As Backend.read."""
        waiting: list[tuple[JoinerState, list[int]]] = []
        if final:
            slot, waiting = last_look(lambda: self._slots[target.slot], lambda: self._waiting(target))
        else:
            slot = self._slots[target.slot]
        if slot.generation != target.generation:
            return Reading(target, 0, 0, True, False, False, {}, Ledger({"slot_reused": 1}))
        setup = bcc_layout.words_of(slot.setup)
        workload = bcc_layout.words_of(slot.workload)
        counts = {cause: getattr(slot, cause) for cause in _COUNTED}
        counts["children_full"] += slot.not_adopted
        counts["table_full"] += slot.no_place
        for state, words in waiting:
            undecided = state == JoinerState.JOINER_UNDECIDED
            cause = "joiner_without_exec" if undecided else "undecided"
            counts[cause] = counts.get(cause, 0) + 1
            workload = [a | b for a, b in zip(workload, words, strict=True)]
        if final and not slot.started and any(setup):
            counts["no_boundary"] = 1
        return Reading(
            target=target,
            epoch=slot.begun_ns,
            ended_ns=slot.ended_ns,
            ended=slot.state != SlotState.SLOT_ACTIVE,
            started=bool(slot.started),
            late=bool(slot.late),
            calls=calls_of(workload, setup),
            ledger=Ledger(counts),
        )

    def drop(self, *targets: Target) -> None:
        """As Backend.drop."""
        for target in targets:
            self._end(target)
        wait_for_runs()

    def _end(self, target: Target) -> None:
        slot = self._slots[target.slot]
        if slot.generation != target.generation:
            return
        if slot.state == SlotState.SLOT_ACTIVE:
            # First: who makes a child meanwhile sees it, and takes the child back.
            self._slots.store(target.slot, "ended_ns", time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            self._slots.store(target.slot, "state", SlotState.SLOT_ENDED)
        self._owners.forget_slot(target.slot)
        for key, place in self._table.items():
            if place.slot == target.slot:
                self._table.remove(key)

    def release(self, target: Target) -> None:
        """As Backend.release; detaches when nothing is recorded or watched any more."""
        slot = self._slots[target.slot]
        if slot.generation == target.generation and slot.state == SlotState.SLOT_ENDED:
            # A task of it may be ending: who still takes it for the target's is waited for.
            self._slots.store(target.slot, "generation", target.generation + 1)
            wait_for_runs()
            self._slots.store(target.slot, "state", SlotState.SLOT_FREE)
            self._give_back(target.slot)
        self._detach_if_unused()

    def _detach_if_unused(self) -> None:
        with self._lock:
            if not self.targets() and not self._owners.watched():
                self._links.detach()
                wait_for_runs()
                self._forget_tasks()

    def _forget_tasks(self) -> None:
        """Nobody sees these tasks end any more, and their numbers will be others'."""
        for key, _ in self._joiners.items():
            self._joiners.remove(key)
        for key, _ in self._held.items():
            self._held.remove(key)
        self._state.store(0, "unresolved", 0)

    def events(self) -> list[RingEvent]:
        """As Backend.events."""
        return self._ring.read()

    def wait(self, seconds: float) -> bool:
        """As Backend.wait."""
        return self._ring.wait(seconds)

    def fileno(self) -> int:
        """As Backend.fileno."""
        return self._ring.fileno()

    def missed(self) -> int:
        """Program runs that the kernel skipped, as far as it counts them; see docs/limits.md.

        Not those of on_end on a classic tracepoint: nothing is lost by them, see bpf/syscalls.bcc.c.
        """
        return sum(
            program_info(self._libbpf, fd).missed
            for name, fd in self._programs.items()
            if self._spec.structures or name != "on_end"
        )

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.use."""
        state = self._state[0]
        slots = [
            self._slots[index]
            for index in range(1, len(self._slots))
            if self._slots.word(index, "state") != SlotState.SLOT_FREE
        ]
        children = max((slot.adopted for slot in slots), default=0)
        return {
            "slots": (len(slots), state.slots_full),
            "children": (children, sum(slot.children_full + slot.not_adopted for slot in slots)),
            "joiners": (sum(1 for _ in self._joiners.items()), state.joiners_full),
            "roots": (len(self.watched()), state.roots_full),
            "ring": (0, state.ring_full),
        }

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.runs."""
        return program_runs(self._libbpf, self._programs)

    def ledger(self) -> Ledger:
        """As Backend.ledger."""
        state = self._state[0]
        return Ledger(
            {
                "slots_full": state.slots_full,
                "table_full": state.table_full,
                "joiners_full": state.joiners_full,
                "roots_full": state.roots_full,
                "ring_full": state.ring_full,
                "program_missed": self.missed(),
            }
        )

    def pin(self, folder: Path) -> None:
        """As Backend.pin. Raises BpfLoadError; then nothing is pinned.

        With another kernel's headers before 5.15: always, since classic tracepoints have
        no links there.
        """
        pins.pin_all(self._libbpf, folder, self._maps, self._programs, self._links)

    def close(self) -> None:
        """As Backend.close."""
        if self._closed:
            return
        self._closed = True
        self._ring.close()
        self._slots.close()
        self._state.close()
        self._links.close()
        for fd in (*self._maps.values(), *self._programs.values()):
            os.close(fd)
