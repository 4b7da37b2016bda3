"""Hostile agents and recordings against the whole way to results: real store, real publisher.

What is not true of a pod is in no result; recordings whose results would have one name have results each.
"""

import asyncio
import contextlib

from recorder.collector.results.publisher import Publisher
from recorder.collector.results.result_policy import ResultPolicy
from recorder.model.recording import ProfileKind
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.ground import container, ground, observed
from tests.collector.platform import FakePlatform, recording

PTRACE, MOUNT, REBOOT = 101, 165, 169
"""Of x86_64; no base has them."""
POLICY = ResultPolicy(settle=0.2, first_write=0.05, last_write=0.1, glance=0.05)


@contextlib.asynccontextmanager
async def publishing(certificates, folder, platform):
    """A collector with all but its pages."""
    async with ground(certificates, folder, platform=platform, store_at=folder / "store.db") as made:
        publisher = Publisher(
            made.store,
            platform,
            POLICY,
            version="0.1",
            connected=lambda: {each.node for each in made.service.agents()},
            changed=made.service.records_changed,
        )
        made.service._changed = publisher.sightings_changed
        task = asyncio.create_task(publisher.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def allowed(platform, name):
    """The names of calls in a published profile."""
    spec = platform.object(name).spec
    [rule] = [each for each in spec["syscalls"] if each["action"] == "SCMP_ACT_ALLOW"]
    return set(rule["names"])


def final(platform, name):
    found = platform.objects.get((ProfileKind.SECCOMP, name))
    return found is not None and found.part("spec").get("state") == "Enabled"


def test_a_pod_that_the_api_server_places_elsewhere(certificates, tmp_path):
    """Node A's agent reports node B's pod, one that was never there, and one with another's uid: refused."""
    platform = FakePlatform()
    one = platform.add(recording("web"))
    platform.add_pod("pod-1", "ns", "uid-1", "node-b")
    platform.add_pod("pod-3", "ns", "its-own", "node-a")

    async def run():
        async with (
            publishing(certificates, tmp_path, platform) as made,
            made.agent("node-a") as hostile,
            made.agent("node-b") as good,
        ):
            for number, call in ((1, PTRACE), (2, MOUNT), (3, REBOOT)):
                assert await hostile.answer(observed(number, (call,), ended=True), one.id) == ""
            true = observed(9, (0, 1), node="node-b", identity=container(1), ended=True)
            assert await good.answer(true, one.id) == ""
            await made.until(lambda: final(platform, "web-app"))
            assert {"read", "write"} <= allowed(platform, "web-app")
            assert not {"ptrace", "mount", "reboot"} & allowed(platform, "web-app")
            assert platform.names() == ["web-app"]
            async with made.root() as stub:
                said = [each.container async for each in stub.GetRecords(pb.GetRecordsRequest())]
            found = {each.observation.source.cgroup_id: each for each in said if each.recording_id}
            assert found[9].confirmation == pb.CONFIRMATION_CONFIRMED
            assert found[1].confirmation == pb.CONFIRMATION_REFUSED
            assert "not on the agent's node" in found[1].reason
            # a pod that is not there may be there at the next look: they are asked for again for a while
            unseen = (pb.CONFIRMATION_UNASKED, pb.CONFIRMATION_MISSING, pb.CONFIRMATION_REFUSED)
            assert {found[number].confirmation for number in (2, 3)} <= set(unseen)

    asyncio.run(run())


def test_recordings_a_b_with_c_and_a_with_b_c(certificates, tmp_path):
    """Both would be `a-b-c`: each has a result of its own, with its own calls alone."""
    platform = FakePlatform()
    first = platform.add(recording("a-b", containers=("c",)))
    second = platform.add(recording("a", containers=("b-c",)))
    for number in (1, 2):
        platform.add_pod(f"pod-{number}", "ns", f"uid-{number}", "node-a")

    async def run():
        async with publishing(certificates, tmp_path, platform) as made, made.agent() as agent:
            for number, (of, name, call) in enumerate(((first, "c", MOUNT), (second, "b-c", REBOOT)), 1):
                identity = container(number, name=name)
                assert (
                    await agent.answer(observed(number, (call,), identity=identity, ended=True), of.id) == ""
                )
            await made.until(lambda: len(platform.names()) == 2)
        by_recording = {
            platform.object(name).labels["spo.x-k8s.io/recording-id"]: allowed(platform, name)
            for name in platform.names()
        }
        assert "a-b-c" in platform.names()
        assert {"mount", "reboot"} & by_recording["a-b"] == {"mount"}
        assert {"mount", "reboot"} & by_recording["a"] == {"reboot"}

    asyncio.run(run())


def test_one_name_in_two_namespaces(certificates, tmp_path):
    """The second has its namespace in front; what an agent says of one is never in the other's."""
    platform = FakePlatform()
    here, there = platform.add(recording("r", "here")), platform.add(recording("r", "there"))
    for number, namespace in ((1, "here"), (2, "there")):
        platform.add_pod(f"pod-{number}", namespace, f"uid-{number}", "node-a")

    async def run():
        async with publishing(certificates, tmp_path, platform) as made, made.agent() as agent:
            for number, (of, call) in enumerate(((here, MOUNT), (there, REBOOT)), 1):
                one = observed(number, (call,), identity=container(number, of.name.namespace), ended=True)
                other = there if of is here else here
                assert (await agent.answer(one, other.id)).startswith("wrong_namespace: ")
                assert await agent.answer(one, of.id) == ""
            await made.until(lambda: len(platform.names()) == 2)
        of_namespace = {
            platform.object(name).labels["spo.x-k8s.io/recording-namespace"]: allowed(platform, name)
            for name in platform.names()
        }
        assert "r-app" in platform.names()
        assert {"mount", "reboot"} & of_namespace["here"] == {"mount"}
        assert {"mount", "reboot"} & of_namespace["there"] == {"reboot"}

    asyncio.run(run())


def test_a_selector_that_matches_everything(certificates, tmp_path):
    """Every pod of its namespace has a result, up to the bound of results; those of others have none."""
    platform = FakePlatform()
    everything = platform.add(recording("all"))
    for number in range(1, 6):
        platform.add_pod(f"pod-{number}", "ns", f"uid-{number}", "node-a", labels={"any": str(number)})

    async def run():
        async with publishing(certificates, tmp_path, platform) as made, made.agent() as agent:
            for number in range(1, 6):
                identity = container(number, name=f"c-{number}")
                one = observed(number, (number,), identity=identity, ended=True)
                assert await agent.answer(one, everything.id) == ""
            outside = observed(6, (6,), identity=container(6, "other"))
            assert (await agent.answer(outside, everything.id)).startswith("wrong_namespace: ")
            await made.until(lambda: len(platform.names()) == 5)
        assert platform.names() == [f"all-c-{number}" for number in range(1, 6)]

    asyncio.run(run())
