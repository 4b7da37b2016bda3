"""The structs that the kernel side by bcc and Python share. Mirrors bpf/recorder_bcc.h.

bcc compiles on the node, so the comparison is made there: `assertions` is appended to
the source, and a difference is an error of the compiler that names the field.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from recorder.kernel import layout

LAYOUT_VERSION = 1002
ROW_BYTES = 2048
PATH_BYTES = 512
JOINER_UNRESOLVED = 5


class Slot(ctypes.Structure):
    """One target's state; times are CLOCK_BOOTTIME in ns; a byte for each call."""

    _fields_ = (
        ("cgroup_id", ctypes.c_uint64),
        ("begun_ns", ctypes.c_uint64),
        ("ended_ns", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("started", ctypes.c_uint32),
        ("joiners", ctypes.c_int64),
        ("children", ctypes.c_int64),
        ("mount_namespace", ctypes.c_uint32),
        ("reference", ctypes.c_uint32),
        ("unknown_number", ctypes.c_uint64),
        ("joiners_full", ctypes.c_uint64),
        ("children_full", ctypes.c_uint64),
        ("table_full", ctypes.c_uint64),
        ("joiner_without_exec", ctypes.c_uint64),
        ("abi_unknown", ctypes.c_uint64),
        ("adopted", ctypes.c_uint32),
        ("not_adopted", ctypes.c_uint32),
        ("no_place", ctypes.c_uint32),
        ("late", ctypes.c_uint32),
        ("settled", ctypes.c_uint64),
        ("workload", ctypes.c_uint8 * ROW_BYTES),
        ("setup", ctypes.c_uint8 * ROW_BYTES),
        ("path", ctypes.c_char * layout.PATH_LENGTH),
    )


class Place(ctypes.Structure):
    """The value of the table: which slot a cgroup counts for."""

    _fields_ = (("id", ctypes.c_uint64), ("slot", ctypes.c_uint32), ("padding", ctypes.c_uint32))


class CgroupPath(ctypes.Structure):
    """A key of the paths: as in /proc/PID/cgroup, padded with zeros."""

    _fields_ = (("text", ctypes.c_char * PATH_BYTES),)


class Owner(ctypes.Structure):
    """Who owns new cgroups below a path: a slot; if that is 0, they are watched, if there is an id."""

    _fields_ = (
        ("id", ctypes.c_uint64),
        ("slot", ctypes.c_uint32),
        ("rules", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("levels", ctypes.c_uint32),
    )


class NameRule(ctypes.Structure):
    """What becomes of a watched cgroup's new children whose names begin so."""

    _fields_ = (
        ("mode", ctypes.c_uint32),
        ("levels", ctypes.c_uint32),
        ("mask", ctypes.c_char * layout.PREFIX_LENGTH),
        ("prefix", ctypes.c_char * layout.PREFIX_LENGTH),
    )


class RuleList(ctypes.Structure):
    """The rules of one watched cgroup, in order."""

    _fields_ = (("rules", NameRule * layout.ROOT_RULES),)


class Joiner(ctypes.Structure):
    """A thread group that came into a target from outside; `since_ns` is CLOCK_MONOTONIC."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("reference", ctypes.c_uint32),
        ("since_ns", ctypes.c_uint64),
        ("exec_bit", ctypes.c_uint32),
        ("from_setup", ctypes.c_uint32),
        ("followed", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class Held(ctypes.Structure):
    """The calls of a joiner while it is undecided or pending."""

    _fields_ = (("stores", ctypes.c_uint64), ("seen", ctypes.c_uint8 * ROW_BYTES))


class State(ctypes.Structure):
    """Of the whole program."""

    _fields_ = (
        ("layout", ctypes.c_uint32),
        ("max_children", ctypes.c_uint32),
        ("unresolved", ctypes.c_int64),
        ("slots_full", ctypes.c_uint64),
        ("table_full", ctypes.c_uint64),
        ("joiners_full", ctypes.c_uint64),
        ("ring_full", ctypes.c_uint64),
        ("roots_full", ctypes.c_uint64),
    )


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "byte_slot": Slot,
    "place": Place,
    "cgroup_path": CgroupPath,
    "owner": Owner,
    "name_rule": NameRule,
    "rule_list": RuleList,
    "byte_joiner": Joiner,
    "held": Held,
    "byte_state": State,
    "event": layout.Event,
}

_CONSTANTS = {
    "RECORDER_BCC_LAYOUT": LAYOUT_VERSION,
    "ROW_BYTES": ROW_BYTES,
    "PATH_BYTES": PATH_BYTES,
    "JOINER_UNRESOLVED": JOINER_UNRESOLVED,
}


def assertions() -> str:
    """C text that compiles only if every struct, offset, enum and constant is the same on both sides."""
    lines = []
    for name, struct in STRUCTS.items():
        lines.append(_assert(f"sizeof(struct {name}) == {ctypes.sizeof(struct)}", name))
        for field in struct._fields_:
            offset = getattr(struct, field[0]).offset
            lines.append(
                _assert(f"__builtin_offsetof(struct {name}, {field[0]}) == {offset}", f"{name}.{field[0]}")
            )
    for enum in layout.ENUMS.values():
        lines += [_assert(f"{member.name} == {member.value}", member.name) for member in enum]
    lines += [_assert(f"{name} == {value}", name) for name, value in _CONSTANTS.items()]
    return "\n".join(lines) + "\n"


def _assert(condition: str, what: str) -> str:
    return f'_Static_assert({condition}, "bcc_layout.py: {what}");'


def words_of(row: Sequence[int]) -> list[int]:
    """A row of bytes as the 64-bit words of a bitmap; the bytes behind the bitmap say nothing."""
    words = [0] * layout.BITMAP_WORDS
    for bit, seen in enumerate(row[: layout.BITMAP_BITS]):
        if seen:
            words[bit // 64] |= 1 << (bit % 64)
    return words
