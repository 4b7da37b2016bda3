"""Many containers, captures, clients that do not read and a flood: within the budget, and nothing is lost."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import grpc
import pytest

from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.clients import Client, Stream, by_pod, client
from tests.agent.collector import Collector
from tests.agent.costs import budget, costs, peak
from tests.agent.flood import PLAYERS, flood
from tests.agent.observed import problems
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, slots_used
from tests.agent.simulated import SimulatedContainer, SimulatedNode, SimulatedPod, simulated_node
from tests.mixing.hand import deal
from tests.truth.programs import EXEC, rawsys_calls

pytestmark = pytest.mark.root

OF_A_POD = 10
CALLERS = 50
REMEMBERED = 60.0
"""Seconds that the runtime knows a dead container. Hundreds a second come and go here, which is more than the
runtime, a part of this test, can be asked about in the meantime."""


BEGUN = 120
"""Seconds for all that begins: hundreds of connections beside a flood."""
HANDED_ON = 240
"""Seconds for all that has ended: each is synced to the disk, one after the other."""
MET = {"queues", "first_sights"}
"""Bounds that deaf clients and the flood are to meet: nothing of a record is lost by them."""


@pytest.fixture
def node(tmp_path, layout, built_programs) -> Iterator[SimulatedNode]:
    with simulated_node(tmp_path / "node", layout, built_programs) as made:
        yield made


def assert_within(agent: AgentProcess) -> None:
    """The printed sum of the bounds holds for the most that the process ever had, and for all maps."""
    assert agent.process
    assert peak(agent.process.pid) <= budget(agent, "process")
    assert costs(agent.process.pid).kernel <= budget(agent, "kernel")


def follow(stream: Stream) -> None:
    """Reads to the end; a test that fails closes the connection before."""
    with suppress(grpc.RpcError):
        stream.final()


@contextmanager
def reading(agent: AgentProcess, pods: list[SimulatedPod], count: int) -> Iterator[list[Stream]]:
    """So many captures, each by a client that reads all the time; all of them have ended afterwards."""
    clients = [Client(agent.socket) for _ in range(count)]
    streams: list[Stream] = []
    threads = []
    try:
        for number, each in enumerate(clients):
            pod = pods[number % len(pods)]
            streams.append(each.capture(selection=by_pod(pod.namespace, pod.name), capture_id=f"r-{number}"))
            threads.append(threading.Thread(target=follow, args=[streams[-1]], daemon=True))
            threads[-1].start()
        yield streams
        deadline = time.monotonic() + HANDED_ON
        for each in threads:
            each.join(max(0, deadline - time.monotonic()))
    finally:
        for each in clients:
            each.close()


@contextmanager
def deaf(agent: AgentProcess, pods: list[SimulatedPod], count: int) -> Iterator[list[grpc.Call]]:
    """Captures whose clients never read a message."""
    with ExitStack() as stack:
        made = []
        for number in range(count):
            pod = pods[number % len(pods)]
            one = stack.enter_context(client(agent, small=True))
            request = pb.CaptureRequest(
                selection=by_pod(pod.namespace, pod.name), capture_id=f"deaf-{number}"
            )
            made.append(one.stub.Capture(request))
        yield made


@pytest.mark.timeout(900)  # with all of them, on a machine that is busy otherwise
def test_within_the_budget(agent: AgentProcess, node: SimulatedNode, uplinked, scaled):
    """Containers by plan, captures of them, deaf clients and a flood at once, their bounds just hold"""
    containers, captures, deafs = scaled(1000, least=60), scaled(200, least=20), scaled(50, least=5)
    short_lived = scaled(1000, least=60)
    pods_needed = -(-containers // OF_A_POD)
    bounds = {
        "slots": containers + short_lived,
        "containers": containers + short_lived + pods_needed + 1,
        "first-sights": 4096,
        "captures": captures + deafs,
        "streams": captures + deafs + 8,
        "recordings": 16,
        "message": "512KiB",
        "queues": "1MiB",
        "process": "512MiB",
    }
    agent.settings += node.settings
    agent.settings += tuple(w for name, value in bounds.items() for w in (f"--memory-{name}", str(value)))
    with uplinked(agent) as collector:
        agent.start()
        follows = plan(recording("it", "shop"))
        collector.send(follows)
        assert agent.says(f"plan {follows.revision}:")
        pods = [node.pod({"app": "web", "tier": "front"}) for _ in range(pods_needed)]
        made = [node.container(pods[number // OF_A_POD]) for number in range(containers)]
        agent.wait_for(lambda status: slots_used(status) == containers, BEGUN)
        flooded = node.pod()
        with (
            deaf(agent, pods, deafs),
            reading(agent, pods, captures) as streams,
            flood(node, flooded, limit=short_lived, remembered=REMEMBERED) as short,
        ):
            agent.wait_for(lambda status: len(status.captures) == captures + deafs, BEGUN)
            hands = deal(PLAYERS, 7)
            expected = {}
            for number, container in enumerate(made[:: max(1, containers // CALLERS)]):
                node.call(container, *hands[number % PLAYERS])
                expected[container.id] = rawsys_calls(hands[number % PLAYERS]) | EXEC
            assert_within(agent)
            node.end(*made)
            node.remove(*pods)
        assert_recorded(agent, collector, expected | short.expected, made)
        assert_within(agent)
        for number, stream in enumerate(streams):
            assert stream.last.final
            seen = {each.identity.container_id: each for each in stream.observations}
            own = made[number % pods_needed * OF_A_POD :][:OF_A_POD]
            assert set(seen) == {each.id for each in own}
            for identity in seen.keys() & expected.keys():
                assert problems(seen[identity], expected[identity]) == []
    refused = {each.name for each in agent.status().bounds if each.refused}
    assert refused <= MET


def assert_recorded(
    agent: AgentProcess, collector: Collector, expected, made: list[SimulatedContainer]
) -> None:
    """Each container has ended and is whole; those that made calls with just those."""
    wanted = expected.keys() | {each.id for each in made}

    def lacking(collector: Collector) -> set[str]:
        return wanted - {e.identity.container_id for e in collector.stored.values() if e.ended}

    try:
        collector.wait_for(lambda collector: not lacking(collector), HANDED_ON)
    except AssertionError as error:
        known = {each.id for each in made}
        raise AssertionError(
            f"{error}; not whole: {[each[-4:] for each in lacking(collector) & known]} of those that stayed,"
            f" {[each[-4:] for each in lacking(collector) - known]} of those that came and went;"
            f" {agent.status()}"
        ) from None
    seen = {each.identity.container_id: each for each in collector.stored.values()}
    for identity, calls in expected.items():
        assert problems(seen[identity], calls) == []
