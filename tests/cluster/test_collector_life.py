"""A recording is applied, and its profile appears, grows and becomes final: on a real API server."""

from collections.abc import Callable, Iterator

import pytest

from recorder.model.abi import Abi
from recorder.profiles.always import always
from tests.cluster.api_server import ApiServer
from tests.cluster.scene import OPT_IN, Scene, condition, names, scene, state

BASE = {*always(Abi.X86_64)}


@pytest.fixture
def cluster(api_server: ApiServer, namespace: Callable[..., str], certificates, tmp_path) -> Iterator[Scene]:
    with scene(api_server, namespace, certificates, tmp_path / "collector") as made:
        yield made


@pytest.mark.parametrize(
    ("version", "spec"),
    [
        ("v1", {"recorder": "Bpf", "mergeStrategy": "None"}),
        ("v1alpha1", {"recorder": "bpf", "mergeStrategy": "none"}),
        ("v1alpha1", {"recorder": "logs"}),
    ],
)
def test_a_profile_appears_grows_and_becomes_final(cluster, version, spec):
    """Disabled while its container runs, with all that was seen so far; Enabled when it has ended."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place, version=version, **spec)
    web = cluster.container(pod)
    cluster.act(lambda: agent.see(web, "execve", "read", "write"))
    profile = cluster.profile("it-web")
    assert (profile["spec"]["state"], state(profile)) == ("Disabled", "recording")
    assert {"execve", "read", "write"} <= set(names(profile))
    assert "uname" not in names(profile)
    cluster.act(lambda: agent.see(web, "uname", at=5))
    profile = cluster.profile("it-web", lambda each: "uname" in names(each))
    assert (profile["spec"]["state"], state(profile)) == ("Disabled", "recording")
    cluster.act(lambda: agent.end(web))
    profile = cluster.profile("it-web", lambda each: state(each) == "final")
    assert profile["spec"]["state"] == "Enabled"
    assert profile["spec"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["spec"]["architectures"] == ["SCMP_ARCH_X86_64"]
    assert profile["metadata"]["labels"] == {
        "spo.x-k8s.io/recording-id": "it",
        "spo.x-k8s.io/container-id": "web",
        "spo.x-k8s.io/recording-namespace": place,
    }
    assert profile["metadata"]["annotations"]["recorder.x-k8s.io/asked"].lower() == spec["recorder"].lower()


def test_the_person_sees_a_useful_line(cluster):
    """kubectl get: kind, whether it is ready, how many results; and the recording bears nothing of ours."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place)
    cluster.planned(agent)
    status = cluster.status(place, lambda each: condition(each, "Ready").get("status") == "True")
    assert condition(status, "Ready")["message"]
    web = cluster.container(pod)
    cluster.act(lambda: agent.see(web, "execve", "read"))
    cluster.status(place, lambda each: each.get("results"))
    columns, rows = cluster.client.table("ProfileRecording", place)
    line = dict(zip([each["name"].lower() for each in columns], rows[0], strict=True))
    assert (line["name"], line["kind"], line["ready"]) == ("it", "SeccompProfile", "Recording")
    assert int(line["results"]) == 1
    live = cluster.client.get("ProfileRecording", "it", place)
    assert {"finalizers", "annotations"}.isdisjoint(live["metadata"])
    assert live["status"]["activeWorkloads"] == ["web"]
    cluster.told(place, "Started", "FirstResult")


def test_deleting_with_the_collector_stopped_works_at_once(cluster):
    """And the collector, when it is back, makes the results of the deleted recording final."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place)
    web = cluster.container(pod)
    cluster.act(lambda: agent.see(web, "execve", "read"))
    cluster.profile("it-web")
    cluster.collector.kill()
    cluster.client.delete("ProfileRecording", "it", place)
    assert cluster.client.find("ProfileRecording", "it", place) is None
    cluster.collector.start()
    profile = cluster.profile("it-web", lambda each: state(each) == "final")
    assert profile["spec"]["state"] == "Enabled"
    assert {"execve", "read"} <= set(names(profile))


def test_disable_profile_after_recording(cluster):
    """The final profile stays Disabled."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place, disableProfileAfterRecording=True)
    web = cluster.container(pod)
    cluster.act(lambda: (agent.see(web, "execve", "read"), agent.end(web)))
    profile = cluster.profile("it-web", lambda each: state(each) == "final")
    assert profile["spec"]["state"] == "Disabled"


REPLICAS = ("mkdir", "rename", "unlink")


def replicas(cluster: Scene, place: str) -> tuple[list, list]:
    """Three pods of one template on three nodes, each with a call of its own; agents and containers."""
    agents, containers = [], []
    for number, name in enumerate(REPLICAS):
        agent = cluster.agent(f"node-{number}")
        pod = cluster.pod(place, template="web-", node=f"node-{number}")
        web = cluster.container(pod)
        cluster.act(lambda agent=agent, web=web, name=name: agent.see(web, "execve", "read", name))
        agents.append(agent)
        containers.append(web)
    return agents, containers


def test_three_replicas_give_three_profiles(cluster):
    """mergeStrategy None: each has its own calls, while they run and after."""
    place = cluster.namespace(OPT_IN)
    cluster.record(place)
    agents, containers = replicas(cluster, place)

    def check(wanted: str) -> None:
        for web, own in zip(containers, REPLICAS, strict=True):
            name = f"it-web-{web.pod.name.removeprefix('web-')}"
            profile = cluster.profile(name, lambda each: state(each) == wanted)
            assert {each for each in names(profile) if each in REPLICAS} == {own}
            assert profile["metadata"]["labels"]["spo.x-k8s.io/container-id"] == "web"
            assert "spo.x-k8s.io/partial" not in profile["metadata"]["labels"]

    check("recording")
    for agent, web in zip(agents, containers, strict=True):
        cluster.act(lambda agent=agent, web=web: agent.end(web))
    check("final")


def test_three_replicas_give_one_union_with_coverage(cluster):
    """mergeStrategy Containers: one profile with all calls, and in how many records each was seen."""
    place = cluster.namespace(OPT_IN)
    cluster.record(place, mergeStrategy="Containers")
    agents, containers = replicas(cluster, place)
    coverage = '{"version":"v1","total":3,"syscalls":{"execve":3,"mkdir":1,"read":3,"rename":1,"unlink":1}}'
    key = "spo.x-k8s.io/syscall-coverage"
    profile = cluster.profile("it-web", lambda each: set(REPLICAS) <= set(names(each)))
    assert state(profile) == "recording"
    assert profile["metadata"]["annotations"][key] == coverage
    partial = cluster.client.objects("SeccompProfile", labels=f"spo.x-k8s.io/partial=true,spo.x-k8s.io/recording-namespace={place}")  # fmt: skip # noqa: E501
    assert {each["metadata"]["name"] for each in partial} <= {
        f"it-web-{web.pod.name.removeprefix('web-')}" for web in containers
    }
    for agent, web in zip(agents, containers, strict=True):
        cluster.act(lambda agent=agent, web=web: agent.end(web))
    profile = cluster.profile("it-web", lambda each: state(each) == "final")
    assert profile["metadata"]["annotations"][key] == coverage
    assert set(REPLICAS) <= set(names(profile))
    assert "spo.x-k8s.io/partial" not in profile["metadata"]["labels"]
