"""Denials that come as lines of the audit log, one by one, by whatever way: see AuditListener."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from recorder.kernel.denial_source import (
    DenialCgroup,
    DenialLosses,
    DenialReading,
    Flush,
    Scope,
    nothing_to_flush,
)
from recorder.kernel.denial_table import DenialTable
from recorder.kernel.denials_spec import DenialBounds
from recorder.kernel.hierarchy import path_of
from recorder.model.errors import BpfLoadError, CgroupNotFound

LOOK_SECONDS = 0.25


class AuditListener(Protocol):
    """Hears of denials from its making until close."""

    def fileno(self) -> int:
        """Readable when there is something to take."""

    def take(self, table: DenialTable) -> None:
        """Enters what there is; what is lost meanwhile is counted in the table or by `lost`."""

    def look(self, table: DenialTable) -> None:
        """Now and then, every LOOK_SECONDS at least: at what may be needed later."""

    def lost(self) -> Mapping[str, int]:
        """Since its making, by the names of the fields of DenialLosses."""

    def close(self) -> None:
        """Once."""


class AuditDenials:
    """See DenialSource. What is heard is taken on a thread, from attach to detach."""

    def __init__(
        self,
        name: str,
        bounds: DenialBounds,
        listen: Callable[[], AuditListener],
        flush: Flush = nothing_to_flush,
    ) -> None:
        self._flush = flush
        self._name = name
        self._listen = listen
        self._table = DenialTable(bounds)
        self._lock = threading.Lock()
        self._listener: AuditListener | None = None
        self._thread: threading.Thread | None = None
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._closed = False

    @property
    def name(self) -> str:
        """As DenialSource.name."""
        return self._name

    @property
    def attached(self) -> bool:
        """As DenialSource.attached."""
        return self._listener is not None

    def attach(self) -> None:
        """As DenialSource.attach; raises what the listener raises."""
        with self._lock:
            if self._listener is None:
                self._listener = self._listen()
                self._thread = threading.Thread(
                    target=self._run, args=(self._listener,), name="denials", daemon=True
                )
                self._thread.start()

    def _run(self, listener: AuditListener) -> None:
        poll = select.poll()
        poll.register(listener.fileno(), select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        looked = 0.0
        while True:
            if time.monotonic() - looked >= LOOK_SECONDS:
                listener.look(self._table)
                looked = time.monotonic()
            ready = {fd for fd, _ in poll.poll(LOOK_SECONDS * 1000)}
            if listener.fileno() in ready:
                listener.take(self._table)
            elif ready:
                return

    def detach(self) -> None:
        """As DenialSource.detach: what was said until this moment is still taken."""
        with self._lock:
            if self._listener is None or self._thread is None:
                return
            os.eventfd_write(self._stop, 1)
            self._thread.join()
            os.eventfd_read(self._stop)
            self._table.count(**self._listener.lost())
            self._listener.close()
            self._listener = self._thread = None

    def watch(self, cgroup_id: int, scope: Scope = Scope.WHOLE) -> None:
        """As DenialSource.watch."""
        self._table.watch(cgroup_id, scope)
        self._table.count(unflushed=int(not self._flush()))

    def _mark_removed(self) -> None:
        for each in self._table.cgroups():
            if not each.removed:
                try:
                    path_of(each.cgroup_id)
                except CgroupNotFound:
                    self._table.removed(each.cgroup_id)

    def cgroups(self) -> Sequence[DenialCgroup]:
        """As DenialSource.cgroups."""
        self._mark_removed()
        return self._table.cgroups()

    def changed(self) -> frozenset[int]:
        """As DenialSource.changed."""
        self._mark_removed()
        return self._table.changed()

    def read(self, cgroup_id: int) -> DenialReading | None:
        """As DenialSource.read."""
        return self._table.read(cgroup_id)

    def drop(self, *cgroup_ids: int) -> None:
        """As DenialSource.drop. A line of a moment ago may come later: it is counted (between)."""
        self._table.drop(*cgroup_ids)
        if cgroup_ids:
            self._table.count(unflushed=int(not self._flush()))

    def release(self, cgroup_id: int) -> None:
        """As DenialSource.release."""
        self._table.release(cgroup_id)

    def losses(self) -> DenialLosses:
        """As DenialSource.losses."""
        with self._lock:
            now = self._listener.lost() if self._listener else {}
        past = self._table.losses()
        return dataclasses.replace(
            past, **{name: getattr(past, name) + number for name, number in now.items()}
        )

    def wait(self, seconds: float) -> bool:
        """As DenialSource.wait."""
        return self._table.wait(seconds)

    def fileno(self) -> int:
        """As DenialSource.fileno."""
        return self._table.fileno()

    def pin(self, folder: Path) -> None:
        """As DenialSource.pin: it cannot be."""
        raise BpfLoadError(
            f"denials by {self._name} cannot be pinned at {folder}: what this process does not take is lost"
        )

    def close(self) -> None:
        """As DenialSource.close."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self.detach()
        self._table.close()
        os.close(self._stop)
