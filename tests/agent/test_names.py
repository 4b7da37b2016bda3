"""Whose a record is, when the runtime could tell of it only for a moment."""

import grpc
import pytest

from tests.agent.observed import problems
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess
from tests.agent.simulated import SimulatedNode, simulated_node
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root


@pytest.fixture
def node(tmp_path, layout, built_programs):
    with simulated_node(tmp_path / "node", layout, built_programs) as made:
        yield made


def test_a_name_from_a_list_is_kept_over_an_outage(agent: AgentProcess, node: SimulatedNode, uplinked):
    """The runtime listed the container, told no more until it was gone, and has forgotten it then."""
    answers = node.runtime.answers
    with uplinked(agent) as collector:
        agent.settings += node.settings
        agent.start()
        follows = plan(recording("it", "shop"))
        collector.send(follows)
        assert agent.says(f"plan {follows.revision}:")
        tells = answers._ContainerStatus
        answers._ContainerStatus = lambda data: grpc.StatusCode.UNAVAILABLE
        container = node.container(node.pod({"app": "web"}))
        assert node.start(container, "/five").wait(60) == 0
        node.end(container)
        agent.wait_for(lambda _: any(each.identity.name == container.name for each in agent.containers()))
        node.forget(container)
        answers._ContainerStatus = tells
        collector.wait_for(lambda collector: any(each.ended for each in collector.stored.values()))
    (seen,) = collector.stored.values()
    assert problems(seen, EXPECTED["five"] | EXEC) == []
    assert (seen.identity.name, dict(seen.identity.labels)["app"]) == (container.name, "web")
