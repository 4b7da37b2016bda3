"""The structs and enums that the kernel side and Python share.

Mirrors bpf/recorder.h. What is written here is compared with the object's BTF at
every load (`recorder.kernel.btf`), so that a change on one side alone is an error and
never a wrong number.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

LAYOUT_VERSION = 4
BITMAP_BITS = 1600
BITMAP_WORDS = BITMAP_BITS // 64
SET_WAYS = 4
COMM_LENGTH = 16
PATH_LENGTH = 256
PREFIX_LENGTH = 16
ROOT_RULES = 8
EXCHANGE_JOINERS = 16


class BitmapLayout(IntEnum):
    """Where each ABI's numbers begin in a bitmap; the last is its length."""

    NATIVE_FIRST = 0
    COMPAT_FIRST = 512
    X32_FIRST = 1024
    BITMAP_BITS = BITMAP_BITS


class Phase(IntEnum):
    """As in the record."""

    PHASE_SETUP = 1
    PHASE_WORKLOAD = 2


class SlotMode(IntEnum):
    """How a slot tells set-up from workload."""

    MODE_EXEC = 1
    MODE_CONTAINER = 2


class SlotState(IntEnum):
    """The life of a slot."""

    SLOT_FREE = 0
    SLOT_ACTIVE = 1
    SLOT_ENDED = 2


class JoinerState(IntEnum):
    """What is known of a thread group that came into a target."""

    JOINER_SETUP = 1
    JOINER_UNDECIDED = 2
    JOINER_PENDING = 3
    JOINER_CONFIRMED = 4


class EventKind(IntEnum):
    """Kinds of ring events."""

    EVENT_FIRST_SIGHT = 1
    EVENT_BEGIN = 2
    EVENT_END = 3
    EVENT_WATCH = 4
    EVENT_DENIED = 5


class ControlOp(IntEnum):
    """What user space asks the control program for."""

    CONTROL_ADD = 1
    CONTROL_ADOPT = 2
    CONTROL_DROP = 3
    CONTROL_RELEASE = 4
    CONTROL_SEE = 5
    CONTROL_SETTLE = 6
    CONTROL_OPEN = 7
    CONTROL_WATCH = 8
    CONTROL_UNWATCH = 9
    CONTROL_JOINERS = 10


class WalkOp(IntEnum):
    """What a walk over all tasks is to do (bpf/walk.h)."""

    WALK_BEGIN = 1
    WALK_ADOPT = 2
    WALK_LIST = 3


class WalkResult(IntEnum):
    """What became of a WALK_BEGIN."""

    WALK_NOT_FOUND = 0
    WALK_DONE = 1
    WALK_KERNEL_THREAD = 2
    WALK_FOLLOWED = 3
    WALK_REFUSED = 4


class Slot(ctypes.Structure):
    """One target's state; times are CLOCK_BOOTTIME in ns."""

    _fields_ = (
        ("cgroup_id", ctypes.c_uint64),
        ("begun_ns", ctypes.c_uint64),
        ("ended_ns", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("started", ctypes.c_uint32),
        ("joiners", ctypes.c_int32),
        ("mount_namespace", ctypes.c_uint32),
        ("children", ctypes.c_uint32),
        ("reference", ctypes.c_uint32),
        ("index", ctypes.c_uint32),
        ("late", ctypes.c_uint32),
        ("unknown_number", ctypes.c_uint64),
        ("joiners_full", ctypes.c_uint64),
        ("children_full", ctypes.c_uint64),
        ("table_full", ctypes.c_uint64),
        ("joiner_without_exec", ctypes.c_uint64),
        ("workload", ctypes.c_uint64 * BITMAP_WORDS),
        ("setup", ctypes.c_uint64 * BITMAP_WORDS),
        ("path", ctypes.c_char * PATH_LENGTH),
    )


class Denials(ctypes.Structure):
    """The calls of a slot that a seccomp filter stopped, but for those that its own bitmaps have too."""

    _fields_ = (
        ("workload", ctypes.c_uint64 * BITMAP_WORDS),
        ("setup", ctypes.c_uint64 * BITMAP_WORDS),
    )


class Set(ctypes.Structure):
    """One set of the table: four ways, a cache line."""

    _fields_ = (
        ("id", ctypes.c_uint64 * SET_WAYS),
        ("slot", ctypes.c_uint32 * SET_WAYS),
        ("overflowed", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 3),
    )


class Joiner(ctypes.Structure):
    """A thread group that came into a target from outside; `since_ns` is CLOCK_MONOTONIC."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("reference", ctypes.c_uint32),
        ("since_ns", ctypes.c_uint64),
        ("exec_bit", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("bits", ctypes.c_uint64 * BITMAP_WORDS),
    )


class Event(ctypes.Structure):
    """A ring event."""

    _fields_ = (
        ("time_ns", ctypes.c_uint64),
        ("cgroup_id", ctypes.c_uint64),
        ("slot", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("bit", ctypes.c_uint16),
        ("phase", ctypes.c_uint16),
        ("comm", ctypes.c_char * COMM_LENGTH),
    )


class Counters(ctypes.Structure):
    """Counters of the whole object."""

    _fields_ = (
        ("layout", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("slots_full", ctypes.c_uint64),
        ("table_full", ctypes.c_uint64),
        ("joiners_full", ctypes.c_uint64),
        ("ring_full", ctypes.c_uint64),
        ("boundaries", ctypes.c_uint64),
        ("roots_full", ctypes.c_uint64),
        ("max_children", ctypes.c_uint32),
        ("removals_begun", ctypes.c_uint32),
        ("removals_ended", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class Rule(ctypes.Structure):
    """What becomes of a watched root's new children whose names begin so."""

    _fields_ = (
        ("mode", ctypes.c_uint32),
        ("levels", ctypes.c_uint32),
        ("prefix", ctypes.c_char * PREFIX_LENGTH),
    )


class Root(ctypes.Structure):
    """The value of a watched root: its rules, in order."""

    _fields_ = (("rules", Rule * ROOT_RULES),)


class Exchange(ctypes.Structure):
    """What is handed to the control program and comes back from it, beside numbers."""

    _fields_ = (
        ("root", Root),
        ("found", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("joiners", Joiner * EXCHANGE_JOINERS),
    )


class Walk(ctypes.Structure):
    """A walk: what it is to do, and what it found."""

    _fields_ = (
        ("op", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("slot", ctypes.c_uint32),
        ("result", ctypes.c_uint32),
        ("found", ctypes.c_uint32),
        ("elsewhere", ctypes.c_uint32),
        ("open", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "slot": Slot,
    "denials": Denials,
    "set": Set,
    "joiner": Joiner,
    "event": Event,
    "counters": Counters,
    "rule": Rule,
    "root": Root,
    "exchange": Exchange,
}

ENUMS: dict[str, type[IntEnum]] = {
    "bitmap_layout": BitmapLayout,
    "phase": Phase,
    "slot_mode": SlotMode,
    "slot_state": SlotState,
    "joiner_state": JoinerState,
    "event_kind": EventKind,
    "control_op": ControlOp,
}

TASK_STRUCTS: dict[str, type[ctypes.Structure]] = {
    **{name: STRUCTS[name] for name in ("slot", "denials", "set", "event", "counters")},
    "walk": Walk,
}
"""Those of the object that follows processes."""

TASK_ENUMS: dict[str, type[IntEnum]] = {
    **{name: kind for name, kind in ENUMS.items() if name != "joiner_state"},
    "walk_op": WalkOp,
    "walk_result": WalkResult,
}
