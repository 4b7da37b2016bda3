"""The structs and enums of the object that watches accesses: mirrors bpf/recorder_accesses.h.

Compared with the object's BTF at every load, as recorder.kernel.layout is; so are those of the
recorder of calls that it reads.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

from recorder.kernel import layout

LINE_LENGTH = 64
"""Bytes of a line of text."""


class AccessKind(IntEnum):
    """What was used."""

    ACCESS_FILE = 1
    ACCESS_SOCKET = 2
    ACCESS_UNIX = 3
    ACCESS_SIGNAL = 4
    ACCESS_PTRACE = 5
    ACCESS_MOUNT = 6
    ACCESS_CAPABILITY = 7
    ACCESS_USER_NAMESPACE = 8
    ACCESS_IO_URING = 9
    ACCESS_QUEUE = 10


class AccessState(IntEnum):
    """Of an entry."""

    ACCESS_FREE = 0
    ACCESS_READY = 1


class AccessPeer(IntEnum):
    """Who is at the other end."""

    PEER_NONE = 0
    PEER_INSIDE = 1
    PEER_OUTSIDE = 2


class AccessFlag(IntEnum):
    """What is special about an entry's path."""

    ACCESS_UNREADABLE = 1
    ACCESS_CUT = 2
    ACCESS_DELETED = 4
    ACCESS_ANONYMOUS = 8
    ACCESS_DISCONNECTED = 16


class AccessText(IntEnum):
    """The places of texts; the last is how many there are."""

    TEXT_PATH = 0
    TEXT_TARGET = 1
    TEXT_WORD = 2
    ACCESS_TEXTS = 3


class AccessOutcome(IntEnum):
    """What a process turned out to be that came in while nobody knew."""

    OUTCOME_OPEN = 0
    OUTCOME_SETUP = 1


class What(ctypes.Structure):
    """Which access it is, beside its texts."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("kind", "object", "type", "protocol", "peer", "flags")),
        ("number", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("tgid", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class Entry(ctypes.Structure):
    """One access of one target."""

    _fields_ = (
        ("what", What),
        ("first_ns", ctypes.c_uint64),
        ("device", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
        ("slot", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("setup", ctypes.c_uint32),
        ("workload", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("outcome", ctypes.c_uint32),
        ("line", ctypes.c_uint32 * AccessText.ACCESS_TEXTS),
        ("length", ctypes.c_uint32 * AccessText.ACCESS_TEXTS),
        ("comm", ctypes.c_char * 16),
    )


class Line(ctypes.Structure):
    """A piece of a text."""

    _fields_ = (("text", ctypes.c_char * LINE_LENGTH),)


class Outcome(ctypes.Structure):
    """Of a process whose phase was open; in the object a plain number."""

    _fields_ = (("value", ctypes.c_uint64),)


class Owner(ctypes.Structure):
    """Of a slot, while its generation is the slot's."""

    _fields_ = (
        ("generation", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("refused", ctypes.c_uint64),
        ("executions_full", ctypes.c_uint64),
        ("undecided_full", ctypes.c_uint64),
    )


class AccessCounters(ctypes.Structure):
    """Of the whole object."""

    _fields_ = (
        ("used", ctypes.c_uint32),
        ("lines", ctypes.c_uint32),
        ("outcomes", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("seen", ctypes.c_uint64),
        ("refused", ctypes.c_uint64),
        ("busy", ctypes.c_uint64),
        ("substituted", ctypes.c_uint64),
        ("changes", ctypes.c_uint64),
    )


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "access_what": What,
    "access": Entry,
    "access_line": Line,
    "access_owner": Owner,
    "access_counters": AccessCounters,
    **{name: layout.STRUCTS[name] for name in ("slot", "set", "joiner")},
}

ENUMS: dict[str, type[IntEnum]] = {
    "access_kind": AccessKind,
    "access_state": AccessState,
    "access_peer": AccessPeer,
    "access_flag": AccessFlag,
    "access_text": AccessText,
    "access_outcome": AccessOutcome,
    **{name: layout.ENUMS[name] for name in ("slot_mode", "slot_state", "joiner_state")},
}
