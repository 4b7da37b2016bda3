"""Containers that come and go for long: memory, files, threads stay as they were after the first part."""

import os
import time

import pytest

from recorder.model.record import Observation
from tests.agent.collector import Collector
from tests.agent.costs import MIB, Costs, costs
from tests.agent.flood import flood
from tests.agent.observed import problems
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, slots_used
from tests.agent.simulated import SimulatedNode, simulated_node

pytestmark = pytest.mark.root

RATE = 20.0  # containers a second
GROWTH = 3 * MIB
POOL = (os.cpu_count() or 1) + 4
"""Threads that asyncio makes for blocking work, one after the other until there are so many."""


def settled(agent: AgentProcess) -> Costs:
    """What it takes when all that has ended is handed on."""
    agent.wait_for(lambda status: slots_used(status) == 0)
    assert agent.process
    return costs(agent.process.pid)


def churn(agent: AgentProcess, node: SimulatedNode, seconds: float) -> tuple[Costs, dict]:
    """Short containers at RATE, or as fast as the machine makes them; the costs afterwards, and who came."""
    pod = node.pod()
    with flood(node, pod, RATE) as short:
        time.sleep(seconds)  # it is the time that is given
    after = settled(agent)
    node.remove(pod)
    return after, short.expected


@pytest.fixture
def node(tmp_path, layout, built_programs):
    with simulated_node(tmp_path / "node", layout, built_programs) as made:
        yield made


def whole(collector: Collector) -> dict[str, Observation]:
    """Records of containers that have ended, by the container's id."""
    return {each.identity.container_id: each for each in collector.stored.values() if each.ended}


@pytest.mark.timeout(1500)  # ten minutes of it, and what was kept meanwhile
def test_churn(agent: AgentProcess, node: SimulatedNode, uplinked, scaled):
    """RSS grows by less than 3 MiB after the first part, without the collector too; no container is lost."""
    with uplinked(agent) as collector:
        agent.settings += node.settings
        agent.start()
        follows = plan(recording("it", "shop"))
        collector.send(follows)
        assert agent.says(f"plan {follows.revision}:")
        seconds = scaled(600, least=25)
        first, expected = churn(agent, node, max(15.0, seconds * 0.1))
        collector.stop()
        away, more = churn(agent, node, seconds * 0.45)
        expected |= more
        collector.start()
        last, more = churn(agent, node, seconds * 0.45)
        expected |= more
        for each in (away, last):
            assert each.rss - first.rss < GROWTH
            assert each.descriptors <= first.descriptors + 2
            assert each.threads <= first.threads + POOL
            assert each.kernel == first.kernel
        collector.wait_for(lambda collector: expected.keys() <= whole(collector).keys(), 60)
        seen = whole(collector)
        for identity, calls in expected.items():
            assert problems(seen[identity], calls) == []
        agent.wait_for(lambda status: status.uplink.spool_bytes == 0)
