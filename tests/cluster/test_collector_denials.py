"""Profiles that are made of denials, with a real API server: SELinux's, and AppArmor's completed."""

from collections.abc import Callable

import pytest

from recorder.model.denial import DenialKey
from recorder.rpc.v1 import agent_pb2
from tests.cluster.client import Object
from tests.cluster.kube import recording
from tests.cluster.scene import OPT_IN, SECONDS, Scene, condition, state
from tests.denials_given import counted
from tests.unit.profiles.test_completion import denial
from tests.unit.profiles.test_selinux import avc

OURS = "recorder.x-k8s.io"


def profile(cluster: Scene, kind: str, name: str, until: Callable[[Object], object] = bool) -> Object:
    """The object, once it is such."""
    found = cluster.client.wait(
        kind, name, lambda each: each is not None and bool(until(each)), seconds=SECONDS
    )
    assert found
    return found


def is_final(each: Object) -> bool:
    return state(each) == "final"


def said(each: Object, key: str) -> str | None:
    return each["metadata"]["annotations"].get(f"{OURS}/{key}")


def ran(cluster: Scene, agent, place, module, *denials, pod="web", **more):
    """A pod's container whose workload was denied these, in complain or permissive mode, and has ended."""
    container = cluster.container(
        cluster.pod(place, pod, **more), denials_by=f"seccomp sys_exit, {module} lsm"
    )
    found = {DenialKey("allowed", each): counted(1) for each in denials}
    cluster.act(lambda: (agent.see(container, "execve"), agent.deny(container, found), agent.end(container)))


def test_selinux_profiles_of_replicas_are_one(cluster, place):
    """In the old spelling: the API server takes the object, with names, labels, counts and a status."""
    agent = cluster.agent()
    spec = {"kind": "SelinuxProfile", "recorder": "logs", "mergeStrategy": "containers"}
    cluster.client.create(recording(place, place, version="v1alpha1", **spec))
    reads = avc("recording.process", "etc_t", "file", "open read")
    writes = avc("recording.process", "recording.process", "fifo_file", "write")
    ran(cluster, agent, place, "selinux", reads, pod="", template="web-")
    ran(cluster, agent, place, "selinux", reads, writes, pod="", template="web-")
    found = profile(
        cluster,
        "SelinuxProfile",
        f"{place}-web",
        lambda each: is_final(each) and said(each, "records") == "2",
    )
    assert found["spec"] == {
        "state": "Enabled",
        "mode": "Enforcing",
        "inherit": [{"kind": "System", "name": "container"}],
        "allow": {"etc_t": {"file": ["open", "read"]}, "@self": {"fifo_file": ["write"]}},
    }
    assert found["metadata"]["labels"] == {
        "spo.x-k8s.io/recording-id": place,
        "spo.x-k8s.io/container-id": "web",
        "spo.x-k8s.io/recording-namespace": place,
    }
    assert said(found, "rule-coverage") == '{"version":"v1","total":2,"rules":{"@self fifo_file write":1}}'
    status = cluster.status(place, lambda each: each.get("resultCount") == 1, place)
    (result,) = status["results"]
    assert (result["kind"], result["rules"], result["verdict"]) == ("SelinuxProfile", 3, "complete")
    assert "syscalls" not in result


def test_an_edit_of_a_selinux_profile_is_kept(cluster, place):
    """As of the other kinds: the field is the person's, and the condition says so."""
    agent = cluster.agent()
    cluster.client.create(recording(place, place, kind="SelinuxProfile"))
    ran(cluster, agent, place, "selinux", avc("recording.process", "etc_t", "file", "read"))
    name = f"{place}-web"
    profile(cluster, "SelinuxProfile", name, is_final)
    mine = {"spec": {"allow": {"var_t": {"file": ["read"]}}}}
    cluster.client.patch("SelinuxProfile", name, mine, manager="kubectl-edit")
    cluster.status(place, lambda each: "spec.allow" in condition(each, "Edited").get("message", ""), place)


def test_a_profile_in_complain_mode_gives_one_to_review(cluster, place):
    """That with what it lacks; the one under which the pods run, which is a person's, stays as it is."""
    agent, name = cluster.agent(), f"hand-{place}"
    cluster.client.create(
        {
            "apiVersion": "security-profiles-operator.x-k8s.io/v1",
            "kind": "AppArmorProfile",
            "metadata": {"name": name},
            "spec": {"mode": "Complain", "abstract": {"filesystem": {"readOnlyPaths": ["/etc/hosts"]}}},
        }
    )
    before = cluster.client.get("AppArmorProfile", name)
    spec = {"kind": "AppArmorProfile", "recorder": "Logs"}
    cluster.client.create(recording(place, place, annotations={f"{OURS}/update": name}, **spec))
    ran(
        cluster,
        agent,
        place,
        "apparmor",
        denial("open", "file", "read", "/etc/app.conf", profile=name),
        denial("create", "net", "create", profile=name, family="inet", socket_type="stream", protocol=6),
    )
    found = profile(cluster, "AppArmorProfile", f"{place}-web", is_final)
    assert found["spec"] == {
        "state": "Enabled",
        "mode": "Complain",
        "abstract": {
            "filesystem": {"readOnlyPaths": ["/etc/app.conf", "/etc/hosts"]},
            "network": {"allowedProtocols": {"allowTcp": True}},
        },
    }
    assert said(found, "completes") == name
    assert sorted((said(found, "added") or "").splitlines()) == [
        "allowTcp: true",
        "readOnlyPaths: /etc/app.conf",
    ]
    status = cluster.status(place, lambda each: condition(each, "ProfileUpdated"), place)
    assert condition(status, "ProfileUpdated")["reason"] == "NotOurs"
    assert cluster.client.get("AppArmorProfile", name) == before


def test_a_result_of_the_namespace_is_completed_where_it_stands(cluster, place):
    """Recorded, set to Complain by hand, and completed: never by force, and not from another namespace."""
    agent, elsewhere = cluster.agent(), cluster.namespace(OPT_IN)
    spec = {"kind": "AppArmorProfile", "recorder": "Logs"}
    first = f"first-{place}"
    cluster.client.create(recording(place, first, **spec))
    ran(cluster, agent, place, "apparmor", denial("open", "file", "read", "/etc/hosts", profile="unknown"))
    name = f"{first}-web"
    made = profile(cluster, "AppArmorProfile", name, is_final)
    assert (made["spec"]["state"], made["spec"]["mode"]) == ("Disabled", "Complain")
    cluster.client.delete("ProfileRecording", first, place)
    for mode in ("Enforce", "Complain"):
        cluster.client.patch("AppArmorProfile", name, {"spec": {"mode": mode}}, manager="kubectl-edit")

    lacked = denial("open", "file", "read", "/etc/app.conf", profile=name)
    for where in (elsewhere, place):
        cluster.client.create(recording(where, f"r-{where}", annotations={f"{OURS}/update": name}, **spec))
        ran(cluster, agent, where, "apparmor", lacked, pod="again")
        status = cluster.status(where, lambda each: condition(each, "ProfileUpdated"), f"r-{where}")
        told = condition(status, "ProfileUpdated")
        if where == elsewhere:
            assert (told["status"], told["reason"]) == ("False", "OtherNamespace")
            assert cluster.client.get("AppArmorProfile", name)["spec"]["abstract"] == made["spec"]["abstract"]
        else:
            assert (told["status"], told["reason"]) == ("True", "Updated"), told
    after = cluster.client.get("AppArmorProfile", name)
    assert after["metadata"]["uid"] == made["metadata"]["uid"]
    paths = after["spec"]["abstract"]["filesystem"]["readOnlyPaths"]
    assert sorted(paths) == ["/etc/app.conf", "/etc/hosts"]  # a set: in the order of their coming
    assert (after["spec"]["state"], after["spec"]["mode"]) == ("Disabled", "Complain")
    assert after["metadata"]["labels"] == made["metadata"]["labels"]
    assert said(after, "completed-by") == f"{place}/r-{place}"
    assert said(after, "verdict") == said(made, "verdict")
    cluster.told(place, "ProfileUpdated")


@pytest.mark.parametrize(
    ("kind", "module", "other", "why"),
    [
        ("SelinuxProfile", "selinux", "apparmor", "it has no selinux"),
        ("AppArmorProfile", "apparmor", "selinux", "it has no apparmor"),
    ],
)
def test_nodes_without_the_module_are_named(cluster, place, kind, module, other, why):
    """There is no empty profile; a container on another node then makes a lossy one."""
    bare = cluster.agent("node-bare", modules=[agent_pb2.SecurityModule(name=other)])
    able = cluster.agent("node-able", modules=[agent_pb2.SecurityModule(name=module)])
    spec = {"kind": kind, "recorder": "Logs", "mergeStrategy": "Containers"}
    cluster.client.create(recording(place, place, **spec))
    there = cluster.container(
        cluster.pod(place, "bare", node="node-bare"), denials_by=f"seccomp sys_exit, {other} lsm"
    )
    cluster.act(lambda: bare.see(there, "execve"))
    status = cluster.status(
        place, lambda each: condition(each, "Ready").get("reason") == "NodesUnable", place
    )
    assert f"node-bare ({why})" in condition(status, "Ready")["message"]
    assert cluster.client.find(kind, f"{place}-web") is None
    denied = (
        avc("recording.process", "etc_t", "file", "read")
        if module == "selinux"
        else denial("open", "file", "read", "/etc/app.conf")
    )
    ran(cluster, able, place, module, denied, pod="able", node="node-able")
    found = profile(cluster, kind, f"{place}-web", lambda each: said(each, "records") == "2")
    assert said(found, "verdict") == "lossy: accesses_missed 1"
    for each in (bare, able):
        cluster.stop(each)
