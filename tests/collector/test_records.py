"""GetRecords and WatchRecords: what is there, what changes, and only for whom it is."""

import asyncio
import contextlib
import dataclasses

import grpc
import pytest

from recorder.collector.people.records import RecordsBounds
from recorder.collector.service import ServiceBounds
from recorder.collector.store.sighting import Confirmation
from recorder.collector.store.stored import StoredResult
from recorder.model.recording import ProfileKind
from recorder.model.result import Placement
from recorder.model.wire import from_observation
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.ground import QUICK, WAIT, FakeReviewer, container, ground, observed
from tests.collector.memory_store import MemoryStore
from tests.collector.platform import FakePlatform, recording

DENIED = grpc.StatusCode.PERMISSION_DENIED
AWAY = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Seen:
    """Recordings of two namespaces and of none; an agent with a container for each; people who may read."""

    def __init__(self, made, agent, reviewer):
        self.made = made
        self.agent = agent
        self.reviewer = reviewer
        self.store = made.store

    async def report(self, number, recording_, calls=(0, 1), **more):
        """A container of the recording has seen these."""
        one = observed(number, calls, identity=container(number, recording_.name.namespace), **more)
        assert await self.agent.answer(one, recording_.id) == ""
        return one

    def decide(self, number, **what):
        """As the publisher does it, and tells it."""
        source = observed(number).source
        self.store._revision += 1
        row = dataclasses.replace(self.store.rows[source], revision=self.store._revision, **what)
        self.store.rows[source] = row
        self.made.service.records_changed(row.recordings)

    async def get(self, stub, namespace="", name=""):
        """All that comes, as (recordings' names, containers' messages)."""
        call = stub.GetRecords(
            pb.GetRecordsRequest(filter=pb.RecordsFilter(namespace=namespace, recording=name))
        )
        entries = [each async for each in call]
        summaries = [each.recording for each in entries if each.HasField("recording")]
        return [(each.namespace, each.name) for each in summaries], [
            each.container for each in entries if each.HasField("container")
        ]


class Watching:
    """A watch, read message by message."""

    def __init__(self, stub, namespace="", name=""):
        self.call = stub.WatchRecords(
            pb.WatchRecordsRequest(filter=pb.RecordsFilter(namespace=namespace, recording=name))
        )

    async def next(self, kind=""):
        """The next message, which is of that kind."""
        async with asyncio.timeout(WAIT):
            message = await self.call.read()
        assert message is not grpc.aio.EOF, (await self.call.code(), await self.call.details())
        if kind:
            assert message.WhichOneof("event") == kind, message
        return getattr(message, message.WhichOneof("event"))

    async def snapshot(self):
        """What comes before it is synced."""
        said = [await self.next()]
        while not isinstance(said[-1], pb.Synced):
            said.append(await self.next())
        return said[:-1]

    async def ended(self):
        """How it was ended."""
        async with asyncio.timeout(WAIT):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            return await self.call.code(), await self.call.details()


A, B, OUTSIDE = recording("r", "a"), recording("r", "b"), recording("host", "")


@pytest.fixture
def seen(certificates, tmp_path):
    """Runs a test's coroutine with `Seen`."""

    def run(work, *recordings, bounds=QUICK):
        async def whole():
            platform, store = FakePlatform(), MemoryStore()
            for each in recordings or (A, B, OUTSIDE):
                platform.add(each)
                store.save(each)
            reviewer = FakeReviewer(
                tokens={"token-a": "ann", "token-b": "bob", "token-all": "eve", "token-none": "nil"},
                readers={"ann": {"a"}, "bob": {"a", "b"}, "eve": {""}},
            )
            async with (
                ground(
                    certificates, tmp_path, platform=platform, store=store, reviewer=reviewer, bounds=bounds
                ) as made,
                made.agent() as agent,
            ):
                await agent.plan()
                return await work(Seen(made, agent, reviewer))

        return asyncio.run(whole())

    return run


# --- who sees what


def test_each_sees_the_namespaces_that_it_may_read(seen):
    """Lists are filtered; what is of no namespace is for those that may read all, and for root."""

    async def work(them):
        found = {}
        for token in ("token-a", "token-b", "token-all", "token-none"):
            async with them.made.person(token) as stub:
                found[token] = (await them.get(stub))[0]
        async with them.made.root() as stub:
            found["root"] = (await them.get(stub))[0]
        return found

    every = [("", "host"), ("a", "r"), ("b", "r")]
    assert seen(work) == {
        "token-a": [("a", "r")],
        "token-b": [("a", "r"), ("b", "r")],
        "token-all": every,
        "token-none": [],
        "root": every,
    }


def test_filters_by_namespace_and_by_name(seen):
    """Both; a name that there is not gives nothing."""

    async def work(them):
        async with them.made.root() as stub:
            return [
                (await them.get(stub, *asked))[0]
                for asked in (("a",), ("", "r"), ("b", "r"), ("a", "host"), ("", "host"), ("", "nothing"))
            ]

    assert seen(work) == [
        [("a", "r")],
        [("a", "r"), ("b", "r")],
        [("b", "r")],
        [],
        [("", "host")],
        [],
    ]


@pytest.mark.parametrize("token", ["", "wrong", "x" * 5000])
def test_nobody_reads_without_a_token_that_is_known(seen, token):
    """By both methods, in a status that says so."""

    async def work(them):
        async with them.made.person(token) as stub:
            for call in (
                stub.GetRecords(pb.GetRecordsRequest()),
                stub.WatchRecords(pb.WatchRecordsRequest()),
            ):
                assert await call.code() is DENIED
                assert "token" in await call.details()

    seen(work)


@pytest.mark.parametrize(
    ("namespace", "name", "field"),
    [("a/b", "", "filter.namespace"), ("a" * 64, "", "filter.namespace"), ("a", "R r", "filter.recording")],
)
def test_a_filter_that_names_nothing_is_refused(seen, namespace, name, field):
    """With the field; before anybody is asked."""

    async def work(them):
        async with them.made.root() as stub:
            for method in (stub.GetRecords, stub.WatchRecords):
                request = getattr(pb, f"{'Get' if method is stub.GetRecords else 'Watch'}RecordsRequest")
                call = method(request(filter=pb.RecordsFilter(namespace=namespace, recording=name)))
                assert await call.code() is INVALID
                assert (await call.details()).startswith(field)

    seen(work)


def test_while_the_api_server_is_away_nothing_is_shown(seen):
    """Not even what was allowed before its answer has gone old; root does not depend on it."""

    async def work(them):
        async with them.made.person("token-a") as stub:
            assert await them.get(stub, "a")
            them.reviewer.away = True
            await asyncio.sleep(0.15)  # the answers' time
            call = stub.GetRecords(pb.GetRecordsRequest(filter=pb.RecordsFilter(namespace="a")))
            assert await call.code() is AWAY
            assert "cannot be asked now" in await call.details()
        async with them.made.root() as stub:
            assert (await them.get(stub))[0]
        assert them.made.service.figures.reviews["unreachable"] == 1

    seen(work)


def test_answers_hold_for_a_moment(seen):
    """Many who ask the same at once cost one question; after its time it is asked anew."""

    async def work(them):
        async with them.made.person("token-a") as stub:
            await asyncio.gather(*(them.get(stub, "a") for _ in range(20)))
            assert them.reviewer.asked == [("person", "token-a"), ("read", "ann", "a")]
            await asyncio.sleep(0.15)
            await them.get(stub, "a")
            assert len(them.reviewer.asked) == 4

    seen(work)


# --- what is shown


def test_a_container_is_shown_as_it_is_stored(seen):
    """Its observation, and what the platform said of its pod."""

    async def work(them):
        one = await them.report(1, A, (3, 5))
        them.decide(
            1,
            confirmation=Confirmation.CONFIRMED,
            placement=Placement("a", "pod-1", "uid-1", "node-a", "web-"),
        )
        await them.report(2, A)
        them.decide(2, confirmation=Confirmation.REFUSED, reason="it is on node-b")
        await them.report(3, OUTSIDE)
        async with them.made.root() as stub:
            _, containers = await them.get(stub)
        shown = {each.id: each for each in containers}
        assert from_observation(shown[1].observation) == one
        assert [
            (each.recording_id, each.confirmation, each.reason, each.generate_name)
            for _, each in sorted(shown.items())
        ] == [
            (A.id, pb.CONFIRMATION_CONFIRMED, "", "web-"),
            (A.id, pb.CONFIRMATION_REFUSED, "it is on node-b", ""),
            (OUTSIDE.id, pb.CONFIRMATION_CONFIRMED, "", ""),
        ]

    seen(work)


def test_results_are_named(seen):
    """Those that are published, sorted; one that has no name yet is none."""

    async def work(them):
        them.store.published[A.id] = [
            StoredResult(A.id, ProfileKind.SECCOMP, "web", "x1", name="r-web-x1", state="final"),
            StoredResult(A.id, ProfileKind.SECCOMP, "app", name="r-app", partial=True),
            StoredResult(A.id, ProfileKind.SECCOMP, "new"),
        ]
        async with them.made.root() as stub:
            (entry,) = [
                each
                async for each in stub.GetRecords(pb.GetRecordsRequest())
                if each.HasField("recording") and each.recording.id == A.id
            ]
        return [
            (each.name, each.kind, each.container, each.suffix, each.partial, each.state)
            for each in entry.recording.results
        ]

    assert seen(work) == [
        ("r-app", "SeccompProfile", "app", "", True, "recording"),
        ("r-web-x1", "SeccompProfile", "web", "x1", False, "final"),
    ]


def test_a_large_recording_comes_in_pages(seen, scaled):
    """All of it, once each; the store is never asked for more than a page."""
    count = scaled(2000, 200)

    async def work(them):
        for number in range(1, count + 1):
            await them.agent.report(observed(number, identity=container(number, "a")), A.id)
        for _ in range(count):
            await them.agent.acknowledged()
        limits = []
        whole = them.store.sightings

        async def sightings(recording_id, *, accesses, after=0, limit):
            limits.append(limit)
            return await whole(recording_id, accesses=accesses, after=after, limit=limit)

        them.store.sightings = sightings
        async with them.made.root() as stub:
            _, containers = await them.get(stub, "a")
        assert [each.id for each in containers] == list(range(1, count + 1))
        assert set(limits) == {RecordsBounds().page}

    seen(work)


# --- watches


def test_a_watch_says_what_there_is_and_then_what_changes(seen):
    """A container that is new, one that has seen more, one that is confirmed, results, recordings."""
    new = recording("new", "a")

    async def work(them):
        await them.report(1, A)
        async with them.made.person("token-a") as stub:
            watch = Watching(stub)
            first, second = await watch.snapshot()
            assert (first.name, second.id) == ("r", 1)
            await them.report(2, A)
            assert (await watch.next("container")).id == 2
            one = await them.report(1, A, (0, 1, 2))
            assert from_observation((await watch.next("container")).observation) == one
            them.decide(1, confirmation=Confirmation.CONFIRMED)
            assert (await watch.next("container")).confirmation == pb.CONFIRMATION_CONFIRMED
            them.store.published[A.id] = [StoredResult(A.id, ProfileKind.SECCOMP, "app", name="r-app")]
            them.made.service.records_changed([A.id])
            assert [each.name for each in (await watch.next("recording")).results] == ["r-app"]
            them.store.save(new)
            them.made.platform.add(new)
            assert (await watch.next("recording")).name == "new"
            them.store.save(new, deleted_at=1.0)
            them.made.service.records_changed()
            assert (await watch.next("recording")).deleted
            del them.store.saved[new.id]
            them.made.service.records_changed()
            assert (await watch.next("gone")).id == new.id

    seen(work)


def test_a_watch_does_not_repeat_itself(seen):
    """What others are told, and what has not changed, is not said."""

    async def work(them):
        async with them.made.person("token-a") as stub:
            watch = Watching(stub)
            await watch.snapshot()
            await them.report(1, B)
            them.made.service.records_changed([A.id, B.id])
            them.made.service.records_changed()
            await asyncio.sleep(0.3)
            await them.report(2, A)
            assert (await watch.next("container")).id == 2

    seen(work)


def test_a_watch_ends_when_its_token_is_worth_nothing(seen):
    """At the next time that it is asked for, though nothing changes."""

    async def work(them):
        async with them.made.person("token-a") as stub:
            watch = Watching(stub)
            await watch.snapshot()
            del them.reviewer.tokens["token-a"]
            assert (await watch.ended())[0] is DENIED
            assert them.made.service.figures.watches == 0

    seen(work)


def test_a_watch_of_a_namespace_ends_when_it_may_not_be_read_any_more(seen):
    """The one that was asked for."""

    async def work(them):
        async with them.made.person("token-b") as stub:
            watch = Watching(stub, "b")
            await watch.snapshot()
            them.reviewer.readers["bob"].discard("b")
            code, text = await watch.ended()
            assert (code, "'b'" in text) == (DENIED, True)

    seen(work)


def test_a_watch_of_all_follows_what_may_be_read(seen):
    """A namespace that is allowed later comes with all its containers; one that is not any more is gone."""

    async def work(them):
        await them.report(1, B)
        async with them.made.person("token-a") as stub:
            watch = Watching(stub)
            assert [each.namespace for each in await watch.snapshot()] == ["a"]
            them.reviewer.readers["ann"] = {"a", "b"}
            assert (await watch.next("recording")).namespace == "b"
            assert (await watch.next("container")).id == 1
            them.reviewer.readers["ann"] = {"a"}
            assert (await watch.next("gone")).id == B.id
            await them.report(2, B)
            await them.report(3, A)
            assert (await watch.next("container")).id == 3

    seen(work)


def test_a_watch_ends_while_nobody_can_be_asked(seen):
    """Nothing is allowed then; the client may come again."""

    async def work(them):
        async with them.made.person("token-a") as stub, them.made.root() as root:
            watch, roots = Watching(stub), Watching(root)
            await watch.snapshot()
            await roots.snapshot()
            them.reviewer.away = True
            assert (await watch.ended())[0] is AWAY
            await them.report(1, A)
            assert (await roots.next("container")).id == 1

    seen(work)


def test_a_watch_ends_with_the_collector(seen):
    """With a status after which a client may come again."""

    async def work(them):
        async with them.made.root() as stub:
            watch = Watching(stub)
            await watch.snapshot()
            them.made.service.stop()
            assert await watch.ended() == (AWAY, "the collector is stopping")

    seen(work)


def test_watches_are_bounded_in_all_and_by_person(seen):
    """One too many is refused, and those that stand go on; when one ends there is room."""
    few = ServiceBounds(
        ingest=QUICK.ingest,
        records=RecordsBounds(watches=3, watches_of_person=2, watch_seconds=0.01),
        review_seconds=10,
    )

    async def work(them):
        async with them.made.person("token-a") as ann, them.made.person("token-b") as bob:
            anns = [Watching(ann), Watching(ann)]
            for each in anns:
                await each.snapshot()
            code, text = await Watching(ann).ended()
            assert (code, text.startswith("you have 2 watches open")) == (EXHAUSTED, True)
            bobs = Watching(bob)
            await bobs.snapshot()
            assert (await Watching(bob).ended())[0] is EXHAUSTED
            anns[0].call.cancel()
            await them.made.until(lambda: them.made.service.figures.watches == 2)
            again = Watching(bob)
            await again.snapshot()
            await them.report(1, A)
            for each in (anns[1], bobs, again):
                assert (await each.next("container")).id == 1

    seen(work, bounds=few)


def test_a_watcher_that_does_not_read_is_ended_and_costs_nobody(seen):
    """It holds one message; agents and other watches do not wait for it."""

    async def work(them):
        async with them.made.root() as stub:
            deaf, other = Watching(stub), Watching(stub)
            await other.snapshot()
            large = {f"key-{number}": "v" * 63 for number in range(64)}
            for number in range(1, 60):
                identity = dataclasses.replace(container(number, "a"), labels=large)
                assert await them.agent.answer(observed(number, identity=identity), A.id) == ""
            got = {(await other.next("container")).id for _ in range(59)}
            assert got == set(range(1, 60))
            deaf.call.cancel()

    seen(work)
