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
CHUNK_LINES = 64
"""Lines that a target gets at a time."""
LAYOUT_VERSION = 1
"""ACCESSES_LAYOUT: of what is pinned."""


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
    ACCESS_MERGED = 2


class AccessOp(IntEnum):
    """What the control program does."""

    ACCESS_OPEN = 1
    ACCESS_DROP = 2
    ACCESS_RELEASE = 3
    ACCESS_WATCH = 4
    ACCESS_DECIDE = 5
    ACCESS_MARK = 6
    ACCESS_SETTLE = 7
    ACCESS_TIDY = 8
    ACCESS_RUNS = 9


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
    OUTCOME_WORKLOAD = 2


class AccessMark(IntEnum):
    """How far it is settled."""

    MARK_NONE = 0
    MARK_SETTLING = 1
    MARK_SETTLED = 2


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
        ("hash", ctypes.c_uint64 * 2),
        ("first_ns", ctypes.c_uint64),
        ("stamp", ctypes.c_uint64),
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


class Chunk(ctypes.Structure):
    """Whose a chunk of lines is."""

    _fields_ = (("slot", ctypes.c_uint32), ("generation", ctypes.c_uint32))


class Process(ctypes.Structure):
    """One whose phase was open, in one target."""

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("since_ns", ctypes.c_uint64),
        ("tgid", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("outcome", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
    )


class Owner(ctypes.Structure):
    """Of a slot, while its generation is the slot's."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("generation", "dropped", "used", "chunks")),
        *((name, ctypes.c_uint64) for name in ("position", "changes", "stamped")),
        *((name, ctypes.c_uint64) for name in ("refused", "executions_full", "undecided_full")),
        ("open", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class AccessCounters(ctypes.Structure):
    """Of the whole object."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("layout", "per_target", "slots", "used")),
        *((name, ctypes.c_uint32) for name in ("chunks", "outcomes", "entries_taken", "chunks_taken")),
        *((name, ctypes.c_uint64) for name in ("refused", "lines_full", "busy", "substituted")),
    )


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "access_what": What,
    "access": Entry,
    "access_line": Line,
    "access_chunk": Chunk,
    "access_process": Process,
    "access_owner": Owner,
    "access_counters": AccessCounters,
    **{name: layout.STRUCTS[name] for name in ("slot", "set", "joiner")},
}

ENUMS: dict[str, type[IntEnum]] = {
    "access_kind": AccessKind,
    "access_state": AccessState,
    "access_op": AccessOp,
    "access_peer": AccessPeer,
    "access_flag": AccessFlag,
    "access_text": AccessText,
    "access_outcome": AccessOutcome,
    "access_mark": AccessMark,
    **{name: layout.ENUMS[name] for name in ("slot_mode", "slot_state", "joiner_state")},
}
