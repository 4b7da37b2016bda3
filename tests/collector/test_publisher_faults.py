"""The same final objects, byte for byte, whatever fails on the way, and wherever the collector is killed."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from recorder.model.errors import StoreFull
from recorder.model.record import Observation
from recorder.model.recording import MergeStrategy, Recording
from tests.collector.platform import FakePlatform, recording
from tests.collector.publishing import Stage, content, seen


class Killed(BaseException):
    """The process is no more."""


@dataclass(frozen=True)
class Play:
    """A trace: what is reported, to which recordings, in which order, and how long nothing comes after it."""

    recordings: tuple[Recording, ...]
    reports: tuple[tuple[Observation, int, float], ...]

    def begin(self, platform: FakePlatform) -> None:
        for each in self.recordings:
            platform.add(each)


def play() -> Play:
    """Three replicas with restarts, in a merged recording; two pods and one without a template in another."""
    reports = []
    pods = [FakePlatform().add_pod(f"web-{each}", generate_name="web-") for each in ("aa", "bb", "cc")]
    for index, (pod, call) in enumerate(zip(pods, ("mkdir", "chmod", "socket"), strict=True), 1):
        reports += [
            (seen("execve", "app", pod, cgroup=index, last=2 + index), 0, 1.5),
            (
                seen(f"execve {call}", "app", pod, cgroup=index, last=5 + index, ledger={"ring_full": index}),
                0,
                3.0,
            ),
            (seen(f"execve {call}", "app", pod, cgroup=index, last=9, ended=True), 0, 0.5),
            (seen("execve unlink", "app", pod, cgroup=10 + index, last=20, ended=True), 0, 2.0),
        ]
    for index, name in enumerate(("db-x1", "db-x2", "single")):
        pod = FakePlatform().add_pod(name, generate_name="db-" if name != "single" else "")
        reports += [
            (seen("execve rename", "db", pod, cgroup=30 + index), 1, 2.0),
            (seen("execve rename mkdir", "db", pod, cgroup=30 + index, last=8, ended=True), 1, 1.0),
        ]
    merged = recording("web", merge=MergeStrategy.CONTAINERS, uid="uid-web")
    return Play((merged, recording("db", uid="uid-db")), tuple(reports))


def placed(platform: FakePlatform) -> None:
    """The pods of the play."""
    for each in ("aa", "bb", "cc"):
        platform.add_pod(f"web-{each}", generate_name="web-")
    for each in ("db-x1", "db-x2"):
        platform.add_pod(each, generate_name="db-")
    platform.add_pod("single")


def played(folder, disturb: Callable[[Stage], None] = lambda _: None, reports=None) -> dict[str, str]:
    """Play it through, and return all objects; `disturb` is called before each report.

    Wherever the collector is killed, the next one starts at once; agents send again what was not stored.
    """

    async def run() -> dict[str, str]:
        stage, trace = Stage(folder), play()
        placed(stage.platform)
        trace.begin(stage.platform)
        await stage.begin()
        try:
            for observation, index, pause in reports or trace.reports:
                disturb(stage)
                await surviving(stage, lambda o=observation, i=index: stage.report(o, to=trace.recordings[i]))
                await surviving(stage, lambda p=pause: stage.pass_(p))
            stage.platform.unreachable = False
            await surviving(stage, lambda: stage.pass_(1500))
            assert (await stage.store.unemitted()) == {}
            return content(stage.platform)
        finally:
            await stage.end()

    return asyncio.run(run())


async def surviving(stage: Stage, step) -> None:
    """Do it; as often as the collector is killed in it, start another and do it again."""
    while True:
        try:
            await step()
            return
        except Killed:
            await stage.restart()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    """What comes out of a run without faults."""
    return played(tmp_path_factory.mktemp("undisturbed"))


def test_the_undisturbed_run_is_what_the_reports_say(undisturbed):
    """By hand: the merged result and those of the pods; no partial is left."""
    assert sorted(undisturbed) == ["db-db", "db-db-x1", "db-db-x2", "web-app"]
    assert '\\"total\\":3' in undisturbed["web-app"]
    assert (
        '{\\"chmod\\":1,\\"execve\\":3,\\"mkdir\\":1,\\"socket\\":1,\\"unlink\\":3}' in undisturbed["web-app"]
    )
    assert all('"state": "Enabled"' in each for each in undisturbed.values())


class Death:
    """The collector dies at its n-th call of the platform, before or after it had its effect."""

    METHODS = ("placement", "result", "apply", "remove", "report", "event")

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self.after = after
        self.armed = False
        self.happened = False

    def __call__(self, stage: Stage) -> None:
        if self.armed:
            return
        self.armed = True
        for each in self.METHODS:
            setattr(stage.platform, each, self.wrapped(getattr(stage.platform, each)))

    def wrapped(self, method):
        async def call(*args):
            self.left -= 1
            if self.left == 0 and not self.after:
                self.happened = True
                raise Killed
            answer = await method(*args)
            if self.left == 0:
                self.happened = True
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_of_the_platform(tmp_path, undisturbed, scaled, after):
    """Before the call, or when it has been done and nobody here knows."""
    points = itertools.count(1)
    step = max(1, 60 // scaled(60, 6))
    for point in points:
        death = Death(1 + (point - 1) * step, after=after)
        folder = tmp_path / str(point)
        folder.mkdir()
        assert played(folder, death) == undisturbed
        if not death.happened:
            assert point > 3
            return


@pytest.mark.parametrize("seed", range(3))
def test_killed_thirty_times_while_agents_send(tmp_path, undisturbed, seed):
    """At random moments, between the commit of a report and everything that follows from it."""
    chance = random.Random(seed)

    def disturb(stage: Stage) -> None:
        original = stage.publisher.step
        lives = chance.randrange(1, 4)

        async def step():
            nonlocal lives
            lives -= 1
            if lives == 0:
                raise Killed
            return await original()

        stage.publisher.step = step

    assert played(tmp_path, disturb) == undisturbed


@pytest.mark.parametrize("seed", range(4))
def test_calls_fail_and_answers_are_lost(tmp_path, undisturbed, seed):
    """Now and then, of any kind."""
    chance = random.Random(seed)

    def disturb(stage: Stage) -> None:
        for each in ("placement", "result", "apply", "remove", "report", "event"):
            stage.platform.failures[each] = chance.choice((0, 0, 1, 2))
            stage.platform.lost_answers[each] = chance.choice((0, 0, 1))

    assert played(tmp_path, disturb) == undisturbed


def test_the_platform_is_away_for_most_of_the_time(tmp_path, undisturbed):
    """Longer than containers live."""
    reports = itertools.count()

    def disturb(stage: Stage) -> None:
        stage.platform.unreachable = next(reports) % 10 != 9

    assert played(tmp_path, disturb) == undisturbed


def test_the_wall_clock_jumps(tmp_path, undisturbed):
    """Back and forth; nothing is decided by it."""
    jumps = itertools.cycle((-86_400 * 365, 86_400 * 900, -3600))

    def disturb(stage: Stage) -> None:
        stage.wall += next(jumps)

    assert played(tmp_path, disturb) == undisturbed


@pytest.mark.parametrize("seed", range(4))
def test_reports_come_twice_late_and_out_of_order(tmp_path, undisturbed, seed):
    """Each container's states in any order, all containers' mixed, repeats among them."""
    chance = random.Random(seed)
    reports = list(play().reports) * 2
    chance.shuffle(reports)
    assert played(tmp_path, reports=reports) == undisturbed


@pytest.mark.parametrize("seed", range(3))
def test_all_of_it_at_once(tmp_path, undisturbed, seed):
    """Kills, outages, lost answers, disorder, and another pace of reports."""
    chance = random.Random(seed)
    reports = [
        (observation, to, chance.choice((0.0, 1.0, 40.0))) for observation, to, _ in play().reports * 2
    ]
    chance.shuffle(reports)

    def disturb(stage: Stage) -> None:
        stage.platform.unreachable = chance.random() < 0.3
        stage.platform.lost_answers["apply"] = chance.choice((0, 1))
        if chance.random() < 0.3:
            original = stage.publisher.confirm

            async def confirm():
                stage.publisher.confirm = original
                raise Killed

            stage.publisher.confirm = confirm

    assert played(tmp_path, disturb, reports) == undisturbed


def test_a_full_store_delays_and_loses_nothing(tmp_path, undisturbed):
    """The publisher's own writes find no room now and then."""
    chance = random.Random(1)

    def disturb(stage: Stage) -> None:
        for name in ("save_result", "decide", "emitted", "remove_result"):
            original = getattr(type(stage.store), name).__get__(stage.store)

            async def full(*args, original=original):
                if chance.random() < 0.3:
                    raise StoreFull("no room; free some")
                return await original(*args)

            setattr(stage.store, name, full)

    assert played(tmp_path, disturb) == undisturbed


def test_a_failure_is_told_once_and_the_distance_of_attempts_doubles(tmp_path):
    """1, 2, 4, ... 60 s: an API server that comes back is not stormed."""

    async def run() -> None:
        stage = Stage(tmp_path)
        await stage.begin()
        asked = stage.platform.add(recording())
        pod = stage.platform.add_pod("web")
        await stage.report(seen("execve", pod=pod), to=asked)
        await stage.settle()
        stage.platform.unreachable = True
        await stage.pass_(600)
        assert stage.publisher.problem.startswith("the fake platform is away")
        assert 10 <= stage.publisher.figures().failures <= 20
        stage.platform.unreachable = False
        await stage.pass_(61)
        assert stage.publisher.problem == ""
        assert stage.platform.names() == ["r-app"]
        await stage.end()

    asyncio.run(run())
