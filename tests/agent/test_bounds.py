"""Every bound of the agent at its limit: the new thing is refused and counted, what is there stays right."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from recorder.agent.budget import BOUNDS
from recorder.model.abi import Abi
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.clients import (
    Client,
    bound,
    by_cgroup,
    by_pod,
    client,
    ledger,
    metrics,
    refused,
    with_metrics,
)
from tests.agent.collector import Collector
from tests.agent.observed import problems, workload
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess
from tests.agent.simulated import FOREVER, SimulatedContainer, SimulatedNode, SimulatedPod, simulated_node
from tests.member import Guest
from tests.truth.calls import Call, safe_calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls

pytestmark = pytest.mark.root

MADE = [Call(Abi.X86_64, number) for number in (102, 104, 107, 108, 110, 111)]
MANY = safe_calls(Abi.X86_64)


@pytest.fixture
def small(tmp_path: Path, layout, built_programs, agent: AgentProcess):
    """`small(slots=2, ...)`: a started agent with these bounds, and a node that it knows."""
    with simulated_node(tmp_path / "node", layout, built_programs) as node:

        def start(*flags: str, **bounds: object) -> tuple[AgentProcess, SimulatedNode]:
            agent.settings += (
                *node.settings,
                *with_metrics(),
                *(
                    w
                    for name, value in bounds.items()
                    for w in (f"--memory-{name.replace('_', '-')}", str(value))
                ),
                *flags,
            )
            agent.start()
            return agent, node

        yield start


def capture(one: Client, container: SimulatedContainer, **more):
    return one.capture(selection=by_cgroup(container.path), phases="container", **more)


def until(what: Callable[[], object], seconds: float = 30) -> None:
    """Asked again and again, for so long."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def counted(agent: AgentProcess, name: str, *, refused: int, at_least: bool = False) -> None:
    """GetStatus and metrics say how often this bound refused something."""

    def right(status: pb.GetStatusResponse) -> bool:
        found = next(each.refused for each in status.bounds if each.name == name)
        return found >= refused if at_least else found == refused

    agent.wait_for(right, 10)
    shown = metrics(agent)["recorder_agent_bound_refused_total", name]
    assert shown >= refused if at_least else shown == refused
    assert metrics(agent)["recorder_agent_bound_limit", name] == bound(agent, name).limit
    assert name in BOUNDS


def test_slots(small):
    """A capture of one more container is refused; those before are whole, and one that ends makes room."""
    agent, node = small(slots=2)
    pod = node.pod()
    first, second, third = (node.container(pod) for _ in range(3))
    with client(agent) as one, client(agent) as other:
        streams = [capture(one, each) for each in (first, second)]
        with refused("slots"):
            capture(other, third)
        assert bound(agent, "slots").used == 2
        counted(agent, "slots", refused=1)
        for each in (first, second):
            node.call(each, *MADE)
        node.end(first)
        (seen,) = streams[0].final()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []
        agent.wait_for(lambda status: next(e.used for e in status.bounds if e.name == "slots") == 1)
        third_stream = capture(other, third)
        node.call(third, *MADE[:2])
        node.end(second, third)
        (seen,) = streams[1].final()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []
        (seen,) = third_stream.final()
        assert problems(seen, rawsys_calls(MADE[:2]) | EXEC) == []


def test_slots_of_containers_that_come(small):
    """With all slots taken a new container of a captured pod is lost, and who captures it is told so."""
    agent, node = small(slots=2)
    busy, pod = node.pod(namespace="other"), node.pod()
    held = [node.container(busy) for _ in range(2)]
    with client(agent) as one:
        streams = [capture(one, each) for each in held]
        of_pod = one.capture(selection=by_pod(pod.namespace, pod.name), capture_id="pod")
        late = node.container(pod)
        node.call(late, *MADE)
        agent.wait_for(lambda status: any(each.cause == "slots_full" for each in status.ledger))
        counted(agent, "slots", refused=1, at_least=True)
        node.call(held[0], *MADE)
        node.end(*held)
        (seen,) = streams[0].final()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []
        # it still runs when there is room again: recorded from then on, and said to be late
        node.start(late, *FOREVER)
        (seen,) = of_pod.until(lambda found: [e for e in found if workload(e) & EXPECTED["signals"]])
        assert "attached_late" in seen.ledger.losses() or "slots_full" in seen.ledger.losses()


def test_a_container_without_a_slot(small):
    """Of one that came and went while all slots were taken its capture says who it was, and the loss."""
    agent, node = small(slots=1)
    busy, pod = node.container(node.pod(namespace="other")), node.pod()
    with client(agent) as one:
        held = capture(one, busy)
        of_pod = one.capture(selection=by_pod(pod.namespace, pod.name))
        lost = node.container(pod)
        node.call(lost, *MADE)
        of_pod.until(lambda found: [e for e in found if e.identity.container_id == lost.id])
        node.remove(pod)
        (seen,) = of_pod.final()
        assert (seen.identity.container_id, seen.identity.name, seen.calls) == (lost.id, lost.name, {})
        assert set(seen.ledger.losses()) == {"slots_full"}
        node.end(busy)
        (seen,) = held.final()
        assert seen.ledger.losses() == {}


def test_children(small):
    """One more cgroup below a container is not recorded, and the container's record says so."""
    agent, node = small(children=2)
    container = node.container(node.pod())
    with client(agent) as one:
        stream = capture(one, container)
        for name in "abc":
            (container.cgroup / name).mkdir()
        node.call(container, *MADE)
        counted(agent, "children", refused=1)
        assert bound(agent, "children").used == 2
        node.end(container)
        (seen,) = stream.final()
        assert problems(seen, rawsys_calls(MADE) | EXEC, ["children_full"]) == []
        assert seen.ledger.counts["children_full"] == 1
        counted(agent, "children", refused=1)  # also when the slot is another's


def test_joiners(small):
    """One more process that comes in is taken for workload, and the record says that phases may be mixed."""
    agent, node = small(joiners=1)
    container = node.container(node.pod())
    with client(agent) as one:
        stream = one.capture(selection=by_cgroup(container.path), phases="exec")
        with Guest(container.cgroup) as first, Guest(container.cgroup) as second:
            counted(agent, "joiners", refused=1, at_least=True)
            assert bound(agent, "joiners").used == 1
            second.leave()
            first.leave()
        node.end(container)
        (seen,) = stream.final()
        assert seen.ledger.counts["joiners_full"] >= 1


def test_roots(small, layout):
    """Containers below a cgroup that cannot be watched are recorded when they are found, and called late."""
    agent, node = small(roots=1)
    pod = node.pod()
    with client(agent) as one:
        stream = one.capture(selection=by_pod(pod.namespace, pod.name))
        counted(agent, "roots", refused=1, at_least=True)
        assert bound(agent, "roots").used == 1
        container = node.container(pod)
        node.start(container, *FOREVER)
        (seen,) = stream.until(lambda found: [e for e in found if workload(e)])
        assert seen.identity.container_id == container.id
        assert "attached_late" in seen.ledger.losses()
        made = layout.cgroup2 / f"kubepods-{container.id[-8:]}"
        made.mkdir()  # as a runtime makes one with its first container
        try:
            agent.wait_for(lambda status: any(each.cause == "roots_full" for each in status.ledger))
        finally:
            made.rmdir()


def test_ring(small):
    """First sights that the ring has no room for: times are lost, the calls are not; the record says so."""
    agent, node = small(ring="4KiB")
    container = node.container(node.pod())
    with client(agent) as one:
        stream = capture(one, container)
        assert agent.process
        agent.process.send_signal(signal.SIGSTOP)
        try:
            node.call(container, *MANY)
        finally:
            agent.process.send_signal(signal.SIGCONT)
        counted(agent, "ring", refused=1, at_least=True)
        node.end(container)
        (seen,) = stream.final()
        assert problems(seen, rawsys_calls(MANY) | EXEC) == []
        assert seen.ledger.counts["ring_full"] > 0
        assert 0 < len(seen.first_sights) < len(MANY)


def test_first_sights(small):
    """Beyond the bound a call has no time, and nothing else is missing; a container that ends makes room."""
    agent, node = small(first_sights=40)
    pod = node.pod()
    containers = [node.container(pod) for _ in range(2)]
    with client(agent) as one:
        streams = [capture(one, each) for each in containers]
        for container in containers:
            node.call(container, *MANY)
        counted(agent, "first_sights", refused=len(MANY), at_least=True)
        assert bound(agent, "first_sights").used == 40
        node.end(*containers)
        found = [seen for stream in streams for seen in stream.final()]
        for seen in found:
            assert problems(seen, rawsys_calls(MANY) | EXEC) == []
        assert sum(len(seen.first_sights) for seen in found) == 40
        agent.wait_for(lambda status: next(e.used for e in status.bounds if e.name == "first_sights") == 0)


def test_containers(small):
    """One more container has no name that could be asked for; those that are known are recorded by theirs."""
    agent, node = small(containers=3)
    pod = node.pod()  # its sandbox counts
    known = [node.container(pod, name) for name in ("one", "two")]
    agent.wait_for(lambda status: next(e.used for e in status.bounds if e.name == "containers") == 3)
    more = [node.container(pod, name) for name in ("three", "four")]
    counted(agent, "containers", refused=2, at_least=True)
    assert bound(agent, "containers").used == 3
    with client(agent) as one:
        with refused("no container three", grpc.StatusCode.NOT_FOUND):
            one.capture(selection=pb.Selection(container="three"))
        stream = one.capture(selection=pb.Selection(container="two"))
        node.call(known[1], *MADE)
        node.end(*known)
        (seen,) = stream.final()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []
        assert seen.identity.name == "two"
        # those that are gone make room
        node.forget(*known)
        with client(agent) as other:
            until(lambda: names(agent) == {"three", "four"})
            stream = other.capture(selection=pb.Selection(container="four"))
            node.call(more[1], *MADE)
            node.end(*more)
            (seen,) = stream.final()
            assert problems(seen, rawsys_calls(MADE) | EXEC) == []


def names(agent: AgentProcess) -> set[str]:
    """Of the containers that it knows."""
    return {each.identity.name for each in agent.containers()}


def test_captures(small):
    """One more is refused, whether clients are there or away; the end of one makes room."""
    agent, node = small(captures=2)
    pod = node.pod()
    first, second, third = (node.container(pod) for _ in range(3))
    with client(agent) as one, client(agent) as gone:
        stream = capture(one, first)
        capture(gone, second, capture_id="away")
        gone.close()
        with refused("memory.captures"):
            capture(one, third)
        counted(agent, "captures", refused=1)
        assert bound(agent, "captures").used == 2
        node.call(first, *MADE)
        node.call(second, *MADE[:3])
        node.end(first)
        (seen,) = stream.final()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []
        agent.wait_for(lambda status: next(e.used for e in status.bounds if e.name == "captures") == 1)
        capture(one, third)
        # what the client that was away had so far is still its own
        node.end(second)
        (seen,) = capture(one, second, capture_id="away").final()
        assert problems(seen, rawsys_calls(MADE[:3]) | EXEC) == []


def test_recordings(small, agent, uplinked):
    """A plan with more recordings, or larger than a message may be, is refused; the one before stays."""
    with uplinked(agent) as collector:
        agent, node = small(recordings=2, message="64KiB")
        first = plan(recording("a", "shop"), recording("b", "other"))
        collector.send(first)
        assert agent.says(f"plan {first.revision}:")
        collector.send(plan(*(recording(name, "none") for name in "abc")))
        counted(agent, "recordings", refused=1)
        agent.wait_for(lambda status: "memory.recordings" in status.uplink.problem)
        assert agent.status().plan == pb.PlanStatus(revision=first.revision, recordings=2)
        large = {f"example.org/{number}": "v" * 60 for number in range(1000)}
        collector.send(plan(recording("large", "none", large)))
        agent.wait_for(lambda status: "larger than max" in status.uplink.problem)
        assert agent.status().plan == pb.PlanStatus(revision=first.revision, recordings=2)
        collector.send(first)
        container = node.container(node.pod())
        node.call(container, *MADE)
        node.end(container)
        collector.wait_for(lambda collector: any(each.ended for each in collector.stored.values()))
        (seen,) = collector.stored.values()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []


def test_streams(small):
    """One more client is told so, on a connection of its own; others go on, and the end of one makes room."""
    agent, node = small(streams=3)
    container = node.container(node.pod())
    clients = [Client(agent.socket) for _ in range(5)]
    try:
        streams = [capture(each, container) for each in clients[:3]]
        assert metrics(agent)["recorder_agent_bound_used", "streams"] == 3
        for _ in range(2):
            with refused("3 calls open already"):
                capture(clients[3], container)
        assert metrics(agent)["recorder_agent_bound_refused_total", "streams"] == 2
        node.call(container, *MADE)
        clients[2].close()
        until(lambda: metrics(agent)["recorder_agent_bound_used", "streams"] == 2)
        counted(agent, "streams", refused=2)
        streams[2] = capture(clients[4], container)
        node.end(container)
        for each in streams:
            (seen,) = each.final()
            assert problems(seen, rawsys_calls(MADE) | EXEC) == []
    finally:
        for each in clients:
            each.close()


def large_record(node: SimulatedNode, pod, count: int) -> list[SimulatedContainer]:
    """Containers of a pod that have made all calls: about 10 KiB each in a snapshot."""
    made = [node.container(pod) for _ in range(count)]
    for each in made:
        node.call(each, *MANY)
    return made


def end_of(call) -> str:
    """How a capture that was not read has ended."""
    try:
        return "final" if list(call)[-1].snapshot.final else "without an end"
    except grpc.RpcError as error:
        return error.details()


def test_queues(small):
    """Clients that never read take the room for messages for a while; then another has all of its own."""
    agent, node = small(queues="64KiB", message="64KiB")
    pod = node.pod()
    selection = by_pod(pod.namespace, pod.name)
    deaf = [Client(agent.socket, small=True) for _ in range(3)]
    with client(agent) as keeper, client(agent) as one:
        kept = keeper.capture(selection=selection, capture_id="keeper")
        made = large_record(node, pod, 3)
        kept.until(lambda found: sum(workload(each) >= set(MANY) for each in found) == 3)
        keeper.close()
        try:
            calls = [each.stub.Capture(pb.CaptureRequest(selection=selection)) for each in deaf]
            counted(agent, "queues", refused=1, at_least=True)
            assert 32 << 10 <= bound(agent, "queues").used <= 64 << 10
            assert metrics(agent)["recorder_agent_streams_waiting", ""] == 3
            stream = one.capture(selection=selection)
            stream.until(lambda found: sum(workload(each) >= set(MANY) for each in found) == 3)
            node.end(*made)
            node.remove(pod)
            for seen in stream.final():
                assert problems(seen, rawsys_calls(MANY) | EXEC) == []
            # whoever read nothing for long was told so; one that found no room before has its end
            ends = [end_of(call) for call in calls]
            assert any("has not read" in each for each in ends)
            assert all("has not read" in each or each == "final" for each in ends)
        finally:
            for each in deaf:
                each.close()


def test_message(small):
    """A capture that would need a larger message is ended with that reason; smaller ones go on."""
    agent, node = small(message="64KiB", queues="256KiB")
    pod = node.pod()
    with client(agent) as one:
        large = one.capture(selection=by_pod(pod.namespace, pod.name))
        made = large_record(node, pod, 10)
        stream = capture(one, made[0])
        with refused("memory.message"):
            large.final()
        counted(agent, "message", refused=1, at_least=True)
        node.end(*made)
        (seen,) = stream.final()
        assert problems(seen, rawsys_calls(MANY) | EXEC) == []


def test_request(small):
    """A larger request is refused before it is looked at, and counted; smaller ones are served."""
    agent, node = small(request="4KiB")
    container = node.container(node.pod())
    with client(agent) as one:
        with refused(""):
            one.capture(selection=by_cgroup("/" + "x" * 5000))
        counted(agent, "request", refused=1)
        stream = capture(one, container)
        node.call(container, *MADE)
        node.end(container)
        (seen,) = stream.final()
        assert problems(seen, rawsys_calls(MADE) | EXEC) == []


def short(node: SimulatedNode, pod: SimulatedPod, *made: Call) -> SimulatedContainer:
    """A container that makes these calls and has ended."""
    container = node.container(pod)
    node.call(container, *made)
    node.end(container)
    return container


def lost_for_slots(agent: AgentProcess) -> int:
    """Containers that found no slot."""
    return ledger(agent).get("slots_full", 0)


def ended(collector: Collector) -> set[str]:
    """Containers whose whole record it has."""
    return {each.identity.container_id for each in collector.stored.values() if each.ended}


def test_spool(small, agent, uplinked):
    """Without a collector ended records fill the spool, then keep their slots, then new containers are lost.

    All that was recorded is there when the collector is back, and there is room again.
    """
    with uplinked(agent) as collector:
        agent, node = small(spool="64KiB", slots=4)
        follows = plan(recording("it", "shop"))
        collector.send(follows)
        assert agent.says(f"plan {follows.revision}:")
        collector.behaviour.acknowledges = False
        pod = node.pod()
        made = []
        deadline = time.monotonic() + 60
        while (slots := bound(agent, "slots").used) < 4 or not bound(agent, "spool").refused:
            assert time.monotonic() < deadline
            if slots < 4:
                made.append(short(node, pod, *MANY))
        assert 48 << 10 <= bound(agent, "spool").used <= 64 << 10
        counted(agent, "spool", refused=1, at_least=True)
        before = lost_for_slots(agent)
        lost = short(node, pod, *MANY)
        while lost_for_slots(agent) == before:  # room came for it: of a smaller record that fitted
            assert time.monotonic() < deadline
            made.append(lost)
            lost = short(node, pod, *MANY)
        counted(agent, "slots", refused=1, at_least=True)
        collector.behaviour.acknowledges = True
        collector.restart()
        whole = {each.id for each in made}
        collector.wait_for(lambda collector: ended(collector) >= whole, 60)
        for seen in collector.stored.values():
            if seen.identity.container_id in whole:  # an agent sees all of the machine
                assert problems(seen, rawsys_calls(MANY) | EXEC) == []
        assert lost.id not in ended(collector)
        agent.wait_for(lambda status: all(e.used == 0 for e in status.bounds if e.name in ("slots", "spool")))
        again = short(node, pod, *MADE)
        collector.wait_for(lambda collector: again.id in ended(collector))
