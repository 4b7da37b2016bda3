"""The recorder of system calls by libbpf: bpf/syscalls.bpf.c behind the Backend protocol."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from recorder.kernel import layout, pins
from recorder.kernel.arrays import SharedArray
from recorder.kernel.backend import Reading, Target, WatchRule
from recorder.kernel.bitmap import bit_of, calls_of
from recorder.kernel.final_reading import last_look
from recorder.kernel.info import program_info
from recorder.kernel.layout import ControlOp, JoinerState, SlotMode, SlotState
from recorder.kernel.libbpf import Libbpf, TestRunOptions, reason
from recorder.kernel.links import Links
from recorder.kernel.loaded import LoadedObject
from recorder.kernel.quiescence import wait_for_runs
from recorder.kernel.ring import Ring, RingEvent
from recorder.kernel.spec import ObjectSpec
from recorder.kernel.tracefs import tracepoint_id
from recorder.kernel.tracepoints import attach_tracepoint
from recorder.model.errors import BpfError, BpfLimit, BpfLoadError
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey

_BPF_NOEXIST = 1
_OPEN_JOINERS = (JoinerState.JOINER_UNDECIDED, JoinerState.JOINER_PENDING)


class LibbpfBackend:
    """Loads (or, with `adopt`, takes over) the object of a spec; see Backend for the methods.

    Attached while there is a target or a watched root, and not otherwise.
    """

    loader = "libbpf"

    def __init__(self, spec: ObjectSpec, *, adopt: Path | None = None) -> None:
        self._libbpf = Libbpf()
        self._spec = spec
        # What is attached belongs to what is in use: no other thread may change the one in between.
        self._lock = threading.RLock()
        self._object: LoadedObject | pins.AdoptedObject
        if adopt:
            self._object = pins.AdoptedObject(self._libbpf, spec, adopt)
        else:
            self._object = LoadedObject(self._libbpf, spec)
        self._maps = self._object.map_fds()
        self._programs = self._object.program_fds()
        # Read now: later this process may have given up the capability that opens tracefs.
        events = {name: tracepoint_id(event) for name, event in spec.events.items()}
        openers = {name: functools.partial(self._attach_event, number) for name, number in events.items()}
        folder = adopt / pins.LINKS if adopt else None
        self._links = Links(self._libbpf, self._programs, spec.attach, folder, openers)
        self._slots = SharedArray(self._maps["slots"], layout.Slot, spec.bounds.slots + 1)
        self._counters = SharedArray(self._maps["counters"], layout.Counters, 1)
        self._ring = Ring(self._maps["events"], spec.bounds.ring_bytes)
        if not adopt:
            self._initialise()
        elif self._in_use():
            # Whole already, unless who pinned it was killed in the middle of attaching.
            self._links.attach()
        else:
            self._links.detach()

    def _attach_event(self, number: int, program: int) -> int:
        return attach_tracepoint(self._libbpf, program, number)

    def _initialise(self) -> None:
        counters = layout.Counters(layout=layout.LAYOUT_VERSION, max_children=self._spec.bounds.children)
        self._update("counters", ctypes.c_uint32(0), counters)
        for index in range(1, self._spec.bounds.slots + 1):
            value = ctypes.c_uint32(index)
            self._check(
                self._libbpf.bpf_map_update_elem(self._maps["free_slots"], None, ctypes.addressof(value), 0),
                "fill the queue of slots",
            )

    def _check(self, code: int, what: str) -> int:
        if code < 0:
            raise BpfLoadError(f"cannot {what}: {reason(code)}")
        return code

    def _update(self, name: str, key: ctypes._SimpleCData[int], value: ctypes._CData, flags: int = 0) -> int:
        code: int = self._libbpf.bpf_map_update_elem(
            self._maps[name], ctypes.addressof(key), ctypes.addressof(value), flags
        )
        return code

    def _control(self, op: ControlOp, *arguments: int) -> int:
        context = (ctypes.c_uint64 * 8)(op, *arguments)
        options = TestRunOptions(
            sz=ctypes.sizeof(TestRunOptions),
            ctx_in=ctypes.addressof(context),
            ctx_size_in=ctypes.sizeof(context),
        )
        code = self._libbpf.bpf_prog_test_run_opts(
            self._programs[self._spec.control], ctypes.addressof(options)
        )
        self._check(code, "run the control program")
        return int(options.retval)

    def add(self, cgroup_id: int, mode: SlotMode, *, late: bool = False, mount_namespace: int = 0) -> Target:
        """As Backend.add."""
        # Attached first: the first call after the return is seen, and a child made meanwhile too.
        with self._attached():
            before = self._counters[0]
            index = self._control(ControlOp.CONTROL_ADD, cgroup_id, mode, late, mount_namespace)
            if index:
                return self._target(index, self._slots[index])
            after = self._counters[0]
            if after.slots_full > before.slots_full:
                raise BpfLimit(f"all {self._spec.bounds.slots} slots are in use; end a recording first")
            if after.table_full > before.table_full:
                raise BpfLimit(
                    "the lookup table is full; end a recording first, or raise the number of slots"
                )
            raise BpfLimit(f"cgroup {cgroup_id} is being recorded already")

    def adopt(self, target: Target, children: Iterable[int]) -> None:
        """As Backend.adopt; a child beyond the bounds is in the target's ledger."""
        for child in children:
            self._control(ControlOp.CONTROL_ADOPT, target.slot, target.generation, child)

    def see(self, target: Target, calls: Mapping[CallKey, Numbers]) -> None:
        """As Backend.see."""
        for key, numbers in calls.items():
            for number in numbers:
                with contextlib.suppress(ValueError):  # no kernel has it: it never is in flight for long
                    bit = bit_of(key.abi, number)
                    self._control(ControlOp.CONTROL_SEE, target.slot, target.generation, bit)

    def watch(self, root_id: int, *rules: WatchRule) -> None:
        """As Backend.watch."""
        if not 1 <= len(rules) <= layout.ROOT_RULES:
            raise BpfLimit(f"a watched cgroup has {len(rules)} rules; it may have 1 to {layout.ROOT_RULES}")
        root = layout.Root()
        for entry, rule in zip(root.rules, rules, strict=False):
            if rule.levels < 1 or len(rule.prefix) >= layout.PREFIX_LENGTH:
                raise BpfLimit(f"{rule}: levels is below 1, or prefix has more than 15 bytes")
            entry.mode, entry.levels, entry.prefix = rule.mode, rule.levels, rule.prefix
        with self._attached():
            code = self._update("roots", ctypes.c_uint64(root_id), root)
            if code == -errno.E2BIG:
                raise BpfLimit(f"all {self._spec.bounds.roots} places for watched cgroups are in use")
            self._check(code, "watch a cgroup")

    def unwatch(self, root_id: int) -> None:
        """As Backend.unwatch."""
        key = ctypes.c_uint64(root_id)
        self._libbpf.bpf_map_delete_elem(self._maps["roots"], ctypes.addressof(key))
        self._detach_if_unused()

    def watched(self) -> set[int]:
        """As Backend.watched."""
        return set(self._keys("roots", ctypes.c_uint64, 2 * self._spec.bounds.roots))

    @staticmethod
    def _target(index: int, slot: layout.Slot) -> Target:
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

    def _keys(self, name: str, kind: type[ctypes._SimpleCData[int]], bound: int) -> Iterator[int]:
        """A hash map's keys; others may come and go meanwhile, so the walk is bounded."""
        key, following = kind(), kind()
        start: int | None = None
        for _ in range(bound):
            if self._libbpf.bpf_map_get_next_key(self._maps[name], start, ctypes.addressof(following)) < 0:
                return
            key.value = following.value
            start = ctypes.addressof(key)
            yield key.value

    def _joiners(self, target: Target) -> Iterator[layout.Joiner]:
        key, value = ctypes.c_uint32(), layout.Joiner()
        for key.value in self._keys("joiners", ctypes.c_uint32, 2 * self._spec.bounds.joiners):
            found = self._libbpf.bpf_map_lookup_elem(
                self._maps["joiners"], ctypes.addressof(key), ctypes.addressof(value)
            )
            if found < 0:
                continue
            if (value.slot, value.generation) == (target.slot, target.generation):
                yield value

    def _waiting(self, target: Target) -> list[layout.Joiner]:
        """Copies of the target's joiners whose phase is open and that have called something."""
        found = []
        for joiner in self._joiners(target):
            if joiner.state in _OPEN_JOINERS and any(joiner.bits):
                found.append(layout.Joiner.from_buffer_copy(joiner))
        return found

    def read(self, target: Target, *, final: bool = False) -> Reading:
        """As Backend.read."""
        waiting: list[layout.Joiner] = []
        if final:
            slot, waiting = last_look(lambda: self._slots[target.slot], lambda: self._waiting(target))
        else:
            slot = self._slots[target.slot]
        if slot.generation != target.generation:
            return Reading(target, 0, 0, True, False, False, {}, Ledger({"slot_reused": 1}))
        counts: dict[str, int] = {}
        workload = list(slot.workload)
        for joiner in waiting:
            cause = "joiner_without_exec" if joiner.state == JoinerState.JOINER_UNDECIDED else "undecided"
            counts[cause] = counts.get(cause, 0) + 1
            workload = [a | b for a, b in zip(workload, joiner.bits, strict=True)]
        for cause in ("unknown_number", "joiners_full", "children_full", "table_full", "joiner_without_exec"):
            counts[cause] = counts.get(cause, 0) + getattr(slot, cause)
        if final and not slot.started and any(slot.setup):
            counts["no_boundary"] = 1
        return Reading(
            target=target,
            epoch=slot.begun_ns,
            ended_ns=slot.ended_ns,
            ended=slot.state != SlotState.SLOT_ACTIVE,
            started=bool(slot.started),
            late=bool(slot.late),
            calls=calls_of(workload, list(slot.setup)),
            ledger=Ledger(counts),
        )

    def drop(self, *targets: Target) -> None:
        """As Backend.drop."""
        for target in targets:
            self._control(ControlOp.CONTROL_DROP, target.slot, target.generation)
        wait_for_runs()

    def release(self, target: Target) -> None:
        """As Backend.release; detaches when nothing is recorded or watched any more."""
        self._control(ControlOp.CONTROL_RELEASE, target.slot, target.generation)
        self._detach_if_unused()

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

    def _in_use(self) -> bool:
        following = ctypes.c_uint64()
        roots = self._maps["roots"]
        watched: int = self._libbpf.bpf_map_get_next_key(roots, None, ctypes.addressof(following))
        return watched == 0 or bool(self.targets())

    def _detach_if_unused(self) -> None:
        with self._lock:
            if not self._in_use():
                self._links.detach()

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
        """Program runs that the kernel skipped, see `program_info`."""
        return sum(program_info(self._libbpf, self._programs[name]).missed for name in self._spec.attach)

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.use."""
        counters = self._counters[0]
        slots = [
            self._slots[index]
            for index in range(1, len(self._slots))
            if self._slots.word(index, "state") != SlotState.SLOT_FREE
        ]
        joiners = sum(1 for _ in self._keys("joiners", ctypes.c_uint32, 2 * self._spec.bounds.joiners))
        children = max((slot.children for slot in slots), default=0)
        return {
            "slots": (len(slots), counters.slots_full),
            "children": (children, sum(slot.children_full for slot in slots)),
            "joiners": (joiners, counters.joiners_full),
            "roots": (len(self.watched()), counters.roots_full),
            "ring": (0, counters.ring_full),
        }

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.runs."""
        found = {name: program_info(self._libbpf, self._programs[name]) for name in self._spec.attach}
        return {name: (each.run_time_ns, each.run_count) for name, each in found.items()}

    def ledger(self) -> Ledger:
        """As Backend.ledger."""
        counters = self._counters[0]
        return Ledger(
            {
                "slots_full": counters.slots_full,
                "table_full": counters.table_full,
                "roots_full": counters.roots_full,
                "ring_full": counters.ring_full,
                "program_missed": self.missed(),
            }
        )

    def pin(self, folder: Path) -> None:
        """As Backend.pin. Raises BpfLoadError; then nothing is pinned."""
        pins.pin(self._libbpf, folder, self._maps, self._programs)
        try:
            self._links.pin(folder / pins.LINKS)
        except BpfLoadError:
            pins.unpin(folder)
            raise

    def close(self) -> None:
        """As Backend.close."""
        self._links.close()  # first: nothing is to run on if the rest fails
        self._ring.close()
        self._slots.close()
        self._counters.close()
        self._object.close()
