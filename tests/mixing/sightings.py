"""What the ring said of each target: its begin, its end, each first sight."""

import time
from collections import Counter
from dataclasses import dataclass, field

from recorder.kernel.backend import Backend, Target
from recorder.kernel.bitmap import call_of
from recorder.kernel.layout import EventKind
from recorder.model.record import Phase
from tests.truth.calls import Call


@dataclass(slots=True)
class Sightings:
    """By cgroup id; `calls` are first sights in the workload, counted."""

    backend: Backend
    begun: dict[int, Target] = field(default_factory=dict)
    ended: dict[int, Target] = field(default_factory=dict)
    calls: dict[Target, Counter[Call]] = field(default_factory=dict)

    def look(self) -> None:
        """Takes the events that are there. A cgroup begins once and ends once."""
        for event in self.backend.events():
            target = Target(event.slot, event.generation, event.cgroup_id)
            if event.kind == EventKind.EVENT_BEGIN:
                assert target.cgroup_id not in self.begun
                self.begun[target.cgroup_id] = target
            elif event.kind == EventKind.EVENT_END:
                assert target.cgroup_id not in self.ended
                self.ended[target.cgroup_id] = target
            elif event.phase == Phase.WORKLOAD:
                abi, number = call_of(event.bit)
                self.calls.setdefault(target, Counter())[Call(abi, number)] += 1

    def end_of(self, cgroup_id: int, seconds: float = 10) -> Target:
        """Waits for the end of a cgroup's recording."""
        deadline = time.monotonic() + seconds
        self.look()
        while cgroup_id not in self.ended:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end of cgroup {cgroup_id} was reported in {seconds} s")
            self.backend.wait(0.1)
            self.look()
        return self.ended[cgroup_id]
