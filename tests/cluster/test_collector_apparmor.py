"""AppArmorProfile recordings on a real API server: they grow, are merged, become final, can be edited."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from recorder.rpc.v1 import agent_pb2
from tests.accesses_given import WEB, accesses
from tests.cluster.client import Object
from tests.cluster.scene import Scene, condition, state

KIND = "AppArmorProfile"
OURS = "recorder.x-k8s.io"
SPEC = {
    "mode": "Enforce",
    "abstract": {
        "executable": {
            "allowedExecutables": ["/usr/sbin/nginx"],
            "allowedLibraries": [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib/x86_64-linux-gnu/libcrypt.so.1",
            ],
        },
        "filesystem": {
            "readOnlyPaths": [
                "/etc/nginx/mime.types",
                "/etc/nginx/nginx.conf",
                "/etc/passwd",
                "/usr/share/nginx/html/index.html",
            ],
            "readWritePaths": ["/run/nginx.pid"],
            "writeOnlyPaths": ["/var/lib/nginx/body/?*", "/var/log/nginx/access.log"],
        },
        "network": {"allowedProtocols": {"allowTcp": True}},
        "capability": {"allowedCapabilities": ["net_bind_service"]},
    },
}


def profile(cluster: Scene, name: str, until: Callable[[Object], object] = bool) -> Object:
    return cluster.profile(name, until, kind=KIND)


def paths(found: Object, field: str = "readOnlyPaths") -> list[str]:
    return sorted(found["spec"]["abstract"].get("filesystem", {}).get(field, []))


def without_state(found: Object) -> Object:
    """Lists sorted: they are sets, in which the API server keeps what was there in front."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(each) for key, each in value.items()}
        return sorted(value) if isinstance(value, list) else value

    return ordered({key: value for key, value in found["spec"].items() if key != "state"})


@pytest.mark.parametrize(
    ("version", "spec"),
    [
        ("v1", {"recorder": "Bpf", "mergeStrategy": "None"}),
        ("v1alpha1", {"recorder": "bpf", "mergeStrategy": "containers"}),
    ],
)
def test_a_profile_appears_grows_and_becomes_final(cluster, place, agent, version, spec):
    """What was seen of a web server, and nothing else; taken by the API server as it was meant."""
    cluster.record(place, place, version=version, kind=KIND, **spec)
    web = cluster.container(cluster.pod(place, "web"))
    first, rest = WEB.strip().split("\n", 4)[:4], WEB.strip().split("\n", 4)[4]
    cluster.act(lambda: agent.access(web, accesses("\n".join(first))))
    found = profile(cluster, f"{place}-web")
    assert (found["spec"]["state"], state(found)) == ("Disabled", "recording")
    assert paths(found) == ["/etc/nginx/nginx.conf"]
    cluster.act(lambda: agent.access(web, accesses(rest, tcp=True, bind_service=True)))
    found = profile(cluster, f"{place}-web", lambda each: "/etc/passwd" in paths(each))
    assert (found["spec"]["state"], state(found)) == ("Disabled", "recording")
    cluster.act(lambda: agent.end(web))
    found = profile(cluster, f"{place}-web", lambda each: state(each) == "final")
    assert found["spec"]["state"] == "Enabled"
    assert without_state(found) == SPEC
    assert found["metadata"]["labels"] == {
        "spo.x-k8s.io/recording-id": place,
        "spo.x-k8s.io/container-id": "web",
        "spo.x-k8s.io/recording-namespace": place,
    }
    annotations = found["metadata"]["annotations"]
    assert annotations[f"{OURS}/asked"] == "Bpf"
    assert annotations[f"{OURS}/verdict"] == "complete"
    assert json.loads(annotations[f"{OURS}/generalised"])["number"] == 1
    status = cluster.status(
        place, lambda each: [one["state"] for one in each.get("results", ())] == ["final"], place
    )
    (told,) = status["results"]
    assert (told["kind"], told["rules"], told["coverage"], "syscalls" in told) == (KIND, 12, 1, False)
    assert condition(status, "PartlyExpressed") == {}


def test_replicas_are_merged_with_coverage(cluster, place):
    """Containers: the union of three nodes; None: one for each pod. Partial ones go in the end."""
    agents = [cluster.agent(f"node-{number}") for number in range(3)]
    cluster.record(place, f"{place}-one", kind=KIND, mergeStrategy="Containers")
    cluster.record(place, f"{place}-each", kind=KIND)
    running = []
    for number, agent in enumerate(agents):
        web = cluster.container(cluster.pod(place, template="web-", node=f"node-{number}"))
        own = f"rx /usr/sbin/nginx\nr /etc/nginx/{number}.conf"
        cluster.act(lambda agent=agent, web=web, own=own: agent.access(web, accesses(own)))
        running.append((agent, web))
    all_of_them = [f"/etc/nginx/{number}.conf" for number in range(3)]
    found = profile(cluster, f"{place}-one-web", lambda each: paths(each) == all_of_them)
    coverage = json.loads(found["metadata"]["annotations"][f"{OURS}/rule-coverage"])
    assert coverage == {"version": "v1", "total": 3, "paths": dict.fromkeys(all_of_them, 1)}
    for number, (agent, web) in enumerate(running):
        suffix = web.pod.name.removeprefix("web-")
        each = profile(cluster, f"{place}-each-web-{suffix}")
        assert paths(each) == [f"/etc/nginx/{number}.conf"]
        cluster.act(lambda agent=agent, web=web: agent.end(web))
    found = profile(cluster, f"{place}-one-web", lambda each: state(each) == "final")
    assert paths(found) == all_of_them
    cluster.without(KIND, f"spo.x-k8s.io/partial=true,spo.x-k8s.io/recording-namespace={place}")
    for agent in agents:
        cluster.stop(agent)


def test_what_a_person_edits_stays_theirs(cluster, place, agent):
    """kubectl edit of the spec; the recording says so, and what is the recorder's goes on."""
    cluster.record(place, place, kind=KIND)
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: agent.access(web, accesses()))
    found = profile(cluster, f"{place}-web")
    abstract = found["spec"]["abstract"]
    mine = {**abstract, "filesystem": {**abstract["filesystem"], "readOnlyPaths": ["/etc/**"]}}
    cluster.client.patch(KIND, f"{place}-web", {"spec": {"abstract": mine}}, manager="kubectl-edit")
    status = cluster.status(place, lambda each: condition(each, "Edited").get("status") == "True", place)
    assert "spec.abstract by kubectl-edit" in condition(status, "Edited")["message"]
    cluster.act(lambda: (agent.access(web, accesses("r /etc/more")), agent.end(web)))
    found = profile(cluster, f"{place}-web", lambda each: state(each) == "final")
    assert paths(found) == ["/etc/**"]
    assert found["spec"]["state"] == "Enabled"


def test_what_the_object_cannot_say_is_a_condition(cluster, place, agent):
    """It names the result, and the command that has the whole."""
    cluster.record(place, place, kind=KIND)
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: agent.access(web, accesses(signal=True, mount=True)))
    status = cluster.status(place, lambda each: condition(each, "PartlyExpressed"), place)
    told = condition(status, "PartlyExpressed")
    assert (told["status"], told["reason"]) == ("True", "NotExpressible")
    for word in (f"{place}-web", "mount, umount and pivot_root", "signals", "apparmor-text"):
        assert word in told["message"]
    found = profile(cluster, f"{place}-web")
    assert "signals: used by the workload" in found["metadata"]["annotations"][f"{OURS}/warnings"]


def test_nodes_that_cannot_are_named(cluster, place):
    """One that sees no accesses, and one without AppArmor: which, and why; and no empty profile."""
    problem = agent_pb2.KindProblem(kind=agent_pb2.KIND_ACCESSES, problem="agent.accesses is off there")
    blind = cluster.agent("node-blind", kinds=[agent_pb2.KIND_SYSCALLS], problems=[problem])
    bare = cluster.agent("node-bare", modules=[agent_pb2.SecurityModule(name="bpf")])
    cluster.record(place, place, kind=KIND)
    hidden = cluster.container(cluster.pod(place, "hidden", node="node-blind"))
    shown = cluster.container(cluster.pod(place, "shown", node="node-bare"), "other")
    cluster.act(lambda: blind.lose(hidden, "accesses_unwatched"))
    cluster.act(lambda: bare.access(shown, accesses()))
    status = cluster.status(
        place,
        lambda each: (
            "node-blind (agent.accesses is off there)" in condition(each, "Ready").get("message", "")
            and "node-bare" in condition(each, "Ready")["message"].partition("apparmor")[2]
        ),
        place,
    )
    assert condition(status, "Ready")["reason"] == "Degraded"
    assert profile(cluster, f"{place}-other")
    assert cluster.client.find(KIND, f"{place}-web") is None
    for each in (blind, bare):
        cluster.stop(each)


def test_a_killed_collector_makes_the_same_bytes(cluster, place, agent):
    """In the middle of a recording, and after its end: spec, labels and annotations stay."""
    cluster.record(place, place, kind=KIND)
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: agent.access(web, accesses()))
    profile(cluster, f"{place}-web", lambda each: "/etc/passwd" in paths(each))
    cluster.collector.kill()
    cluster.act(lambda: (agent.access(web, accesses("r /etc/more", tcp=True)), agent.end(web)))
    cluster.collector.start()
    before = profile(cluster, f"{place}-web", lambda each: state(each) == "final")
    assert "/etc/more" in paths(before)
    cluster.collector.kill()
    cluster.collector.start()
    cluster.status(place, lambda each: each.get("results"), place)
    cluster.stored(agent)
    after = cluster.client.get(KIND, f"{place}-web")
    assert json.dumps(after["spec"], sort_keys=True) == json.dumps(before["spec"], sort_keys=True)
    for part in ("labels", "annotations"):
        assert after["metadata"][part] == before["metadata"][part]
