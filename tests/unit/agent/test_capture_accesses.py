"""Accesses in a capture's stream: each once, in parts; the whole of them when all messages are joined."""

import asyncio
import types

import pytest

from recorder.agent.access_log import AccessLog
from recorder.agent.budget import Budget, Use
from recorder.agent.capture import Capture
from recorder.agent.capture_snapshots import CaptureSnapshots
from recorder.agent.capture_stream import CaptureStreams
from recorder.agent.captures import Captures
from recorder.agent.figures import Distributions
from recorder.agent.kept_accesses import KeptAccesses
from recorder.agent.observation import boot_id
from recorder.agent.selection import CgroupSelection
from recorder.agent.settings import MemorySettings
from recorder.agent.tracked import Subject, Tracked
from recorder.kernel.backend import Reading, Target
from recorder.model.access import FileRight
from recorder.model.accesses import Accesses
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation, Record, Source
from recorder.model.wire import from_message
from recorder.rpc.v1 import agent_pb2 as pb
from tests.unit.agent.told_accesses import file

SOURCE, GONE = Source("node", boot_id(), 7, 1), Source("node", boot_id(), 8, 1)
LONG = dict(file(b"/%04d/" % number + b"x" * 1000) for number in range(300))
PART = 64 << 10
IDENTITY = Subject("/app").identity()


class Core:
    """A tracker with a slot; the last reading has one access that its log has not."""

    node = "node"

    def __init__(self) -> None:
        target = Target(1, 1, 7)
        self.tracked = Tracked(target, Subject("/app"), "exec", access_log=AccessLog())
        self.tracked.reading = Reading(target, 1, 0, False, True, False, {}, Ledger())
        self.all = dict([file(b"/last")])
        self.lost: dict[str, int] = {}

    def use(self, entries) -> None:
        self.all |= entries
        self.tracked.access_log.take(entries)

    def of(self, asker):
        return iter([self.tracked])

    def observation(self, tracked):
        return Observation(SOURCE, IDENTITY, ledger=Ledger(self.lost))

    async def last_observation(self, tracked):
        ledger = Ledger(self.lost)
        return Observation(SOURCE, IDENTITY, ended=True, accesses=Accesses(self.all), ledger=ledger)

    def leave(self, asker):
        pass


@pytest.fixture
def core():
    return Core()


@pytest.fixture
def use():
    return Use(Budget(MemorySettings()))


@pytest.fixture
def nobody():
    """No process is followed."""
    return types.SimpleNamespace(of=lambda capture: iter(()), observation=None)


@pytest.fixture
def snapshots(core, nobody):
    return CaptureSnapshots(core, nobody)


@pytest.fixture
def captures(core, nobody, use):
    index = types.SimpleNamespace(subscribe=lambda told: None, containers=dict)
    return Captures(core, nobody, index, None, use=use, save=None, most=1)


def capture(most: int = 1000, kinds=(pb.KIND_ACCESSES,)) -> Capture:
    request = pb.CaptureRequest(kinds=kinds)
    return Capture(request, CgroupSelection("/app"), 0, "", "", kept=KeptAccesses(most))


def paths(snapshots) -> list[bytes]:
    """All that they say, in their order."""
    return [
        each.file.path
        for snapshot in snapshots
        for observation in snapshot.record.observations
        for each in observation.accesses
    ]


def joined(snapshots) -> Record:
    """As a client has it."""
    record = Record()
    for each in snapshots:
        record = record.join(from_message(each.record))
    return record


def test_a_stream_is_told_of_news_alone(snapshots, core):
    """What another stream was told does not matter; parts are bounded, and say whose they are."""
    it = capture()
    told, other = {}, {}
    core.use(LONG)
    found = list(snapshots.accesses(it, told, PART))
    assert len(found) == 5
    assert all(each.ByteSize() < PART + (1 << 10) for each in found)
    assert {each.record.observations[0].identity.name for each in found} == {"/app"}
    assert sorted(paths(found)) == sorted(key.subject.path for key in LONG)
    core.use(dict([file(b"/new"), file(b"/0000/" + b"x" * 1000, FileRight.WRITE)]))
    assert sorted(paths(snapshots.accesses(it, told, PART))) == [b"/0000/" + b"x" * 1000, b"/new"]
    assert paths(snapshots.accesses(it, told, PART)) == []
    assert len(paths(snapshots.accesses(it, other, PART))) == 301


def test_the_whole_stream_joined_is_the_record(snapshots, core):
    """With what has ended before and what is only known at the end; the last message says that it is."""
    it = capture()
    it.keep(Observation(GONE, Identity("gone"), ended=True, accesses=Accesses(LONG)))
    core.use(LONG)

    async def run():
        told = {}
        first = list(snapshots.accesses(it, told, PART))
        return first, [each async for each in snapshots.finish(it, told, PART)]

    first, last = asyncio.run(run())
    assert [each.final for each in last] == [False] * (len(last) - 1) + [True]
    assert paths(last[-1:]) == []
    ended = {each.source: each for each in joined([*first, *last]).observations}
    assert ended[SOURCE] == Observation(SOURCE, IDENTITY, ended=True, accesses=Accesses(core.all))
    assert ended[GONE] == Observation(GONE, Identity("gone"), ended=True, accesses=Accesses(LONG))


def test_who_did_not_ask_has_none(core, snapshots):
    """Nor what was lost of them: that is no loss of its own."""
    it = capture(kinds=[pb.KIND_SYSCALLS])
    core.use(LONG)
    core.lost = {"accesses_late": 1, "ring_full": 1}
    it.keep(Observation(GONE, IDENTITY, ended=True, accesses=Accesses(LONG), ledger=Ledger(core.lost)))

    async def run():
        return [each async for each in snapshots.finish(it, {}, PART)]

    found = [*snapshots.accesses(it, {}, PART), snapshots.snapshot(it), *asyncio.run(run())]
    assert paths(found) == []
    assert [dict(each.ledger.counts) for each in joined(found).observations] == [{"ring_full": 1}] * 2


def test_what_finds_no_room_is_said():
    """Of a container that ended with more than is kept of all: its record is lossy, not silently empty."""
    it = capture(most=100)
    it.keep(Observation(GONE, Identity("gone"), ended=True, accesses=Accesses(LONG)))
    (gone,) = it.record((), "node").observations
    assert gone.ledger.losses() == {"accesses_full": 300}


def test_a_served_stream_has_parts_before_each_snapshot(captures, snapshots, core, use):
    """Within the bound of a message, also a small one."""
    it = capture()
    core.use(LONG)

    async def run():
        streams = CaptureStreams(captures, snapshots, use, 50, 64 << 10, Distributions())
        it.streams = 1
        found = []
        async for response in streams.serve(it, 1, 0):
            found.append(response.snapshot)
            if response.snapshot.selected:
                it.deadline_ns = 1  # over
                it.changed.set()
        return found

    found = asyncio.run(run())
    assert all(each.ByteSize() <= 64 << 10 for each in found)
    assert [each.final for each in found] == [False] * (len(found) - 1) + [True]
    (one,) = joined(found).observations
    assert dict(one.accesses.entries) == dict(Accesses(core.all).entries)
    assert use.used("queues") == 0
