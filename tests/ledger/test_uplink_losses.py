"""What is lost between an agent and its collector."""

import pytest

from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, agent_process
from tests.agent.secure_collector import collector_flags, uplinked_by
from tests.agent.simulated import simulated_node
from tests.command import Command
from tests.unit.rpc.certificates import Authority

pytestmark = pytest.mark.root


@pytest.fixture
def agent(tmp_path, bpffs):
    """An agent, not started yet."""
    with agent_process(tmp_path / "agent", bpffs) as made:
        yield made
        made.kill()
        made.run("--remove")


def test_record_refused_by_a_container_that_the_collector_does_not_store(
    agent: AgentProcess, tmp_path, layout, built_programs
):
    """Its record was whole; `recorder status` says that it is lost, and the spool keeps nothing of it."""
    authority = Authority(tmp_path / "authority")
    with (
        uplinked_by(authority, collector_flags(authority))(agent) as collector,
        simulated_node(tmp_path / "node", layout, built_programs) as node,
    ):
        refused: set[str] = set()
        collector.behaviour.will_not_store = lambda report: (
            "full" if report.observation.identity.container_id in refused else ""
        )
        agent.settings += node.settings
        agent.start()
        follows = plan(recording("it", "shop"))
        collector.send(follows)
        assert agent.says(f"plan {follows.revision}:")
        container = node.container(node.pod(), known=False)
        refused.add(container.id)
        node.know(container)
        assert node.start(container, "/five").wait(60) == 0
        node.end(container)
        agent.wait_for(lambda status: any(each.cause == "record_refused" for each in status.ledger))
        agent.wait_for(lambda status: not (status.uplink.spool_bytes or status.uplink.unacknowledged))
        said = Command().run("status", "--agent", f"unix:{agent.socket}").stdout.decode()
    assert ["record_refused", "1", "loss"] in [line.split()[:3] for line in said.splitlines()]
    assert container.id not in {each.identity.container_id for each in collector.stored.values()}
