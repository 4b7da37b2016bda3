"""Beside an installed SPO, with its own CRDs: whose a recording is, and where our status goes."""

import json
from collections.abc import Callable, Iterator

import pytest

from recorder.model.recording import RecordingName
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP
from tests.cluster.kube import kube, recording
from tests.cluster.test_kube_recordings import OPT_IN, STATUS

Namespace = Callable[..., str]
OURS = {"recorder.x-k8s.io/recorder": "profile-recorder"}


@pytest.fixture(params=["webhook", "v1", "v1alpha1"])
def spo(
    request: pytest.FixtureRequest, spo_api_server: ApiServer, namespace: Namespace
) -> Iterator[ApiServer]:
    """A cluster in which SPO records: by its webhook, or by a daemon of either version."""
    client = spo_api_server.client
    if request.param == "webhook":
        webhook = {
            "name": "recording.spo.io",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore",
        }
        thing = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "spo-mutating-webhook-configuration"},
            "webhooks": [webhook],
        }
        client.create(thing)
        yield spo_api_server
        client.delete("MutatingWebhookConfiguration", thing["metadata"]["name"])
        return
    place = namespace(server=spo_api_server)
    switches = {"enableBpfRecorder": True}
    thing = {
        "apiVersion": f"{GROUP}/{request.param}",
        "kind": "SecurityProfilesOperatorDaemon",
        "metadata": {"name": "spod", "namespace": place},
        "spec": {"enricher": switches} if request.param == "v1" else switches,
    }
    client.create(thing)
    yield spo_api_server
    client.delete("SecurityProfilesOperatorDaemon", "spod", place)


def test_a_recording_is_spos_unless_it_says_that_it_is_ours(spo, namespace):
    """Ours is done, and without partial profiles; the others are left alone."""
    place = namespace(OPT_IN, server=spo)
    theirs = spo.client.create(recording(place, "theirs"))["metadata"]["uid"]
    ours = spo.client.create(recording(place, "ours", annotations=OURS))["metadata"]["uid"]
    with kube(spo.kubeconfig) as platform:
        platform.wait(lambda each: ours in each.recordings() and theirs in each.refused())
        assert platform.platform.recordings()[ours].beside
        left = platform.platform.refused()[theirs]
        assert (left.reason, left.silent) == ("AnotherRecorder", True)
        assert "recorder.x-k8s.io/recorder=profile-recorder" in left.message


def test_where_spos_crd_has_no_room_the_status_is_in_an_annotation(spo_api_server, namespace):
    """It is pruned but for the one field that the API has, and that is noticed."""
    server = spo_api_server
    place = namespace(OPT_IN, server=server)
    uid = server.client.create(recording(place))["metadata"]["uid"]
    with kube(server.kubeconfig) as platform:
        platform.wait(lambda each: uid in each.recordings())
        platform.do(platform.platform.report(RecordingName(place, "it", uid), STATUS))
    live = server.client.get("ProfileRecording", "it", place)
    said = json.loads(live["metadata"]["annotations"]["recorder.x-k8s.io/status"])
    assert said["conditions"][0]["reason"] == "Recording"
    assert said["results"][0]["name"] == "it-web"
    assert live["status"] == {"activeWorkloads": ["web-1"]}


def test_without_spo_nothing_is_annotated(api_server, namespace):
    """Where our CRD is installed the recording bears its status alone."""
    place = namespace(OPT_IN)
    uid = api_server.client.create(recording(place))["metadata"]["uid"]
    with kube(api_server.kubeconfig) as platform:
        platform.wait(lambda each: uid in each.recordings())
        assert not platform.platform.recordings()[uid].beside
        platform.do(platform.platform.report(RecordingName(place, "it", uid), STATUS))
    assert "annotations" not in api_server.client.get("ProfileRecording", "it", place)["metadata"]
