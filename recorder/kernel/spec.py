"""What is to be loaded: sizes, constants, what to attach. Pure, so that it is tested without root."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from recorder.kernel import layout
from recorder.kernel.preemption import programs_are_preemptible
from recorder.model.errors import BpfLimit

PAGE = 4096
"""The ring's size must be a multiple of the page and a power of 2 (kernel/bpf/ringbuf.c)."""

MAX_SLOTS = 1 << 16

# One slot too few entries make the first sets overflow: ids are hashed, and at half load
# 5 % of 4-way sets hold a fifth id. Eight entries a slot keep the map behind the table empty.
ENTRIES_PER_SLOT = 8

SETTLED_THREADS = 4096
"""How many threads of late targets are known as settled at a time (bpf/denied_calls.bpf.h)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much memory the kernel side may take, as numbers of things.

    slots: targets at a time; children: child cgroups of one target; joiners: thread groups
    in set-up at a time; roots: watched parents; ring_bytes: a power of 2, at least a page;
    table_sets: 0 for what the slots need (tests make it small so that ids collide); denials:
    whether the calls that seccomp filters deny are recorded as well; accesses: whether what is used is,
    which takes what recorder.kernel.accesses_spec.AccessBounds says beside.
    """

    slots: int = 16
    children: int = 256
    joiners: int = 512
    roots: int = 64
    ring_bytes: int = 1 << 18
    table_sets: int = 0
    denials: bool = False
    accesses: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= MAX_SLOTS:
            raise BpfLimit(f"slots: {self.slots} is not between 1 and {MAX_SLOTS}")
        for name in ("children", "joiners", "roots"):
            if getattr(self, name) < 1:
                raise BpfLimit(f"{name}: {getattr(self, name)} is not at least 1")
        if self.ring_bytes < PAGE or self.ring_bytes & (self.ring_bytes - 1):
            raise BpfLimit(f"ring_bytes: {self.ring_bytes} is not a power of 2 of at least {PAGE}")
        if self.table_sets & (self.table_sets - 1):
            raise BpfLimit(f"table_sets: {self.table_sets} is not a power of 2")

    @property
    def sets(self) -> int:
        """Sets in the table, a power of 2."""
        if self.table_sets:
            return self.table_sets
        entries = self.slots * ENTRIES_PER_SLOT + self.children
        return 1 << (-(-entries // layout.SET_WAYS) - 1).bit_length()

    @property
    def overflow(self) -> int:
        """Entries of the hash map behind the table: all that the bounds allow, within reason."""
        return max(self.slots * 2, self.children)

    def kernel_bytes(self) -> Mapping[str, int]:
        """Bytes by map, as computed."""
        return {
            **_shared_bytes(self),
            "joiners": hash_bytes(self.joiners, 8 + ctypes.sizeof(layout.Joiner)),
            "roots": hash_bytes(self.roots, 8 + ctypes.sizeof(layout.Root)),
            "exchange": mapped_bytes(ctypes.sizeof(layout.Exchange)),
        }


@dataclass(frozen=True, slots=True)
class TaskBounds:
    """The same for recording by process.

    slots: targets at a time; children: processes that one target has at a time, itself
    included; ring_bytes, table_sets, denials: as in Bounds.
    """

    slots: int = 1
    children: int = 4096
    ring_bytes: int = 1 << 17
    table_sets: int = 0
    denials: bool = False

    def __post_init__(self) -> None:
        Bounds(self.slots, self.children, ring_bytes=self.ring_bytes, table_sets=self.table_sets)

    @property
    def sets(self) -> int:
        """Sets in the table, a power of 2: at most half full with one target at its bound."""
        return self.table_sets or 1 << (-(-self.children * 2 // layout.SET_WAYS) - 1).bit_length()

    @property
    def overflow(self) -> int:
        """Entries of the hash map behind the table."""
        return self.children

    def kernel_bytes(self) -> Mapping[str, int]:
        """As Bounds.kernel_bytes."""
        return {**_shared_bytes(self), "walk": mapped_bytes(ctypes.sizeof(layout.Walk))}


def _shared_bytes(bounds: Bounds | TaskBounds) -> dict[str, int]:
    return {
        "slots": mapped_bytes((bounds.slots + 1) * ctypes.sizeof(layout.Slot)),
        "table": mapped_bytes(bounds.sets * ctypes.sizeof(layout.Set)),
        "counters": mapped_bytes(ctypes.sizeof(layout.Counters)),
        "events": mapped_bytes(bounds.ring_bytes + 2 * PAGE + 512),
        "table_overflow": hash_bytes(bounds.overflow, 16),
        "free_slots": 512 + bounds.slots * 4,
        "denials": mapped_bytes(_denials(bounds)["denials"] * ctypes.sizeof(layout.Denials)),
        "settled": hash_bytes(_denials(bounds)["settled"], 16),
    }


def _denials(bounds: Bounds | TaskBounds) -> dict[str, int]:
    """Entries of the maps of denied calls; a map cannot have none."""
    if not bounds.denials:
        return {"denials": 1, "settled": 1}
    return {"denials": bounds.slots + 1, "settled": SETTLED_THREADS}


def _constants(bounds: Bounds | TaskBounds) -> dict[str, int]:
    found = {"set_shift": 32 - (bounds.sets.bit_length() - 1), "max_children": bounds.children}
    return {**found, "with_denials": 1} if bounds.denials else found


def mapped_bytes(size: int) -> int:
    """An array that can be mapped, or a ring: whole pages, after one of the kernel's own."""
    return (-(-size // PAGE) + 1) * PAGE


def hash_bytes(entries: int, element: int) -> int:
    """Key and value with a head of 64 bytes, and the map itself."""
    return entries * (64 + element) + PAGE


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """A BPF object: its file, and what the loader sets before and does after the load.

    max_entries: by map; constants: by name of a __u32 in .rodata; attach: programs in the
    order of attaching (detached in the reverse order); events: of those that belong to a
    classic tracepoint, its name as group/event; unused: programs that are not loaded;
    walk: a program that is read like a file, "" if there is none; denied: of those to attach, the
    one that looks for denied calls, "" if there is none; structs and enums: those
    that are compared with the object's type information.
    """

    path: Path
    max_entries: Mapping[str, int]
    constants: Mapping[str, int]
    attach: tuple[str, ...]
    control: str
    events: Mapping[str, str]
    unused: tuple[str, ...]
    bounds: Bounds | TaskBounds = field(repr=False)
    walk: str = ""
    denied: str = ""
    structs: Mapping[str, type[ctypes.Structure]] = field(default_factory=lambda: layout.STRUCTS, repr=False)
    enums: Mapping[str, type[IntEnum]] = field(default_factory=lambda: layout.ENUMS, repr=False)

    @property
    def programs(self) -> tuple[str, ...]:
        """All that are used."""
        return (*self.attach, self.control, *((self.walk,) if self.walk else ()))


def object_path(name: str) -> Path:
    """Where a compiled object lies in the installed package."""
    return Path(__file__).parent / "objects" / name


def _variants(
    events: Mapping[str, str], bounds: Bounds | TaskBounds, preemptible: bool
) -> tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]:
    """Of programs that there are for raw and for classic tracepoints: used ones, their events, the others.

    The last one is used for denied calls alone.
    """
    classic = {f"{name}_event": event for name, event in events.items()}
    used, others = (tuple(classic), tuple(events)) if preemptible else (tuple(events), tuple(classic))
    if not bounds.denials:
        used, others = used[:-1], (*others, used[-1])
    return used, {name: classic[name] for name in used if name in classic}, others


def syscalls_spec(bounds: Bounds, path: Path | None = None, *, preemptible: bool | None = None) -> ObjectSpec:
    """The recorder of system calls.

    preemptible: whether programs can be preempted; None asks the running kernel. Those that
    could be skipped are then of classic tracepoints, which cost more.

    The programs that keep track of cgroups and joiners are attached before the one that
    reads them, so that the first call seen already has its phase. The one that looks for
    denied calls comes last: whose end it sees, the others saw begin.
    """
    if preemptible is None:
        preemptible = programs_are_preemptible()
    events = {
        "on_exit": "sched/sched_process_exit",
        "on_exec": "sched/sched_process_exec",
        "on_sys_enter": "raw_syscalls/sys_enter",
        "on_sys_exit": "raw_syscalls/sys_exit",
    }
    used, attached, unused = _variants(events, bounds, preemptible)
    on_exit, on_exec, *calls = used
    return ObjectSpec(
        path=path or object_path("syscalls.bpf.o"),
        max_entries={
            "slots": bounds.slots + 1,  # slot 0 is none
            "table": bounds.sets,
            "table_overflow": bounds.overflow,
            "free_slots": bounds.slots,
            "joiners": bounds.joiners,
            "roots": bounds.roots,
            "exchange": 1,
            "events": bounds.ring_bytes,
            **_denials(bounds),
        },
        constants=_constants(bounds),
        attach=(
            "on_cgroup_rmdir",
            on_exit,
            on_exec,
            "on_new_task",
            "on_cgroup_attach_task",
            "on_cgroup_mkdir",
            *calls,
        ),
        control="control",
        events=attached,
        unused=unused,
        bounds=bounds,
        denied=used[-1] if bounds.denials else "",
    )


def tasks_spec(
    bounds: TaskBounds, path: Path | None = None, *, preemptible: bool | None = None
) -> ObjectSpec:
    """The recorder of processes; arguments as for syscalls_spec.

    Ends are seen before starts, and both before the first call.
    """
    if preemptible is None:
        preemptible = programs_are_preemptible()
    events = {
        "on_exit": "sched/sched_process_exit",
        "on_sys_enter": "raw_syscalls/sys_enter",
        "on_sys_exit": "raw_syscalls/sys_exit",
    }
    used, attached, unused = _variants(events, bounds, preemptible)
    on_exit, *calls = used
    return ObjectSpec(
        path=path or object_path("tasks.bpf.o"),
        max_entries={
            "slots": bounds.slots + 1,
            "table": bounds.sets,
            "table_overflow": bounds.overflow,
            "free_slots": bounds.slots,
            "events": bounds.ring_bytes,
            "walk": 1,
            **_denials(bounds),
        },
        constants=_constants(bounds),
        attach=(on_exit, "on_new_task", *calls),
        control="control",
        events=attached,
        unused=unused,
        bounds=bounds,
        walk="walk_tasks",
        denied=used[-1] if bounds.denials else "",
        structs=layout.TASK_STRUCTS,
        enums=layout.TASK_ENUMS,
    )
