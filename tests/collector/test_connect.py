"""Connect: who may connect, the plan, acknowledgements after the commit, and what happens at each bound."""

import asyncio

import grpc
import pytest

from recorder.collector.agents.ingest import IngestBounds
from recorder.collector.agents.plan import PlanBounds, plan_message
from recorder.collector.service import RECEIVE_BYTES, ServiceBounds
from recorder.model.errors import StoreDamaged
from recorder.model.wire import to_observation
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.ground import CALLS, QUICK, Certificates, bounds, container, ground, observed
from tests.collector.memory_store import MemoryStore
from tests.collector.platform import FakePlatform, recording
from tests.unit.rpc.certificates import Authority

DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
AWAY = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def with_ground(certificates, folder, work, **more):
    """Run `work` beside a collector; its result."""

    async def run():
        async with ground(certificates, folder, **more) as made:
            return await work(made)

    return asyncio.run(run())


def asked(*recordings):
    """A platform with these recordings."""
    platform = FakePlatform()
    for each in recordings:
        platform.add(each)
    return platform


# --- who may connect


@pytest.mark.parametrize(
    "names",
    [
        "URI:spiffe://recorder/node/node-a",
        "DNS:node-a.node.recorder",
        "URI:spiffe://recorder/node/node-a,DNS:node-a.node.recorder,DNS:other.example.org",
    ],
)
def test_an_agent_with_its_nodes_name_is_served(certificates, tmp_path, names):
    """By URI, by DNS name, and by both where they name one node; names of other kinds do not count."""

    async def work(made):
        async with made.agent("node-a", names=names) as agent:
            assert (await agent.plan()).recordings == []
            await made.until(lambda: made.service.figures.agents == 1)
            return [each.node for each in made.service.agents()]

    assert with_ground(certificates, tmp_path, work) == ["node-a"]


@pytest.mark.parametrize(
    "names",
    [
        "DNS:node-a",
        "URI:spiffe://recorder/node/",
        "URI:spiffe://recorder/node/node-a/pod",
        "URI:spiffe://other/node/node-a",
        "DNS:*.node.recorder",
        "IP:127.0.0.1",
        "email:node-a.node.recorder",
        "URI:spiffe://recorder/node/node-a,URI:spiffe://recorder/node/node-b",
        "URI:spiffe://recorder/node/node-a,DNS:node-b.node.recorder",
    ],
)
def test_a_certificate_that_names_no_node_or_two_is_refused(certificates, tmp_path, names):
    """With a reason; also if one of two is the node that it says."""

    async def work(made):
        # it is refused before it says anything: a write would race with the refusal
        async with made.agent("node-a", names=names, hello=False) as agent:
            code, text = await agent.ended()
            assert code is DENIED
            assert "exactly one name like spiffe://recorder/node/{node}" in text
            assert made.service.figures.agents == 0
            assert made.service.figures.ended == {"access_denied": 1}

    with_ground(certificates, tmp_path, work)


def test_a_certificate_of_another_ca_reaches_no_method(certificates, tmp_path):
    """The handshake refuses it."""
    stranger = Authority(tmp_path / "stranger")
    own = Certificates(certificates.authority, certificates.server)
    own._nodes["URI:spiffe://recorder/node/node-a"] = stranger.sign("URI:spiffe://recorder/node/node-a")

    async def work(made):
        made.certificates = own
        async with made.agent(hello=False) as agent:
            assert (await agent.ended())[0] is AWAY
            assert made.service.figures.streams == 0

    with_ground(certificates, tmp_path, work)


def test_an_agent_without_a_certificate_cannot_connect_on_the_port_for_people(certificates, tmp_path):
    """A token is no node's certificate."""

    async def work(made):
        async with made.person("token-a") as stub:
            call = stub.Connect()
            return await call.code(), await call.details()

    code, text = with_ground(certificates, tmp_path, work)
    assert code is DENIED
    assert "names no node" in text


def test_an_agent_of_this_machine_is_trusted_by_the_unix_socket(certificates, tmp_path):
    """Its node is the one that it says: whoever opens the socket is root."""

    async def work(made):
        async with made.local_agent("My_Host.local") as agent:
            await agent.plan()
            await made.until(made.service.agents)
            return made.service.agents()[0]

    agent = with_ground(certificates, tmp_path, work)
    assert (agent.node, agent.local) == ("My_Host.local", True)


# --- the first message, and what breaks the protocol


async def _report_first(agent):
    await agent.report(observed(), "uid-ns-r")


async def _nothing(agent):
    await agent.send(pb.AgentMessage())


async def _half_close(agent):
    await agent.call.done_writing()


async def _garbage(agent):
    await agent.send_bytes(b"\xff\xff\xff")


async def _not_utf8(agent):
    # field 1 (hello) with its field 1 (node), two bytes that are no UTF-8
    await agent.send_bytes(b"\x0a\x04\x0a\x02\xc3\x28")


async def _no_node(agent):
    await agent.hello("")


async def _long_words(agent):
    await agent.hello("node-a", kernel_release="6" * 300)


@pytest.mark.parametrize(
    "first",
    [_report_first, _nothing, _half_close, _garbage, _not_utf8, _long_words],
    ids=lambda f: f.__name__,
)
def test_the_first_message_is_hello(certificates, tmp_path, first):
    """Anything else ends the stream, and says why."""

    async def work(made):
        async with made.agent(hello=False) as agent:
            await first(agent)
            code, text = await agent.ended()
            assert code is INVALID, text
            assert text

    with_ground(certificates, tmp_path, work)


def test_a_hello_that_does_not_come_ends_the_stream(certificates, tmp_path):
    """Within the time that it has."""

    async def work(made):
        async with made.agent(hello=False) as agent:
            assert await agent.ended() == (INVALID, "no hello came within 0.1 s")

    with_ground(certificates, tmp_path, work, bounds=bounds(hello_seconds=0.1))


def test_what_breaks_the_protocol_ends_that_stream_alone(certificates, tmp_path):
    """A second hello, a sequence that does not rise, garbage; another agent's stream goes on."""

    async def work(made):
        async with made.agent("node-b") as other:
            assert await other.answer(observed(node="node-b"), "uid-ns-r") == ""
            for number, wrong in enumerate((1, 2, 3)):
                async with made.agent(f"node-{number}") as agent:
                    await agent.plan()
                    if wrong == 1:
                        await agent.hello(agent.node)
                    elif wrong == 2:
                        await agent.report(observed(node=agent.node), "uid-ns-r")
                        agent.sequence = 0
                        await agent.report(observed(node=agent.node), "uid-ns-r")
                    else:
                        await agent.send_bytes(b"\x12\x05abc")
                    assert (await agent.ended())[0] is INVALID
            assert await other.answer(observed(node="node-b", calls=(5,)), "uid-ns-r") == ""
            assert made.service.figures.ended["invalid_request"] == 3

    with_ground(certificates, tmp_path, work, platform=asked(recording()))


def test_a_message_of_a_newer_agent_is_passed_over(certificates, tmp_path):
    """One that has no field that is known here, and a report with fields more."""

    async def work(made):
        async with made.agent() as agent:
            await agent.plan()
            await agent.send_bytes(b"\x3a\x02\x08\x01")  # field 7, a message
            return await agent.answer(observed(), "uid-ns-r")

    assert with_ground(certificates, tmp_path, work, platform=asked(recording())) == ""


# --- the plan


def test_the_plan_is_sent_at_hello_and_at_each_change(certificates, tmp_path):
    """It replaces the one before; a change that does not change the plan is not sent."""
    first, second = recording("a"), recording("b", labels={"app": "web"}, containers=("app",))

    async def work(made):
        platform = made.platform
        async with made.agent() as agent:
            assert await agent.plan() == plan_message([first])
            platform.add(second)
            assert await agent.plan() == plan_message([first, second])
            platform.add(recording("a", generation=7))
            platform.delete(second)
            assert await agent.plan() == plan_message([first])
            platform.delete(first)
            assert (await agent.plan()).recordings == []

    with_ground(certificates, tmp_path, work, platform=asked(first))


def test_a_plan_that_the_agent_follows_already_is_not_sent_again(certificates, tmp_path):
    """It says its revision in hello."""
    one = recording()
    revision = plan_message([one]).revision

    async def work(made):
        await made.until(made.service.ready.is_set)
        async with made.agent(hello=False) as agent:
            await agent.hello("node-a", plan_revision=revision)
            sequence = await agent.report(observed(), one.id)
            message = await agent.hear()
            assert message.acknowledgement.sequence == sequence

    with_ground(certificates, tmp_path, work, platform=asked(one))


def test_a_plan_that_is_there_late_is_sent_to_those_alone_that_follow_another(certificates, tmp_path):
    """After a restart of the collector its agents are there before its recordings are."""
    platform = asked()
    platform.ready = False
    revision = plan_message([recording()]).revision

    async def work(made):
        async with made.agent("node-a", hello=False) as old, made.agent("node-b") as new:
            await old.hello("node-a", plan_revision=revision)
            await made.until(lambda: len(made.service.agents()) == 2)
            platform.ready = True
            platform.add(recording())
            assert (await new.plan()).revision == revision
            await old.report(observed(), "uid-ns-r")
            assert (await old.hear()).HasField("acknowledgement")
            platform.delete(recording())
            platform.add(recording("other"))
            for agent in (old, new):
                assert [each.id for each in (await agent.plan()).recordings] == ["uid-ns-other"]

    with_ground(certificates, tmp_path, work, platform=platform)


def test_recordings_without_room_in_the_plan_are_said_to_be(certificates, tmp_path):
    """To the publisher, when they lose or find their room; they are recorded when there is some."""
    one, two, three = (recording(name) for name in ("one", "three", "two"))
    few = ServiceBounds(plan=PlanBounds(recordings=2))

    async def work(made):
        async with made.agent() as agent:
            assert [each.id for each in (await agent.plan()).recordings] == [one.id, two.id]
            assert made.service.left_out == (three.id,)
            assert made.service.figures.left_out == 1
            assert made.changed == [frozenset({three.id})]
            assert "2 recordings" in made.service.why_left_out(three.id)
            assert made.service.why_left_out(one.id) == ""
            made.platform.delete(one)
            assert [each.id for each in (await agent.plan()).recordings] == [two.id, three.id]
            await made.until(lambda: len(made.changed) == 2)
            assert made.changed[-1] == frozenset({three.id})
            assert made.service.left_out == ()
            assert made.service.why_left_out(three.id) == ""

    with_ground(certificates, tmp_path, work, platform=asked(one, two, three), bounds=few)


def test_no_plan_and_no_refusal_before_the_platform_is_ready(certificates, tmp_path):
    """An empty plan would end every recording, and a report would be refused for a listing to come."""
    platform = asked()
    platform.ready = False

    async def work(made):
        async with made.agent() as agent:
            await agent.report(observed(), "uid-ns-r")
            await made.until(made.service.agents)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await agent.hear()

    async def late(made):
        async with made.agent() as agent:
            await agent.report(observed(), "uid-ns-r")
            await made.until(made.service.agents)
            assert made.service.figures.reports == 0
            platform.ready = True
            platform.add(recording())
            assert [each.id for each in (await agent.plan()).recordings] == ["uid-ns-r"]
            assert await agent.acknowledged() == (1, "")

    with_ground(certificates, tmp_path, work, platform=platform)
    with_ground(certificates, tmp_path, late, platform=platform)


# --- reports


def test_a_report_is_acknowledged_after_the_commit(certificates, tmp_path):
    """Not while the store is at it; then the publisher is told which recordings."""
    store = MemoryStore()

    async def work(made):
        store.gate.clear()
        async with made.agent() as agent:
            await agent.plan()
            await agent.report(observed(), "uid-ns-r")
            await made.until(lambda: store.attempts)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await agent.hear()

    async def committed(made):
        async with made.agent() as agent:
            await agent.plan()
            assert await agent.answer(observed(), "uid-ns-r") == ""
            stored = store.rows[observed().source]
            assert (stored.observation, stored.recordings) == (observed(), {"uid-ns-r"})
            assert made.changed == [frozenset({"uid-ns-r"})]
            assert await agent.answer(observed(), "uid-ns-r") == ""
            assert made.changed == [frozenset({"uid-ns-r"})]

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()))
    store = MemoryStore()
    with_ground(certificates, tmp_path, committed, store=store, platform=asked(recording()))


def test_reports_of_many_agents_are_one_commit(certificates, tmp_path):
    """What comes while a commit is under way waits for the next, which takes all of it."""
    store = MemoryStore()

    async def work(made):
        store.gate.clear()
        async with made.agent("node-0") as first:
            await first.plan()
            await first.report(observed(node="node-0"), "uid-ns-r")
            await made.until(lambda: store.attempts == 1)
            async with made.agent("node-1") as one, made.agent("node-2") as two:
                for agent in (one, two):
                    await agent.plan()
                    for number in range(10):
                        await agent.report(observed(number, node=agent.node), "uid-ns-r")
                await made.until(lambda: made.service.figures.pending == 20)
                store.gate.set()
                for agent in (one, two):
                    assert [await agent.acknowledged() for _ in range(10)] == [(n, "") for n in range(1, 11)]
        assert store.batches == [1, 20]

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()))


def test_a_full_store_acknowledges_nothing_and_loses_nothing(certificates, tmp_path):
    """Its state is visible; when it has room, what waited is stored, without being sent again."""
    store = MemoryStore()
    store.full = True

    async def work(made):
        figures = made.service.figures
        async with made.agent() as agent:
            await agent.plan()
            for number in range(5):
                await agent.report(observed(number), "uid-ns-r")
            await made.until(lambda: figures.stalls > 2 and figures.reports == 5)
            assert "full" in figures.full
            assert figures.full_since > 0
            assert store.rows == {}
            store.full = False
            assert [await agent.acknowledged() for _ in range(5)] == [(n, "") for n in range(1, 6)]
            assert (figures.full, figures.full_since, figures.pending_bytes) == ("", 0, 0)
            assert len(store.rows) == 5

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()))


def test_while_the_store_is_full_streams_are_read_no_further(certificates, tmp_path):
    """At the bound of bytes all agents wait in their order; what waits of one that goes is freed."""
    store = MemoryStore()
    store.full = True
    size = len(pb.AgentMessage(report=pb.Report(observation=to_observation(observed()))).SerializeToString())
    small = ServiceBounds(ingest=IngestBounds(retry_seconds=0.02, pending_bytes=10 * size))

    async def work(made):
        figures = made.service.figures
        async with made.agent("node-a") as one, made.agent("node-b") as two:
            for agent in (one, two):
                await agent.plan()
            for number in range(40):
                await one.report(observed(number), "uid-ns-r")
            await made.until(lambda: figures.stalls > 2 and figures.pending > 5)
            for number in range(40):
                await two.report(observed(number, node="node-b"), "uid-ns-r")
            tried = figures.stalls
            await made.until(lambda: figures.stalls > tried + 5)
            assert figures.pending_bytes <= 10 * size
            assert figures.reports <= 10
            one.call.cancel()
            store.full = False
            assert [await two.acknowledged() for _ in range(40)] == [(n, "") for n in range(1, 41)]
            await made.until(lambda: figures.pending_bytes == 0)

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()), bounds=small)


def test_so_many_reports_wait_and_no_more(certificates, tmp_path):
    """Of whichever size, of however many agents; each gets its turn, and what is refused keeps none."""
    store = MemoryStore()
    store.gate.clear()
    small = ServiceBounds(ingest=IngestBounds(batch=4, pending=4))

    async def work(made):
        figures = made.service.figures
        async with made.agent("node-a") as one, made.agent("node-b") as two:
            for agent in (one, two):
                await agent.plan()
            for number in range(20):
                await one.report(observed(number), "uid-ns-r")
            await made.until(lambda: figures.reports == 4)
            for number in range(20):
                await two.report(observed(number, node="node-a"), "uid-ns-r")  # foreign: refused each
            store.gate.set()
            assert [await one.acknowledged() for _ in range(20)] == [(n, "") for n in range(1, 21)]
            assert all([(await two.acknowledged())[1] for _ in range(20)])
            await made.until(lambda: figures.pending_bytes == 0)
            assert max(store.batches) <= 4

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()), bounds=small)


def test_an_agent_has_a_window_of_reports_under_way(certificates, tmp_path):
    """Beyond it its stream is read no further; acknowledgements make room again."""
    store = MemoryStore()
    store.gate.clear()

    async def work(made):
        async with made.agent() as agent:
            await agent.plan()
            for number in range(20):
                await agent.report(observed(number), "uid-ns-r")
            await made.until(lambda: made.service.figures.reports == 4)
            store.gate.set()
            assert [await agent.acknowledged() for _ in range(20)] == [(n, "") for n in range(1, 21)]

    with_ground(
        certificates, tmp_path, work, store=store, platform=asked(recording()), bounds=bounds(window=4)
    )


def test_an_agent_that_does_not_read_is_given_up(certificates, tmp_path):
    """Its acknowledgements take no more room than the window; after a while its stream ends."""

    async def work(made):
        async with made.agent() as agent:
            await agent.plan()
            # a plan that HTTP/2's window has no room for, and nobody who reads
            for number in range(400):
                made.platform.add(
                    recording(f"r-{number}", labels={"key": "v" * 60}, containers=("c" * 60,) * 5)
                )
            await made.until(lambda: made.service.figures.ended)
            return dict(made.service.figures.ended)

    ended = with_ground(certificates, tmp_path, work, bounds=bounds(write_seconds=0.2))
    assert ended == {"limit_reached": 1}


def test_a_damaged_store_ends_the_service(certificates, tmp_path):
    """It is not for this room to go on with another; the agent keeps what it has."""
    store = MemoryStore()
    store.damage = StoreDamaged("the test's file is damaged")

    async def work():
        async with (
            ground(certificates, tmp_path, store=store, platform=asked(recording())) as made,
            made.agent() as agent,
        ):
            await agent.plan()
            await agent.report(observed(), "uid-ns-r")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await agent.hear()

    with pytest.raises(StoreDamaged, match="the test's file is damaged"):
        asyncio.run(work())


def test_a_node_at_its_bound_waits_and_others_do_not(certificates, tmp_path):
    """The store keeps no more of it: its reports are not acknowledged; those of known containers are."""
    store = MemoryStore()
    store.node_bound = 2

    async def work(made):
        async with made.agent("node-a") as one, made.agent("node-b") as two:
            for agent in (one, two):
                await agent.plan()
            for number in (1, 2):
                assert await one.answer(observed(number), "uid-ns-r") == ""
            await one.report(observed(3), "uid-ns-r")
            await made.until(lambda: made.service.figures.held == 1)
            assert await two.answer(observed(node="node-b"), "uid-ns-r") == ""
            sequence = await one.report(observed(1, (7,)), "uid-ns-r")
            assert await one.acknowledged() == (sequence, "")

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()))


def test_late_reports_of_a_deleted_recording_are_taken_until_it_is_forgotten(certificates, tmp_path):
    """A container's end may come after the recording's."""
    store, one = MemoryStore(), recording()
    store.save(one, deleted_at=1.0)

    async def work(made):
        async with made.agent() as agent:
            assert (await agent.plan()).recordings == []
            assert await agent.answer(observed(ended=True), one.id) == ""
            store.saved.clear()
            made.service.recordings_changed()
            await made.until(lambda: not made.service.namespaces)
            assert (await agent.answer(observed(2), one.id)).startswith("unknown_recording: ")

    with_ground(certificates, tmp_path, work, store=store)


def test_a_recording_that_is_refused_now_takes_what_was_begun_and_nothing_new(certificates, tmp_path):
    """As when its namespace lost the label: a container that it has may end, another is not taken."""
    store, one = MemoryStore(), recording()
    store.save(one)

    async def work(made):
        async with made.agent() as agent:
            await agent.plan()
            assert await agent.answer(observed(1), one.id) == ""
            made.platform.refuse(one, "NotOptedIn")
            assert (await agent.plan()).recordings == []
            assert await agent.answer(observed(1, (9,), ended=True), one.id) == ""
            assert (await agent.answer(observed(2), one.id)).startswith("not_recorded_now: ")
            stored = store.rows[observed(1).source].observation
            assert set(stored.calls[CALLS]) == {0, 1, 9}
            assert stored.ended
            assert len(store.rows) == 1

    with_ground(certificates, tmp_path, work, store=store, platform=asked(one))


def test_containers_that_cannot_be_recorded_stay_apart(certificates, tmp_path):
    """Agents send them with one source for all of a node, and no calls."""
    store = MemoryStore()

    async def work(made):
        async with made.agent() as agent:
            await agent.plan()
            for number in (1, 2):
                one = to_observation(observed(number, ()))
                one.source.cgroup_id = one.source.epoch = 0
                for _ in range(2):
                    assert await agent.answer(one, "uid-ns-r", not_recorded="a virtual machine") == ""

    with_ground(certificates, tmp_path, work, store=store, platform=asked(recording()))
    said = {each.observation.identity.container_id: each.not_recorded for each in store.rows.values()}
    assert said == {container(number).container_id: "a virtual machine" for number in (1, 2)}


# --- streams


def test_a_node_has_one_stream_and_the_newest_counts(certificates, tmp_path):
    """An agent that was started anew does not wait until the old connection is found dead."""

    async def work(made):
        async with made.agent() as old:
            await old.plan()
            async with made.agent() as new:
                await new.plan()
                code, text = await old.ended()
                assert (code, "taken the place" in text) == (AWAY, True)
                assert await new.answer(observed(), "uid-ns-r") == ""
                assert made.service.figures.agents == 1

    with_ground(certificates, tmp_path, work, platform=asked(recording()))


def test_one_agent_too_many_is_refused(certificates, tmp_path):
    """Those that are connected stay; when one goes there is room again."""
    few = ServiceBounds(agents=2, ingest=QUICK.ingest)

    async def work(made):
        async with made.agent("node-a") as one, made.agent("node-b") as two:
            for agent in (one, two):
                await agent.plan()
            async with made.agent("node-c") as third:
                code, text = await third.ended()
                assert (code, "2 agents" in text) == (EXHAUSTED, True)
            two.call.cancel()
            await made.until(lambda: made.service.figures.agents == 1)
            async with made.agent("node-c") as third:
                await third.plan()
            await one.answer(observed(), "uid-ns-r")

    with_ground(certificates, tmp_path, work, bounds=few, platform=asked(recording()))


def test_at_its_end_the_collector_says_so_to_all(certificates, tmp_path):
    """With a status after which agents connect again."""

    async def work(made):
        async with made.agent("node-a") as one, made.agent("node-b") as two:
            for agent in (one, two):
                await agent.plan()
            made.service.stop()
            for agent in (one, two):
                assert await agent.ended() == (AWAY, "the collector is stopping")
            async with made.agent("node-c", hello=False) as late:
                assert (await late.ended())[0] is AWAY
            await made.until(lambda: made.service.figures.agents == 0)

    with_ground(certificates, tmp_path, work)


def test_a_message_that_grpc_does_not_take_ends_its_stream_alone(certificates, tmp_path):
    """Above what is looked at and answered, gRPC itself ends the stream and says the sizes."""

    async def work(made):
        async with made.agent("node-a") as large, made.agent("node-b") as other:
            for agent in (large, other):
                await agent.plan()
            await large.send_bytes(b"\0" * (RECEIVE_BYTES + 1))
            code, text = await large.ended()
            assert (code, str(RECEIVE_BYTES) in text) == (EXHAUSTED, True)
            assert await other.answer(observed(node="node-b"), "uid-ns-r") == ""

    with_ground(certificates, tmp_path, work, platform=asked(recording()))
