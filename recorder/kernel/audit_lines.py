"""The audit log by a program at its end (bpf/audit_log.bpf.c): lines with the task's own cgroups."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from recorder.kernel.arrays import SharedArray
from recorder.kernel.audit_text import audit_record
from recorder.kernel.denial_table import DenialTable
from recorder.kernel.info import program_info
from recorder.kernel.kprobes import attach_kprobe, kprobe_type
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.loaded import LoadedObject
from recorder.kernel.record_ring import RecordRing
from recorder.kernel.spec import object_path
from recorder.model.denial import Sighting

RING_BYTES = 1 << 18
FUNCTION = "audit_log_end"
_PROGRAM = "on_audit_log_end"


class AuditLine(ctypes.Structure):
    """struct audit_line (bpf/recorder_audit.h); the text follows it."""

    _fields_ = (
        ("time_ns", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("levels", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("cgroups", ctypes.c_uint64 * 24),
        ("comm", ctypes.c_char * 16),
    )


class AuditCounters(ctypes.Structure):
    """struct audit_counters."""

    _fields_ = (("seen", ctypes.c_uint64), ("ring_full", ctypes.c_uint64), ("unreadable", ctypes.c_uint64))


STRUCTS: dict[str, type[ctypes.Structure]] = {"audit_line": AuditLine, "audit_counters": AuditCounters}


@dataclass(frozen=True, slots=True)
class AuditLogSpec:
    """As ObjectSpec, for this object."""

    path: Path = field(default_factory=lambda: object_path("audit_log.bpf.o"))
    max_entries: Mapping[str, int] = field(default_factory=lambda: {"lines": RING_BYTES})
    constants: Mapping[str, int] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    structs: Mapping[str, type[ctypes.Structure]] = field(default_factory=lambda: STRUCTS, repr=False)
    enums: Mapping[str, type[IntEnum]] = field(default_factory=dict, repr=False)
    programs: tuple[str, ...] = (_PROGRAM,)


class AuditLines:
    """See AuditListener. Loads and attaches; raises what LoadedObject and attach_kprobe raise."""

    def __init__(self) -> None:
        self._libbpf = Libbpf()
        kind = kprobe_type()
        with contextlib.ExitStack() as undo:
            loaded = LoadedObject(self._libbpf, AuditLogSpec())
            undo.callback(loaded.close)
            maps = loaded.map_fds()
            self._program = loaded.program_fds()[_PROGRAM]
            self._counters = SharedArray(maps["counters"], AuditCounters, 1)
            undo.callback(self._counters.close)
            self._ring = RecordRing(maps["lines"], RING_BYTES)
            undo.callback(self._ring.close)
            link = attach_kprobe(self._libbpf, self._program, kind, FUNCTION)
            undo.callback(os.close, link)
            self._undo = undo.pop_all()

    def fileno(self) -> int:
        """As AuditListener.fileno."""
        return self._ring.fileno()

    def take(self, table: DenialTable) -> None:
        """As AuditListener.take."""
        for line in self._ring.read():
            head = AuditLine.from_buffer_copy(line)
            start = ctypes.sizeof(head)
            record = audit_record(line[start : start + head.length])
            if record is not None and head.levels:
                sighting = Sighting(head.time_ns, head.pid, head.comm)
                chain = list(head.cgroups)[: head.levels]
                table.enter(chain, record.verdict, record.details, sighting, behind=record.behind)

    def look(self, table: DenialTable) -> None:
        """As AuditListener.look: the lines say all."""

    def lost(self) -> Mapping[str, int]:
        """As AuditListener.lost."""
        counters = self._counters[0]
        return {
            "overruns": counters.ring_full,
            "unreadable": counters.unreadable,
            "missed": program_info(self._libbpf, self._program).missed,
        }

    def close(self) -> None:
        """As AuditListener.close."""
        self._undo.close()
