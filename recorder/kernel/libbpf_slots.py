"""What both recorders by libbpf share: an object with slots, attached while there is something to record."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from recorder.kernel import layout, pins
from recorder.kernel.arrays import SharedArray
from recorder.kernel.backend import Reading, Target
from recorder.kernel.bitmap import bit_of, calls_of, denied_calls_of
from recorder.kernel.control import run_control
from recorder.kernel.info import program_info, program_runs
from recorder.kernel.layout import ControlOp, SlotState
from recorder.kernel.libbpf import Libbpf, reason
from recorder.kernel.links import Links
from recorder.kernel.loaded import LoadedObject
from recorder.kernel.quiescence import wait_for_runs
from recorder.kernel.ring import Ring, RingEvent
from recorder.kernel.spec import ObjectSpec
from recorder.kernel.tracefs import tracepoint_id
from recorder.kernel.tracepoints import attach_tracepoint
from recorder.model.errors import BpfError, BpfLoadError
from recorder.model.kind import Kind
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey


class LibbpfSlots:
    """Loads (or, with `adopt`, takes over) the object of a spec; see SlotBackend for the methods.

    Attached while there is something to record, and not otherwise. denied: whether denied calls
    are looked for before `look_for_denied` says so; of what is adopted, as it was left.
    """

    loader = "libbpf"

    def __init__(self, spec: ObjectSpec, *, adopt: Path | None = None, denied: bool = True) -> None:
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
        if spec.denied and not denied and not self._links.attached(spec.denied):
            self._links.want(spec.denied, False)
        self._slots = SharedArray(self._maps["slots"], layout.Slot, spec.bounds.slots + 1)
        self._counters = SharedArray(self._maps["counters"], layout.Counters, 1)
        entries = spec.max_entries["denials"]
        self._denials = SharedArray(self._maps["denials"], layout.Denials, entries)
        self._ring = Ring(self._maps["events"], spec.bounds.ring_bytes)
        if not adopt:
            self._control(ControlOp.CONTROL_OPEN)
        elif self._in_use():
            # Whole already, unless who pinned it was killed in the middle of attaching.
            self._links.attach()
        else:
            self._links.detach()

    def _attach_event(self, number: int, program: int) -> int:
        return attach_tracepoint(self._libbpf, program, number)

    @staticmethod
    def _check(code: int, what: str) -> int:
        if code < 0:
            raise BpfLoadError(f"cannot {what}: {reason(code)}")
        return code

    def _control(self, op: ControlOp, *arguments: int) -> int:
        return run_control(self._libbpf, self._programs[self._spec.control], op, *arguments)

    @staticmethod
    def _target(index: int, slot: layout.Slot) -> Target:
        path: bytes = slot.path
        whole = len(path) < layout.PATH_LENGTH - 1
        return Target(index, slot.generation, slot.cgroup_id, os.fsdecode(path) if whole else "")

    def targets(self) -> list[Target]:
        """As SlotBackend.targets."""
        return [
            self._target(index, self._slots[index])
            for index in range(1, len(self._slots))
            if self._slots.word(index, "state") != SlotState.SLOT_FREE
        ]

    def target(self, slot: int) -> Target | None:
        """As SlotBackend.target."""
        found = self._slots[slot]
        return None if found.state == SlotState.SLOT_FREE else self._target(slot, found)

    def see(self, target: Target, calls: Mapping[CallKey, Numbers]) -> None:
        """As SlotBackend.see."""
        for key, numbers in calls.items():
            for number in numbers:
                with contextlib.suppress(ValueError):  # no kernel has it: it never is in flight for long
                    bit = bit_of(key.abi, number)
                    self._control(ControlOp.CONTROL_SEE, target.slot, target.generation, bit)

    def _denied(self, target: Target) -> layout.Denials:
        """To be read before the slot is: what was let through meanwhile is then no denial."""
        return self._denials[target.slot] if self._spec.bounds.denials else layout.Denials()

    def _reading(
        self,
        target: Target,
        slot: layout.Slot,
        workload: list[int],
        ledger: Ledger,
        denied: layout.Denials,
    ) -> Reading:
        """Of a copy of the target's slot; another target's if it was released too early."""
        if slot.generation != target.generation:
            return Reading(target, 0, 0, True, False, False, {}, Ledger({"slot_reused": 1}))
        calls = calls_of(workload, list(slot.setup))
        kinds: tuple[Kind, ...] = (Kind.SYSCALLS,)
        if self._spec.bounds.denials:
            kinds = (Kind.SYSCALLS, Kind.DENIALS)
            calls = {**calls, **denied_calls_of(denied.workload, denied.setup, calls)}
        return Reading(
            target=target,
            epoch=slot.begun_ns,
            ended_ns=slot.ended_ns,
            ended=slot.state != SlotState.SLOT_ACTIVE,
            started=bool(slot.started),
            late=bool(slot.late),
            calls=calls,
            ledger=ledger,
            kinds=kinds,
        )

    def drop(self, *targets: Target) -> None:
        """As SlotBackend.drop."""
        for target in targets:
            self._control(ControlOp.CONTROL_DROP, target.slot, target.generation)
        wait_for_runs()

    def release(self, target: Target) -> None:
        """As SlotBackend.release; detaches when nothing is recorded or watched any more."""
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

    def look_for_denied(self, wanted: bool) -> None:
        """As SlotBackend.look_for_denied."""
        if not self._spec.denied:
            return
        with self._lock:
            self._links.want(self._spec.denied, wanted)
            if wanted and self._in_use():
                self._links.attach()

    def _in_use(self) -> bool:
        return bool(self.targets())

    def _detach_if_unused(self) -> None:
        with self._lock:
            if not self._in_use():
                self._links.detach()

    def events(self) -> list[RingEvent]:
        """As SlotBackend.events."""
        return self._ring.read()

    def wait(self, seconds: float) -> bool:
        """As SlotBackend.wait."""
        return self._ring.wait(seconds)

    def fileno(self) -> int:
        """As SlotBackend.fileno."""
        return self._ring.fileno()

    def missed(self) -> int:
        """Program runs that the kernel skipped, see `program_info`."""
        return sum(program_info(self._libbpf, self._programs[name]).missed for name in self._spec.attach)

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """As SlotBackend.runs."""
        return program_runs(self._libbpf, {name: self._programs[name] for name in self._spec.attach})

    def ledger(self) -> Ledger:
        """As SlotBackend.ledger."""
        counters = self._counters[0]
        return Ledger(
            {
                "slots_full": counters.slots_full,
                "ring_full": counters.ring_full,
                "program_missed": self.missed(),
            }
        )

    def pin(self, folder: Path) -> None:
        """As SlotBackend.pin. Raises BpfLoadError; then nothing is pinned."""
        pins.pin_all(self._libbpf, folder, self._maps, self._programs, self._links)

    def close(self) -> None:
        """As SlotBackend.close."""
        self._links.close()  # first: nothing is to run on if the rest fails
        self._ring.close()
        self._slots.close()
        self._denials.close()
        self._counters.close()
        self._object.close()
