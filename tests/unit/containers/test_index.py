"""The index of a node's containers: kept up to date, quick to answer, and never brought down by a runtime."""

import asyncio
import contextlib
import logging
import time

import grpc
import pytest

from recorder.containers.container import Container, Manager
from recorder.containers.cri import CriSource
from recorder.containers.index import QUIET, ContainerIndex
from recorder.containers.place import place_of
from recorder.containers.source import SourceStatus
from recorder.model.errors import RuntimeUnreachable
from tests.unit.containers.fake_cri import FakeCri, always, hex_id, serving, until

POLL = 0.2


@contextlib.asynccontextmanager
async def running(index):
    task = asyncio.create_task(index.run())
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def with_index(test, tmp_path, *, limit=100, poll=POLL, settle=5.0, deadline=5.0, **what):
    """Run `test(fake, index)` with a served fake and a running index; cgroups are folders of tmp_path/cg."""

    async def body():
        async with serving(tmp_path / "s", **what) as fake:
            source = CriSource(tmp_path / "s", deadline=deadline)
            (tmp_path / "cg").mkdir()
            index = ContainerIndex(
                [source], limit=limit, poll_seconds=poll, mount=tmp_path / "cg", settle_seconds=settle
            )
            async with running(index):
                await test(fake, index)

    asyncio.run(body())


def place(identity, mount=None):
    """The place of a CRI container; its cgroup is there if `mount` is given."""
    if mount:
        (mount / "cg/k8s.io" / identity).mkdir(parents=True, exist_ok=True)
    return place_of(f"/k8s.io/{identity}")


class Manual:
    """A source that a test plays: what it lists, finds, and how often it was asked."""

    name = "manual"
    manager = Manager.CRI

    def __init__(self, **containers):
        self.containers = containers
        self.asked = []
        self.lists = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure = None
        self.signs = asyncio.Queue()
        self.closed = False

    def status(self):
        return SourceStatus(self.name, "1", "nowhere", self.failure is None)

    def _fail(self):
        if self.failure is not None:
            raise self.failure

    async def find(self, container_id):
        self.asked.append(container_id)
        await self.gate.wait()
        self._fail()
        return self.containers.get(container_id)

    async def list(self):
        self.lists += 1
        self._fail()
        return list(self.containers.values())

    async def watch(self):
        while True:
            yield await self.signs.get()

    async def close(self):
        self.closed = True


def made(number, name="it", **more):
    return Container(hex_id(number), name, Manager.CRI, **{"pid": number} | more)


# --- following


def test_it_knows_what_comes_and_what_goes(tmp_path):
    """By the list alone, without events; details that a list does not have are asked for."""

    async def test(fake, index):
        changes = []
        index.subscribe(lambda: changes.append(set(index.containers())))
        pod = fake.add_sandbox(1, "web-0", app="web")
        web = fake.add_container(2, pod, "web")
        await until(lambda: index.find(web) and index.find(web).pid)
        assert index.find(web).image_digest
        assert index.find(pod).sandbox
        del fake.containers[web]
        await until(lambda: index.find(web) is None)
        assert index.find(pod)
        assert changes[-1] == {pod}
        assert len({id(each) for each in index.containers().values()}) == 1

    with_index(test, tmp_path, has_events=False)


def test_a_created_container_gets_its_pid_when_it_starts(tmp_path):
    """It is asked for again as long as it has none."""

    async def test(fake, index):
        pod = fake.add_sandbox(1, "web-0")
        web = fake.add_container(2, pod, "web")
        fake.pids[web] = 0
        await until(lambda: index.find(web))
        assert index.find(web).pid == 0
        fake.pids[web] = 77
        await until(lambda: index.find(web).pid == 77)

    with_index(test, tmp_path)


@pytest.mark.parametrize("by", ["event", "wake"])
def test_a_sign_is_quicker_than_the_poll(tmp_path, by):
    """GetContainerEvents, or a cgroup that came: a list soon, though the next poll is an hour away."""

    async def test(fake, index):
        if by == "event":
            await until(lambda: fake.streams)
        await until(lambda: fake.calls.get("ListPodSandbox"))
        await asyncio.sleep(0.3)  # the first list is over, and what it led to
        pod = fake.add_sandbox(1, "web-0")
        fake.tell() if by == "event" else index.wake()
        await until(lambda: index.find(pod), seconds=2)

    with_index(test, tmp_path, poll=3600, has_events=by == "event")


def test_many_signs_make_few_lists(tmp_path):
    """A thousand cgroups are no thousand lists."""

    async def test(fake, index):
        await until(lambda: fake.calls.get("ListContainers"))
        began = time.monotonic()
        for _ in range(200):
            for _ in range(5):
                index.wake()
            await asyncio.sleep(0.002)
        assert fake.calls["ListContainers"] <= 2 + (time.monotonic() - began) / 0.05

    with_index(test, tmp_path, poll=3600)


def test_a_quiet_node_is_asked_less_and_less():
    """Up to the bound; a change or a sign brings the usual pace back."""

    async def body():
        source = Manual(**{hex_id(1): made(1)})
        index = ContainerIndex([source], limit=9, poll_seconds=0.1)
        times = []
        listed = source.list

        async def timed():
            times.append(time.monotonic())
            return await listed()

        source.list = timed
        async with running(index):
            await until(lambda: len(times) == 6)
            assert times[5] - times[4] > 0.1 * QUIET
            assert times[5] - times[4] > 2 * (times[2] - times[1])
            source.containers[hex_id(2)] = made(2)
            index.wake()
            await until(lambda: len(times) == 8)
            assert times[7] - times[6] < times[5] - times[4]

    asyncio.run(body())


def test_the_bound_of_containers(tmp_path):
    """What is known stays; what has no room is counted, once, and comes when there is room."""

    async def test(fake, index):
        pod = fake.add_sandbox(1, "web-0")
        kept = [fake.add_container(number, pod, "c") for number in range(2, 5)]
        await until(lambda: len(index.containers()) == 4)
        late = [fake.add_container(number, pod, "c") for number in range(5, 8)]
        await until(lambda: index.refused["containers"] == 3)
        lists = fake.calls["ListContainers"]
        await until(lambda: fake.calls["ListContainers"] > lists + 2)
        assert index.refused["containers"] == 3
        assert set(index.containers()) == {pod, *kept}
        # who asks is told all the same, and nothing is kept
        assert (await index.resolve(place(late[0]))).name == "c"
        assert index.refused["containers"] == 4
        del fake.containers[kept[0]]
        await until(lambda: late[0] in index.containers())
        assert len(index.containers()) == index.limit == 4

    with_index(test, tmp_path, limit=4)


def test_texts_are_bounded(tmp_path):
    """Whatever a container is called."""

    async def test(fake, index):
        pod = fake.add_sandbox(1, "p" * 5000, **{f"label-{number}": "v" * 100 for number in range(100)})
        web = fake.add_container(2, pod, "n" * 5000)
        found = await index.resolve(place(web))
        assert (len(found.name), len(found.pod.name), len(found.labels)) == (1024, 1024, 64)
        assert {len(value) for value in found.labels.values()} == {63}
        assert index.refused["texts"] > 60
        assert index.refused["labels"] > 30

    with_index(test, tmp_path)


def test_a_failing_subscriber_is_logged(caplog):
    """The others are called, and the index goes on."""

    async def body():
        source = Manual(a=made(1))
        index = ContainerIndex([source], limit=9, poll_seconds=0.05)
        called = []

        def fails():
            raise ValueError("mine")

        index.subscribe(fails)
        index.subscribe(lambda: called.append(1))
        async with running(index):
            await until(lambda: called)
        assert source.closed

    asyncio.run(body())
    assert "a subscriber of the container index failed" in caplog.text


def test_runtimes_that_come_later():
    """They are looked for at the beginning and at each poll, and followed from then on."""

    async def body():
        first, second = Manual(a=made(1)), Manual(b=made(2))
        turns = iter([[first], OSError("no"), [second]])

        def discover():
            turn = next(turns, [])
            if isinstance(turn, OSError):
                raise turn
            return turn

        index = ContainerIndex([], limit=9, poll_seconds=0.05, discover=discover)
        async with running(index):
            await until(lambda: len(index.containers()) == 2)
            assert len(index.statuses()) == 2
        assert first.closed
        assert second.closed

    asyncio.run(body())


def test_a_refresh_ends_with_a_list_that_began_after_it():
    """What was there when it was called is known then; a silent runtime costs no more than the time."""

    async def body():
        source, silent = Manual(), Manual()
        index = ContainerIndex([source], limit=9, poll_seconds=3600)
        gate, listing = asyncio.Event(), asyncio.Event()

        async def slow():
            listed = list(source.containers.values())
            listing.set()
            await gate.wait()
            return listed

        source.list = slow
        async with running(index):
            await listing.wait()
            source.containers[hex_id(1)] = made(1)
            refreshing = asyncio.create_task(index.refresh(30))
            await asyncio.sleep(0.05)
            gate.set()
            await refreshing
            assert index.find(hex_id(1))
        silent.list = asyncio.Event().wait
        index = ContainerIndex([silent], limit=9, poll_seconds=3600)
        async with running(index):
            began = time.monotonic()
            await index.refresh(0.2)
            assert 0.2 <= time.monotonic() - began < 3

    asyncio.run(body())


# --- resolving


def test_the_same_question_is_asked_once():
    """A hundred at the same time; one who gives up takes nothing from the others."""

    async def body():
        source = Manual(**{hex_id(1): made(1)})
        source.gate.clear()
        index = ContainerIndex([source], limit=9, poll_seconds=9)
        asking = [asyncio.create_task(index.resolve(place(hex_id(1)))) for _ in range(100)]
        await until(lambda: source.asked)
        asking.pop(0).cancel()
        source.gate.set()
        answers = await asyncio.gather(*asking)
        assert {each.id for each in answers} == {hex_id(1)}
        assert {each.cgroup_path for each in answers} == {f"/k8s.io/{hex_id(1)}"}
        assert source.asked == [hex_id(1)]
        # and later nobody is asked
        assert (await index.resolve(place(hex_id(1)))).pid == 1
        assert len(source.asked) == 1

    asyncio.run(body())


def test_a_container_that_is_gone_is_none_at_once(tmp_path):
    """The runtime does not know it and the cgroup is not there: nothing to wait for."""

    async def test(fake, index):
        began = time.monotonic()
        assert await index.resolve(place(hex_id(9))) is None
        assert time.monotonic() - began < 1
        assert fake.calls["ContainerStatus"] == 1

    with_index(test, tmp_path, settle=3600)


def test_a_container_that_is_gone_is_what_a_list_had():
    """One that was listed is named by that, also if lists without it come before the answer."""

    class Slow(Manual):
        async def find(self, container_id):
            self.asked.append(asyncio.get_running_loop().create_future())
            return await self.asked[-1]

    async def body():
        source = Slow(**{hex_id(1): made(1, "web", pid=0)})
        index = ContainerIndex([source], limit=9, poll_seconds=0.01)
        async with running(index):
            await until(lambda: source.asked)  # for what the list does not have
            source.containers = {}
            asking = asyncio.create_task(index.resolve(place(hex_id(1))))
            await until(lambda: len(source.asked) == 2)
            source.asked[0].set_result(None)
            await until(lambda: source.lists > 2)
            source.asked[1].set_result(None)
            found = await asyncio.wait_for(asking, 5)
            assert (found.name, found.cgroup_path) == ("web", f"/k8s.io/{hex_id(1)}")
            await until(lambda: index.find(hex_id(1)) is None)

    asyncio.run(body())


def test_a_container_that_is_listed_while_it_is_asked_for():
    """It is gone when the answer comes, and named by the list."""

    async def body():
        source = Manual()
        index = ContainerIndex([source], limit=9, poll_seconds=0.01)
        async with running(index):
            source.gate.clear()
            asking = asyncio.create_task(index.resolve(place(hex_id(1))))
            await until(lambda: source.asked)
            source.containers = {hex_id(1): made(1, "web", pid=0)}
            await until(lambda: index.find(hex_id(1)))
            source.containers = {}
            source.gate.set()
            found = await asyncio.wait_for(asking, 5)
            assert (found.name, found.cgroup_path) == ("web", f"/k8s.io/{hex_id(1)}")

    asyncio.run(body())


def test_a_sandbox_that_is_just_being_made(tmp_path):
    """containerd tells of a sandbox only when it has started: its cgroup is there before."""

    async def test(fake, index):
        asking = asyncio.create_task(index.resolve(place(hex_id(1), tmp_path)))
        await until(lambda: fake.calls.get("PodSandboxStatus", 0) > 2)
        pod = fake.add_sandbox(1, "web-0")
        found = await asyncio.wait_for(asking, 5)
        assert (found.id, found.sandbox) == (pod, True)

    with_index(test, tmp_path, settle=3600)


def test_a_cgroup_that_no_runtime_knows(tmp_path):
    """It is there and stays: None after a while."""

    async def test(fake, index):
        began = time.monotonic()
        assert await index.resolve(place(hex_id(9), tmp_path)) is None
        assert 0.3 <= time.monotonic() - began < 3

    with_index(test, tmp_path, settle=0.3)


def test_a_cgroup_that_goes_while_it_is_asked_for(tmp_path):
    """The waiting ends with the cgroup."""

    async def test(fake, index):
        asking = asyncio.create_task(index.resolve(place(hex_id(9), tmp_path)))
        await until(lambda: fake.calls.get("ContainerStatus"))
        (tmp_path / "cg/k8s.io" / hex_id(9)).rmdir()
        assert await asyncio.wait_for(asking, 5) is None

    with_index(test, tmp_path, settle=3600)


def test_none_is_never_said_for_a_runtime_that_does_not_answer(tmp_path):
    """Down, slow or with an error: RuntimeUnreachable, so that it is asked again."""

    async def test(fake, index):
        pod = fake.add_sandbox(1, "web-0")
        web = fake.add_container(2, pod, "web")
        for reply in (
            None,
            b"\xff",
            *(each for each in grpc.StatusCode if each.name not in ("OK", "NOT_FOUND")),
        ):
            fake.replies["ContainerStatus"] = always(reply)
            index._containers.clear()
            with pytest.raises(RuntimeUnreachable):
                await index.resolve(place(web))
        await fake.stop()
        with pytest.raises(RuntimeUnreachable):
            await index.resolve(place(hex_id(3)))
        await fake.start()
        fake.replies.clear()
        await until(lambda: index.statuses()[0].reachable)
        assert (await index.resolve(place(web))).name == "web"

    with_index(test, tmp_path, deadline=0.2)


def test_only_the_runtime_of_that_kind_is_asked():
    """Docker is not asked for a container of a pod; of a shape that tells nothing, everybody is."""

    async def body():
        cri, docker = Manual(), Manual(**{hex_id(1): made(1)})
        docker.manager = Manager.DOCKER
        index = ContainerIndex([cri, docker], limit=9, poll_seconds=9)
        assert await index.resolve(place(hex_id(1))) is None
        assert docker.asked == []
        found = await index.resolve(place_of(f"/own/{hex_id(1)}"))
        assert (found.id, found.cgroup_path) == (hex_id(1), f"/own/{hex_id(1)}")
        assert len(cri.asked) == 2
        # one that does not answer is no reason to leave the others unasked
        index._containers.clear()
        cri.failure = RuntimeUnreachable("down")
        assert (await index.resolve(place_of(f"/own/{hex_id(1)}"))).id == hex_id(1)
        with pytest.raises(RuntimeUnreachable, match="down"):
            await index.resolve(place_of(f"/own/{hex_id(2)}"))

    asyncio.run(body())


def test_containers_of_ctr_are_named_by_their_id():
    """The CRI does not know them."""

    async def body():
        index = ContainerIndex([Manual()], limit=9, poll_seconds=9)
        found = await index.resolve(place_of("/default/it"))
        assert (found.id, found.name, found.manager) == ("it", "it", Manager.CONTAINERD)

    asyncio.run(body())


def test_a_list_that_is_older_than_an_answer():
    """A container that was resolved while a list was on its way is not taken away by that list."""

    async def body():
        source = Manual()
        index = ContainerIndex([source], limit=9, poll_seconds=0.05)
        arrived, listing = asyncio.Event(), asyncio.Event()

        async def stale():
            source.lists += 1
            listed = list(source.containers.values())
            listing.set()
            await arrived.wait()
            return listed

        source.list = stale
        known = []
        async with running(index):
            await listing.wait()
            source.containers[hex_id(1)] = made(1)
            await index.resolve(place(hex_id(1)))
            index.subscribe(lambda: known.append(index.find(hex_id(1))))
            arrived.set()
            lists = source.lists
            await until(lambda: source.lists > lists + 1)
            assert index.find(hex_id(1))
            assert None not in known
            source.containers.clear()
            await until(lambda: not index.find(hex_id(1)))

    asyncio.run(body())


# --- runtimes that fail


def warnings(caplog):
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_runtime_that_is_down_and_comes_back(tmp_path, caplog):
    """Names stay known meanwhile; one line when it goes, one when it is back."""
    caplog.set_level(logging.INFO)

    async def test(fake, index):
        def said(word):
            return sum(word in each.message for each in caplog.records)

        pod = fake.add_sandbox(1, "web-0")
        await until(lambda: index.find(pod) and said("serves"))
        for round_number in range(1, 3):
            await fake.stop()
            index.wake()
            await until(lambda: len(warnings(caplog)) == round_number)  # noqa: B023
            for _ in range(5):
                index.wake()
                await asyncio.sleep(0.1)
            assert index.find(pod)
            assert not index.statuses()[0].reachable
            assert len(warnings(caplog)) == round_number
            new = fake.add_sandbox(1 + round_number, f"web-{round_number}")
            await fake.start()
            await until(lambda: index.find(new) and said("serves") == round_number + 1)  # noqa: B023

    with_index(test, tmp_path)


def test_broken_events_are_no_state_of_the_runtime(tmp_path, caplog):
    """Lists go on, and the log is not filled."""

    async def test(fake, index):
        pod = fake.add_sandbox(1, "web-0")
        await until(lambda: index.find(pod))
        for _ in range(5):
            lists = fake.calls["ListContainers"]
            await until(lambda: fake.calls["ListContainers"] > lists)  # noqa: B023
            assert index.statuses()[0].reachable

    async def broken(*_):
        raise ValueError("broken")
        yield b""

    class Broken(FakeCri):
        events = broken

    async def body():
        fake = Broken(tmp_path / "s")
        await fake.start()
        index = ContainerIndex([CriSource(tmp_path / "s")], limit=9, poll_seconds=0.1, mount=tmp_path)
        async with running(index):
            await test(fake, index)
        await fake.stop()

    asyncio.run(body())
    assert [each for each in warnings(caplog) if "names" in each] == []


@pytest.mark.parametrize(
    "failure", [RuntimeUnreachable("down"), ValueError("a fault"), KeyError("x"), OSError(5, "io")]
)
def test_nothing_that_a_runtime_does_ends_the_index(failure, caplog):
    """Not even a fault of ours in reading it; and another runtime is not disturbed."""

    async def body():
        bad, good = Manual(), Manual(**{hex_id(1): made(1)})
        bad.failure = failure
        index = ContainerIndex([bad, good], limit=9, poll_seconds=0.05)
        async with running(index):
            await until(lambda: index.find(hex_id(1)))
            await until(lambda: bad.lists > 1)
            bad.failure, bad.containers = None, {hex_id(2): made(2)}
            await until(lambda: index.find(hex_id(2)))

    asyncio.run(body())
    assert sum("no names from it for now" in each for each in warnings(caplog)) == 1


def test_a_slow_runtime_does_not_hold_up_another(tmp_path):
    """Each has a task of its own."""

    async def body():
        slow, quick = Manual(), Manual(**{hex_id(1): made(1)})
        slow.list = asyncio.Event().wait
        slow.gate.clear()
        quick.manager = Manager.DOCKER
        index = ContainerIndex([slow, quick], limit=9, poll_seconds=0.05)
        async with running(index):
            await until(lambda: quick.lists > 3)
            assert index.find(hex_id(1))

    asyncio.run(body())


def test_a_storm_of_restarts_and_churn(tmp_path, scaled):
    """Containers come and go while the runtime is stopped and started: what is left at the end is known."""

    async def test(fake: FakeCri, index):
        for number in range(1, scaled(200, least=20)):
            pod = fake.add_sandbox(number, f"web-{number}")
            fake.add_container(10_000 + number, pod, "web")
            index.wake()
            if number % 5 == 0:
                await fake.stop()
                fake.sandboxes.pop(hex_id(number - 1))
                fake.containers.pop(hex_id(10_000 + number - 1))
                with contextlib.suppress(RuntimeUnreachable):
                    await index.resolve(place(hex_id(10_000 + number)))
                await fake.start()
            await asyncio.sleep(0.01)
        await until(lambda: set(index.containers()) == fake.sandboxes.keys() | fake.containers.keys(), 20)
        await until(lambda: all(each.pid for each in index.containers().values()))

    with_index(test, tmp_path, limit=1000)
