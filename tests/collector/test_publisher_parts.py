"""Schedules, waits and events by themselves: figures worked out by hand."""

import asyncio

import pytest

from recorder.collector.results.node_absence import NodeAbsence
from recorder.collector.results.recording_events import RecordingEvents
from recorder.collector.results.write_schedule import Backoff, WriteSchedule
from recorder.model.errors import PlatformUnreachable
from recorder.model.recording import RecordingName
from tests.collector.platform import FakePlatform

NAME = RecordingName("ns", "r", "uid")


def test_a_first_change_waits_for_what_comes_with_it():
    """Later changes do not put it off."""
    schedule = WriteSchedule(2, 60)
    schedule.changed(100)
    schedule.changed(101.5)
    assert schedule.due == 102


def test_distances_double_with_writes_alone():
    """A look that found the same content does not lengthen them."""
    schedule, distances, now = WriteSchedule(2, 60), [], 100.0
    for wrote in (True, False, True, True):
        schedule.looked(now, wrote=wrote)
        schedule.changed(now)
        distances.append(schedule.due - now)
        now = schedule.due
    assert distances == [4, 4, 8, 16]


def test_what_is_dear_to_make_is_made_less_often():
    """At most a twentieth of the time: a second of work, twenty seconds of distance."""
    schedule = WriteSchedule(2, 60)
    schedule.looked(100, wrote=True, cost=1)
    schedule.changed(100)
    assert schedule.due == 120


def test_what_does_not_wait_is_due_at_once():
    """And a failure puts it off."""
    schedule = WriteSchedule(2, 60)
    schedule.changed(100)
    schedule.at_once(101)
    assert schedule.due == 101
    schedule.postpone(161)
    assert schedule.due == 161


def test_waits_after_failures_double_to_sixty_seconds():
    """And begin anew after a success."""
    backoff = Backoff()
    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.succeeded()
    assert backoff.failed() == 1


def test_an_absence_counts_from_when_it_was_first_seen():
    """A node that came back in between begins anew; one that nobody asks for is forgotten."""
    here = {"a"}
    absence = NodeAbsence(lambda: here)
    assert absence.away(["a", "b"], 10) == {"b": 10}
    assert absence.away(["a", "b"], 20) == {"b": 10}
    here.add("b")
    assert absence.away(["b"], 30) == {}
    here.remove("b")
    assert absence.away(["b"], 40) == {"b": 40}
    absence.keep(frozenset())
    assert absence.away(["b"], 50) == {"b": 50}


def test_an_event_waits_while_the_platform_is_away_and_is_told_once():
    """In their order; the same one is not told again."""

    async def run():
        platform = FakePlatform()
        events = RecordingEvents(platform)
        platform.unreachable = True
        for _ in range(2):
            events.tell(NAME, "Started", "it is recorded")
        events.tell(NAME, "Loss", "something is missing", warning=True, once="a")
        with pytest.raises(PlatformUnreachable):
            await events.flush()
        assert events.waiting == 2
        platform.unreachable = False
        await events.flush()
        events.tell(NAME, "Loss", "something is missing", warning=True, once="a")
        await events.flush()
        assert [event.reason for _, event in platform.events] == ["Started", "Loss"]
        assert [event.warning for _, event in platform.events] == [False, True]

    asyncio.run(run())


def test_events_that_wait_are_bounded_and_the_dropped_ones_counted():
    """The oldest go."""
    events = RecordingEvents(FakePlatform())
    for index in range(1200):
        events.tell(NAME, "Loss", "x" * 5000, once=str(index))
    assert events.waiting == 1000
    assert events.dropped == 200
