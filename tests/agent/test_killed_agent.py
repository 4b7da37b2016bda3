"""SIGKILL at any moment: the next agent goes on with every container; nothing is lost or mixed up."""

import random
import time

import pytest

from recorder.model.abi import Abi
from recorder.model.record import Observation
from tests.agent.churn import churn
from tests.agent.collector import Collector
from tests.agent.node import FOREVER
from tests.agent.observed import problems, workload
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess
from tests.truth.calls import Call, calls, safe_calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
# Seconds of an agent's life, from its start, that kills are spread over: it serves after half of one.
MOMENTS = (0.0, 0.3, 0.6, 0.8, 1.2)
UNNAMED = ("identity_unknown",)
AWAY = (0.0, 0.0, 0.3)


@pytest.fixture
def armed(agent: AgentProcess, pods, uplinked):
    """The agent follows a plan for all containers of the namespace `shop`: it and its collector."""
    agent.settings += pods.settings
    with uplinked(agent) as collector:
        agent.start()
        new = plan(recording("it", "shop"))
        collector.send(new)
        assert agent.says(f"plan {new.revision}:")
        yield agent, collector


def by_container(collector: Collector) -> dict[str, list[Observation]]:
    found: dict[str, list[Observation]] = {}
    for each in collector.stored.values():
        found.setdefault(each.identity.container_id, []).append(each)
    return found


def wait_for_all(collector: Collector, wanted: set[str], seconds: float = 60) -> dict[str, Observation]:
    """The whole record of each container; each is one source."""

    def ended(collector: Collector) -> bool:
        found = by_container(collector)
        return all(any(each.ended for each in found.get(identity, ())) for identity in wanted)

    try:
        collector.wait_for(ended, seconds)
    except AssertionError as error:
        found = by_container(collector)
        lacking = {
            identity[:12]: [each.ended for each in found.get(identity, ())]
            for identity in wanted
            if not any(each.ended for each in found.get(identity, ()))
        }
        raise AssertionError(f"{error}; not whole, of {len(wanted)}: {lacking}") from None
    found = by_container(collector)
    assert {identity: len(found[identity]) for identity in wanted if len(found[identity]) != 1} == {}
    return {identity: found[identity][0] for identity in wanted}


def wait_running(collector: Collector, identity: str) -> None:
    """Until the collector has all that the endless program calls."""
    collector.wait_for(
        lambda collector: any(workload(each) >= RUNNING for each in by_container(collector).get(identity, ()))
    )


def kill_at_a_random_moment(agent: AgentProcess, rng: random.Random) -> None:
    """It lives for a while, serving or not yet, and is killed; sometimes nobody is there after it."""
    agent.begin()
    time.sleep(rng.choice(MOMENTS) + rng.uniform(0, 0.4))
    agent.kill()
    time.sleep(rng.choice(AWAY))


def test_killed_again_and_again(armed, pods, scaled):
    """With the collector there and away, and containers that end while no agent lives: all are whole."""
    agent, collector = armed
    rng = random.Random(20_240_311)
    pod = pods.pod({"app": "web"})
    with churn(pods, pod, rng.randrange(1 << 32)) as running:
        agent.kill()
        serving = True
        for _ in range(scaled(50, least=5)):
            if serving and rng.random() < 0.5:
                collector.stop()
                serving = False
            elif not serving:
                collector.start()
                serving = True
            kill_at_a_random_moment(agent, rng)
        running.stop()
    if not serving:
        collector.start()
    agent.start()
    seen = wait_for_all(collector, set(running.expected))
    wrong = [line for identity, calls in running.expected.items() for line in problems(seen[identity], calls)]
    assert wrong == []
    assert {each.identity.pod.uid for each in seen.values() if each.identity.pod} == {pod.uid}
    assert len(seen) >= scaled(50, least=5)
    agent.wait_released(running.expected)
    assert agent.terminate() == 0
    assert agent.left() == []
    assert agent.spooled() & pods.made == set()


def test_containers_that_run_through_it(armed, pods, scaled):
    """They make calls of their own while each agent lives and while none does."""
    agent, collector = armed
    pod = pods.pod()
    containers = [pods.start(pod, f"c-{number}", *FOREVER) for number in range(2)]
    for identity in containers:
        wait_running(collector, identity)
    deck = iter(safe_calls(Abi.X86_64))
    made: dict[str, set[Call]] = {identity: set() for identity in containers}

    def call(identity: str) -> None:
        one = next(deck)
        made[identity].add(one)
        assert pods.cri.exec(identity, ["/rawsys", word(one)]) == 0

    for _ in range(scaled(10, least=3)):
        call(containers[0])
        agent.kill()
        call(containers[1])
        agent.start()
    for identity in containers:
        pods.stop(identity)
    seen = wait_for_all(collector, set(containers))
    for identity in containers:
        assert problems(seen[identity], RUNNING | rawsys_calls(made[identity])) == []


def test_containers_that_end_while_no_agent_lives(armed, pods, scaled):
    """Begun before or after the kill, removed or not: whole, and named if the runtime still knows them."""
    agent, collector = armed
    pod = pods.pod()
    before = pods.start(pod, "before", *FOREVER)
    wait_running(collector, before)
    agent.kill()
    pods.stop(before)
    kept = [pods.start(pod, f"kept-{number}", "/five") for number in range(scaled(30, least=3))]
    removed = [pods.start(pod, f"removed-{number}", "/five") for number in range(scaled(30, least=3))]
    for identity in removed:
        pods.cri.remove_container(pods.wait_exited(identity))
    agent.start()
    seen = wait_for_all(collector, {before, *kept, *removed})
    assert problems(seen[before], RUNNING) == []
    for identity in kept:
        assert problems(seen[identity], FIVE) == []
    for identity in removed:
        assert problems(seen[identity], FIVE, UNNAMED) == []
    assert [seen[identity].identity.name for identity in kept] == [f"kept-{n}" for n in range(len(kept))]
    assert {seen[identity].identity.name for identity in removed} == set(removed)
    agent.wait_released(pods.made)


def test_killed_while_the_collector_is_away(armed, pods, scaled):
    """What has ended is on disk: killed and started again, it still has all for the collector that comes."""
    agent, collector = armed
    pod = pods.pod()
    collector.stop()
    identities = [pods.start(pod, f"c-{number}", "/five") for number in range(scaled(60, least=6))]
    for identity in identities:
        pods.wait_exited(identity)
    for _ in range(2):
        agent.wait_for(lambda status: status.uplink.unacknowledged >= len(identities))
        agent.wait_released(identities)
        agent.kill()
        assert agent.spooled() >= set(identities)
        agent.start()
    assert not any(identity in by_container(collector) for identity in identities)
    collector.start()
    seen = wait_for_all(collector, set(identities))
    assert [line for each in seen.values() for line in problems(each, FIVE)] == []
    assert agent.terminate() == 0
    assert agent.spooled() & pods.made == set()


def test_killed_during_the_first_start(agent, pods, uplinked, scaled):
    """Whatever it had loaded and pinned by then: the next one starts, and records."""
    agent.settings += pods.settings
    with uplinked(agent) as collector:
        collector.plan = plan(recording("it", "shop"))
        rng = random.Random(4)
        for _ in range(scaled(40, least=4)):
            agent.begin()
            time.sleep(rng.uniform(0.3, 0.8))
            agent.kill()
        agent.start()
        assert agent.says(f"plan {collector.plan.revision}:")
        pod = pods.pod()
        identity = pods.start(pod, "web", "/five")
        assert problems(wait_for_all(collector, {identity})[identity], FIVE) == []
        assert agent.terminate() == 0
    assert agent.left() == []


def test_remove_after_a_kill(armed, pods):
    """`--remove` needs nobody: all that the killed one had is gone, and it may be repeated."""
    agent, _ = armed
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    agent.wait_for(lambda _: bool(agent.holds([identity])))
    agent.kill()
    assert agent.pins.exists()
    done = agent.run("--remove")
    assert done.returncode == 0, done
    said = done.stdout.decode()
    for place in (agent.pins, agent.state, agent.socket):
        assert f"removed {place}" in said
        assert not place.exists()
    assert agent.left() == []
    again = agent.run("--remove")
    assert (again.returncode, again.stdout) == (0, b"nothing was left\n")


def test_a_living_agent_is_not_removed(armed):
    """`--remove` says that one serves, and touches nothing."""
    agent, _ = armed
    done = agent.run("--remove")
    assert done.returncode == 3
    assert b"ADDRESS_IN_USE" in done.stderr
    assert agent.pins.exists()
    assert agent.socket.exists()
    assert agent.status().plan.recordings == 1


def test_an_agent_that_keeps_armed(armed, pods):
    """SIGTERM for an update: the next agent has all containers from their first call."""
    agent, collector = armed
    agent.kill()
    agent.settings += ("--keep-armed",)
    agent.start()
    pod = pods.pod()
    through = pods.start(pod, "through", *FOREVER)
    wait_running(collector, through)
    assert agent.terminate() == 0
    meanwhile = pods.start(pod, "meanwhile", "/five")
    one = Call(Abi.X86_64, 111)
    assert pods.cri.exec(through, ["/rawsys", word(one)]) == 0
    agent.start()
    pods.stop(through)
    seen = wait_for_all(collector, {through, meanwhile})
    assert problems(seen[through], RUNNING | rawsys_calls([one])) == []
    assert problems(seen[meanwhile], FIVE) == []


def test_an_orderly_end(armed, pods):
    """Within five seconds nothing is left in the kernel, and the collector has what was seen."""
    agent, collector = armed
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    wait_running(collector, identity)
    assert agent.terminate() == 0
    assert agent.left() == []
    (seen,) = by_container(collector)[identity]
    assert problems(seen, RUNNING) == []


def test_an_orderly_end_without_the_collector(armed, pods):
    """Final records are in the spool for the agent after it, whose collector gets them."""
    agent, collector = armed
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    wait_running(collector, identity)
    collector.stop()
    assert agent.terminate() == 0
    assert agent.left() == []
    assert identity in agent.spooled()
    collector.start()
    agent.start()
    assert problems(wait_for_all(collector, {identity})[identity], RUNNING) == []
