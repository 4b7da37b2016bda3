"""Label selectors select what the API server selects by the same words."""

import pytest

from recorder.profiles.recording_object import recording_of
from tests.cluster.kube import recording

LABELS = [
    {},
    {"app": "web"},
    {"app": "db"},
    {"app": ""},
    {"app": "web", "tier": "front"},
    {"tier": "front"},
    {"example.org/app": "web", "tier": ""},
]
IN = {"operator": "In", "values": ["web", "db"]}
NOT_IN = {"operator": "NotIn", "values": ["web", ""]}
EXISTS = {"operator": "Exists"}
MISSING = {"operator": "DoesNotExist"}
# Each with the words that the API server reads in a query (Kubernetes documentation, "Labels and Selectors").
WORDS = [
    ({}, ""),
    ({"matchLabels": {"app": "web"}}, "app=web"),
    ({"matchLabels": {"app": ""}}, "app="),
    ({"matchLabels": {"app": "web", "tier": "front"}}, "app=web,tier=front"),
    ({"matchExpressions": [{"key": "app", **IN}]}, "app in (web,db)"),
    ({"matchExpressions": [{"key": "app", **NOT_IN}]}, "app notin (web,)"),
    ({"matchExpressions": [{"key": "app", **EXISTS}]}, "app"),
    ({"matchExpressions": [{"key": "app", **MISSING}]}, "!app"),
    ({"matchExpressions": [{"key": "example.org/app", **EXISTS}]}, "example.org/app"),
    (
        {"matchLabels": {"tier": "front"}, "matchExpressions": [{"key": "app", **NOT_IN}]},
        "tier=front,app notin (web,)",
    ),
]


@pytest.fixture(scope="module")
def place(api_server, new_namespace):
    """A namespace with a pod for each of LABELS."""
    made = new_namespace()
    for number, labels in enumerate(LABELS):
        api_server.client.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"namespace": made, "name": f"p{number}", "labels": labels},
                "spec": {"containers": [{"name": "web", "image": "localhost/web:1"}]},
            }
        )
    return made


@pytest.mark.parametrize(("selector", "words"), WORDS, ids=[words or "everything" for _, words in WORDS])
def test_the_same_pods_are_selected(api_server, place, selector, words):
    """A recording's selector selects what a listing by these words has."""
    made = recording(place, podSelector=selector)
    made["metadata"]["uid"] = "1"
    asked = recording_of(made)
    pods = api_server.client.objects("Pod", place)
    chosen = {
        each["metadata"]["name"]
        for each in pods
        if asked.asks_for(place, each["metadata"].get("labels") or {}, "web")
    }
    listed = {each["metadata"]["name"] for each in api_server.client.objects("Pod", place, labels=words)}
    assert chosen == listed
