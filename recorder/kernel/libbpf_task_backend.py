"""The recorder of processes, by libbpf: bpf/tasks.bpf.c behind the TaskBackend protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from recorder.kernel.arrays import SharedValue
from recorder.kernel.backend import Reading, Target
from recorder.kernel.layout import ControlOp, SlotState, Walk, WalkOp, WalkResult
from recorder.kernel.libbpf import reason
from recorder.kernel.libbpf_slots import LibbpfSlots
from recorder.kernel.quiescence import wait_for_runs
from recorder.kernel.spec import ObjectSpec
from recorder.model.errors import BpfLimit, BpfLoadError, NotRecordable, ProcessNotFound
from recorder.model.ledger import Ledger

_BPF_TRACE_ITER = 28  # enum bpf_attach_type (include/uapi/linux/bpf.h)
_CHUNK = 1 << 16


class LibbpfTaskBackend(LibbpfSlots):
    """See TaskBackend for the methods.

    Nothing of it depends on which pid namespace this process is in: the kernel itself
    goes through the tasks that this one can see.
    """

    def __init__(self, spec: ObjectSpec, *, adopt: Path | None = None, denied: bool = True) -> None:
        super().__init__(spec, adopt=adopt, denied=denied)
        self._state = SharedValue(self._maps["walk"], Walk)
        self._elsewhere: dict[Target, int] = {}
        for target in self.targets():
            # Who pinned it was killed while it looked for descendants.
            if not self._slots[target.slot].started:
                self._adopt_descendants(target)

    def follow(self, pid: int) -> Target:
        """As TaskBackend.follow."""
        # Attached first: what is started meanwhile is followed, and what ends meanwhile is noticed.
        with self._attached():
            before = self._counters[0]
            walked = self._walk(WalkOp.WALK_BEGIN, pid=pid)
            if walked.result != WalkResult.WALK_DONE:
                self._detach_if_unused()
                raise self._refusal(pid, walked.result, before.slots_full)
            target = self._target(walked.slot, self._slots[walked.slot])
            try:
                self._adopt_descendants(target)
            except BpfLoadError:
                self.drop(target)
                self.release(target)
                raise
            return target

    def _refusal(self, pid: int, result: int, slots_full: int) -> BpfLimit | NotRecordable | ProcessNotFound:
        if result == WalkResult.WALK_KERNEL_THREAD:
            return NotRecordable(f"process {pid} is a kernel thread: it makes no system calls")
        if result == WalkResult.WALK_FOLLOWED:
            return BpfLimit(f"process {pid} is followed by another recording already; end that one first")
        if result == WalkResult.WALK_REFUSED and self._counters[0].slots_full > slots_full:
            return BpfLimit(f"all {self._spec.bounds.slots} slots are in use; end a recording first")
        if result == WalkResult.WALK_REFUSED:
            return BpfLimit("the lookup table is full; end a recording first")
        return ProcessNotFound(f"there is no process {pid}, or it has ended")

    def _adopt_descendants(self, target: Target) -> None:
        """Walks until nothing new is found: a walk may come to a child before it comes to the parent."""
        while True:
            walked = self._walk(WalkOp.WALK_ADOPT, slot=target.slot)
            if not walked.found:
                break
        if walked.elsewhere:
            self._elsewhere[target] = walked.elsewhere
        self._control(ControlOp.CONTROL_SETTLE, target.slot, target.generation)

    def members(self, target: Target) -> list[int]:
        """As TaskBackend.members."""
        slot = self._slots[target.slot]
        if slot.generation != target.generation or slot.state != SlotState.SLOT_ACTIVE:
            return []
        with self._lock:
            pids = memoryview(self._read_walk(WalkOp.WALK_LIST, slot=target.slot)[0]).cast("I")
        return sorted(pid for pid in pids if pid)

    def _walk(self, op: WalkOp, *, pid: int = 0, slot: int = 0) -> Walk:
        return self._read_walk(op, pid=pid, slot=slot)[1]

    def _read_walk(self, op: WalkOp, *, pid: int = 0, slot: int = 0) -> tuple[bytes, Walk]:
        """Lets the kernel run the walk over every task; what the walk wrote, and what it left behind."""
        self._state.write(op=op, pid=pid, slot=slot, result=0, found=0, elsewhere=0)
        program = self._programs[self._spec.walk]
        link = self._check(
            self._libbpf.bpf_link_create(program, 0, _BPF_TRACE_ITER, None), "link a walk over all tasks"
        )
        try:
            walker = self._check(self._libbpf.bpf_iter_create(link), "begin a walk over all tasks")
        finally:
            os.close(link)
        written = b""
        with open(walker, "rb", buffering=0) as file:
            try:
                while chunk := file.read(_CHUNK):
                    written += chunk
            except OSError as error:
                raise BpfLoadError(f"a walk over all tasks failed: {reason(error.errno or 0)}") from error
        return written, self._state.read()

    def read(self, target: Target, *, final: bool = False) -> Reading:
        """As SlotBackend.read; all is workload from the first call on, so nothing is ever open."""
        denied = self._denied(target)
        slot = self._slots[target.slot]
        counts = {
            "unknown_number": slot.unknown_number,
            "processes_full": slot.children_full + slot.table_full,
            "followed_elsewhere": self._elsewhere.get(target, 0),
        }
        return self._reading(target, slot, list(slot.workload), Ledger(counts), denied)

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As SlotBackend.use."""
        counters = self._counters[0]
        slots = [self._slots[target.slot] for target in self.targets()]
        return {
            "slots": (len(slots), counters.slots_full),
            "children": (
                max((slot.children for slot in slots), default=0),
                sum(slot.children_full + slot.table_full for slot in slots),
            ),
            "ring": (0, counters.ring_full),
        }

    def release(self, target: Target) -> None:
        """As SlotBackend.release."""
        # It may have ended by itself, and another processor be at the start of a descendant of its.
        wait_for_runs()
        self._elsewhere.pop(target, None)
        super().release(target)

    def close(self) -> None:
        """As SlotBackend.close."""
        super().close()
        self._state.close()
