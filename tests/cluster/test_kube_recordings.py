"""Which recordings are done, on a real API server: opted in, valid, ours; also through outages."""

from collections.abc import Callable, Iterator

import pytest

from recorder.model.errors import PlatformUnreachable
from recorder.model.record import Pod
from recorder.model.recording import Means, MergeStrategy, ProfileKind, RecordingName
from recorder.model.recording_status import Condition, RecordingEvent, RecordingStatus, ResultStatus
from tests.cluster.api_server import ApiServer
from tests.cluster.kube import Kube, kube, recording

OPT_IN = {"spo.x-k8s.io/enable-recording": ""}
Namespace = Callable[..., str]


@pytest.fixture
def platform(api_server: ApiServer) -> Iterator[Kube]:
    with kube(api_server.kubeconfig) as made:
        made.wait(lambda each: each.ready)
        yield made


def of(platform: Kube, namespace: str) -> dict[str, object]:
    """The recordings of a namespace that are to be done, by name."""
    return {
        each.name.name: each
        for each in platform.platform.recordings().values()
        if each.name.namespace == namespace
    }


def refused(platform: Kube, namespace: str) -> dict[str, str]:
    """Why others are not, by name."""
    return {
        each.name.name: each.reason
        for each in platform.platform.refused().values()
        if each.name.namespace == namespace
    }


@pytest.mark.parametrize(
    ("version", "means", "merge"),
    [("v1", "Bpf", "Containers"), ("v1alpha1", "bpf", "containers"), ("v1alpha1", "logs", "none")],
)
def test_a_recording_of_each_spelling_is_done(api_server, platform, namespace, version, means, merge):
    """What the v1alpha1 manifest of somebody's repository says means the same."""
    place = namespace(OPT_IN)
    wanted = recording(place, version=version, recorder=means, mergeStrategy=merge, containers=["web"])
    uid = api_server.client.create(wanted)["metadata"]["uid"]
    platform.wait(lambda _: of(platform, place))
    found = platform.platform.recordings()[uid]
    assert found.name == RecordingName(place, "it", uid)
    assert (found.kind, found.containers) == (ProfileKind.SECCOMP, ("web",))
    assert (found.means, found.merge) == (Means(means.capitalize()), MergeStrategy(merge.capitalize()))
    assert found.asks_for(place, {"app": "web"}, "web")
    assert not found.asks_for(place, {"app": "db"}, "web")


def test_only_a_namespace_that_opted_in_is_recorded(api_server, platform, namespace):
    """The label, with any value; put on later, and taken off again."""
    place = namespace()
    api_server.client.create(recording(place))
    platform.wait(lambda _: refused(platform, place) == {"it": "NotOptedIn"})
    api_server.client.patch("Namespace", place, {"metadata": {"labels": OPT_IN}})
    platform.wait(lambda _: of(platform, place).keys() == {"it"})
    key = next(iter(OPT_IN))
    api_server.client.patch("Namespace", place, {"metadata": {"labels": {key: None}}})
    platform.wait(lambda _: refused(platform, place) == {"it": "NotOptedIn"} and not of(platform, place))


def test_edited_deleted_and_made_again(api_server, platform, namespace):
    """An edit raises the generation; a recording of the same name that is made again is another one."""
    place = namespace(OPT_IN)
    first = api_server.client.create(recording(place))["metadata"]["uid"]
    platform.wait(lambda each: first in each.recordings())
    patch = {"spec": {"containers": ["web"]}}
    api_server.client.patch("ProfileRecording", "it", patch, place)
    platform.wait(lambda each: each.recordings()[first].containers == ("web",))
    assert platform.platform.recordings()[first].generation == 2
    api_server.client.delete("ProfileRecording", "it", place)
    second = api_server.client.create(recording(place))["metadata"]["uid"]
    platform.wait(lambda each: second in each.recordings() and first not in each.recordings())


def test_a_recording_that_cannot_be_done_is_refused_with_its_field(api_server, platform, namespace):
    """A selector that the schema lets pass and that means nothing."""
    place = namespace(OPT_IN)
    wrong = {"matchExpressions": [{"key": "app", "operator": "Near", "values": ["x"]}]}
    api_server.client.create(recording(place, podSelector=wrong))
    platform.wait(lambda _: refused(platform, place) == {"it": "Invalid"})
    message = next(
        each.message for each in platform.platform.refused().values() if each.name.namespace == place
    )
    assert "spec.podSelector.matchExpressions[0].operator" in message


def test_some_namespaces_alone(api_server, namespace):
    """A collector for two namespaces does not see a third, and needs no right there."""
    first, second, third = namespace(OPT_IN), namespace(OPT_IN), namespace(OPT_IN)
    for place in (first, second, third):
        api_server.client.create(recording(place))
    with kube(api_server.kubeconfig, (first, second)) as platform:
        platform.wait(lambda each: len(each.recordings()) == 2)
        assert {each.name.namespace for each in platform.platform.recordings().values()} == {first, second}


def test_an_outage_of_the_api_server_costs_lateness(api_server, platform, namespace):
    """What was known stays known; what happened after it is seen."""
    place, key = namespace(OPT_IN), "ProfileRecording"
    api_server.client.create(recording(place, "before"))
    platform.wait(lambda _: of(platform, place).keys() == {"before"})
    with api_server.outage():
        with pytest.raises(PlatformUnreachable):
            platform.do(platform.platform.placement(Pod(place, "x", "y")))
        platform.wait(lambda each: each.problem)
        assert platform.platform.ready
        assert of(platform, place).keys() == {"before"}
    api_server.client.create(recording(place, "after"))
    api_server.client.delete(key, "before", place)
    platform.wait(lambda _: of(platform, place).keys() == {"after"}, 60)
    platform.wait(lambda each: not each.problem, 60)


def test_a_version_that_expired_is_listed_anew(api_server, platform, namespace):
    """etcd forgot the version that a watch would go on from (410): nothing that happened is missed."""
    place = namespace(OPT_IN)
    api_server.client.create(recording(place, "before"))
    platform.wait(lambda _: of(platform, place).keys() == {"before"})
    with api_server.outage():
        pass
    api_server.client.create(recording(place, "after"))
    api_server.client.delete("ProfileRecording", "before", place)
    api_server.compact()
    platform.wait(lambda _: of(platform, place).keys() == {"after"}, 60)


def test_the_pod_as_the_api_server_has_it(api_server, platform, namespace):
    """Name, node, labels and template's name of just that pod; another uid, no node, or none: nothing."""
    place = namespace()
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-", "namespace": place, "labels": {"app": "web"}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "web", "image": "localhost/web:1"}]},
    }
    made = api_server.client.create(pod)["metadata"]
    found = platform.do(platform.platform.placement(Pod(place, made["name"], made["uid"])))
    assert found is not None
    assert (found.node, found.generate_name, dict(found.labels)) == ("node-a", "web-", {"app": "web"})
    assert platform.do(platform.platform.placement(Pod(place, made["name"], "another"))) is None
    assert platform.do(platform.platform.placement(Pod(place, "none", made["uid"]))) is None
    del pod["spec"]["nodeName"]
    made = api_server.client.create(pod)["metadata"]
    assert platform.do(platform.platform.placement(Pod(place, made["name"], made["uid"]))) is None


STATUS = RecordingStatus(
    observed_generation=1,
    conditions=(Condition("Ready", True, "Recording", "1 container is recorded"),),
    active_workloads=("web-1",),
    results=(ResultStatus(ProfileKind.SECCOMP, "it-web", "web", "recording", 20, 0, 1, "complete"),),
    ledger={"attached_late": 2},
)


def test_the_status_is_what_people_see(api_server, platform, namespace):
    """Conditions with the time of their last change, results, losses; nothing but the status is touched."""
    place = namespace(OPT_IN)
    before = api_server.client.create(recording(place, version="v1alpha1", recorder="bpf"))
    name = RecordingName(place, "it", before["metadata"]["uid"])
    platform.wait(lambda each: name.uid in each.recordings())
    platform.do(platform.platform.report(name, STATUS))
    live = api_server.client.get("ProfileRecording", "it", place)
    assert live["spec"] == before["spec"]
    assert {"finalizers", "annotations"}.isdisjoint(live["metadata"])
    status = live["status"]
    assert status["activeWorkloads"] == ["web-1"]
    assert status["results"][0]["name"] == "it-web"
    assert status["ledger"] == [{"cause": "attached_late", "count": 2}]
    (ready,) = status["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Recording")

    platform.do(platform.platform.report(name, STATUS))
    again = api_server.client.get("ProfileRecording", "it", place)
    assert again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


def test_a_status_for_a_recording_that_was_made_again_is_not_written(api_server, platform, namespace):
    """Nor one for a recording that is gone; neither is an error."""
    place = namespace(OPT_IN)
    api_server.client.create(recording(place))
    platform.do(platform.platform.report(RecordingName(place, "it", "of-the-one-before"), STATUS))
    platform.do(platform.platform.report(RecordingName(place, "gone", "x"), STATUS))
    assert "status" not in api_server.client.get("ProfileRecording", "it", place)


def test_an_event_that_is_told_again_is_counted(api_server, platform, namespace):
    """One Event for each thing that is said, with the recording it is about."""
    place = namespace(OPT_IN)
    uid = api_server.client.create(recording(place))["metadata"]["uid"]
    name = RecordingName(place, "it", uid)
    for _ in range(3):
        platform.do(platform.platform.event(name, RecordingEvent("Loss", "2 containers attached late", True)))
    platform.do(platform.platform.event(name, RecordingEvent("Started", "recording")))
    events = {each["reason"]: each for each in api_server.client.objects("Event", place)}
    loss = events["Loss"]
    assert (loss["count"], loss["type"], loss["involvedObject"]["uid"]) == (3, "Warning", uid)
    assert (events["Started"]["count"], events["Started"]["type"]) == (1, "Normal")
    assert len(api_server.client.objects("Event", place)) == 2


def test_deleting_works_at_once_without_the_collector(api_server, namespace):
    """Nothing of ours holds a recording back."""
    place = namespace(OPT_IN)
    uid = api_server.client.create(recording(place))["metadata"]["uid"]
    with kube(api_server.kubeconfig) as platform:
        platform.wait(lambda each: uid in each.recordings())
        platform.do(platform.platform.report(RecordingName(place, "it", uid), STATUS))
    api_server.client.delete("ProfileRecording", "it", place)
    assert api_server.client.find("ProfileRecording", "it", place) is None
