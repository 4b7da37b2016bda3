"""Times of first sight, as they come from a kernel side's ring, within the agent's bound for all of them."""

from __future__ import annotations

from recorder.agent.budget import Use
from recorder.kernel.bitmap import call_of
from recorder.kernel.layout import EventKind
from recorder.kernel.ring import OUTCOMES, RingEvent
from recorder.model.record import FirstSight, SightKey

__all__ = ["Sights"]


class Sights(dict[SightKey, FirstSight]):
    """Of one slot: the earliest of each call. `forget` gives the room back."""

    def see(self, event: RingEvent, use: Use) -> None:
        """Of an event of that kind. A new one for which there is no room is refused, and counted."""
        abi, number = call_of(event.bit)
        key = SightKey(abi, event.phase, OUTCOMES[EventKind(event.kind)], number)
        sight = FirstSight(event.time_ns, event.comm)
        known = self.get(key)
        if known is not None or use.take("first_sights"):
            self[key] = min(known or sight, sight)

    def forget(self, use: Use) -> None:
        """Nobody asks for them any more."""
        use.give("first_sights", len(self))
        self.clear()
