"""What the agent makes of accesses: news, secrets, losses, whose are seen. By a watch of the test's."""

import asyncio
import itertools

import pytest

from recorder.agent.access_log import AccessLog, Cleaned
from recorder.agent.access_parts import PART_BYTES, fitting, parts
from recorder.agent.accesses import AccessReader
from recorder.agent.kept_accesses import KeptAccesses
from recorder.agent.state import TargetState
from recorder.agent.tracked import Subject, Tracked
from recorder.agent.tracked_accesses import TrackedAccesses
from recorder.kernel.accesses import AccessLosses
from recorder.kernel.backend import Target
from recorder.model.access import (
    MAX_ADDRESS,
    MAX_PATH,
    MAX_WORD,
    Capability,
    File,
    FileRight,
    MessageQueue,
    Mount,
    Socket,
    UnixSocket,
)
from recorder.model.access_wire import to_access
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.errors import PinMismatch, UnsupportedKernel
from recorder.model.record import Phase, Source
from tests.unit.agent.told_accesses import ToldAccesses, file

TARGET, OTHER = Target(1, 1, 7), Target(2, 1, 8)


@pytest.fixture
def told() -> ToldAccesses:
    return ToldAccesses()


def reader(told: ToldAccesses, **how: bool) -> AccessReader:
    """Prepared and attached."""
    made = AccessReader(lambda _: told, **how)
    made.prepare()
    made.attach()
    return made


def paths(entries) -> dict[bytes, int]:
    """Rights by path."""
    return {key.subject.path: seen.rights for key, seen in entries.items()}


# --- a log


def test_a_log_tells_each_news_once_and_in_its_order():
    """An entry is news when it is new, and again with a new right; not when it is only said again."""
    log = AccessLog()
    assert log.take(dict([file(b"/a"), file(b"/b")])) == [file(b"/a")[0], file(b"/b")[0]]
    told = log.revision
    assert [key.subject.path for _, key, _ in log.since(0)] == [b"/a", b"/b"]
    assert log.take(dict([file(b"/a"), file(b"/b", at=9)])) == []
    assert list(log.since(told)) == []
    assert log.take(dict([file(b"/a", FileRight.WRITE), file(b"/c")])) == [file(b"/c")[0]]
    news = list(log.since(told))
    assert [(key.subject.path, seen.rights) for _, key, seen in news] == [
        (b"/a", FileRight.READ | FileRight.WRITE),
        (b"/c", FileRight.READ),
    ]
    assert [at for at, _, _ in news] == [told + 1, told + 2] == [log.revision - 1, log.revision]
    assert len(log) == 3


def test_parts_go_up_to_a_revision_and_join_to_the_whole():
    """Each has at most 96 KiB, but for a single one that is larger; what follows a revision is the rest."""
    log = AccessLog()
    log.take(dict(file(b"/%04d/" % number + b"x" * 1000) for number in range(300)))
    found, told = [], 0
    while part := next(parts(log.since(told)), None):
        told, messages = part
        assert sum(each.ByteSize() for each in messages) <= PART_BYTES
        found += messages
    assert told == log.revision
    assert [each.file.path for each in found] == [key.subject.path for _, key, _ in log.since(0)]
    assert len(list(parts(log.since(0)))) == 4
    assert [len(each) for _, each in parts(log.since(298), most=10)] == [1, 1]
    assert list(parts(())) == []


def test_parts_of_what_has_ended_are_counted():
    """From any place on: as many as fit, and at least one, until there are none."""
    messages = [to_access(*file(b"x" * size)) for size in (4000, 10, 4000, 4000) * 20]
    ends = [0]
    while ends[-1] < len(messages):
        ends.append(fitting(messages, ends[-1]))
    assert 3 <= len(ends) - 1 <= 4
    assert all(
        sum(each.ByteSize() for each in messages[start:end]) <= PART_BYTES
        for start, end in itertools.pairwise(ends)
    )
    assert fitting(messages, len(messages)) == len(messages)
    assert fitting([]) == 0


# --- secrets


@pytest.mark.parametrize(
    ("subject", "clean"),
    [
        (File(b"/run/token=hunter2"), File(b"/run/token={secret}")),
        (File(b"/a", b"/b/password=x1"), File(b"/a", b"/b/password={secret}")),
        (UnixSocket(1, b"\0token=hunter2"), UnixSocket(1, b"\0token={secret}")),
        (UnixSocket(1, peer_address=b"/s/pwd=12345"), UnixSocket(1, peer_address=b"/s/pwd={secret}")),
        (Mount(1, b"//share/password=qwe", b"/mnt"), Mount(1, b"//share/password={secret}", b"/mnt")),
        (MessageQueue(b"/secret=1"), MessageQueue(b"/secret={secret}")),
        (Socket(2, 1, 6), Socket(2, 1, 6)),
        (Capability(21), Capability(21)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_secrets_in_names_are_replaced(subject, clean):
    """In each name that programs choose; what has none stays; raw_paths keeps all."""
    key, seen = AccessKey(Phase.WORKLOAD, subject), Seen(1)
    cleaned = Cleaned()
    assert cleaned.of({key: seen}) == {AccessKey(Phase.WORKLOAD, clean): seen}
    assert cleaned.replaced == int(subject != clean)
    assert Cleaned(raw_paths=True).of({key: seen}) == {key: seen}


def test_two_that_become_one_are_joined_and_what_is_said_again_counts_once():
    """As many parts as differ, however often they are read."""
    one, two = file(b"/run/token=aaaaaaa"), file(b"/run/token=bbbbbbb", FileRight.WRITE)
    cleaned = Cleaned()
    for _ in range(2):
        assert paths(cleaned.of(dict([one, two]))) == {
            b"/run/token={secret}": FileRight.READ | FileRight.WRITE
        }
    assert cleaned.replaced == 2


def test_what_becomes_too_long_is_cut():
    """The placeholder may be longer than what it stands for: bounds hold, and a cut path says so."""
    long = b"/" + b"x" * (MAX_PATH - 9) + b"/pwd=123"
    entries = {
        AccessKey(1, subject): Seen()
        for subject in (
            File(long),
            UnixSocket(1, b"\0" + b"x/" * 49 + b"/pwd=1234"),
            MessageQueue(b"/" + b"x/" * 120 + b"pwd=12345"),
        )
    }
    found = [key.subject for key in Cleaned().of(entries)]
    by_kind = {type(each): each for each in found}
    assert len(by_kind[File].path) == MAX_PATH
    assert by_kind[File].cut
    assert len(by_kind[UnixSocket].address) == MAX_ADDRESS
    assert len(by_kind[MessageQueue].name) <= MAX_WORD


# --- a reader


def test_nobody_looks_and_that_is_said(told):
    """Without a kernel that can, or without an opener: nothing is seen, and the reason is there."""
    told.refuses = UnsupportedKernel("no fentry")
    for opener, problem in ((None, ""), (lambda _: told, "no fentry")):
        found = AccessReader(opener)
        found.prepare()
        found.attach()
        assert (found.problem, found.attached) == (problem, False)
        assert not found.last(TARGET, 0).watched
        assert not found.so_far(TARGET, found.log(), 0).watched
        assert not found.changed(TARGET, found.log())
        assert found.use() == {}
    assert told.closed


def test_a_problem_that_comes_later_is_said_and_goes(told):
    """A kernel that refuses to attach once: while that is so."""
    found = reader(told)
    found.detach([])
    told.refuses = UnsupportedKernel("not now")
    found.attach()
    assert (found.problem, found.attached) == ("not now", False)
    told.refuses = None
    found.attach()
    assert (found.problem, found.attached) == ("", True)


def test_only_what_is_new_is_read(told):
    """A target without changes is not read; one with some from where it was read last."""
    found = reader(told)
    log = found.log()
    assert not found.changed(TARGET, log)
    told.tell(TARGET, file(b"/a"))
    assert found.changed(TARGET, log)
    assert paths(found.read(TARGET, log)) == {b"/a": FileRight.READ}
    assert not found.changed(TARGET, log)
    told.tell(TARGET, file(b"/b"))
    assert paths(found.read(TARGET, log)) == {b"/b": FileRight.READ}


def test_losses_of_a_target_and_of_nobody_knows_whom(told):
    """What its bounds refused, and runs that were skipped since it began; the last reading has all of it."""
    found = reader(told)
    told.skipped = 5
    told.lost[TARGET] = AccessLosses(refused=3, executions_full=1, undecided_full=2)
    told.tell(TARGET, file(b"/run/token=hunter2"))
    told.open[TARGET] = [file(b"/open")]
    expected = {"accesses_full": 4, "undecided": 2, "program_missed": 3, "secret_replaced": 1}
    log = found.log()
    log.take(found.read(TARGET, log))
    so_far, last = found.so_far(TARGET, log, 2), found.last(TARGET, 2)
    assert dict(so_far.ledger.counts) == dict(last.ledger.counts) == expected
    assert not so_far.accesses
    assert set(paths(last.accesses.entries)) == {b"/run/token={secret}", b"/open"}
    assert found.use() == {"accesses": (1, 5)}


def test_what_the_last_agent_left_is_taken_over_or_lost(tmp_path, told, caplog):
    """Adopted whole; if it does not fit it is loaded anew, and that is no adoption."""
    (tmp_path / "accesses" / "maps").mkdir(parents=True)
    asked = []

    def opener(folder):
        asked.append(folder)
        return told

    found = AccessReader(opener, tmp_path)
    found.prepare()
    assert (asked, found.adopted) == ([tmp_path / "accesses"], True)
    found.close(keep=True)
    assert (tmp_path / "accesses" / "maps").is_dir()

    def mismatch(folder):
        if folder:
            raise PinMismatch("another layout")
        return told

    told.may_pin = False
    found = AccessReader(mismatch, tmp_path)
    found.prepare()
    assert (found.adopted, found.problem) == (False, "")
    assert "another layout" in caplog.text
    assert "it cannot be pinned" in caplog.text
    assert not (tmp_path / "accesses").exists()


def test_what_was_pinned_goes_where_nobody_looks_any_more(tmp_path):
    """An agent whose accesses are switched off leaves none of the last one's programs attached."""
    (tmp_path / "accesses" / "links").mkdir(parents=True)
    (tmp_path / "accesses" / "links" / "on_file_open").touch()
    AccessReader(None, tmp_path).prepare()
    assert not (tmp_path / "accesses").exists()


# --- whose are seen


def tracked(target: Target, *, identified: bool = True) -> Tracked:
    return Tracked(target, Subject("/x"), "exec", identified=identified)


def tracked_accesses(told: ToldAccesses, slots: list[Tracked]) -> TrackedAccesses:
    return TrackedAccesses(reader(told), lambda: iter(slots), lambda: None)


def test_what_nobody_asks_for_is_given_back(told):
    """As soon as it is known whose it is; who asks later has it from then on, and is late."""

    async def run():
        mine, unasked, unknown = tracked(TARGET), tracked(OTHER), tracked(Target(3, 1, 9), identified=False)
        slots = [mine, unasked, unknown]
        seen = tracked_accesses(told, slots)
        await seen.look(True)
        for each in slots:
            told.tell(each.target, file(b"/a"))
        seen.want(mine, seen.since_ns + 1)
        assert await seen.read(sweep=False) == [mine]
        assert told.dropped == {OTHER}
        assert set(told.entries) == {TARGET, unknown.target}
        assert not mine.accesses_late
        seen.want(unasked, seen.since_ns + 1)
        assert unasked.accesses_late
        told.tell(OTHER, file(b"/b"))
        await seen.read(sweep=True)
        assert told.dropped == set()
        assert "sweep" in told.steps
        assert seen.rows() == [(("file",), 1.0)]

    asyncio.run(run())


def test_what_began_before_it_was_looked_for_is_late(told):
    """Of one that began afterwards everything is seen."""

    async def run():
        early, timely = tracked(TARGET), tracked(OTHER)
        seen = tracked_accesses(told, [early, timely])
        await seen.look(True)
        seen.want(early, seen.since_ns - 1)
        seen.want(timely, seen.since_ns)
        assert (early.accesses_late, timely.accesses_late) == (True, False)
        used = await seen.last(early)
        assert used.ledger.losses() == {"accesses_late": 1}
        assert (await seen.last(timely)).ledger.losses() == {}

    asyncio.run(run())


def test_when_nobody_asks_any_more_all_is_forgotten(told):
    """Detached, given back; the next who asks begins anew."""

    async def run():
        mine = tracked(TARGET)
        seen = tracked_accesses(told, [mine])
        await seen.look(True)
        seen.want(mine, seen.since_ns)
        told.tell(TARGET, file(b"/a"))
        await seen.read(sweep=False)
        await seen.look(False)
        assert (told.attached, told.entries, mine.accesses, mine.access_log) == (False, {}, False, None)
        assert seen.so_far(mine) is None
        await seen.look(True)
        seen.want(mine, seen.since_ns)
        assert mine.accesses_late
        await seen.read(sweep=False)
        assert told.steps[-1] == "watch"

    asyncio.run(run())


def test_a_node_that_cannot_see_them_says_so_in_each_record(told):
    """Never an empty list that passes for a whole one."""

    async def run():
        mine = tracked(TARGET)
        told.refuses = UnsupportedKernel("no fentry")
        seen = tracked_accesses(told, [mine])
        await seen.look(True)
        seen.want(mine, 1)
        for used in (seen.so_far(mine), await seen.last(mine)):
            assert not used.watched
            assert used.ledger.losses() == {"accesses_unwatched": 1}
        assert await seen.read(sweep=True) == []

    asyncio.run(run())


def state(target: Target, **known: bool) -> TargetState:
    return TargetState(target, Source("n", "b", target.cgroup_id, 1), **known)


@pytest.mark.parametrize(
    ("adopted", "known", "expected"),
    [
        # asked for: as it was, if the kernel side is the last agent's; else what it had seen is lost
        (True, {"accesses": True}, (True, False, False)),
        (True, {"accesses": True, "accesses_late": True}, (True, True, False)),
        (True, {"accesses": True, "access_unwatched": True}, (True, False, True)),
        (False, {"accesses": True}, (True, True, False)),
        # nobody had asked, and who it is was known: given back, or about to be
        (True, {}, (False, False, True)),
        (False, {}, (False, False, False)),
    ],
)
def test_what_the_last_agent_knew_of_a_slot(told, adopted, known, expected):
    """asked for, late, given back: so that nobody takes a part for the whole after a restart."""

    async def run():
        mine = tracked(TARGET)
        source = reader(told)
        source.adopted = adopted
        seen = TrackedAccesses(source, lambda: iter([mine]), lambda: None)
        seen.adopt(17)
        seen.recall(mine, state(TARGET, **known))
        assert (mine.accesses, mine.accesses_late, mine.access_unwatched) == expected
        await seen.look(True)
        assert (seen.since_ns == 17) is adopted

    asyncio.run(run())


def test_one_of_which_nobody_knew_yet_who_it_is_is_not_late(told):
    """It was not given back: what it used from its first moment on is there."""

    async def run():
        mine = tracked(TARGET, identified=False)
        source = reader(told)
        source.adopted = True
        seen = TrackedAccesses(source, lambda: iter([mine]), lambda: None)
        seen.adopt(17)
        seen.recall(mine, state(TARGET))
        await seen.look(True)
        seen.want(mine, 18)
        assert (mine.accesses_late, mine.access_unwatched) == (False, False)

    asyncio.run(run())


# --- of captures


def test_what_is_kept_of_ended_containers_is_bounded_over_all_captures():
    """What finds no room is counted, and there is room again when a capture has ended."""
    kept = KeptAccesses(3)
    one, two = Source("n", "b", 1, 1), Source("n", "b", 2, 1)
    some = Accesses(dict([file(b"/a"), file(b"/b")]))
    assert kept.keep("first", one, some) == 0
    assert kept.keep("first", one, some) == 0
    assert kept.keep("second", two, some) == 2
    assert dict(kept.of("second")) == {}
    kept.forget("second")
    kept.forget("first")
    assert kept.keep("second", two, some) == 0
    assert dict(kept.of("second")) == {two: some}
    kept.forget("nobody")
