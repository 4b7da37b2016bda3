"""One recording on this machine: a target of a backend in, a record out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recorder.agent.denied import Denied
from recorder.agent.observation import node_name, observe
from recorder.kernel.backend import SlotBackend, Target
from recorder.kernel.bitmap import call_of
from recorder.kernel.layout import EventKind
from recorder.kernel.ring import OUTCOMES
from recorder.model.kind import Kind
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Record,
    SightKey,
)

if TYPE_CHECKING:
    from recorder.agent.denials import Denials


@dataclass(slots=True)
class Recording:
    """A target that is being recorded.

    what: for people; identity, phases: for the record; late: tasks were there already, and
    what they did before is missing; denials: of AppArmor and SELinux, of the target's cgroup.
    """

    backend: SlotBackend
    target: Target
    what: str
    identity: Identity
    phases: str
    late: bool
    denials: Denials | None = None
    ended: bool = field(init=False, default=False)
    _sights: dict[SightKey, FirstSight] = field(init=False, default_factory=dict)

    def poll(self) -> None:
        """Takes the events that are there, and sees whether the target has ended."""
        for event in self.backend.events():
            if (event.slot, event.generation) != (self.target.slot, self.target.generation):
                continue
            if event.kind in OUTCOMES:
                abi, number = call_of(event.bit)
                key = SightKey(abi, event.phase, OUTCOMES[EventKind(event.kind)], number)
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
        ledger = self.backend.ledger()
        self.backend.release(self.target)
        denied = self._denied() if Kind.DENIALS in reading.kinds else None
        observation = observe(
            reading,
            node=node_name(),
            loader=self.backend.loader,
            phases=self.phases,
            identity=self.identity,
            ledger=ledger + Ledger({"attached_late": int(self.late)}),
            sights=self._sights,
            ended=True,
            denied=denied,
        )
        return Record((observation,))

    def _denied(self) -> Denied:
        """All that was denied; nobody looks any more."""
        if self.denials is None:
            return Denied()
        self.denials.drop([self.target.cgroup_id])
        denied = self.denials.of(self.target.cgroup_id)
        self.denials.close()
        return denied
