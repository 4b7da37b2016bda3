"""States on their way to the collector: accesses in parts, news alone while it runs, all of it at the end."""

import asyncio
import types

import pytest

from recorder.agent.access_log import AccessLog
from recorder.agent.access_parts import PART_BYTES
from recorder.agent.observation import boot_id
from recorder.agent.plan import Plan, PlannedRecording
from recorder.agent.reports import Reports
from recorder.agent.spool import Entry, Spool
from recorder.agent.tracked import Subject, Tracked
from recorder.containers.container import Container, Manager
from recorder.kernel.backend import Reading, Target
from recorder.model.access import FileRight
from recorder.model.accesses import Accesses
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation, Source
from recorder.model.selector import LabelSelector
from recorder.model.wire import from_observation
from tests.unit.agent.told_accesses import file

SOURCE = Source("node", boot_id(), 7, 1)
LONG = [file(b"/%04d/" % number + b"x" * 1000) for number in range(300)]
"""More than three parts."""


LOOP = asyncio.new_event_loop()


@pytest.fixture(scope="module", autouse=True)
def loop():
    """All of a test in one."""
    yield
    LOOP.close()


class Core:
    """A tracker with one slot."""

    def __init__(self, tracked: Tracked) -> None:
        self.tracked = tracked

    def observation(self, tracked: Tracked) -> Observation:
        assert tracked is self.tracked
        return Observation(SOURCE, Identity("app"), ledger=Ledger({"ring_full": 1}))


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", 64 << 20)


@pytest.fixture
def tracked():
    """A container's slot, recorded for the plan."""
    container = Container("c" * 64, "app", Manager.CRI)
    target = Target(1, 1, 7)
    made = Tracked(target, Subject("/app", None, container), "container", access_log=AccessLog())
    made.reading = Reading(target, 1, 0, False, True, False, {}, Ledger())
    return made


@pytest.fixture
def reports(spool, tracked):
    made = Reports(spool, types.SimpleNamespace(containers=dict), "node")
    made.attach(Core(tracked))
    made.plan = Plan("1", (PlannedRecording("it", "", LabelSelector(), accesses=True),))
    return made


def part(reports) -> Observation | None:
    """What is reported now, within a report's bounds; None: there is no news."""

    async def ask():
        try:
            async with asyncio.timeout(0.05):
                return await reports.next()
        except TimeoutError:
            return None

    found = LOOP.run_until_complete(ask())
    if found is None:
        return None
    assert found.recordings == ("it",)
    assert found.observation.ByteSize() < 256 << 10
    assert sum(each.ByteSize() for each in found.observation.accesses) <= PART_BYTES
    return from_observation(found.observation)


def rights(observation: Observation) -> dict[bytes, int]:
    return {key.subject.path: seen.rights for key, seen in observation.accesses.entries.items()}


def all_parts(reports) -> list[Observation]:
    """Each acknowledged, until there are no more."""
    found = []
    while one := part(reports):
        found.append(one)
        reports.acknowledged(SOURCE)
    return found


def test_a_running_containers_accesses_are_told_once(reports, tracked):
    """In parts, each with all else; then news alone, and nothing of what is known."""
    tracked.access_log.take(dict(LONG))
    reports.touched(tracked)
    found = all_parts(reports)
    assert len(found) == 4
    assert {(each.identity.name, each.ended) for each in found} == {("app", False)}
    assert all(each.ledger.counts == {"ring_full": 1} for each in found)
    assert sum(len(each.accesses.entries) for each in found) == len(LONG)
    tracked.access_log.take(dict([file(b"/new"), file(b"/0000/" + b"x" * 1000, FileRight.WRITE)]))
    reports.touched(tracked)
    (news,) = all_parts(reports)
    assert rights(news) == {
        b"/new": FileRight.READ,
        b"/0000/" + b"x" * 1000: FileRight.READ | FileRight.WRITE,
    }
    reports.touched(tracked)
    (nothing,) = all_parts(reports)
    assert not nothing.accesses


def test_what_comes_while_a_part_is_under_way_is_in_the_next(reports, tracked):
    """One state of a source is under way at a time; news is not forgotten by its acknowledgement."""
    tracked.access_log.take(dict([file(b"/a")]))
    reports.touched(tracked)
    assert rights(part(reports)) == {b"/a": FileRight.READ}
    tracked.access_log.take(dict([file(b"/b")]))
    assert part(reports) is None
    reports.acknowledged(SOURCE)
    assert rights(part(reports)) == {b"/b": FileRight.READ}


def test_after_a_lost_stream_all_of_it_is_told_again(reports, tracked):
    """What was acknowledged, too: the collector may be another one."""
    tracked.access_log.take(dict([file(b"/a")]))
    reports.touched(tracked)
    all_parts(reports)
    reports.touched(tracked)
    assert rights(part(reports)) == {}
    reports.rewind()
    assert rights(part(reports)) == {b"/a": FileRight.READ}


def test_accesses_that_somebody_else_asks_for_are_not_told(reports, spool, tracked):
    """Nor what was lost of them, while it runs and at its end: they are no matter of the plan's."""
    reports.plan = Plan("2", (PlannedRecording("it", "", LabelSelector()),))
    lost = Ledger({"ring_full": 1, "accesses_late": 1})
    tracked.access_log.take(dict(LONG))
    reports.touched(tracked)
    (running,) = all_parts(reports)
    spool.put(
        Entry(
            Observation(SOURCE, Identity("app"), ended=True, accesses=Accesses(dict(LONG)), ledger=lost),
            ("it",),
        )
    )
    reports.resume(SOURCE)
    (last,) = all_parts(reports)
    for each in (running, last):
        assert not each.accesses
        assert dict(each.ledger.counts) == {"ring_full": 1}
    assert last.ended
    LOOP.run_until_complete(reports.flush())
    assert len(spool) == 0


def ended(reports, spool, accesses: Accesses) -> Observation:
    """It has ended, and is in the spool."""
    observation = Observation(SOURCE, Identity("app"), ended=True, accesses=accesses)
    spool.put(Entry(observation, ("it",)))
    reports.resume(SOURCE)
    return observation


def test_an_ended_record_stays_until_all_its_parts_are_stored(reports, spool):
    """Its parts join to it, in whichever order; a lost stream begins anew."""
    whole = ended(reports, spool, Accesses(dict(LONG)))
    first = part(reports)
    reports.acknowledged(SOURCE)
    second = part(reports)
    assert not rights(first).keys() & rights(second).keys()
    reports.rewind()
    assert part(reports) == first
    reports.acknowledged(SOURCE)
    rest = all_parts(reports)
    assert first.join(rest[2]).join(rest[0]).join(rest[1]) == whole
    assert len(spool) == 1
    LOOP.run_until_complete(reports.flush())
    assert len(spool) == 0
    assert reports.unacknowledged() == 0


def test_nothing_is_settled_after_a_part(reports, spool):
    """An agent that ends in between leaves the whole entry for the next one."""
    ended(reports, spool, Accesses(dict(LONG)))
    part(reports)
    reports.acknowledged(SOURCE)
    LOOP.run_until_complete(reports.flush())
    assert len(spool) == 1


def test_a_container_that_ends_while_a_state_of_it_is_under_way(reports, spool, tracked):
    """That state's acknowledgement is none of the record's."""
    tracked.access_log.take(dict([file(b"/a")]))
    reports.touched(tracked)
    part(reports)
    whole = ended(reports, spool, Accesses(dict([file(b"/a"), file(b"/b")])))
    reports.acknowledged(SOURCE)
    assert len(spool) == 1
    assert part(reports) == whole


def test_a_record_of_which_a_part_is_refused_is_lost_once(reports, spool):
    """Its other parts are stored all the same, and it leaves the spool."""
    ended(reports, spool, Accesses(dict(LONG)))
    for answer in (reports.acknowledged, reports.refused, reports.refused, reports.acknowledged):
        assert part(reports)
        answer(SOURCE)
    assert part(reports) is None
    LOOP.run_until_complete(reports.flush())
    assert len(spool) == 0
    assert reports.ledger().counts == {"record_refused": 1}


def test_a_record_that_was_cut_says_so_in_each_part(reports, spool):
    """So they join to the whole one, cut where it was."""
    many = Accesses(dict(LONG), cut_at=b"\xff" * 8)
    whole = ended(reports, spool, many)
    found = all_parts(reports)
    assert {each.accesses.cut_at for each in found} == {many.cut_at} != {b""}
    joined = found[0]
    for each in found[1:]:
        joined = joined.join(each)
    assert joined.accesses == whole.accesses
