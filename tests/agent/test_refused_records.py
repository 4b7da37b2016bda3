"""What the collector will not store: counted, said once, and out of the spool; nothing is sent again."""

import pytest

from recorder.model.abi import Abi
from recorder.model.wire import from_observation
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import collector_pb2
from tests.agent.collector import Collector
from tests.agent.observed import problems, workload
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, slots_used
from tests.agent.simulated import FOREVER, SimulatedContainer, SimulatedNode, simulated_node
from tests.truth.calls import Call, calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

FULL = "recording it is full"
SLEEPING = calls(Abi.X86_64, "clock_nanosleep")
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")


@pytest.fixture
def node(tmp_path, layout, built_programs):
    with simulated_node(tmp_path / "node", layout, built_programs) as made:
        yield made


@pytest.fixture
def followed(agent: AgentProcess, node: SimulatedNode, uplinked):
    """The agent records all that the node's pods run, for this collector."""
    with uplinked(agent) as collector:
        agent.settings += node.settings
        agent.start()
        follow(agent, collector)
        yield collector


def follow(agent: AgentProcess, collector: Collector) -> None:
    """Returns when the agent follows a new plan."""
    follows = plan(recording("it", "shop"))
    collector.send(follows)
    assert agent.says(f"plan {follows.revision}:")


def refuse(collector: Collector, *containers: SimulatedContainer, reason: str = FULL) -> None:
    """From now on it stores nothing of these."""
    identities = {each.id for each in containers}

    def why(report: collector_pb2.Report) -> str:
        return reason if report.observation.identity.container_id in identities else ""

    collector.behaviour.will_not_store = why


def brief(node: SimulatedNode, container: SimulatedContainer) -> None:
    """It runs, and ends."""
    process = node.start(container, "/five")
    assert process.wait(60) == 0
    node.end(container)


def seen_of(report: collector_pb2.Report) -> frozenset[Call]:
    return workload(from_observation(report.observation))


def lost(status: pb.GetStatusResponse) -> dict[str, int]:
    return {each.cause: each.count for each in status.ledger}


def settled(status: pb.GetStatusResponse) -> bool:
    """Nothing waits for anybody."""
    return not (slots_used(status) or status.uplink.spool_bytes or status.uplink.unacknowledged)


def ends_of(collector: Collector, container: SimulatedContainer) -> int:
    """How often its last state came."""
    ended = [each.observation for each in collector.reports if each.observation.ended]
    return sum(each.identity.container_id == container.id for each in ended)


def test_a_record_that_is_refused_is_lost_once(agent, followed, node):
    """Two of three are refused: the spool is empty, and no later stream or agent sends them again."""
    pod = node.pod()
    first, second, stored = (node.container(pod) for _ in range(3))
    refuse(followed, first, second)
    for each in (first, second, stored):
        brief(node, each)
    agent.wait_for(lambda status: settled(status) and lost(status).get("record_refused") == 2)
    (seen,) = followed.stored.values()
    assert (seen.identity.container_id, problems(seen, EXPECTED["five"] | EXEC)) == (stored.id, [])
    assert sum(FULL in line for line in agent.of_this_start()) == 1
    followed.restart()
    followed.wait_for(lambda collector: len(collector.hellos) == 2)
    agent.restart()
    follow(agent, followed)
    last = node.container(pod)
    brief(node, last)
    followed.wait_for(lambda collector: ends_of(collector, last) == 1)
    assert [ends_of(followed, each) for each in (first, second, stored)] == [1, 1, 1]


def test_a_state_that_is_refused_is_not_lost(agent, followed, node):
    """One that runs is refused, and stored when it has ended: its last state holds all that it called."""
    container = node.container(node.pod())
    refuse(followed, container)
    node.start(container, *FOREVER)
    followed.wait_for(lambda collector: any(seen_of(each) >= SLEEPING for each in collector.reports))
    agent.wait_for(lambda status: status.uplink.unacknowledged == 0)
    sent = len(followed.reports)
    assert not any(each.observation.ended for each in followed.reports)
    assert agent.says(FULL)
    refuse(followed)
    node.end(container)
    agent.wait_for(settled)
    (seen,) = followed.stored.values()
    assert problems(seen, RUNNING) == []
    assert len(followed.reports) > sent
    assert lost(agent.status()).get("record_refused", 0) == 0


def test_a_refused_refusal_is_nothing(agent, followed, node):
    """Of a container that cannot be recorded there is no record to be lost."""
    pod = node.pod()
    node.runtime.answers.sandboxes[pod.sandbox].runtime_handler = "kata"
    followed.behaviour.will_not_store = lambda report: FULL if report.not_recorded else ""
    node.container(pod)
    assert agent.says(FULL)
    agent.wait_for(lambda status: status.uplink.unacknowledged == 0)
    assert [bool(each.not_recorded) for each in followed.reports] == [True]
    assert lost(agent.status()) == {}
