"""The recorder of system calls by cgroup, by libbpf: bpf/syscalls.bpf.c behind the Backend protocol."""

from __future__ import annotations

import ctypes
import errno
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from recorder.kernel import layout
from recorder.kernel.arrays import SharedValue
from recorder.kernel.backend import Reading, Target, WatchRule
from recorder.kernel.final_reading import last_look
from recorder.kernel.layout import ControlOp, JoinerState, SlotMode, SlotState
from recorder.kernel.libbpf_slots import LibbpfSlots
from recorder.kernel.quiescence import wait_for_runs
from recorder.kernel.spec import ObjectSpec
from recorder.model.errors import BpfLimit, BpfLoadError
from recorder.model.ledger import Ledger

_ATTEMPTS = 100


class LibbpfBackend(LibbpfSlots):
    """See Backend for the methods. Attached while there is a target or a watched root, and not otherwise."""

    def __init__(self, spec: ObjectSpec, *, adopt: Path | None = None, denied: bool = True) -> None:
        super().__init__(spec, adopt=adopt, denied=denied)
        self._exchange = SharedValue(self._maps["exchange"], layout.Exchange)
        self._exchanging = threading.Lock()

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
            with self._exchanging:
                self._exchange.write(root=root)
                code = self._control(ControlOp.CONTROL_WATCH, root_id)
            if code == -errno.E2BIG:
                raise BpfLimit(f"all {self._spec.max_entries['roots']} places for watched cgroups are in use")
            self._check(code, "watch a cgroup")

    def unwatch(self, root_id: int) -> None:
        """As Backend.unwatch."""
        self._control(ControlOp.CONTROL_UNWATCH, root_id)
        self._detach_if_unused()

    def watched(self) -> set[int]:
        """As Backend.watched."""
        return set(self._keys("roots", ctypes.c_uint64, 2 * self._spec.max_entries["roots"]))

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

    def _joiners(self, target: Target, mask: int = 0, rest: int = 0) -> list[layout.Joiner]:
        """Copies of the target's joiners whose phase is open; of those whose tgid under the mask is the rest.

        Halved until they fit: each half is of one moment, whoever comes and goes in between.
        """
        for _ in range(_ATTEMPTS):
            with self._exchanging:
                number = self._control(ControlOp.CONTROL_JOINERS, target.slot, target.generation, mask, rest)
                if number >= 0:
                    found: list[layout.Joiner] = self._exchange.read().joiners[:number]
                    return found
            if number == -errno.E2BIG:
                more = mask + 1
                halves = (self._joiners(target, mask | more, rest | bit) for bit in (0, more))
                return [joiner for half in halves for joiner in half]
            wait_for_runs()  # whoever removes one, and may be preempted in it
        raise BpfLoadError(f"joining tasks ended during each of {_ATTEMPTS} looks at them: read it again")

    def _waiting(self, target: Target) -> list[layout.Joiner]:
        """Those that have called something."""
        return [joiner for joiner in self._joiners(target) if any(joiner.bits)]

    def read(self, target: Target, *, final: bool = False) -> Reading:
        """As Backend.read."""
        waiting: list[layout.Joiner] = []
        denied = self._denied(target)
        if final:
            slot, waiting = last_look(lambda: self._slots[target.slot], lambda: self._waiting(target))
        else:
            slot = self._slots[target.slot]
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
        return self._reading(target, slot, workload, Ledger(counts), denied)

    def _in_use(self) -> bool:
        following = ctypes.c_uint64()
        roots = self._maps["roots"]
        watched: int = self._libbpf.bpf_map_get_next_key(roots, None, ctypes.addressof(following))
        return watched == 0 or super()._in_use()

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.use."""
        counters = self._counters[0]
        slots = [
            self._slots[index]
            for index in range(1, len(self._slots))
            if self._slots.word(index, "state") != SlotState.SLOT_FREE
        ]
        bound = 2 * self._spec.max_entries["joiners"]
        joiners = sum(1 for _ in self._keys("joiners", ctypes.c_uint32, bound))
        children = max((slot.children for slot in slots), default=0)
        return {
            "slots": (len(slots), counters.slots_full),
            "children": (children, sum(slot.children_full for slot in slots)),
            "joiners": (joiners, counters.joiners_full),
            "roots": (len(self.watched()), counters.roots_full),
            "ring": (0, counters.ring_full),
        }

    def shared_maps(self) -> Mapping[str, int]:
        """What tells an object beside this one whose a task is and in which phase: maps by name."""
        return {name: self._maps[name] for name in ("slots", "table", "table_overflow", "joiners")}

    @property
    def slot_count(self) -> int:
        """Entries of `slots`, the one that is none included."""
        return len(self._slots)

    @property
    def set_shift(self) -> int:
        """The constant of this name, see bpf/lookup.bpf.h."""
        return self._spec.constants["set_shift"]

    def close(self) -> None:
        """As SlotBackend.close."""
        super().close()
        self._exchange.close()

    def ledger(self) -> Ledger:
        """As Backend.ledger."""
        counters = self._counters[0]
        own = {"table_full": counters.table_full, "roots_full": counters.roots_full}
        return super().ledger() + Ledger(own)
