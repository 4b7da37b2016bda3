"""One capture over several streams: silence, backoff, and what counts as lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from recorder.cli import capture_session
from recorder.cli.capture_session import CaptureSession
from recorder.model.errors import LimitReached, TimedOut, Unreachable
from recorder.rpc.v1 import agent_pb2 as pb
from tests.cli.fake_agent import keep_alive, observation, snapshot, started

WAIT = 30


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.updates = 0

    def update(self, record, selected) -> None:
        self.updates += 1

    def note(self, text: str) -> None:
        self.notes.append(text)


class Streams:
    """Connections whose streams are given: lists of responses, an error to raise, or "silence"."""

    def __init__(self, *streams: list) -> None:
        self.streams = list(streams)
        self.requests: list[pb.CaptureRequest] = []
        self.closed = 0

    async def capture(self, request: pb.CaptureRequest) -> AsyncIterator[pb.CaptureResponse]:
        self.requests.append(request)
        for each in self.streams.pop(0) if self.streams else [Unreachable("nobody")]:
            if isinstance(each, Exception):
                raise each
            if each == "silence":
                await asyncio.Event().wait()
            if isinstance(each, float):
                await asyncio.sleep(each)
            else:
                yield each

    async def close(self) -> None:
        self.closed += 1


REQUEST = pb.CaptureRequest(capture_id="id")


def run(streams: Streams, *, reconnect_for: float = 20, request=REQUEST, end_after: float | None = None):
    """The session after its run, its notes, and the failure."""

    async def work():
        notes = Notes()
        session = CaptureSession(lambda: streams, request, notes, reconnect_for=reconnect_for)
        if end_after is not None:
            asyncio.get_running_loop().call_later(end_after, session.end)
        failure = None
        async with asyncio.timeout(WAIT):
            try:
                await session.run()
            except Exception as error:  # noqa: BLE001 - each test looks at it
                failure = error
        return session, notes.notes, failure

    return asyncio.run(work())


@pytest.fixture
def impatient(monkeypatch):
    """Times short enough for a test."""
    monkeypatch.setattr(capture_session, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(capture_session, "END_SECONDS", 0.3)
    monkeypatch.setattr(capture_session, "SLACK_SECONDS", 0.1)
    monkeypatch.setattr(capture_session, "FIRST_BACKOFF", 0.01)


def test_a_silent_stream_is_a_lost_one(impatient):
    """It is closed, and the capture asked for again."""
    streams = Streams(
        [started(REQUEST), snapshot(observation([0])), "silence"],
        [started(REQUEST, resumed=True), snapshot(observation([0, 1], ended=True), final=True)],
    )
    session, notes, failure = run(streams)
    assert failure is None
    assert "says nothing any more" in notes[0]
    assert session.result() == session.record
    assert streams.closed == 2


def test_keep_alives_are_no_silence(impatient):
    """Nothing new for longer than silence may last, and the stream stays."""
    quiet = [each for _ in range(6) for each in (0.1, keep_alive())]
    streams = Streams(
        [started(REQUEST), snapshot(observation([0])), *quiet, snapshot(observation(ended=True), final=True)]
    )
    _, notes, failure = run(streams)
    assert (failure, notes, len(streams.requests)) == (None, [], 1)


def test_the_time_to_find_the_agent_is_bounded(impatient):
    """However often it is tried; it begins anew once the agent was there."""
    streams = Streams([started(REQUEST), snapshot(observation([0]))])
    session, notes, failure = run(streams, reconnect_for=0.3)
    assert isinstance(failure, Unreachable)
    assert len(notes) == 1
    assert 3 <= len(streams.requests) <= 40
    assert session.result().ledger.counts == {"agent_lost": 1}


def test_the_waits_between_attempts_grow(monkeypatch):
    """Jittered, from a fifth of a second to five."""
    waits: list[float] = []

    async def wait_for(waiting, seconds):
        waiting.close()
        waits.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    streams = Streams([started(REQUEST)], *([Unreachable("nobody")] for _ in range(9)), [LimitReached("no")])
    _, _, failure = run(streams, reconnect_for=1000)
    assert isinstance(failure, LimitReached)
    for wait, longest in zip(waits, [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5, 5], strict=True):
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize("error", [Unreachable("nobody"), TimedOut("late")])
def test_an_agent_that_never_was_there_is_not_waited_for(error):
    """The first stream did not begin: the error is the result."""
    streams = Streams([error])
    session, notes, failure = run(streams)
    assert (failure, notes, len(streams.requests)) == (error, [], 1)
    assert not session.record.observations


def test_a_refusal_after_a_reconnect_ends_it_with_what_was_seen():
    """An agent that restarted may have no room, or not know the container any more."""
    streams = Streams([started(REQUEST), snapshot(observation([0]))], [LimitReached("captures: 1 of 1")])
    session, _, failure = run(streams)
    assert isinstance(failure, LimitReached)
    assert session.result().ledger.counts == {"agent_lost": 1}


def test_an_agent_that_does_not_end_the_capture_is_not_waited_for(impatient):
    """After its time what it had said is the result, with a loss."""
    streams = Streams([started(REQUEST), snapshot(observation([0])), "silence"], ["silence"])
    session, _, failure = run(streams, end_after=0.1)
    assert (failure, session.final) == (None, False)
    assert session.result().ledger.counts == {"agent_lost": 1}


def test_a_duration_that_ends_while_the_agent_is_away_waits_for_it(impatient):
    """Nobody is at the keyboard, and the agent's last word is worth its time."""
    request = pb.CaptureRequest(capture_id="id")
    request.duration.FromMilliseconds(200)
    away = [[Unreachable("nobody")] for _ in range(8)]
    streams = Streams(
        [started(request), snapshot(observation([0]))],
        *away,
        [started(request, resumed=True), snapshot(observation([0, 1], ended=True), final=True)],
    )
    session, _, failure = run(streams, request=request)
    assert (failure, session.final) == (None, True)
    assert streams.requests[-1].duration.ToMilliseconds() == 1
    assert session.result().verdict.complete


def test_a_source_that_the_last_word_does_not_name_is_cut():
    """An agent that adopted nothing has new sources; the old ones' ends were never said."""
    streams = Streams(
        [started(REQUEST), snapshot(observation([0], cgroup=1), observation([1], cgroup=2, ended=True))],
        [started(REQUEST), snapshot(observation([2], cgroup=3, ended=True), final=True)],
    )
    session, notes, failure = run(streams)
    assert failure is None
    assert any("has forgotten the capture" in each for each in notes)
    assert {each.source.cgroup_id for each in session.result().observations} == {1, 2, 3}
    assert not session.result().verdict.complete
