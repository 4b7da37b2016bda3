"""Agents, recordings and people that mean harm: refused with a reason, counted, and nobody else is affected.

Beside each of them a good agent reports before and after, and all that it sent is stored, as it sent it.
"""

import asyncio
import tracemalloc

import grpc
import pytest

from recorder.collector.agents.plan import plan_message
from recorder.collector.store.sighting import Confirmation
from recorder.model.denial_wire import to_denials
from recorder.model.record import FirstSight, SightKey, Source
from recorder.model.wire import from_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.ground import FakeReviewer, container, ground, message_of, observed
from tests.collector.platform import FakePlatform, recording
from tests.denials_given import apparmor, counted, selinux

MINE = recording("r", "ns")
DENIED = grpc.StatusCode.PERMISSION_DENIED
MIB = 1 << 20


class Beside:
    """A collector with the recordings, a hostile agent of node-a, and a good one of node-b."""

    def __init__(self, made, hostile, good):
        self.made = made
        self.hostile = hostile
        self.good = good
        self.service = made.service
        self.figures = made.service.figures
        self.store = made.store
        self._good = {}

    async def good_reports(self, count=3):
        """The good one's containers, each with one call more; acknowledged."""
        for number in range(1, count + 1):
            calls = (*self._good.get(number, ()), len(self._good) + 10)
            self._good[number] = calls
            one = observed(number, calls, node="node-b", identity=container(number, pod=f"good-{number}"))
            assert await self.good.answer(one, MINE.id) == ""

    def check_good(self):
        """All of it is stored, and nothing that it did not say."""
        stored = {source.cgroup_id: row for source, row in self.store.rows.items() if source.node == "node-b"}
        assert {
            number: next(iter(row.observation.calls.values())).to_bytes() for number, row in stored.items()
        } == {
            number: next(iter(observed(number, calls).calls.values())).to_bytes()
            for number, calls in self._good.items()
        }

    @property
    def of_hostile(self):
        """What is stored of its node, and of what it says is its node."""
        return {source: row for source, row in self.store.rows.items() if source.node != "node-b"}

    async def refused(self, observation, *recordings, **more):
        """Its report is refused: why."""
        reason = await self.hostile.answer(observation, *(recordings or (MINE.id,)), **more)
        assert reason
        return reason

    def counted(self):
        """Refusals by reason."""
        return dict(self.figures.refused)


@pytest.fixture
def beside(certificates, tmp_path):
    """Runs a test's coroutine between two rounds of the good agent's."""

    def run(work, *recordings, reviewer=None):
        async def whole():
            platform = FakePlatform()
            for each in recordings or (MINE,):
                platform.add(each)
            if MINE not in recordings:
                platform.add(MINE)
            async with (
                ground(certificates, tmp_path, platform=platform, reviewer=reviewer) as made,
                made.agent("node-a") as hostile,
                made.agent("node-b") as good,
            ):
                await hostile.plan()
                await good.plan()
                them = Beside(made, hostile, good)
                await them.good_reports()
                await work(them)
                await them.good_reports()
                them.check_good()
                assert made.service.figures.pending_bytes == 0

        asyncio.run(whole())

    return run


def test_node_a_s_certificate_and_records_of_node_b(beside):
    """Also of a source that node B has reported itself, whose record stays as it was."""

    async def work(them):
        for number in (1, 77):
            reason = await them.refused(observed(number, (99,), node="node-b"))
            assert reason.startswith("foreign_node: it is of the node 'node-b'")
        assert them.of_hostile == {}
        assert them.counted() == {"foreign_node": 2}

    beside(work)


def test_node_a_s_certificate_and_the_hello_of_node_b(beside):
    """Node B's stream, which stands, is not touched."""

    async def work(them):
        async with them.made.agent("node-a", says="node-b") as liar:
            code, text = await liar.ended()
            assert (code, text) == (
                DENIED,
                "the agent says that it is of the node 'node-b'; its certificate is for 'node-a'",
            )
        assert [each.node for each in them.service.agents()] == ["node-a", "node-b"]

    beside(work)


def test_a_pod_that_the_api_server_may_place_elsewhere(beside):
    """An agent's word alone confirms nothing: it is stored as what nobody has been asked about."""

    async def work(them):
        them.made.platform.add_pod("pod-1", "ns", "uid-1", "node-b")
        assert await them.hostile.answer(observed(1), MINE.id) == ""
        (row,) = them.of_hostile.values()
        assert (row.confirmation, row.placement) == (Confirmation.UNASKED, None)

    beside(work)


def test_a_pod_in_no_recorded_namespace(beside):
    """For a recording of another namespace, for one of none, and without a pod at all."""
    outside = recording("outside", "")

    async def work(them):
        for identity in (container(1, "secret"), container(1, "")):
            reason = await them.refused(observed(1, identity=identity))
            assert reason.startswith("wrong_namespace: ")
        reason = await them.refused(observed(1), outside.id)
        assert reason.startswith("wrong_namespace: ")
        reason = await them.refused(observed(1, identity=container(1, "secret")), "uid-secret-r")
        assert reason.startswith("unknown_recording: ")
        assert them.of_hostile == {}
        assert them.counted() == {"wrong_namespace": 3, "unknown_recording": 1}

    beside(work, outside)


def test_a_record_for_a_container_it_never_announced(beside):
    """One that has no name or id, or that belongs to no recording: nobody knows whose it is."""

    async def work(them):
        for field in ("name", "container_id"):
            one = message_of(observed(1, ended=True))
            one.identity.ClearField(field)
            assert (await them.refused(one)).startswith("unattributed: ")
        sequence = await them.hostile.report(observed(1, ended=True))
        got, reason = await them.hostile.acknowledged()
        assert (got, reason.startswith("unattributed: ")) == (sequence, True)
        no_source = message_of(observed(1))
        no_source.ClearField("source")
        assert (await them.refused(no_source)).startswith("foreign_node: ")
        assert them.of_hostile == {}
        assert them.counted() == {"unattributed": 3, "foreign_node": 1}

    beside(work)


def test_a_bitmap_of_the_wrong_size(beside):
    """129 bytes; 128 and none are sizes that a bitmap may have."""

    async def work(them):
        one = message_of(observed(1))
        one.calls[0].numbers = b"\1" * 129
        assert "has 129 bytes; at most 128 are allowed" in await them.refused(one)
        one.calls[0].numbers = b"\1" * (100 << 10)
        assert (await them.refused(one)).startswith("invalid: ")
        assert them.of_hostile == {}
        one.calls[0].numbers = b"\1" * 128
        assert await them.hostile.answer(one, MINE.id) == ""
        one.calls[0].numbers = b""
        assert await them.hostile.answer(one, MINE.id) == ""
        assert them.counted() == {"invalid": 2}

    beside(work)


def texts():
    """Every text of a report, as a function that sets it."""

    def field(path):
        def put(report, text):
            holder = report
            *folders, last = path.split(".")
            for each in folders:
                holder = getattr(holder, each)
            setattr(holder, last, text)

        return pytest.param(put, id=path)

    identity = ("name", "cgroup_path", "container_id", "image", "image_digest")
    pod = ("namespace", "name", "uid")
    provenance = [each.name for each in record_pb2.Provenance.DESCRIPTOR.fields]
    return [
        field("not_recorded"),
        *(field(f"observation.source.{each}") for each in ("node", "boot_id")),
        *(field(f"observation.identity.{each}") for each in identity),
        *(field(f"observation.identity.pod.{each}") for each in pod),
        *(field(f"observation.provenance.{each}") for each in provenance),
        pytest.param(lambda report, text: report.recordings.append(text), id="recordings"),
        pytest.param(
            lambda report, text: report.observation.identity.labels.update({text: "v"}), id="label's key"
        ),
        pytest.param(
            lambda report, text: report.observation.identity.labels.update({"k": text}), id="label's value"
        ),
        pytest.param(
            lambda report, text: report.observation.ledger.add(cause=text, count=1), id="ledger's cause"
        ),
        pytest.param(lambda report, text: report.observation.first_sights.add(comm=text.encode()), id="comm"),
    ]


@pytest.mark.parametrize("put", texts())
def test_a_name_of_1_mb(beside, put):
    """Of every text there is: refused and answered, and the stream goes on; 5,000 characters as well."""

    async def work(them):
        for size in (1_000_000, 5_000):
            report = pb.Report(observation=message_of(observed(1)), recordings=[MINE.id])
            put(report, "n" * size)
            them.hostile.sequence += 1
            report.sequence = them.hostile.sequence
            await them.hostile.send(pb.AgentMessage(report=report))
            sequence, reason = await them.hostile.acknowledged()
            assert sequence == report.sequence
            if put.__name__ == "<lambda>" and len(report.recordings) == 2 and size == 5_000:
                assert reason == ""  # the other recording is there, and takes it
                (row,) = them.of_hostile.values()
                assert row.recordings == {MINE.id}
            else:
                assert reason
                assert len(reason) < 500
        assert sum(them.counted().values()) == 2
        assert len(them.of_hostile) <= 1

    beside(work)


def test_a_million_labels(beside):
    """A message of them is ended by gRPC before it is decoded; 65 labels are refused, 64 are taken."""

    async def work(them):
        async with them.made.agent("node-c") as another:
            await another.plan()
            labels = b"".join(b"\x4a\x0b\x0a\x07%07d\x12\x00" % number for number in range(1_000_000))
            await another.send_bytes(b"\x12\xff\xff\xff\x07" + labels)
            assert (await another.ended())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        one = message_of(observed(1))
        one.identity.labels.clear()
        one.identity.labels.update({f"key-{number}": "v" for number in range(65)})
        assert await them.refused(one) == ("too_large: identity.labels has 65 entries; at most 64 are taken")
        del one.identity.labels["key-0"]
        assert await them.hostile.answer(one, MINE.id) == ""

    beside(work)


def test_lists_without_end(beside):
    """Sets, first sights, causes, recordings: bounded each; a number above SQL's as well."""

    async def work(them):
        many = message_of(observed(1))
        many.calls.extend([record_pb2.CallSet(abi=1, phase=2, outcome=1, numbers=b"\1")] * 65)
        assert (await them.refused(many)).startswith("too_large: calls has 66 entries")
        many = message_of(observed(1))
        many.first_sights.extend([record_pb2.FirstSight(abi=1)] * 8193)
        assert (await them.refused(many)).startswith("too_large: first_sights has 8193")
        many = message_of(observed(1))
        many.ledger.extend([record_pb2.LedgerEntry(cause="slots_full", count=1)] * 129)
        assert (await them.refused(many)).startswith("too_large: ledger has 129")
        assert (await them.refused(observed(1), *(f"r-{n}" for n in range(2000)))).startswith("unknown_rec")
        for path in ("source.cgroup_id", "source.epoch", "first_seen_ns", "last_seen_ns"):
            huge = message_of(observed(1))
            holder = huge.source if "." in path else huge
            setattr(holder, path.rpartition(".")[2], 1 << 63)
            assert (await them.refused(huge)).startswith(f"too_large: {path} is ")
        for offset in (-(1 << 63), (1 << 63) - 1):
            far = message_of(observed(1))
            far.wall_offset_ns = offset
            assert (await them.refused(far)).startswith("too_large: wall_offset_ns is ")
        # many of these would be a sum that nothing holds
        counts = message_of(observed(1))
        counts.ledger.add(cause="slots_full", count=1 << 62)
        assert (await them.refused(counts)).startswith("too_large: ledger: count is ")
        assert them.of_hostile == {}

    beside(work)


def test_accesses_without_end(beside):
    """Paths of 1 MB, a million entries, bytes that no path has, and parts of another node's container."""

    def accessed(*accesses, **values):
        message = message_of(observed(1, **values))
        message.accesses.extend(accesses)
        return message

    def file(path, **more):
        return record_pb2.Access(phase=2, file=record_pb2.File(path=path), rights=1, **more)

    async def work(them):
        refused = them.refused
        assert (await refused(accessed(file(b"/" * 1_000_000)))).startswith("too_large: the report has 100")
        assert "has 4097 bytes; at most 4096" in await refused(accessed(file(b"/" * 4097)))
        assert "with a NUL in it" in await refused(accessed(file(b"/a\0")))
        assert "accesses[1]: subject is missing" in await refused(accessed(file(b"/a"), record_pb2.Access()))
        assert "comm is" in await refused(accessed(file(b"/a", comm=b"x" * 16)))
        assert (await refused(accessed(file(b"/a", time_ns=1 << 63)))).startswith(
            "too_large: accesses: time_ns"
        )
        cut = accessed(file(b"/a"))
        cut.accesses_cut_at = b"short"
        assert "accesses_cut_at" in await refused(cut)
        many = accessed(*[record_pb2.Access(user_namespace=record_pb2.UserNamespace())] * 16_385)
        assert (await refused(many)).startswith("too_large: accesses has 16385 entries")
        assert (await refused(accessed(file(b"/a"), node="node-b"))).startswith("foreign_node: ")
        assert them.of_hostile == {}
        async with them.made.agent("node-c") as another:
            await another.plan()
            entry = b"\x62\x09\x08\x02\x12\x05\x0a\x03/ab"
            await another.send_bytes(b"\x12\xff\xff\xff\x07" + entry * 1_000_000)
            assert (await another.ended())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        # in parts, twice and out of order
        for paths in ((b"/c",), (b"/a", b"/b"), (b"/c",)):
            assert await them.hostile.answer(accessed(*map(file, paths)), MINE.id) == ""
        (row,) = them.of_hostile.values()
        assert [key.subject.path for key in row.observation.accesses.entries] == [b"/a", b"/b", b"/c"]

    beside(work)


def test_denials_without_end(beside):
    """How many, how large, how often, when, and of which texts; what an agent can have of them is taken."""
    one = to_denials({apparmor(): counted()})[0]

    def denied(*denials):
        message = message_of(observed(1))
        message.denials.extend(denials)
        return message

    def changed(change):
        each = record_pb2.Denial()
        each.CopyFrom(one)
        change(each)
        return denied(each)

    async def work(them):
        refused = them.refused
        assert (await refused(denied(*[one] * 513))).startswith("too_large: denials has 513 entries")
        large = changed(lambda each: setattr(each.apparmor.name, "content", b"x" * 4096))
        assert (await refused(large)).startswith("too_large: denials: one has 4")
        long = changed(lambda each: setattr(each.apparmor.name, "content", b"x" * 3500)).denials[0]
        assert (await refused(denied(*[long] * 60))).startswith("too_large: denials has 2")
        often = changed(lambda each: setattr(each, "count", 1 << 41))
        assert (await refused(often)).startswith("too_large: denials: count is ")
        for where in ("first", "last"):
            late = changed(lambda each, where=where: setattr(getattr(each, where), "time_ns", 1 << 61))
            assert (await refused(late)).startswith("too_large: denials: time_ns is ")
            comm = changed(lambda each, where=where: setattr(getattr(each, where), "comm", b"x" * 16))
            assert (await refused(comm)).startswith(f"invalid: observation.denials[0].{where}.comm")
        nul = changed(lambda each: setattr(each.apparmor.name, "content", b"a\0b"))
        assert (await refused(nul)).startswith("invalid: observation.denials[0].apparmor.name")
        assert (await refused(changed(lambda each: setattr(each, "verdict", "\n")))).startswith("invalid: ")
        assert them.of_hostile == {}
        whole = denied(one, *to_denials({apparmor(bytes(range(1, 256))): counted(), selinux(): counted()}))
        assert await them.hostile.answer(whole, MINE.id) == ""

    beside(work)


def test_a_selector_that_matches_everything(beside):
    """It selects all pods of its namespace, and nothing of any other: in the plan, and in what is taken."""
    everything = recording("everything", "ns")

    async def work(them):
        message = plan_message([everything])
        assert message.recordings[0].HasField("selector")
        assert message.recordings[0].namespace == "ns"
        assert await them.hostile.answer(observed(1), everything.id, MINE.id) == ""
        reason = await them.refused(observed(2, identity=container(2, "other")), everything.id)
        assert reason.startswith("wrong_namespace: ")
        (row,) = them.of_hostile.values()
        assert row.recordings == {everything.id, MINE.id}

    beside(work, everything)


def test_recordings_a_b_with_c_and_a_with_b_c(beside):
    """They would have one name for their results; what belongs to which is kept by id, never by a name."""
    first, second = recording("a-b", containers=("c",)), recording("a", containers=("b-c",))

    async def work(them):
        for number, (one, name) in enumerate(((first, "c"), (second, "b-c")), 1):
            identity = container(number, name=name)
            assert await them.hostile.answer(observed(number, (number,), identity=identity), one.id) == ""
        assert {
            next(iter(row.recordings)): row.observation.identity.name for row in them.of_hostile.values()
        } == {first.id: "c", second.id: "b-c"}

    beside(work, first, second)


def test_one_name_in_two_namespaces(beside):
    """A recording's container cannot be handed to the recording of the same name elsewhere."""
    here, there = recording("r", "here"), recording("r", "there")

    async def work(them):
        assert await them.hostile.answer(observed(1, identity=container(1, "here")), here.id) == ""
        assert await them.hostile.answer(observed(2, identity=container(2, "there")), there.id) == ""
        reason = await them.refused(observed(3, identity=container(3, "here")), there.id)
        assert reason.startswith("wrong_namespace: ")
        # of two recordings the one that fits is taken, and the other counted
        assert await them.hostile.answer(observed(4, identity=container(4, "here")), there.id, here.id) == ""
        assert {source.cgroup_id: row.recordings for source, row in them.of_hostile.items()} == {
            1: {here.id},
            2: {there.id},
            4: {here.id},
        }
        assert them.counted() == {"wrong_namespace": 2}

    beside(work, here, there)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("pod.namespace", "ns/../other"),
        ("pod.name", "Pod_1"),
        ("pod.name", "a" * 254),
        ("pod.uid", ""),
        ("pod.uid", "uid 1"),
        ("name", "App;rm"),
        ("name", "\x1b[31mapp"),
    ],
)
def test_a_name_that_kubernetes_does_not_have(beside, field, text):
    """Results get their names from it, and the API server is asked by it."""

    async def work(them):
        one = message_of(observed(1))
        holder = one.identity.pod if "." in field else one.identity
        setattr(holder, field.rpartition(".")[2], text)
        reason = await them.refused(one)
        assert reason.startswith(("invalid: ", "wrong_namespace: "))
        assert reason.isascii()
        assert reason.isprintable()
        assert them.of_hostile == {}

    beside(work)


def test_calls_of_a_container_that_is_not_recorded(beside):
    """The two exclude each other."""

    async def work(them):
        reason = await them.refused(observed(1), not_recorded="a virtual machine")
        assert reason.startswith("invalid: ")
        assert them.of_hostile == {}

    beside(work)


def test_nonsense_without_end_costs_no_memory(beside, scaled):
    """Thousands of reports that are refused, with sequences and answers: nothing of them stays."""
    count = scaled(20_000, 1_000)

    async def work(them):
        one = observed(1, node="node-x")

        async def some(number):
            for _ in range(number):
                assert (await them.hostile.answer(one, MINE.id)).startswith("foreign_node")

        await some(200)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await some(count)
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert after - before < 200 << 10
        assert them.counted() == {"foreign_node": count + 200}

    beside(work)


def test_a_flood_of_new_containers_is_bounded_by_its_node(beside):
    """Beyond what the store keeps of one node nothing is acknowledged; the good agent does not wait."""

    async def work(them):
        them.store.node_bound = 20
        for number in range(40):
            await them.hostile.report(observed(number), MINE.id)
        answers = [await them.hostile.acknowledged() for _ in range(20)]
        assert [reason for _, reason in answers] == [""] * 20
        await them.made.until(lambda: them.figures.held == 20)
        assert len(them.of_hostile) == 20

    beside(work)


def test_what_is_stored_is_what_was_sent(beside):
    """Times, comms, unknown ABIs and causes pass as they are."""
    full = from_observation(message_of(observed(1)))
    sights = {SightKey(9, 2, 1, 1023): FirstSight(1 << 60, b"\xff\xfe")}
    full = type(full)(
        Source("node-a", "boot", 5, 6),
        full.identity,
        full.calls,
        sights,
        first_seen_ns=7,
        last_seen_ns=1 << 60,
        wall_offset_ns=-(1 << 62),
        ended=True,
    )

    async def work(them):
        assert await them.hostile.answer(full, MINE.id) == ""
        (row,) = them.of_hostile.values()
        assert row.observation == full

    beside(work)


# --- people


ASKS = {
    "GetRecords, the namespace": ("GetRecords", pb.RecordsFilter(namespace="b")),
    "GetRecords, the namespace and the recording": (
        "GetRecords",
        pb.RecordsFilter(namespace="b", recording="r"),
    ),
    "GetRecords, a namespace that there is not": ("GetRecords", pb.RecordsFilter(namespace="nowhere")),
    "WatchRecords, the namespace": ("WatchRecords", pb.RecordsFilter(namespace="b")),
    "WatchRecords, the namespace and the recording": (
        "WatchRecords",
        pb.RecordsFilter(namespace="b", recording="r"),
    ),
    "WatchRecords, a namespace that there is not": ("WatchRecords", pb.RecordsFilter(namespace="nowhere")),
}


@pytest.mark.parametrize("ask", ASKS)
def test_a_user_of_namespace_a_asking_for_records_of_b(beside, ask):
    """By every method that reads: in the same words whether there is something or not."""
    method, asked = ASKS[ask]
    reviewer = FakeReviewer(tokens={"token-a": "ann"}, readers={"ann": {"a"}})

    async def work(them):
        them.store.save(recording("r", "a"))
        them.store.save(recording("r", "b"))
        await them.hostile.answer(observed(1, identity=container(1, "b")), "uid-b-r")
        async with them.made.person("token-a") as stub:
            request = getattr(pb, f"{method}Request")(filter=asked)
            call = getattr(stub, method)(request)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
        assert caught.value.code() is DENIED
        assert caught.value.details() == (
            f"you may not read the recordings of the namespace '{asked.namespace}': that needs the verb get "
            "for profilerecordings (security-profiles-operator.x-k8s.io) there"
        )

    beside(work, recording("r", "a"), recording("r", "b"), reviewer=reviewer)


def test_a_user_of_namespace_a_who_asks_for_all_sees_nothing_of_b(beside):
    """By both methods that list, and with the name of a recording of b alone; nor what is of no namespace."""
    reviewer = FakeReviewer(tokens={"token-a": "ann"}, readers={"ann": {"a"}})
    mine, other, outside = recording("mine", "a"), recording("secret", "b"), recording("host", "")

    async def work(them):
        for each in (mine, other, outside):
            them.store.save(each)
        for number, each in enumerate((mine, other, outside), 1):
            identity = container(number, each.name.namespace)
            assert await them.hostile.answer(observed(number, identity=identity), each.id) == ""
        async with them.made.person("token-a") as stub:
            said = [each async for each in stub.GetRecords(pb.GetRecordsRequest())]
            assert [each.WhichOneof("entry") for each in said] == ["recording", "container"]
            assert "secret" not in str(said)
            assert "host" not in str(said)
            asked = pb.GetRecordsRequest(filter=pb.RecordsFilter(recording="secret"))
            assert [each async for each in stub.GetRecords(asked)] == []
            watch = stub.WatchRecords(pb.WatchRecordsRequest())
            events = [await watch.read()]
            while not events[-1].HasField("synced"):
                events.append(await watch.read())
            await them.hostile.answer(observed(2, (50,), identity=container(2, "b")), other.id)
            await them.hostile.answer(observed(1, (50,), identity=container(1, "a")), mine.id)
            events.append(await watch.read())
            assert events[-1].container.recording_id == mine.id
            assert "secret" not in str(events)
            watch.cancel()

    beside(work, mine, other, outside, reviewer=reviewer)


def test_an_agents_certificate_reads_nothing(beside):
    """On its own port a method for people needs a token as well."""

    async def work(them):
        channel = them.hostile._channel
        method = channel.unary_stream(
            "/recorder.rpc.v1.Collector/GetRecords",
            request_serializer=pb.GetRecordsRequest.SerializeToString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in method(pb.GetRecordsRequest()):
                pass
        assert caught.value.code() is DENIED

    beside(work, reviewer=FakeReviewer())
