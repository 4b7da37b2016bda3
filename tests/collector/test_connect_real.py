"""Real agents, a real store, real calls: what a container did is what people are shown, and comes once."""

import asyncio
import contextlib

import pytest

from recorder.collector.agents.reports import Reason
from recorder.collector.store.async_store import AsyncStore
from recorder.model.abi import Abi
from recorder.model.wire import from_observation
from recorder.rpc.v1 import collector_pb2 as pb
from tests.agent.observed import problems, workload
from tests.agent.process import NODE, AgentProcess, agent_process
from tests.agent.secured import bpffs_in
from tests.agent.simulated import FOREVER, simulated_node
from tests.collector.ground import Certificates, ground, observed
from tests.collector.platform import FakePlatform, recording
from tests.collector.serving import Serving, serving
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls

SHOP = recording("web", "shop", labels={"app": "web"}, containers=("app", "side"))
MADE = calls(Abi.X86_64, "getpid", "getuid", "umask")
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")


def shown(collector: Serving, namespace: str = "") -> dict[str, pb.ContainerRecord]:
    """What root is shown, by container id."""

    async def get(made):
        async with made.root() as stub:
            request = pb.GetRecordsRequest(filter=pb.RecordsFilter(namespace=namespace))
            return [each async for each in stub.GetRecords(request)]

    found = [each.container for each in collector.do(get) if each.HasField("container")]
    return {each.observation.identity.container_id: each for each in found}


def watched(collector: Serving, wanted) -> dict[str, pb.ContainerRecord]:
    """What a watch has said of each container when `wanted` is true of it."""

    async def watch(made):
        said = {}
        async with made.root() as stub, asyncio.timeout(60):
            call = stub.WatchRecords(pb.WatchRecordsRequest())
            async for event in call:
                if event.HasField("container"):
                    said[event.container.observation.identity.container_id] = event.container
                if wanted(said):
                    break
        return said

    return asyncio.run_coroutine_threadsafe(watch(collector.ground), collector.loop).result(90)


def settings_of(certificates: Certificates, collector: Serving) -> tuple[str, ...]:
    """An agent's flags to be this node's, and to reach the collector."""
    own = certificates.node(NODE)
    flags = {
        "--collector-endpoint": collector.agents,
        "--collector-certificate": own.certificate,
        "--collector-key": own.key,
        "--collector-ca": certificates.authority.certificate,
    }
    return tuple(word for flag, value in flags.items() for word in (flag, str(value)))


@pytest.fixture
def node(tmp_path, layout, built_programs):
    with simulated_node(tmp_path / "node", layout, built_programs) as made:
        yield made


@pytest.fixture
def agent(tmp_path, node):
    with bpffs_in(tmp_path) as bpffs, agent_process(tmp_path / "agent", bpffs, *node.settings) as made:
        yield made


@contextlib.contextmanager
def collecting(certificates, folder, *recordings, port=0):
    """A collector with a store at the folder, that is asked for these; the store knows them."""
    platform = FakePlatform()
    for each in recordings:
        platform.add(each)
    with serving(certificates, folder, platform=platform, store_at=folder / "store.db", port=port) as made:
        for each in recordings:
            made.do(lambda ground, each=each: ground.store.save_recording(each))
        made.do(lambda ground: ground.service.records_changed())
        yield made


@pytest.mark.root
def test_what_a_container_did_is_stored_and_shown(certificates, tmp_path, agent: AgentProcess, node):
    """While it runs and after: its calls, those of its set-up apart, for the recording that asks for it."""
    with collecting(certificates, tmp_path, SHOP) as collector:
        agent.settings += settings_of(certificates, collector)
        agent.start()
        assert agent.says(": 1 recordings")
        pod, other = node.pod({"app": "web"}), node.pod({"app": "db"})
        app, side = node.container(pod, "app"), node.container(pod, "side")
        unasked = [node.container(pod, "third"), node.container(other, "app")]
        node.start(app, *FOREVER)
        said = watched(collector, lambda said: workload(_of(said.get(app.id))) >= RUNNING)
        assert not said[app.id].observation.ended
        assert said[app.id].recording_id == SHOP.id
        assert said[app.id].observation.identity.pod.uid == pod.uid
        for each in (side, *unasked):
            node.call(each, *MADE)
        node.end(app, side, *unasked)
        said = watched(
            collector,
            lambda said: all(each.id in said and said[each.id].observation.ended for each in (app, side)),
        )
        assert problems(_of(said[side.id]), rawsys_calls(MADE) | EXEC) == []
        assert set(shown(collector)) == {app.id, side.id}
        agent.wait_for(lambda status: status.uplink.unacknowledged == 0)
        # containers of this machine that are none of the test's, and that no runtime knows, are unattributed
        assert collector.ground.service.figures.refused.keys() <= {Reason.UNATTRIBUTED}
        collector.do(lambda ground: ground.platform.delete(SHOP))
        assert agent.says(": 0 recordings")
        agent.wait_for(lambda status: status.plan.recordings == 0)


@pytest.mark.root
def test_an_agent_goes_on_where_the_last_collector_ended(certificates, tmp_path, agent: AgentProcess, node):
    """A container that ended while no collector was there: the next one, with that store, has all of it."""
    with collecting(certificates, tmp_path, SHOP) as collector:
        port = collector.ground.agents.tcp_port
        agent.settings += settings_of(certificates, collector)
        agent.start()
        assert agent.says(": 1 recordings")
        pod = node.pod({"app": "web"})
        first = node.container(pod, "app")
        node.call(first, *MADE)
        node.end(first)
        watched(collector, lambda said: first.id in said and said[first.id].observation.ended)
    second = node.container(pod, "app")
    node.call(second, *MADE)
    node.end(second)
    with collecting(certificates, tmp_path, SHOP, port=port) as collector:
        said = watched(collector, lambda said: second.id in said and said[second.id].observation.ended)
        for each in (first, second):
            assert problems(_of(said[each.id]), rawsys_calls(MADE) | EXEC) == []


def _of(said: pb.ContainerRecord | None):
    return from_observation(said.observation) if said else observed()


def test_what_was_acknowledged_is_in_the_file(certificates, tmp_path):
    """Every report whose acknowledgement an agent heard, though the collector ended in the middle."""
    path = tmp_path / "store.db"

    async def run():
        platform = FakePlatform()
        one = platform.add(recording())
        heard = []
        async with (
            ground(certificates, tmp_path, platform=platform, store_at=path) as made,
            made.agent() as agent,
        ):
            await agent.plan()
            for number in range(1, 200):
                await agent.report(observed(number), one.id)
            while len(heard) < 100:
                sequence, refused = await agent.acknowledged()
                assert refused == ""
                heard.append(sequence)
        store = await AsyncStore.open(path)
        try:
            stored = await store.sightings(one.id)
        finally:
            await store.close()
        assert {each.observation.source.cgroup_id for each in stored} >= set(heard)

    asyncio.run(run())
