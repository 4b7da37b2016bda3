"""Rules that an API server is the judge of: which pods and names there are, and what is in the objects."""

import hashlib
import json

import pytest

from recorder.model.abi import Abi
from recorder.model.record import ContainerKind, Outcome
from tests.cluster.client import GROUP, Object
from tests.cluster.scene import OPT_IN, Scene, condition, names, state
from tests.collector.process import QUICK
from tests.collector.simulated_agent import calls
from tests.denials_given import apparmor, counted, selinux

RESULTS = 3
SETTINGS = (*QUICK, "--results-of-recording", str(RESULTS))
PARTIAL = "spo.x-k8s.io/partial"
COVERAGE = "spo.x-k8s.io/syscall-coverage"
OURS = "recorder.x-k8s.io"


def is_final(profile: Object) -> bool:
    return state(profile) == "final"


def results(cluster: Scene, place: str, **labels: str) -> list[Object]:
    """The profiles of a namespace's recordings."""
    labels = {"recording-namespace": place} | labels
    return cluster.client.objects(
        "SeccompProfile", labels=",".join(f"spo.x-k8s.io/{key}={value}" for key, value in labels.items())
    )


# --- which pods and containers


def test_an_empty_selector_is_every_pod_of_the_namespace(cluster, place, agent):
    """Whatever its labels, and none of another namespace."""
    elsewhere = cluster.namespace(OPT_IN)
    cluster.record(place, place, podSelector={})
    cluster.do(agent.until_planned(lambda plan: any(each.namespace == place for each in plan.recordings)))
    for number, (where, labels) in enumerate(((place, {"app": "db"}), (place, {}), (elsewhere, {}))):
        each = cluster.container(cluster.pod(where, f"p{number}", labels=labels), f"c{number}", labels)
        cluster.act(lambda each=each: agent.see(each, "execve"))
    status = cluster.status(place, lambda each: len(each.get("results", ())) == 2, place)
    assert {each["container"] for each in status["results"]} == {"c0", "c1"}
    assert results(cluster, elsewhere) == []


def test_containers_of_every_kind(cluster, place, agent):
    """Init and ephemeral ones too, which SPO's users have asked for in vain."""
    cluster.record(place, place)
    pod = cluster.pod(place, "web")
    for name, kind in (
        ("setup", ContainerKind.INIT),
        ("web", ContainerKind.NORMAL),
        ("debug", ContainerKind.EPHEMERAL),
    ):
        each = cluster.container(pod, name, kind=kind)
        cluster.act(lambda each=each: (agent.see(each, "execve", "read"), agent.end(each)))
    for name in ("setup", "web", "debug"):
        assert "read" in names(cluster.profile(f"{place}-{name}", is_final))


def test_restarts_are_one_union(cluster, place, agent):
    """A crash loop's runs are all in the profile, and count as one record."""
    cluster.record(place, place)
    pod = cluster.pod(place, "web")
    for run, call in enumerate(("mkdir", "rmdir", "rename")):
        each = cluster.container(pod, restart=run)
        cluster.act(lambda each=each, call=call: (agent.see(each, "execve", call), agent.end(each)))
    profile = cluster.profile(f"{place}-web", lambda each: is_final(each) and "rename" in names(each))
    assert {"mkdir", "rmdir", "rename"} <= set(names(profile))
    assert profile["metadata"]["annotations"][f"{OURS}/records"] == "1"


@pytest.mark.parametrize("phase", ["Running", "Failed", "Succeeded"])
def test_the_pods_phase_decides_nothing(cluster, place, agent, phase):
    """A profile ends with its container: not with the pod, which may run on, fail, or never be deleted."""
    cluster.record(place, place)
    pod = cluster.pod(place, "web")
    first, second = cluster.container(pod), cluster.container(pod, "second")
    cluster.act(lambda: (agent.see(first, "execve"), agent.see(second, "execve")))
    cluster.profile(f"{place}-web")
    cluster.client.patch("Pod", "web", {"status": {"phase": phase}}, place, subresource="status")
    cluster.act(lambda: agent.end(first))
    assert cluster.profile(f"{place}-web", is_final)["spec"]["state"] == "Enabled"
    assert state(cluster.profile(f"{place}-second")) == "recording"
    assert cluster.client.get("Pod", "web", place)["status"]["phase"] == phase


def test_pods_are_left_as_they_are(cluster, place, agent):
    """No webhook, nothing written to the pod, and its profile depends on nothing that could be deleted."""
    cluster.record(place, place)
    pod = cluster.pod(place, "web")
    before = cluster.client.get("Pod", "web", place)
    web = cluster.container(pod)
    cluster.act(lambda: (agent.see(web, "execve"), agent.end(web)))
    profile = cluster.profile(f"{place}-web", is_final)
    assert cluster.client.get("Pod", "web", place) == before
    assert {"ownerReferences", "finalizers"}.isdisjoint(profile["metadata"])
    assert cluster.client.objects("MutatingWebhookConfiguration") == []
    cluster.client.delete("ProfileRecording", place, place)
    cluster.client.delete("Pod", "web", place)
    assert cluster.client.get("SeccompProfile", f"{place}-web")["spec"] == profile["spec"]


# --- denials


def test_denials_are_in_the_status_and_in_events(cluster, place, agent):
    """Asked for by an annotation: what was denied, by container; the profile is as it is without them."""
    cluster.record(place, place, annotations={f"{OURS}/kinds": "denials"})
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: agent.see(web, "execve", "read"))
    before = cluster.profile(f"{place}-web")
    name = b"/etc/\xff\n\x1b[2J shadow"
    cluster.act(
        lambda: agent.deny(
            web,
            {apparmor(name): counted(3), selinux(): counted(4)},
            calls("mount", outcome=Outcome.DENIED),
        )
    )
    status = cluster.status(place, lambda each: len(each.get("denials", ())) == 3, place)
    container = {"container": "web", "verdict": "denied", "records": 1}
    assert status["denials"] == [
        {**container, "kind": "selinux", "what": "file(read,open)", "count": 4},
        {**container, "kind": "apparmor", "what": "open(write)", "count": 3},
        {**container, "kind": "seccomp", "what": "mount"},
    ]
    assert status["denialsOmitted"] == 0
    assert next(each["denied"] for each in status["results"]) == 1
    told = [each["message"] for each in cluster.told(place, "Denied", count=3) if each["reason"] == "Denied"]
    assert sorted(told) == [
        r"the container web: apparmor denied open(write) /etc/\xff\x0a\x1b[2J\x20shadow of docker-default",
        "the container web: seccomp denied mount x86_64",
        "the container web: selinux denied file(read,open) /etc/shadow tcontext=u:object_r:shadow_t:s0"
        " of u:r:container_t:s0",
    ]
    after = cluster.profile(f"{place}-web", lambda each: f"{OURS}/denied" in each["metadata"]["annotations"])
    assert after["spec"] == before["spec"]


def test_a_word_that_asks_for_something_else_is_refused(cluster, place):
    """A typo does not go without being noticed."""
    cluster.record(place, place, annotations={f"{OURS}/kinds": "denial"})
    ready = condition(cluster.status(place, lambda each: condition(each, "Ready"), place), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Invalid")
    assert "'denial' is none of syscalls, denials" in ready["message"]


# --- kinds and spellings


@pytest.mark.parametrize(
    ("kind", "means"), [("SelinuxProfile", "Bpf"), ("SelinuxProfile", "Logs"), ("AppArmorProfile", "Logs")]
)
def test_every_pair_of_kind_and_recorder_is_done(cluster, place, agent, kind, means):
    """SPO ignores some in silence. Edited, it is another kind's."""
    cluster.record(place, place, kind=kind, recorder=means)
    cluster.do(agent.until_planned(lambda plan: any(each.namespace == place for each in plan.recordings)))
    status = cluster.status(place, lambda each: condition(each, "Ready"), place)
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Waiting")
    cluster.client.patch("ProfileRecording", place, {"spec": {"kind": "SeccompProfile"}}, place)
    cluster.status(place, lambda each: condition(each, "Ready").get("observedGeneration") == 2, place)


@pytest.mark.parametrize(("means", "merge"), [("bpf", "none"), ("logs", "containers")])
def test_an_old_spelling_has_a_status_and_stays_as_written(cluster, place, agent, means, merge):
    """With enums of v1 alone every write of a status would fail."""
    cluster.record(place, place, version="v1alpha1", recorder=means, mergeStrategy=merge)
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: (agent.see(web, "execve"), agent.end(web)))
    cluster.status(
        place, lambda each: [found["state"] for found in each.get("results", ())] == ["final"], place
    )
    live = cluster.client.get("ProfileRecording", place, place)
    assert (live["spec"]["recorder"], live["spec"]["mergeStrategy"]) == (means, merge)
    assert {"finalizers", "annotations"}.isdisjoint(live["metadata"])


# --- names


def test_pods_that_would_write_one_name_are_merged(cluster, place, agent):
    """Two pods that no template made: neither overwrites the other, also without a merge strategy."""
    cluster.record(place, place)
    for name, call in (("one", "mkdir"), ("two", "rmdir")):
        each = cluster.container(cluster.pod(place, name))
        cluster.act(lambda each=each, call=call: (agent.see(each, "execve", call), agent.end(each)))
    profile = cluster.profile(f"{place}-web", lambda each: {"mkdir", "rmdir"} <= set(names(each)))
    assert json.loads(profile["metadata"]["annotations"][COVERAGE]) == {
        "version": "v1",
        "total": 2,
        "syscalls": {"execve": 2, "mkdir": 1, "rmdir": 1},
    }


def test_partial_profiles_are_there_while_it_runs(cluster, place, agent):
    """With the pod's suffix and the label, Disabled; once the merged one is final they are gone."""
    cluster.record(place, place, mergeStrategy="Containers")
    pods = [cluster.pod(place, template="web-") for _ in range(2)]
    containers = [cluster.container(each) for each in pods]
    for each in containers:
        cluster.act(lambda each=each: agent.see(each, "execve", "read"))
    for pod in pods:
        partial = cluster.profile(f"{place}-web-{pod.name.removeprefix('web-')}")
        assert partial["metadata"]["labels"][PARTIAL] == "true"
        assert partial["spec"]["state"] == "Disabled"
    for each in containers:
        cluster.act(lambda each=each: agent.end(each))
    assert cluster.profile(f"{place}-web", is_final)["spec"]["state"] == "Enabled"
    cluster.without("SeccompProfile", f"{PARTIAL}=true,spo.x-k8s.io/recording-namespace={place}")


def test_names_that_somebody_has(cluster, place, agent):
    """First the namespace stands in front, then digits behind; the others' objects are not touched."""
    cluster.record(place, "squatted")
    squatted = []
    for name in ("squatted-web", f"{place}-squatted-web"):
        made = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "SeccompProfile",
            "metadata": {
                "name": name,
                "labels": {
                    "spo.x-k8s.io/recording-id": "squatted",
                    "spo.x-k8s.io/container-id": "web",
                    "spo.x-k8s.io/recording-namespace": place,
                },
            },
            "spec": {"defaultAction": "SCMP_ACT_LOG"},
        }
        squatted.append(cluster.client.create(made))
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(lambda: (agent.see(web, "execve"), agent.end(web)))
    digits = hashlib.sha256(f"{place}/squatted/web/".encode()).hexdigest()[:8]
    name = f"{place}-squatted-web-{digits}"
    assert "execve" in names(cluster.profile(name, is_final))
    status = cluster.status(place, lambda each: each.get("results"), "squatted")
    assert [each["name"] for each in status["results"]] == [name]
    told = cluster.told(place, "NameTaken")
    assert any("squatted-web" in each["message"] for each in told if each["reason"] == "NameTaken")
    for each in squatted:
        assert cluster.client.get("SeccompProfile", each["metadata"]["name"]) == each


def test_the_longest_names_that_there_are(cluster, place, agent):
    """The API server takes the results' names and labels; two that differ at the end alone stay two."""
    long = "r" * 252
    container = "c" * 63
    found = []
    for end, call in (("a", "mkdir"), ("b", "rmdir")):
        cluster.record(place, long + end, containers=[f"{container[:-1]}{end}"])
        each = cluster.container(cluster.pod(place, f"web-{end}"), f"{container[:-1]}{end}")
        cluster.act(lambda each=each, call=call: (agent.see(each, "execve", call), agent.end(each)))
        (result,) = cluster.status(place, lambda each: each.get("results"), long + end)["results"]
        assert call in names(cluster.profile(result["name"], is_final))
        found.append(result["name"])
    assert len(set(found)) == 2
    assert all(200 < len(each) <= 253 for each in found)
    cluster.told(place, "Started", "FirstResult")


def test_more_results_than_a_recording_may_have(cluster, place, agent):
    """The first ones stay as they are, and the condition says what to do."""
    cluster.record(place, place)
    kept = []
    for _ in range(RESULTS):
        pod = cluster.pod(place, template="web-")
        each = cluster.container(pod)
        cluster.act(lambda each=each: (agent.see(each, "execve"), agent.end(each)))
        kept.append(cluster.profile(f"{place}-web-{pod.name.removeprefix('web-')}", is_final))
    late = cluster.container(cluster.pod(place, template="web-"))
    cluster.act(lambda: (agent.see(late, "execve", "reboot"), agent.end(late)))
    status = cluster.status(place, lambda each: condition(each, "LimitReached"), place)
    limit = condition(status, "LimitReached")
    assert (limit["status"], limit["reason"]) == ("True", "TooManyResults")
    assert "mergeStrategy" in limit["message"]
    cluster.told(place, "LimitReached")
    there = {each["metadata"]["name"]: each["spec"] for each in results(cluster, place)}
    assert there == {each["metadata"]["name"]: each["spec"] for each in kept}


# --- what is in them


def test_nodes_of_two_machines(cluster, place, agent):
    """AMD64 and ARM64: both architectures, and the names of each by its own table."""
    cluster.record(place, place, mergeStrategy="Containers")
    other = cluster.agent("node-arm")
    amd = cluster.container(cluster.pod(place, "amd"))
    arm = cluster.container(cluster.pod(place, "arm", node="node-arm"), machine="aarch64")
    cluster.act(lambda: (agent.see(amd, "execve", "mkdir"), agent.end(amd)))
    cluster.act(lambda: (other.see(arm, "execve", "mkdirat", abi=Abi.AARCH64), other.end(arm)))
    profile = cluster.profile(f"{place}-web", lambda each: is_final(each) and "mkdirat" in names(each))
    assert profile["spec"]["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"]
    assert {"execve", "mkdir", "mkdirat"} <= set(names(profile))
    annotations = profile["metadata"]["annotations"]
    by_abi = json.loads(annotations[f"{OURS}/abi"])["names"]
    assert "mkdir" in by_abi["x86_64"]
    assert "mkdir" not in by_abi["aarch64"]  # include/uapi/asm-generic/unistd.h has no such call
    assert json.loads(annotations[COVERAGE])["syscalls"] == {"execve": 2, "mkdir": 1, "mkdirat": 1}
    cluster.stop(other)


def test_status_and_provenance_of_a_lossy_result(cluster, place, agent):
    """Counts, verdict and ledger; where it ran, by which runtime, which image, and when."""
    cluster.record(place, place)
    web = cluster.container(cluster.pod(place, "web"))
    cluster.act(
        lambda: (agent.see(web, "execve", "mkdir", at=5), agent.lose(web, "children_full", 2), agent.end(web))
    )
    status = cluster.status(
        place, lambda each: [found["state"] for found in each.get("results", ())] == ["final"], place
    )
    (result,) = status["results"]
    assert "children_full" in result.pop("verdict")
    assert result == {
        "kind": "SeccompProfile",
        "name": f"{place}-web",
        "container": "web",
        "state": "final",
        "syscalls": 2,
        "denied": 0,
        "coverage": 1,
    }
    assert status["ledger"] == [{"cause": "children_full", "count": 2}]
    assert status["resultCount"] == 1
    complete = condition(status, "Complete")
    assert (complete["status"], complete["reason"]) == ("False", "Lossy")
    assert "children_full" in complete["message"]
    assert condition(status, "Ready")["reason"] == "Degraded"
    cluster.told(place, "Started", "FirstResult", "Loss")
    said = cluster.profile(f"{place}-web")["metadata"]["annotations"]
    assert "children_full" in said[f"{OURS}/verdict"]
    assert said[f"{OURS}/image-digest"] == f"sha256:{web.serial:064x}"
    assert said[f"{OURS}/recorded-by"] == "profile-recorder"
    # date -u -d @1700001000: where a trace begins
    assert said[f"{OURS}/first-seen"].startswith("2023-11-14T22:30:00")
    assert said[f"{OURS}/last-seen"].startswith("2023-11-14T22:30:05")
    assert any("6.1.0" in each for each in said.values())
    assert any("runc" in each and "1.1.5" in each for each in said.values())


# --- recordings that change


def test_a_selector_that_is_edited(cluster, place, agent):
    """What was seen stays, and becomes final; pods that are selected now are recorded."""
    cluster.record(place, place)
    web = cluster.container(cluster.pod(place, "web"))
    db = cluster.container(cluster.pod(place, "db", labels={"app": "db"}), "db", {"app": "db"})
    cluster.act(lambda: (agent.see(web, "execve", "mkdir"), agent.see(db, "execve", "rmdir")))
    cluster.profile(f"{place}-web")
    assert cluster.client.find("SeccompProfile", f"{place}-db") is None
    cluster.client.patch(
        "ProfileRecording", place, {"spec": {"podSelector": {"matchLabels": {"app": "db"}}}}, place
    )
    assert "mkdir" in names(cluster.profile(f"{place}-web", is_final))
    assert "rmdir" in names(cluster.profile(f"{place}-db"))
    cluster.status(place, lambda each: each.get("observedGeneration") == 2, place)


def test_a_namespace_that_gets_its_label_back(cluster, place, agent):
    """It goes on with what it had."""
    cluster.record(place, place)
    pod = cluster.pod(place, "web")
    web, key = cluster.container(pod), next(iter(OPT_IN))
    cluster.act(lambda: agent.see(web, "execve", "mkdir"))
    cluster.profile(f"{place}-web")
    cluster.client.patch("Namespace", place, {"metadata": {"labels": {key: None}}})
    cluster.profile(f"{place}-web", is_final)
    cluster.client.patch("Namespace", place, {"metadata": {"labels": {key: "false"}}})  # any value counts
    cluster.status(place, lambda each: condition(each, "Ready").get("status") == "True", place)
    cluster.act(lambda: (agent.see(web, "rmdir"), agent.end(web)))
    profile = cluster.profile(f"{place}-web", lambda each: is_final(each) and "rmdir" in names(each))
    assert "mkdir" in names(profile)


@pytest.mark.parametrize("merge", ["None", "Containers"])
def test_made_again_under_the_same_name(cluster, place, agent, merge):
    """The object of the first one stays, with the calls of the second."""
    pods = [cluster.pod(place, name, node=node) for name, node in (("one", "node-a"), ("two", "node-again"))]
    first, second = [cluster.container(each) for each in pods]
    cluster.record(place, place, mergeStrategy=merge)
    cluster.act(lambda: (agent.see(first, "execve", "mkdir"), agent.end(first)))
    before = cluster.profile(f"{place}-web", is_final)
    cluster.stop(agent)  # what it has seen of the first recording's time the second one would have as well
    cluster.client.delete("ProfileRecording", place, place)
    cluster.record(place, place, mergeStrategy=merge)
    other = cluster.agent("node-again")
    cluster.act(lambda: (other.see(second, "execve", "rmdir"), other.end(second)))
    after = cluster.profile(f"{place}-web", lambda each: is_final(each) and "rmdir" in names(each))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "mkdir" not in names(after)
    cluster.stop(other)


@pytest.mark.parametrize("merge", ["None", "Containers"])
def test_deleted_before_anything_was_seen(cluster, place, agent, merge):
    """It is gone at once, whatever there was to merge."""
    cluster.record(place, place, mergeStrategy=merge)
    cluster.do(agent.until_planned(lambda plan: any(each.namespace == place for each in plan.recordings)))
    cluster.client.delete("ProfileRecording", place, place)
    assert cluster.client.find("ProfileRecording", place, place) is None
    cluster.do(agent.until_planned(lambda plan: all(each.namespace != place for each in plan.recordings)))
    assert results(cluster, place) == []


@pytest.mark.parametrize("merge", ["None", "Containers"])
def test_deleted_while_its_containers_run(cluster, place, agent, merge):
    """Its results become final with what was seen, and no pod has to end for it."""
    cluster.record(place, place, mergeStrategy=merge)
    pod = cluster.pod(place, template="web-")
    web, suffix = cluster.container(pod), pod.name.removeprefix("web-")
    name = f"{place}-web" if merge == "Containers" else f"{place}-web-{suffix}"
    cluster.act(lambda: agent.see(web, "execve", "mkdir"))
    cluster.profile(name)
    cluster.client.delete("ProfileRecording", place, place)
    assert cluster.client.find("ProfileRecording", place, place) is None
    profile = cluster.profile(name, is_final)
    assert profile["spec"]["state"] == "Enabled"
    assert "mkdir" in names(profile)
    cluster.without("SeccompProfile", f"{PARTIAL}=true,spo.x-k8s.io/recording-namespace={place}")
