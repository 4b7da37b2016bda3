"""The audit multicast: for kernels that let no program see denials.

Whose a record is, is told by the number of its process, looked up in /proc when the record comes: a process
that has ended meanwhile leaves a denial that is nobody's (unattributed). Every such denial says so.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path

from recorder.kernel.audit_message import AuditMessage, lost_records, open_multicast
from recorder.kernel.audit_text import AUDIT_AVC, AuditRecord, audit_record
from recorder.kernel.denial_table import DenialTable
from recorder.kernel.hierarchy import root_mount
from recorder.model.denial import Lack, Sighting
from recorder.model.errors import UnsupportedKernel

BUFFER_BYTES = 4 << 20
"""Of the socket: taken when records come faster than they are read, and not before."""
_LARGEST = 65536
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
# Audit's clock is the coarse one of the last tick, at least 100 a second (CONFIG_HZ)
_CLOCK_NS = 10**7
_FOUND = frozenset({Lack.FOUND_BY_PID})


class AuditMulticast:
    """See AuditListener. Raises UnsupportedKernel, NotPermitted or NoCgroup2."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._root = root_mount()
        own, first = (os.stat(proc / name / "ns/net").st_ino for name in ("self", "1"))
        if own != first:
            raise UnsupportedKernel(
                "the kernel's audit is heard in the initial network namespace alone, and this is another: "
                "run it in the host's (hostNetwork)"
            )
        self._lost_before = lost_records()
        self._overruns = 0
        self._unattributed = 0
        self._socket = open_multicast(BUFFER_BYTES)

    def fileno(self) -> int:
        """As AuditListener.fileno."""
        return self._socket.fileno()

    def take(self, table: DenialTable) -> None:
        """As AuditListener.take: one datagram."""
        try:
            datagram = self._socket.recv(_LARGEST)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._overruns += 1
            return
        message = AuditMessage.of(datagram)
        record = audit_record(message.text) if message.kind == AUDIT_AVC else None
        if record is None:
            return
        # The wall clock may be set in between: then the time is wrong by as much.
        at = record.wall_ns + time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()
        chain = self._chain(record, at)
        if not chain:
            self._unattributed += 1
            return
        sighting = Sighting(at, record.pid, record.comm[:15])
        table.enter(chain, record.verdict, record.details, sighting, _FOUND)

    def _chain(self, record: AuditRecord, at: int) -> list[int]:
        """The ids of the task's cgroups, from the root on; empty: it is gone, or its number is another's."""
        place = self._proc / str(record.pid)
        try:
            # The 22nd field: when it began, in ticks after the boot (proc(5)).
            began = int((place / "stat").read_bytes().rpartition(b") ")[2].split()[19]) * _TICK_NS
            lines = (place / "cgroup").read_bytes().splitlines()
            path = next(line[3:] for line in lines if line.startswith(b"0::"))
            folder = Path(os.path.normpath(os.fsdecode(os.fsencode(self._root) + path)))
            folders = [folder, *folder.parents]
            ids = [each.stat().st_ino for each in folders[: folders.index(self._root) + 1]]
        except (OSError, ValueError, IndexError, StopIteration):
            return []
        return ids[::-1] if began <= at + _CLOCK_NS else []

    def lost(self) -> Mapping[str, int]:
        """As AuditListener.lost."""
        return {
            "audit_lost": lost_records() - self._lost_before,
            "overruns": self._overruns,
            "unattributed": self._unattributed,
        }

    def close(self) -> None:
        """As AuditListener.close."""
        self._socket.close()
