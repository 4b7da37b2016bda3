"""Denials told apart in this process: bounded, by the cgroup that is watched. Safe between threads."""

from __future__ import annotations

import dataclasses
import os
import select
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from recorder.kernel.denial_source import DenialCgroup, DenialLosses, DenialReading, Scope
from recorder.kernel.denials_spec import DenialBounds
from recorder.model.denial import AppArmorDenial, Denial, Lack, SelinuxDenial, Sighting, Verdict
from recorder.model.errors import BpfLimit

_Key = tuple[Verdict, AppArmorDenial | SelinuxDenial | None, bytes]


@dataclass(slots=True)
class _Watched:
    """One cgroup's."""

    scope: Scope
    epoch: int
    dropped: bool = False
    removed: bool = False
    changed: bool = False
    table_full: int = 0
    entries: dict[_Key, Denial] = field(default_factory=dict)


class DenialTable:
    """What DenialSource says of cgroups, for denials that are entered one by one."""

    def __init__(self, bounds: DenialBounds) -> None:
        self._bounds = bounds
        self._lock = threading.RLock()
        self._cgroups: dict[int, _Watched] = {}
        self._losses = DenialLosses()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._event, select.POLLIN)

    def enter(
        self,
        chain: Sequence[int],
        verdict: Verdict,
        details: AppArmorDenial | SelinuxDenial,
        sighting: Sighting,
        *,
        lacks: frozenset[Lack] = frozenset(),
        behind: bytes = b"",
    ) -> None:
        """chain: the ids of the cgroups that the task is in, from the root on; behind: as in AuditRecord."""
        with self._lock:
            found = self._owner(chain)
            if found is None:
                return
            cgroup_id, watched = found
            key: _Key = (verdict, details, behind)
            if key not in watched.entries and len(watched.entries) >= self._bounds.per_cgroup:
                key, lacks = (Verdict.REST, None, b""), frozenset()
            known = watched.entries.get(key)
            if known is not None:
                watched.entries[key] = dataclasses.replace(
                    known, count=known.count + 1, last=sighting, lacks=known.lacks | lacks
                )
            elif sum(len(each.entries) for each in self._cgroups.values()) >= self._bounds.denials:
                watched.table_full += 1
                return
            else:
                watched.entries[key] = Denial(
                    cgroup_id, key[0], key[1], count=1, first=sighting, last=sighting, lacks=lacks
                )
                self._wake()
            watched.changed = True

    def _owner(self, chain: Sequence[int]) -> tuple[int, _Watched] | None:
        watched = [
            (cgroup_id, self._cgroups[cgroup_id])
            for cgroup_id in chain
            if cgroup_id in self._cgroups
            and self._cgroups[cgroup_id].scope is not Scope.OWN
            and not self._cgroups[cgroup_id].dropped
        ]
        if not watched:
            self.count(elsewhere=1)
            return None
        own = chain[-1]
        if watched[-1][1].scope is Scope.WHOLE or watched[-1][0] == own:
            return watched[-1]
        if own not in self._cgroups:
            if len(self._cgroups) >= self._bounds.cgroups:
                self.count(cgroups_full=1)
                return None
            self._cgroups[own] = _Watched(Scope.OWN, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        if self._cgroups[own].dropped:
            self.count(between=1)
            return None
        return own, self._cgroups[own]

    def count(self, **numbers: int) -> None:
        """Adds to the losses of all cgroups, by the names of their fields."""
        with self._lock:
            new = {name: getattr(self._losses, name) + number for name, number in numbers.items()}
            self._losses = dataclasses.replace(self._losses, **new)

    def removed(self, cgroup_id: int) -> None:
        """It is known to be gone."""
        with self._lock:
            self._cgroups[cgroup_id].removed = True
            self._wake()

    def _wake(self) -> None:
        os.eventfd_write(self._event, 1)

    def watch(self, cgroup_id: int, scope: Scope) -> None:
        """As DenialSource.watch."""
        with self._lock:
            known = self._cgroups.get(cgroup_id)
            if known is None and len(self._cgroups) < self._bounds.cgroups:
                self._cgroups[cgroup_id] = _Watched(scope, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            elif known is not None and not known.dropped:
                known.scope = scope
            else:
                raise BpfLimit(
                    f"denials of cgroup {cgroup_id} cannot be watched: all {self._bounds.cgroups} places are "
                    "taken, or what was dropped of it is not released yet"
                )

    def _cgroup(self, cgroup_id: int, watched: _Watched) -> DenialCgroup:
        return DenialCgroup(cgroup_id, watched.epoch, watched.scope, watched.dropped, watched.removed)

    def cgroups(self) -> Sequence[DenialCgroup]:
        """As DenialSource.cgroups."""
        with self._lock:
            return [self._cgroup(number, watched) for number, watched in self._cgroups.items()]

    def changed(self) -> frozenset[int]:
        """As DenialSource.changed."""
        with self._lock:
            if self._poll.poll(0):
                os.eventfd_read(self._event)
            found = {number for number, each in self._cgroups.items() if each.changed or each.removed}
            for number in found:
                self._cgroups[number].changed = False
            return frozenset(found)

    def read(self, cgroup_id: int) -> DenialReading | None:
        """As DenialSource.read."""
        with self._lock:
            watched = self._cgroups.get(cgroup_id)
            if watched is None:
                return None
            losses = DenialLosses(table_full=watched.table_full)
            return DenialReading(self._cgroup(cgroup_id, watched), tuple(watched.entries.values()), losses)

    def drop(self, *cgroup_ids: int) -> None:
        """As DenialSource.drop."""
        with self._lock:
            for cgroup_id in cgroup_ids:
                if cgroup_id in self._cgroups:
                    self._cgroups[cgroup_id].dropped = True

    def release(self, cgroup_id: int) -> None:
        """As DenialSource.release."""
        with self._lock:
            watched = self._cgroups.get(cgroup_id)
            if watched is not None and watched.dropped:
                self.count(table_full=watched.table_full)
                del self._cgroups[cgroup_id]

    def losses(self) -> DenialLosses:
        """As DenialSource.losses."""
        with self._lock:
            full = sum(each.table_full for each in self._cgroups.values())
            return dataclasses.replace(self._losses, table_full=self._losses.table_full + full)

    def wait(self, seconds: float) -> bool:
        """As DenialSource.wait."""
        return bool(self._poll.poll(seconds * 1000))

    def fileno(self) -> int:
        """As DenialSource.fileno."""
        return self._event

    def close(self) -> None:
        """Once."""
        os.close(self._event)
