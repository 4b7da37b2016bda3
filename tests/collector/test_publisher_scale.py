"""What a change costs does not grow with what is in the store, nor with how often something changes."""

import asyncio
import time
from collections import Counter

import pytest

from recorder.collector.results.publisher import Publisher
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.store import AsyncStore, Incoming
from recorder.model.errors import StoreDamaged
from recorder.model.recording import MergeStrategy
from tests.collector.platform import FakePlatform, recording
from tests.collector.publishing import allowed, coverage, seen, staged

ALL = MergeStrategy.CONTAINERS


def counted(stage):
    """How many rows the publisher reads of the store from now on, by method."""
    rows = Counter()
    for name in ("outlines", "sightings", "unconfirmed"):
        original = getattr(stage.store, name)

        async def method(*args, name=name, original=original, **values):
            found = await original(*args, **values)
            rows[name] += len(found)
            return found

        setattr(stage.store, name, method)
    return rows


async def fill(stage, asked, count, *, container="app", first=1):
    """`count` replicas of one template, one container each, that run."""
    observations = []
    for index in range(first, first + count):
        pod = stage.platform.add_pod(f"{asked.name.name}-{index}", generate_name=f"{asked.name.name}-")
        observations.append(seen("execve mkdir", container, pod, cgroup=index))
    for index in range(0, count, 200):
        await stage.report(*observations[index : index + 200], to=asked)
    return observations


def test_a_change_costs_its_own_recording_alone(tmp_path, scaled):
    """Thousands of sightings of others are not looked at."""
    many = scaled(20_000, 400)

    @staged
    async def scenario(stage):
        others = [stage.platform.add(recording(f"other{each}", merge=ALL)) for each in range(4)]
        for index, other in enumerate(others):
            await fill(stage, other, many // 4, first=1 + index * many)
        asked = stage.platform.add(recording("web", merge=ALL))
        pod = stage.platform.add_pod("web")
        await stage.report(seen("execve", pod=pod, cgroup=10**9), to=asked)
        await stage.pass_(30)
        rows = counted(stage)
        await stage.report(seen("execve chmod", pod=pod, cgroup=10**9), to=asked)
        await stage.pass_(30)
        assert "chmod" in allowed(stage.platform.object("web-app"))
        assert rows == Counter(outlines=1, sightings=1, unconfirmed=0)

    scenario(tmp_path)


def test_a_look_at_a_large_recording_reads_what_changed_and_drafts_what_is_due(tmp_path, scaled):
    """One of many replicas changes ten times a second: its group is read at the write distances alone."""
    many = scaled(10_000, 300)

    @staged
    async def scenario(stage):
        asked = stage.platform.add(recording("web", merge=ALL, beside=True))
        observations = await fill(stage, asked, many)
        await stage.pass_(5)
        pod = observations[0].identity.pod
        rows = counted(stage)
        for tenth in range(200):
            await stage.report(
                seen("execve mkdir chmod", pod=pod, cgroup=1, ledger={"ring_full": tenth + 1}), to=asked
            )
            await stage.pass_(0.1)
        assert coverage(stage.platform.object("web-app"))["syscalls"] == {
            "chmod": 1,
            "execve": many,
            "mkdir": many,
        }
        assert rows["outlines"] <= 50  # two looks a second
        assert rows["sightings"] <= 3 * many  # after 4, 8 s

    scenario(tmp_path)


def test_four_hundred_changes_a_second_are_coalesced(tmp_path, scaled):
    """Looks and writes are bounded by time, whatever comes."""
    many = scaled(400, 40)

    @staged
    async def scenario(stage):
        some = [stage.platform.add(recording(f"r{each}", merge=ALL, beside=True)) for each in range(4)]
        filled = [
            await fill(stage, each, many // 4, first=1 + index * many) for index, each in enumerate(some)
        ]
        await stage.pass_(5)
        looks, writes = stage.publisher.figures().looks, stage.publisher.figures().writes
        for second in range(30):
            for each, observations in zip(some, filled, strict=True):
                changed = [
                    seen(
                        "execve mkdir",
                        pod=one.identity.pod,
                        cgroup=one.source.cgroup_id,
                        ledger={"ring_full": second + 1},
                    )
                    for one in observations
                ]
                for begin in range(0, len(changed), 10):
                    await stage.report(*changed[begin : begin + 10], to=each)
            await stage.pass_(1)
        assert stage.publisher.figures().looks - looks <= 4 * 31 * 2
        assert stage.publisher.figures().writes - writes <= 4 * 4

    scenario(tmp_path)


def test_the_event_loop_goes_on_while_a_large_result_is_made(tmp_path, scaled):
    """Thousands of sightings in one result: streams are served meanwhile.

    What counts is the loop's own time: how long it waits for a CPU is the machine's.
    """
    many = scaled(40_000, 1000)

    @staged
    async def scenario(stage):
        asked = stage.platform.add(recording("web", merge=ALL, beside=True))
        await fill(stage, asked, many)
        while await stage.store.unconfirmed(1):
            await stage.settle()
        stage.now += 10
        longest, last = 0.0, time.thread_time()

        async def tick():
            nonlocal longest, last
            while True:
                await asyncio.sleep(0.001)
                now = time.thread_time()
                longest, last = max(longest, now - last), now

        ticking = asyncio.create_task(tick())
        begun = time.monotonic()
        await stage.settle()
        stage.now += 10
        await stage.settle()
        took = time.monotonic() - begun
        ticking.cancel()
        assert coverage(stage.platform.object("web-app"))["total"] == many
        print(
            f"{many} sightings: made in {took:.2f} s, the loop was kept for {longest * 1000:.0f} ms at most"
        )
        assert longest < 0.2

    scenario(tmp_path)


def test_its_two_tasks_run_by_themselves(tmp_path):
    """`run`, with the real clock: what is reported is confirmed and published, and ends final."""

    async def run():
        platform = FakePlatform()
        store = await AsyncStore.open(tmp_path / "store.db")
        policy = ResultPolicy(first_write=0.1, last_write=0.2, settle=0.2, glance=0.05)
        publisher = Publisher(store, platform, policy, version="1", connected=lambda: {"node-a"})
        following = asyncio.create_task(platform.run(publisher.recordings_changed))
        running = asyncio.create_task(publisher.run())
        asked = platform.add(recording())
        pod = platform.add_pod("web")
        await store.put([Incoming(seen("execve mkdir", pod=pod, ended=True), (asked.id,))])
        publisher.sightings_changed(frozenset({asked.id}))
        async with asyncio.timeout(30):
            while "r-app" not in platform.names() or platform.object("r-app").spec["state"] != "Enabled":
                await asyncio.sleep(0.01)
        assert "mkdir" in allowed(platform.object("r-app"))
        for task in (running, following):
            task.cancel()
        await asyncio.gather(running, following, return_exceptions=True)
        await store.close()

    asyncio.run(run())


def test_a_damaged_store_ends_it(tmp_path):
    """The collector has failed then, and says so; it does not go on without."""

    async def run():
        platform = FakePlatform()
        store = await AsyncStore.open(tmp_path / "store.db")
        publisher = Publisher(store, platform, version="1")

        async def damaged():
            raise StoreDamaged("it is damaged; set it aside")

        store.recordings = damaged
        with pytest.raises(ExceptionGroup) as failure:
            async with asyncio.timeout(30):
                await publisher.run()
        assert failure.group_contains(StoreDamaged)
        await store.close()

    asyncio.run(run())
