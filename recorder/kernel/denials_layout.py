"""The structs and enums of the object that watches denials: mirrors bpf/recorder_denials.h.

Compared with the object's BTF at every load, as recorder.kernel.layout is.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

LAYOUT_VERSION = 1
"""DENIALS_LAYOUT: of what is pinned."""


class Module(IntEnum):
    """Which security module said it."""

    MODULE_APPARMOR = 1
    MODULE_SELINUX = 2


class State(IntEnum):
    """Of an entry."""

    DENIAL_FREE = 0
    DENIAL_READY = 1


class Op(IntEnum):
    """What the control program does."""

    DENIAL_OPEN = 1
    DENIAL_WATCH = 2
    DENIAL_DROP = 3
    DENIAL_GIVE_BACK = 4
    DENIAL_FORGET = 5


class OwnerState(IntEnum):
    """Of a cgroup that has entries."""

    OWNER_FREE = 0
    OWNER_WATCHED = 1
    OWNER_DROPPED = 2


class OwnerScope(IntEnum):
    """What a watched cgroup stands for."""

    SCOPE_OWN = 0
    SCOPE_WHOLE = 1
    SCOPE_EACH = 2


class Kind(IntEnum):
    """AppArmor's types of records, and two that are not of it."""

    KIND_AUDIT = 0
    KIND_ALLOWED = 1
    KIND_DENIED = 2
    KIND_HINT = 3
    KIND_STATUS = 4
    KIND_ERROR = 5
    KIND_KILL = 6
    KIND_GRANTED = 100
    KIND_REST = 101


class Flag(IntEnum):
    """What an entry lacks."""

    FLAG_UNREADABLE = 1
    FLAG_CLASS_UNKNOWN = 2
    FLAG_OBJECT_MISSING = 4
    FLAG_PATH_CUT = 8


class Text(IntEnum):
    """The places of texts in `length`; the last is how many there are."""

    TEXT_OPERATION = 0
    TEXT_INFO = 1
    TEXT_SPACE = 2
    TEXT_SUBJECT = 3
    TEXT_PEER = 4
    TEXT_TARGET = 5
    TEXT_NAME = 6
    TEXTS = 7


_WORDS = ("module", "kind", "mode", "object_class", "requested", "denied", "audited")


class What(ctypes.Structure):
    """Which denial it is, beside its texts."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in _WORDS),
        ("error", ctypes.c_int32),
        ("object_kind", ctypes.c_uint32),
        ("capability", ctypes.c_int32),
        ("signal", ctypes.c_int32),
        ("unmapped_signal", ctypes.c_int32),
        ("family", ctypes.c_uint32),
        ("socket_type", ctypes.c_uint32),
        ("protocol", ctypes.c_uint32),
        ("port", ctypes.c_uint32),
        ("owner", ctypes.c_uint32),
        ("limit", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("mount_flags", ctypes.c_uint64),
    )


class Entry(ctypes.Structure):
    """One denial of one cgroup. Texts are bytes up to `length`, with anything behind it."""

    _fields_ = (
        ("what", What),
        ("hash", ctypes.c_uint64 * 2),
        ("cgroup_id", ctypes.c_uint64),
        ("first_ns", ctypes.c_uint64),
        ("last_ns", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("state", ctypes.c_uint32),
        ("first_pid", ctypes.c_uint32),
        ("last_pid", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("length", ctypes.c_uint16 * 8),
        ("first_comm", ctypes.c_char * 16),
        ("last_comm", ctypes.c_char * 16),
        ("operation", ctypes.c_char * 32),
        ("info", ctypes.c_char * 256),
        ("space", ctypes.c_char * 64),
        ("subject", ctypes.c_char * 256),
        ("peer", ctypes.c_char * 256),
        ("target", ctypes.c_char * 512),
        ("name", ctypes.c_char * 1024),
    )


class Hint(ctypes.Structure):
    """That there is a new entry, or that a cgroup was removed."""

    _fields_ = (("cgroup_id", ctypes.c_uint64), ("removed", ctypes.c_uint64))


class Numbers(ctypes.Structure):
    """Of one owner."""

    _fields_ = (
        ("seen", ctypes.c_uint64),
        ("recorded", ctypes.c_uint64),
        ("table_full", ctypes.c_uint64),
        ("unreadable", ctypes.c_uint64),
        ("named", ctypes.c_uint64),
        ("stash_full", ctypes.c_uint64),
    )


class Owner(ctypes.Structure):
    """A cgroup that has entries, or may get some."""

    _fields_ = (
        ("cgroup_id", ctypes.c_uint64),
        ("state", ctypes.c_uint32),
        ("scope", ctypes.c_uint32),
        ("entries", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("begun_ns", ctypes.c_uint64),
        ("removed", ctypes.c_uint64),
        ("numbers", Numbers),
    )


class DenialCounters(ctypes.Structure):
    """Of the whole object."""

    _fields_ = (
        ("layout", ctypes.c_uint32),
        ("per_cgroup", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("owners_used", ctypes.c_uint32),
        ("owners_full", ctypes.c_uint64),
        ("between", ctypes.c_uint64),
        ("elsewhere", ctypes.c_uint64),
        ("ring_full", ctypes.c_uint64),
        ("past", Numbers),
    )


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "denial_what": What,
    "denial": Entry,
    "denial_hint": Hint,
    "denial_numbers": Numbers,
    "denial_owner": Owner,
    "denial_counters": DenialCounters,
}

ENUMS: dict[str, type[IntEnum]] = {
    "denial_module": Module,
    "denial_state": State,
    "denial_op": Op,
    "owner_state": OwnerState,
    "owner_scope": OwnerScope,
    "denial_kind": Kind,
    "denial_flag": Flag,
    "denial_text": Text,
}
"""All but denial_state's are in entries as plain numbers: a newer kernel may have more of them."""
