"""Times of first sight: the earliest of each call, as many as there is room for, and room again later."""

from recorder.agent.budget import Budget, Use
from recorder.agent.settings import MemorySettings
from recorder.agent.sights import Sights
from recorder.kernel.bitmap import bit_of
from recorder.kernel.layout import EventKind
from recorder.kernel.ring import RingEvent
from recorder.model.abi import Abi
from recorder.model.record import FirstSight, Outcome, Phase, SightKey


def event(number, time_ns, comm=b"it"):
    bit = bit_of(Abi.X86_64, number)
    return RingEvent(time_ns, 1, 1, 1, EventKind.EVENT_FIRST_SIGHT, bit, Phase.WORKLOAD, comm)


def key(number):
    return SightKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED, number)


def refused(use):
    return next(each.refused for each in use.bounds() if each.name == "first_sights")


def test_the_earliest_stays_within_the_bound_of_all():
    """Two slots share it; one that is known is never refused, and what is forgotten makes room."""
    use = Use(Budget(MemorySettings(first_sights=3)))
    one, other = Sights(), Sights()
    for number, time_ns in ((1, 50), (2, 60), (1, 40), (1, 70)):
        one.see(event(number, time_ns), use)
    assert one == {key(1): FirstSight(40, b"it"), key(2): FirstSight(60, b"it")}
    other.see(event(1, 10), use)
    other.see(event(2, 10), use)
    assert (set(other), use.used("first_sights"), refused(use)) == ({key(1)}, 3, 1)
    other.see(event(1, 5), use)
    assert (other[key(1)].time_ns, refused(use)) == (5, 1)
    one.forget(use)
    assert (one, use.used("first_sights")) == ({}, 1)
    other.see(event(3, 10), use)
    assert (set(other), refused(use)) == ({key(1), key(3)}, 1)
