"""The uplink against a collector that is away, slow, forgetful, silent, or talks nonsense."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from recorder.agent.outbox import Part
from recorder.agent.uplink import MAX_REASONS, Pace, Uplink
from recorder.model.abi import Abi
from recorder.model.errors import InvalidCertificate, InvalidRequest
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Source
from recorder.model.wire import from_json, from_observation, to_observation
from recorder.rpc.v1 import collector_pb2 as pb
from tests.agent.collector import Behaviour, Collector, collector

CALLS = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)
WAIT = 30.0
QUICK = Pace(first_backoff=0.01, last_backoff=0.05)


class MemoryOutbox:
    """The reference: one state for each source, in memory."""

    def __init__(self) -> None:
        self._states: dict[Source, Observation] = {}
        self._news: dict[Source, None] = {}  # in order
        self._in_flight: set[Source] = set()
        self._changed_in_flight: set[Source] = set()
        self._wake = asyncio.Event()
        self.given = 0
        self.lost: list[int] = []
        self.not_recorded = ""

    def put(self, observation: Observation) -> None:
        """The source's state now."""
        source = observation.source
        self._states[source] = observation
        if source in self._in_flight:
            self._changed_in_flight.add(source)
        else:
            self._news[source] = None
            self._wake.set()

    async def next(self) -> Part:
        while not self._news:
            self._wake.clear()
            await self._wake.wait()
        source = next(iter(self._news))
        del self._news[source]
        self._in_flight.add(source)
        self.given += 1
        return Part(source, ("recording",), to_observation(self._states[source]), self.not_recorded)

    def acknowledged(self, key: Source) -> None:
        self._in_flight.discard(key)
        if key in self._changed_in_flight:
            self._changed_in_flight.discard(key)
            self._news[key] = None
            self._wake.set()
        elif self._states[key].ended:
            del self._states[key]

    def refused(self, key: Source) -> None:
        self.lost.append(key.cgroup_id)
        self.acknowledged(key)

    def rewind(self) -> None:
        for source in sorted(self._in_flight):
            self._news[source] = None
        self._in_flight.clear()
        self._changed_in_flight.clear()
        self._wake.set()

    def unacknowledged(self) -> int:
        return len(self._news) + len(self._in_flight)


def state(cgroup: int, count: int, *, ended: bool = False) -> Observation:
    """A source that has seen calls 0 to count - 1."""
    return Observation(
        Source("node", "boot", cgroup, 1), calls={CALLS: Numbers.of(range(count))}, ended=ended
    )


class Ground:
    """An uplink that runs, with an outbox, and the plans that it was given."""

    def __init__(self, address: str, pace: Pace, **settings) -> None:
        self.outbox = MemoryOutbox()
        self.plans: list[pb.Plan] = []
        self.refuse: set[str] = set()
        self.uplink = Uplink(
            address,
            settings.pop("credentials", lambda: None),
            self.hello,
            self.outbox,
            self.take,
            pace=pace,
            **settings,
        )
        self.task = asyncio.create_task(self.uplink.run())

    def hello(self) -> pb.Hello:
        return pb.Hello(node="node", plan_revision=self.plans[-1].revision if self.plans else "")

    async def take(self, plan: pb.Plan) -> None:
        if plan.revision in self.refuse:
            raise InvalidRequest(f"recordings[0].selector: \x1b[31m{plan.revision}")
        self.plans.append(plan)

    async def until(self, what: Callable[[], object]) -> None:
        """Until it is true, looked at after each turn of the loop; the collector runs in a thread."""
        async with asyncio.timeout(WAIT):
            while not what():
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.002)


def with_uplink(
    address: str, work: Callable[[Ground], Awaitable[None]], pace: Pace = QUICK, **settings
) -> None:
    """Run `work` beside an uplink; it is cancelled afterwards, and must take that."""

    async def run() -> None:
        ground = Ground(address, pace, **settings)
        try:
            await work(ground)
        finally:
            ground.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.timeout(WAIT):
                    await ground.task

    asyncio.run(run())


@pytest.fixture
def server():
    """A collector on a port of the loopback."""
    with collector() as made:
        yield made


def calls_of(server: Collector, cgroup: int) -> int:
    observation = server.stored.get(Source("node", "boot", cgroup, 1))
    return len(observation.calls[CALLS]) if observation else 0


def test_hello_comes_first_and_once(server):
    """Then reports; each stream has its own sequence, which rises by one."""

    async def work(ground):
        for cgroup in range(5):
            ground.outbox.put(state(cgroup, 3))
        await ground.until(lambda: len(server.stored) == 5)

    with_uplink(server.address, work)
    assert [each.node for each in server.hellos] == ["node"]
    assert [each.sequence for each in server.reports] == [1, 2, 3, 4, 5]
    assert all(list(each.recordings) == ["recording"] for each in server.reports)


def test_a_container_that_cannot_be_recorded_is_reported_with_its_reason(server):
    """The reason travels beside who it is; nothing of it is a record."""

    async def work(ground):
        ground.outbox.put(state(1, 0))
        ground.outbox.not_recorded = "kata"
        await ground.until(lambda: ground.outbox.unacknowledged() == 0 and server.reports)

    with_uplink(server.address, work)
    assert (list(server.refused.values()), server.stored) == (["kata"], {})


def test_what_is_acknowledged_is_not_sent_again(server):
    """Nor is what did not change; after a restart of the collector either."""

    async def work(ground):
        ground.outbox.put(state(1, 3))
        await ground.until(lambda: ground.outbox.unacknowledged() == 0 and server.reports)
        server.restart()
        await ground.until(lambda: len(server.hellos) == 2)
        ground.outbox.put(state(2, 3))
        await ground.until(lambda: calls_of(server, 2))

    with_uplink(server.address, work)
    assert [each.observation.source.cgroup_id for each in server.reports] == [1, 2]


def test_what_is_not_acknowledged_is_sent_again_as_one_state(server):
    """A stream is dropped with reports under way; later states took the place of earlier ones meanwhile."""
    server.behaviour = Behaviour(acknowledges=False)

    async def work(ground):
        for cgroup in (1, 2):
            ground.outbox.put(state(cgroup, 1))
        await ground.until(lambda: len(server.reports) == 2)
        for count in range(2, 50):
            ground.outbox.put(state(1, count))
        server.stop()
        await ground.until(lambda: not ground.uplink.status().connected)
        assert ground.uplink.status().unacknowledged == 2
        for count in range(50, 100):
            ground.outbox.put(state(1, count))
        server.behaviour = Behaviour()
        server.start()
        await ground.until(lambda: ground.outbox.unacknowledged() == 0)

    with_uplink(server.address, work)
    again = [(each.observation.source.cgroup_id, each.sequence) for each in server.reports[2:]]
    assert sorted(again) == [(1, again[0][1]), (2, again[1][1])]
    assert sorted(sequence for _, sequence in again) == [1, 2], "a new stream counts anew"
    assert (calls_of(server, 1), calls_of(server, 2)) == (99, 1)


def test_a_source_has_one_state_under_way(server):
    """While the collector is slow, a source that changes all the time is sent as it is when there is room."""
    server.behaviour = Behaviour(acknowledge_after=0.05)

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: calls_of(server, 1) == 1)  # it is connected: what comes now finds no room
        for count in range(2, 301):
            ground.outbox.put(state(1, count))
            await asyncio.sleep(0)
        await ground.until(lambda: calls_of(server, 1) == 300 and ground.outbox.unacknowledged() == 0)

    with_uplink(server.address, work)
    assert 2 <= len(server.reports) < 50


def test_acknowledgements_are_for_the_report_that_they_name(server):
    """In any order, and said twice: the source of that report is done, the others are not."""
    server.behaviour = Behaviour(acknowledges=False)
    done: list[int] = []

    async def work(ground):
        acknowledged = ground.outbox.acknowledged
        ground.outbox.acknowledged = lambda key: (done.append(key.cgroup_id), acknowledged(key))
        for cgroup in (1, 2, 3):
            ground.outbox.put(state(cgroup, cgroup))
        await ground.until(lambda: len(server.reports) == 3)
        for sequence in (3, 1, 1, 3):
            message = pb.CollectorMessage(acknowledgement=pb.Acknowledgement(sequence=sequence))
            server.say(message)
        await ground.until(lambda: done == [3, 1])
        assert ground.uplink.status().unacknowledged == 1
        server.send(pb.Plan(revision="after"))  # whatever was said before has been read then
        await ground.until(lambda: ground.plans)
        assert done == [3, 1]

    with_uplink(server.address, work)


def test_what_is_refused_is_not_sent_again(server):
    """Not in the next stream either; what is acknowledged beside it is stored, and the next state is sent."""
    server.behaviour = Behaviour(
        will_not_store=lambda report: "too large" if report.observation.source.cgroup_id == 1 else ""
    )

    async def work(ground):
        for cgroup in (1, 2):
            ground.outbox.put(state(cgroup, 1, ended=True))
        await ground.until(lambda: ground.outbox.unacknowledged() == 0 and len(server.reports) == 2)
        assert ground.outbox.lost == [1]
        assert ground.uplink.status().problem == ""
        server.restart()
        await ground.until(lambda: len(server.hellos) == 2)
        ground.outbox.put(state(1, 2))
        await ground.until(lambda: ground.outbox.lost == [1, 1])

    with_uplink(server.address, work)
    seen = [from_observation(each.observation) for each in server.reports]
    sent = [(each.source.cgroup_id, len(each.calls[CALLS])) for each in seen]
    assert sent == [(1, 1), (2, 1), (1, 2)]
    assert [source.cgroup_id for source in server.stored] == [2]


def test_each_reason_of_a_refusal_is_said_once(server, caplog):
    """For all containers together, without what a terminal would obey, and cut; so many are remembered."""
    reasons = iter(["full", "full", "\x1b[31mred", "x" * 1000, "full", *map(str, range(MAX_REASONS)), "full"])
    server.behaviour = Behaviour(will_not_store=lambda _: next(reasons))

    async def work(ground):
        for cgroup in range(6 + MAX_REASONS):
            ground.outbox.put(state(cgroup, 1, ended=True))
        await ground.until(lambda: len(ground.outbox.lost) == 6 + MAX_REASONS)

    with_uplink(server.address, work)
    said = [each.message.rpartition(": ")[2] for each in caplog.records if "does not store" in each.message]
    assert said == ["full", "?[31mred", "x" * 300, *map(str, range(MAX_REASONS)), "full"]


def test_the_window_bounds_what_is_under_way(server):
    """A collector that acknowledges nothing gets so many states, and no more are made."""
    server.behaviour = Behaviour(acknowledges=False)

    async def work(ground):
        for cgroup in range(100):
            ground.outbox.put(state(cgroup, 1))
        await ground.until(lambda: len(server.reports) == 8)
        server.send(pb.Plan(revision="1"))  # the stream is alive
        await ground.until(lambda: ground.plans)
        assert ground.outbox.given == 8
        assert ground.uplink.status().unacknowledged == 100

    with_uplink(server.address, work, replace(QUICK, window=8))
    assert len(server.reports) == 8


def test_a_collector_that_never_acknowledges_is_left_and_tried_again(server):
    """The stream is given up, with the reason in the status."""
    server.behaviour = Behaviour(acknowledges=False)

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: server.streams >= 2)
        assert "not acknowledged within 0.1 s" in ground.uplink.status().problem
        server.behaviour = Behaviour()
        await ground.until(lambda: calls_of(server, 1) == 1 and ground.outbox.unacknowledged() == 0)
        assert ground.uplink.status().problem == ""

    with_uplink(server.address, work, replace(QUICK, acknowledge=0.1))


def test_a_collector_that_is_slow_with_many_reports_is_not_left(server):
    """The oldest has its time from when it became that; it is not given up for one that came later."""
    server.behaviour = Behaviour(acknowledges=False)
    now = 0.0

    async def work(ground):
        nonlocal now

        async def acknowledged(sequence: int) -> None:
            left = ground.outbox.unacknowledged() - 1
            server.say(pb.CollectorMessage(acknowledgement=pb.Acknowledgement(sequence=sequence)))
            await ground.until(lambda: ground.outbox.unacknowledged() == left)

        for cgroup in range(4):
            ground.outbox.put(state(cgroup, 1))
        await ground.until(lambda: len(server.reports) == 4)
        for sequence in (1, 2):
            now += 0.04
            await acknowledged(sequence)
        await asyncio.sleep(0.2)  # many looks
        assert server.streams == 1
        now += 0.04  # since the third is the oldest
        await acknowledged(4)
        await asyncio.sleep(0.2)
        assert server.streams == 1
        now += 0.02
        await ground.until(lambda: server.streams == 2)
        assert "not acknowledged within 0.05 s" in ground.uplink.status().problem

    with_uplink(server.address, work, replace(QUICK, acknowledge=0.05), clock=lambda: now)


def test_plans_are_delivered_and_delivered_again(server):
    """At the beginning, when they change, and after a reconnect unless hello says that it is known."""

    async def work(ground):
        await ground.until(lambda: ground.plans)
        server.send(pb.Plan(revision="2"))
        await ground.until(lambda: len(ground.plans) == 2)
        server.restart()
        await ground.until(lambda: len(server.hellos) == 2)
        assert server.hellos[1].plan_revision == "2"
        server.stop()
        server.plan = pb.Plan(revision="3")
        server.start()
        await ground.until(lambda: len(ground.plans) == 3)
        server.send(pb.Plan(revision="3"))
        await ground.until(lambda: len(ground.plans) == 4)

    server.plan = pb.Plan(revision="1")
    with_uplink(server.address, work)
    assert server.hellos[0].plan_revision == ""


def test_a_plan_that_the_core_refuses_leaves_the_stream(server):
    """It is in the status, without what a terminal would obey; reports and the next plan go on."""

    async def work(ground):
        ground.refuse.add("bad")
        server.send(pb.Plan(revision="bad"))
        await ground.until(lambda: server.hellos)
        server.send(pb.Plan(revision="bad"))
        await ground.until(lambda: ground.uplink.status().problem)
        assert ground.uplink.status().problem == (
            "plan refused: INVALID_REQUEST: recordings[0].selector: ?[31mbad"
        )
        ground.outbox.put(state(1, 1))
        server.send(pb.Plan(revision="good"))
        await ground.until(lambda: ground.plans and calls_of(server, 1))
        assert ground.uplink.status().connected

    with_uplink(server.address, work)
    assert server.streams == 1


class Clock:
    """Time that passes only while the uplink sleeps, and all that it slept."""

    def __init__(self, enough: int) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.enough = enough
        self.done = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if len(self.slept) >= self.enough:
            self.done.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def time(self) -> float:
        return self.now


def slept(address: str, enough: int, chance: Callable[[], float]) -> list[float]:
    """The first `enough` waits of an uplink, at its real pace."""

    async def run() -> list[float]:
        clock = Clock(enough)
        ground = Ground(address, Pace(), sleep=clock.sleep, clock=clock.time, chance=chance)
        async with asyncio.timeout(WAIT):
            await clock.done.wait()
        ground.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ground.task
        return clock.slept

    return asyncio.run(run())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_backoff_doubles_from_half_a_second_to_a_minute():
    """At the upper end of chance; the wait never grows beyond a minute."""
    waits = slept(f"127.0.0.1:{free_port()}", 10, lambda: 1.0)
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_backoff_is_left_to_chance_within_bounds():
    """From a tenth of it to all of it: agents that lost one collector do not come back as one."""
    address = f"127.0.0.1:{free_port()}"
    assert slept(address, 3, lambda: 0.0) == pytest.approx([0.05, 0.1, 0.2])
    many = [Pace().backoff(3, step / 100) for step in range(101)]
    assert (min(many), max(many)) == (pytest.approx(0.4), 4)
    assert len({round(each, 6) for each in many}) == 101


def test_a_refusing_collector_is_asked_less_and_less(server):
    """Who takes the connection and refuses the stream is no less away."""
    server.behaviour = Behaviour(refuses=grpc.StatusCode.PERMISSION_DENIED)
    assert slept(server.address, 5, lambda: 1.0) == [0.5, 1, 2, 4, 8]


def test_progress_makes_the_backoff_short_again(server):
    """A stream that stored something, then broke, is tried again at once; one that did nothing is not."""
    waits: list[float] = []

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: len(waits) >= 4)
        server.behaviour = Behaviour()
        await ground.until(lambda: ground.outbox.unacknowledged() == 0)
        before = len(waits)
        server.stop()
        await ground.until(lambda: len(waits) > before)
        assert waits[before] == QUICK.first_backoff

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0.001)

    server.behaviour = Behaviour(drops_after=1)
    with_uplink(server.address, work, sleep=sleep, chance=lambda: 1.0)
    assert waits[:4] == pytest.approx([0.01, 0.02, 0.04, 0.05])


NONSENSE = {
    "a report that was never sent": [pb.CollectorMessage(acknowledgement=pb.Acknowledgement(sequence=99))],
    "the greatest sequence": [
        pb.CollectorMessage(acknowledgement=pb.Acknowledgement(sequence=(1 << 64) - 1))
    ],
    "no sequence": [pb.CollectorMessage(acknowledgement=pb.Acknowledgement())],
}


@pytest.mark.parametrize("case", NONSENSE)
def test_an_acknowledgement_of_nothing_ends_the_stream(server, case):
    """It may have been meant for another report: nothing is taken for stored, all is sent again."""
    server.behaviour = Behaviour(says=NONSENSE[case], acknowledges=False)

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: server.streams >= 2)
        assert "acknowledges report" in ground.uplink.status().problem
        server.behaviour = Behaviour()
        await ground.until(lambda: calls_of(server, 1) == 1 and ground.outbox.unacknowledged() == 0)

    with_uplink(server.address, work)


def test_a_message_of_a_newer_collector_is_passed_over(server):
    """One with a field that is not known here."""
    server.behaviour = Behaviour(
        says=[pb.CollectorMessage(), pb.CollectorMessage.FromString(b"\xfa\x01\x01x")]
    )

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: ground.outbox.unacknowledged() == 0 and server.reports)

    with_uplink(server.address, work)
    assert server.streams == 1


@contextlib.contextmanager
def raw_server(answer: Callable[[socket.socket], None]):
    """A TCP server that is no gRPC server: `answer` has each connection."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    taken.append(connection)
                    answer(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT)
        for connection in taken:
            connection.close()


def answer_http1(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    connection.close()


ANSWERS = {
    "HTTP/1": answer_http1,
    "random bytes": lambda connection: (connection.sendall(bytes(range(256)) * 8), connection.close()),
    "an end": lambda connection: connection.close(),
    "silence": lambda connection: None,
}


@pytest.mark.parametrize("case", ANSWERS)
def test_whoever_answers_is_no_danger(case):
    """What is there is no collector: a problem, and another attempt."""

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: ground.uplink._attempt >= 2)
        assert ground.uplink.status().problem
        assert not ground.uplink.status().connected
        assert ground.uplink.status().unacknowledged == 1

    with raw_server(ANSWERS[case]) as address:
        with_uplink(address, work, replace(QUICK, connect=0.3))


class Wire:
    """A proxy that can be cut: connections stay open, and nothing comes through any more."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut = threading.Event()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                cut, self.cut = self.cut, self.cut
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other, cut), daemon=True).start()

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if not cut.is_set():
                    other.sendall(data)
            if not cut.is_set():
                other.close()

    def mend(self) -> None:
        """Connections from now on come through; those that were cut stay as they are."""
        self.cut = threading.Event()

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_credentials_that_cannot_be_read_are_tried_again(server):
    """Certificate files in the middle of a renewal: the next attempt reads them anew."""
    asked: list[int] = []

    def credentials() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise InvalidCertificate("tls.crt and tls.key cannot be used together")

    async def work(ground):
        await ground.until(lambda: ground.uplink.status().problem)
        assert ground.uplink.status().problem == (
            "INVALID_CERTIFICATE: tls.crt and tls.key cannot be used together"
        )
        await ground.until(lambda: ground.uplink.status().connected)

    with_uplink(server.address, work, credentials=credentials)
    assert len(asked) == 3


def test_a_half_open_connection_is_noticed(server):
    """The network swallows all, and no end says so: keepalive finds out, with nothing to report at that."""
    wire = Wire(server.port)

    async def work(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: ground.outbox.unacknowledged() == 0 and server.stored)
        wire.cut.set()
        await ground.until(lambda: not ground.uplink.status().connected)
        wire.mend()
        ground.outbox.put(state(1, 2))
        await ground.until(lambda: calls_of(server, 1) == 2)

    try:
        with_uplink(wire.address, work, replace(QUICK, keepalive=0.3, keepalive_timeout=0.3, connect=1))
    finally:
        wire.close()
    assert len(server.hellos) == 2


def test_days_without_a_collector_cost_what_a_minute_does(server):
    """100,000 changes of 50 sources, none of which can be sent: the memory is that of 50 states."""
    server.stop()
    # made in advance: what is measured is what the changes cost, not what the test makes
    states = [state(cgroup, 1 + step * 50) for step in range(8) for cgroup in range(50)]

    async def work(ground):
        def change(count: int) -> None:
            for index in range(count):
                ground.outbox.put(states[index % len(states)])

        change(1_000)
        await ground.until(lambda: ground.uplink._attempt >= 2)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(100):
                change(1_000)
                await asyncio.sleep(0.002)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 256 << 10
        assert ground.uplink.status().unacknowledged == 50
        for cgroup in range(50):
            ground.outbox.put(state(cgroup, 400))
        server.start()
        await ground.until(lambda: ground.outbox.unacknowledged() == 0)

    with_uplink(server.address, work)
    assert len(server.reports) == 50
    assert {calls_of(server, cgroup) for cgroup in range(50)} == {400}


def test_a_days_failures_are_said_once(server, caplog):
    """The log has the problem when it comes, not with each attempt."""
    server.stop()

    async def work(ground):
        await ground.until(lambda: ground.uplink._attempt >= 10)

    with_uplink(server.address, work)
    assert len([each for each in caplog.records if "uplink" in each.message]) == 1


def test_a_forgetful_collector_gets_what_changes(server):
    """One that lost its store asks for nothing; each new state is whole, so nothing has to be asked for."""

    async def work(ground):
        ground.outbox.put(state(1, 5))
        await ground.until(lambda: calls_of(server, 1) == 5)
        server.forget()
        ground.outbox.put(state(1, 6))
        await ground.until(lambda: calls_of(server, 1) == 6)

    with_uplink(server.address, work)


@pytest.mark.parametrize("slow", [0.0, 0.02])
def test_an_orderly_end_hands_over_what_is_left(server, slow):
    """All of it is stored when `close` returns true, also by a slow collector."""
    server.behaviour = Behaviour(read_after=slow)

    async def work(ground):
        await ground.until(lambda: ground.uplink.status().connected)
        for cgroup in range(20):
            ground.outbox.put(state(cgroup, 3, ended=True))
        assert await ground.uplink.close(WAIT)
        assert ground.task.done()
        assert len(server.stored) == 20

    with_uplink(server.address, work)


def test_an_orderly_end_waits_no_longer_than_it_may(server):
    """A collector that acknowledges nothing costs the bound, one that is away costs nothing."""
    server.behaviour = Behaviour(acknowledges=False)

    async def work(ground):
        loop = asyncio.get_running_loop()
        await ground.until(lambda: ground.uplink.status().connected)
        ground.outbox.put(state(1, 1))
        begun = loop.time()
        assert not await ground.uplink.close(0.3)
        assert 0.3 <= loop.time() - begun < 5
        assert ground.outbox.unacknowledged() == 1

    async def away(ground):
        ground.outbox.put(state(1, 1))
        await ground.until(lambda: ground.uplink._attempt >= 1)
        async with asyncio.timeout(5):
            assert not await ground.uplink.close(60)

    with_uplink(server.address, work)
    server.stop()
    with_uplink(server.address, away)


def test_a_collector_that_is_killed_and_started_again_has_everything(tmp_path, scaled):
    """SIGKILL at any moment; its store, written before it acknowledges, misses nothing at the end."""
    address = f"unix:{tmp_path / 'collector.sock'}"
    store = tmp_path / "store.json"

    def started() -> subprocess.Popen:
        (tmp_path / "collector.sock").unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.agent.collector", address, "--store", store]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert process.stdout.readline().startswith(b"serving")
        return process

    async def work(ground):
        process = await asyncio.to_thread(started)
        count = 0
        for _ in range(scaled(20, 2)):
            for _ in range(20):
                count += 1  # the calls of a source only grow
                ground.outbox.put(state(count % 7, count))
                await asyncio.sleep(0.001)
            process.kill()
            process.wait(WAIT)
            process = await asyncio.to_thread(started)
        await ground.until(lambda: ground.outbox.unacknowledged() == 0)
        process.terminate()
        assert process.wait(WAIT) == 0
        stored = {
            each.source.cgroup_id: len(each.calls[CALLS])
            for each in from_json(store.read_text()).observations
        }
        # the last state of each source was the one with most calls
        assert stored == {number % 7: number for number in range(count - 6, count + 1)}

    with_uplink(address, work)
