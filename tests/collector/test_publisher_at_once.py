"""Several recordings are looked at at a time; what that must not change."""

import asyncio

from recorder.model.errors import PlatformUnreachable
from tests.collector.platform import recording
from tests.collector.publishing import allowed, seen, staged


def slow(stage, *, together=1, failing=""):
    """Applications take turns of the loop, wait until so many are under way, or fail for one container.

    Returns how many were under way, at each.
    """
    original, most = stage.platform.apply, []
    barrier, under_way = asyncio.Barrier(together), []

    async def apply(result, uid):
        under_way.append(result.name)
        most.append(len(under_way))
        try:
            async with asyncio.timeout(30):
                await barrier.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            if failing and failing in result.name:
                raise PlatformUnreachable("the test's platform does not take this one")
            return await original(result, uid)
        finally:
            under_way.remove(result.name)

    stage.platform.apply = apply
    return most


async def filled(stage, count):
    """So many recordings, each with a pod that runs."""
    made = [stage.platform.add(recording(f"r{each}", labels={"app": f"a{each}"})) for each in range(count)]
    for index, asked in enumerate(made):
        pod = stage.platform.add_pod(f"pod-{index}", labels={"app": f"a{index}"})
        await stage.report(seen("execve mkdir", pod=pod, cgroup=index + 1), to=asked)
    return made


@staged
async def test_a_slow_platform_is_asked_for_several_recordings_at_a_time(stage):
    """And never for more than eight."""
    most = slow(stage, together=8)
    await filled(stage, 16)
    await stage.pass_(5)
    assert len(stage.platform.objects) == 16
    assert max(most) == 8


@staged
async def test_what_fails_of_one_is_done_later_and_the_others_are_done(stage):
    """Those that were begun are finished; when the platform is back, all are there."""
    original = stage.platform.apply
    slow(stage, failing="r3")
    await filled(stage, 6)
    await stage.pass_(5)
    assert "r3-app" not in stage.platform.names()
    assert stage.publisher.problem
    stage.platform.apply = original
    await stage.pass_(120)
    assert stage.platform.names() == [f"r{each}-app" for each in range(6)]
    assert not stage.publisher.problem


@staged
async def test_a_recording_and_its_successor_of_the_same_name_take_turns(stage):
    """The result is taken over once: it has what the later one saw, and one row in the store."""
    slow(stage)
    old = stage.platform.add(recording("r", uid="old"))
    pod = stage.platform.add_pod("pod")
    await stage.report(seen("execve mkdir", pod=pod, cgroup=1), to=old)
    await stage.pass_(5)
    stage.platform.delete(old)
    new = stage.platform.add(recording("r", uid="new"))
    await stage.report(seen("execve mkdir", pod=pod, cgroup=1, ended=True, last=9), to=old)
    await stage.report(seen("execve chmod", pod=pod, cgroup=2), to=new)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    assert "chmod" in allowed(stage.platform.object("r-app"))
    rows = await stage.store.results("old"), await stage.store.results("new")
    assert [len(each) for each in rows] == [0, 1]
