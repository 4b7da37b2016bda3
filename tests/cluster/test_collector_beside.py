"""Beside an installed SPO that records: its recordings are left to it, its merger does not touch ours."""

import functools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP, Client, Object
from tests.cluster.kube import recording
from tests.cluster.scene import OPT_IN, Scene, names, scene, state

STATUS = "recorder.x-k8s.io/status"
OURS = {"recorder.x-k8s.io/recorder": "profile-recorder"}
COVERAGE = "spo.x-k8s.io/syscall-coverage"
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "spo-mutating-webhook-configuration"},
    "webhooks": [
        {
            "name": "recording.spo.io",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore",
        }
    ],
}


@pytest.fixture(scope="module")
def cluster(
    spo_api_server: ApiServer, new_namespace: Callable[..., str], certificates, tmp_path_factory
) -> Iterator[Scene]:
    """SPO's kinds, and its webhook: it records."""
    spo_api_server.client.create(WEBHOOK)
    namespace = functools.partial(new_namespace, server=spo_api_server)
    folder = tmp_path_factory.mktemp("beside") / "c"
    try:
        with scene(spo_api_server, namespace, certificates, folder) as made:
            yield made
    finally:
        spo_api_server.client.delete("MutatingWebhookConfiguration", WEBHOOK["metadata"]["name"])


def spos_profile(place: str, of: str, suffix: str, *calls: str) -> Object:
    """A partial profile as SPO's recorder leaves one when a pod is gone."""
    labels = {"recording-id": of, "container-id": "web", "recording-namespace": place, "partial": "true"}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "SeccompProfile",
        "metadata": {
            "name": f"{of}-web-{suffix}",
            "labels": {f"spo.x-k8s.io/{key}": value for key, value in labels.items()},
        },
        "spec": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": sorted(calls), "action": "SCMP_ACT_ALLOW"}],
        },
    }


def spos_merger(client: Client, place: str, of: str) -> int:
    """What SPO does when a recording with mergeStrategy Containers ends; how many it has merged.

    It lists the partial profiles by these three labels, writes their union under the recording's and the
    container's name, whatever is there, and deletes them.
    """
    labels = {"recording-id": of, "recording-namespace": place, "partial": "true"}
    asked = ",".join(f"spo.x-k8s.io/{key}={value}" for key, value in labels.items())
    partials = client.objects("SeccompProfile", labels=asked)
    for container in {each["metadata"]["labels"]["spo.x-k8s.io/container-id"] for each in partials}:
        own = [
            each for each in partials if each["metadata"]["labels"]["spo.x-k8s.io/container-id"] == container
        ]
        merged = spos_profile(place, of, "", *{name for each in own for name in names(each)})
        merged["metadata"]["name"] = f"{of}-{container}"
        del merged["metadata"]["labels"]["spo.x-k8s.io/partial"]
        client.apply(merged, "spod", force=True)
    client.delete_all("SeccompProfile", labels=asked)
    return len(partials)


def said(cluster: Scene, place: str, name: str, until: Callable[[Object], object]) -> Object:
    """Our status, in the annotation, once it is such."""

    def read(each: Object) -> Object:
        return dict(json.loads((each["metadata"].get("annotations") or {}).get(STATUS, "{}")))

    found = cluster.client.wait(
        "ProfileRecording", name, lambda each: each is not None and bool(until(read(each))), place, seconds=60
    )
    assert found
    return read(found)


def test_the_merger_finds_nothing_of_ours(cluster):
    """It merges its own partial profiles and deletes them; ours, of the same pods, goes on as ever."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    cluster.client.create(recording(place, "ours", annotations=OURS, mergeStrategy="Containers"))
    cluster.client.create(recording(place, "theirs", mergeStrategy="Containers"))
    containers = [cluster.container(cluster.pod(place, template="web-")) for _ in range(2)]
    for each, call in zip(containers, ("mkdir", "rmdir"), strict=True):
        cluster.act(lambda each=each, call=call: agent.see(each, "execve", call))
    before = cluster.profile("ours-web", lambda each: {"mkdir", "rmdir"} <= set(names(each)))
    for suffix in ("aaaaa", "bbbbb"):
        cluster.client.create(spos_profile(place, "theirs", suffix, "read", "write"))
    assert spos_merger(cluster.client, place, "ours") == 0
    assert spos_merger(cluster.client, place, "theirs") == 2
    merged = cluster.client.get("SeccompProfile", "theirs-web")

    cluster.act(lambda: agent.see(containers[0], "rename"))
    for each in containers:
        cluster.act(lambda each=each: agent.end(each))
    profile = cluster.profile("ours-web", lambda each: state(each) == "final")
    assert profile["metadata"]["uid"] == before["metadata"]["uid"]
    assert {"mkdir", "rmdir", "rename"} <= set(names(profile))
    assert json.loads(profile["metadata"]["annotations"][COVERAGE]) == {
        "version": "v1",
        "total": 2,
        "syscalls": {"execve": 2, "mkdir": 1, "rename": 1, "rmdir": 1},
    }
    assert profile["spec"]["state"] == "Enabled"
    assert spos_merger(cluster.client, place, "ours") == 0
    assert cluster.client.get("SeccompProfile", "ours-web") == profile
    assert cluster.client.get("SeccompProfile", "theirs-web") == merged
    cluster.stop(agent)


def test_spos_recordings_are_left_alone(cluster):
    """No plan, no status, no profile: one Event says how to have it done by us. SPO's marks stay on it."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    made = cluster.client.create(recording(place, "theirs"))
    made["metadata"]["finalizers"] = ["spo.x-k8s.io/active-recording"]
    cluster.client.replace(made)
    status = {"status": {"activeWorkloads": ["spos-own"]}}
    before = cluster.client.patch("ProfileRecording", "theirs", status, place, subresource="status")
    (told,) = [each for each in cluster.told(place, "NotRecorded") if each["reason"] == "NotRecorded"]
    assert told["type"] == "Normal"
    assert "recorder.x-k8s.io/recorder=profile-recorder" in told["message"]
    # one of ours is done from its beginning to its end meanwhile, with the same pod
    cluster.client.create(recording(place, "ours", annotations=OURS))
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: (agent.see(web, "execve"), agent.end(web)))
    (result,) = said(
        cluster, place, "ours", lambda each: [it["state"] for it in each.get("results", ())] == ["final"]
    )["results"]
    cluster.profile(result["name"], lambda each: state(each) == "final")
    assert [each.namespace for each in agent.plan.recordings].count(place) == 1
    assert cluster.client.get("ProfileRecording", "theirs", place) == before
    mine = f"spo.x-k8s.io/recording-id=theirs,spo.x-k8s.io/recording-namespace={place}"
    assert cluster.client.objects("SeccompProfile", labels=mine) == []
    before["metadata"]["finalizers"] = []
    cluster.client.replace(before)
    cluster.stop(agent)


def test_a_profile_that_spo_made_is_not_taken(cluster):
    """It bears the labels that ours would, and is SPO's nevertheless: ours is called otherwise."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    made = spos_profile(place, place, "", "read")
    made["metadata"]["name"] = f"{place}-web"
    del made["metadata"]["labels"]["spo.x-k8s.io/partial"]
    spos = cluster.client.apply(made, "spod")
    cluster.client.create(recording(place, place, annotations=OURS))
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: (agent.see(web, "execve"), agent.end(web)))
    assert "execve" in names(cluster.profile(f"{place}-{place}-web", lambda each: state(each) == "final"))
    assert cluster.client.get("SeccompProfile", f"{place}-web") == spos
    cluster.told(place, "NameTaken")
    cluster.stop(agent)


def test_what_our_status_says_is_in_an_annotation_and_in_events(cluster):
    """SPO's definition has no room for it; the workloads that SPO counts stay as SPO counts them."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    cluster.client.create(recording(place, place, annotations=OURS))
    theirs = {"status": {"activeWorkloads": ["spos-own"]}}
    cluster.client.patch("ProfileRecording", place, theirs, place, subresource="status")
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: (agent.see(web, "execve", "mkdir"), agent.lose(web, "children_full")))
    found = said(cluster, place, place, lambda each: each.get("results"))
    assert found["activeWorkloads"] == ["web"]
    ready = next(each for each in found["conditions"] if each["type"] == "Ready")
    cluster.act(lambda: agent.end(web))
    found = said(
        cluster, place, place, lambda each: [it["state"] for it in each.get("results", ())] == ["final"]
    )
    assert found["results"][0]["name"] == f"{place}-web"
    again = next(each for each in found["conditions"] if each["type"] == "Ready")
    assert again["lastTransitionTime"] == ready["lastTransitionTime"]
    cluster.told(place, "Started", "FirstResult", "Loss")
    live = cluster.client.get("ProfileRecording", place, place)
    assert live["status"] == {"activeWorkloads": ["spos-own"]}
    assert "finalizers" not in live["metadata"]
    cluster.stop(agent)


def test_one_that_is_given_to_spo_is_ours_no_more(cluster):
    """Its results become final, and what our status says of it is true."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    cluster.client.create(recording(place, place, annotations=OURS))
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: agent.see(web, "execve", "mkdir"))
    cluster.profile(f"{place}-web")
    key = next(iter(OURS))
    cluster.client.patch("ProfileRecording", place, {"metadata": {"annotations": {key: None}}}, place)
    assert "mkdir" in names(cluster.profile(f"{place}-web", lambda each: state(each) == "final"))
    found = said(
        cluster,
        place,
        place,
        lambda each: any(it["reason"] == "AnotherRecorder" for it in each.get("conditions", ())),
    )
    assert [each["state"] for each in found["results"]] == ["final"]
    cluster.told(place, "NotRecorded")
    cluster.stop(agent)
