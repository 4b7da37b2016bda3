"""One recording on this machine: a cgroup in, a record out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recorder import __version__
from recorder.containers.cgroup import Cgroup
from recorder.containers.in_flight import calls_in_flight
from recorder.kernel.backend import Backend, Target
from recorder.kernel.bitmap import call_of
from recorder.kernel.layout import EventKind, SlotMode
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Outcome,
    Phase,
    Provenance,
    Record,
    SightKey,
    Source,
)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PHASES = {"exec": SlotMode.MODE_EXEC, "container": SlotMode.MODE_CONTAINER}


def node_name() -> str:
    """The kernel's name of the machine."""
    return os.uname().nodename


@dataclass(slots=True)
class Recording:
    """A cgroup that is being recorded, its children included.

    Tasks that are in it already make the recording late: their calls in flight are taken
    along, what they did before is lost and in the ledger.
    """

    backend: Backend
    cgroup: Cgroup
    phases: str
    name: str
    target: Target = field(init=False)
    ended: bool = field(init=False, default=False)
    _late: bool = field(init=False, default=False)
    _sights: dict[SightKey, FirstSight] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        identity = self.cgroup.id
        before = self.cgroup.pids()
        self.target = self.backend.add(
            identity,
            PHASES[self.phases],
            late=bool(before),
            mount_namespace=_mount_namespace(before),
        )
        self._adopt_descendants()
        # Who came in between is late as well: it is not known which of its calls were seen.
        present = self.cgroup.pids()
        self._late = bool(before or present)
        if self._late:
            in_flight = calls_in_flight(present).items()
            workload = {CallKey(abi, Phase.WORKLOAD, Outcome.ALLOWED): numbers for abi, numbers in in_flight}
            self.backend.see(self.target, workload)

    def _adopt_descendants(self) -> None:
        """Those that were there before; what is made below a followed one is followed by the kernel side.

        Until nothing new is found: a child made below an old one that was not followed yet
        is nobody's.
        """
        known: set[int] = set()
        while new := self.cgroup.ids_below() - known:
            self.backend.adopt(self.target, sorted(new))
            known |= new

    def poll(self) -> None:
        """Takes the events that are there, and sees whether the cgroup is gone."""
        for event in self.backend.events():
            if (event.slot, event.generation) != (self.target.slot, self.target.generation):
                continue
            if event.kind == EventKind.EVENT_FIRST_SIGHT:
                abi, number = call_of(event.bit)
                key = SightKey(abi, event.phase, Outcome.ALLOWED, number)
                sight = FirstSight(event.time_ns, event.comm)
                self._sights[key] = min(self._sights.get(key, sight), sight)
        # An event may be lost; the slot's state is not.
        self.ended = self.backend.read(self.target).ended

    def calls(self) -> Mapping[CallKey, Numbers]:
        """What was seen so far."""
        return self.backend.read(self.target).calls

    def first_sights(self) -> Mapping[SightKey, FirstSight]:
        """The first sights that were polled so far."""
        return self._sights

    def finish(self) -> Record:
        """Ends the recording, gives the slot back, and returns what was seen and lost."""
        self.poll()
        if not self.ended:
            self.backend.drop(self.target)
        reading = self.backend.read(self.target, final=True)
        self.poll()
        ledger = reading.ledger + self.backend.ledger()
        self.backend.release(self.target)
        calls = reading.calls
        counts = {"attached_late": int(self._late), "unnamed_number": _unnamed(calls)}
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        times = [sight.time_ns for sight in self._sights.values()]
        observation = Observation(
            source=Source(node_name(), BOOT_ID.read_text().strip(), self.target.cgroup_id, reading.epoch),
            identity=Identity(self.name, self.cgroup.name),
            calls=calls,
            first_sights=self._sights,
            ledger=ledger + Ledger(counts),
            provenance=Provenance(
                recorder_version=__version__,
                kernel_release=os.uname().release,
                machine=os.uname().machine,
                loader=self.backend.loader,
                phases=self.phases,
            ),
            first_seen_ns=min(times, default=reading.epoch),
            last_seen_ns=reading.ended_ns or now,
            wall_offset_ns=time.time_ns() - now,
            ended=True,
        )
        return Record((observation,))


def _unnamed(calls: Mapping[CallKey, Numbers]) -> int:
    """Numbers of the workload that no table names: a profile cannot allow them."""
    # The tables are large, and not needed before the BPF object was loaded, when memory is at its peak.
    from recorder.model.syscall import syscall_name

    return sum(
        syscall_name(key.abi, number) is None
        for key, numbers in calls.items()
        if key.phase == Phase.WORKLOAD
        for number in numbers
    )


def _mount_namespace(pids: list[int]) -> int:
    """The mount namespace of the first process that still has one; 0 if none."""
    for pid in pids:
        try:
            return Path(f"/proc/{pid}/ns/mnt").stat().st_ino
        except OSError:
            continue
    return 0
