"""What a pod can do that is not ours, with no certificate, no token, or a token of its own: nothing."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.installed.installation import COLLECTOR, PLACE, Installation
from tests.cluster.node.pods import pod

pytestmark = pytest.mark.root
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
AUDIENCE = "recorder-collector"
TOKENS = "/var/run/secrets/tokens"
# Run in the pod, by the image's own interpreter: what each door answers. In: JSON; out: JSON.
SCRIPT = r"""
import json, re, ssl, sys, urllib.error, urllib.request
import grpc
from recorder.agent.node_key import NodeKey
from recorder.rpc.v1 import collector_pb2 as pb, collector_pb2_grpc as rpc

asked = json.load(sys.stdin)
ca, host, agent = asked["ca"].encode(), asked["host"], asked["agent"]
mine = open(asked["tokens"] + "/recorder").read()


def call(port, token, what):
    credentials = grpc.ssl_channel_credentials(ca)
    if token:
        bearer = grpc.access_token_call_credentials(token)
        credentials = grpc.composite_channel_credentials(credentials, bearer)
    with grpc.secure_channel(f"{host}:{port}", credentials) as channel:
        try:
            what(channel)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def enrol(channel):
    request = pb.EnrollRequest(certificate_request=NodeKey.made().request.decode())
    rpc.EnrolmentStub(channel).Enroll(request, timeout=20)


def connect(channel):
    list(rpc.CollectorStub(channel).Connect(iter(()), timeout=20))


def records(channel):
    list(rpc.CollectorStub(channel).WatchRecords(pb.WatchRecordsRequest(), timeout=20))


def get(url, token=""):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    context = ssl.create_default_context(cadata=asked["ca"])
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        return type(error).__name__, ""


def counted():
    text = get(f"https://{host}:9444/metrics", asked["admin"])[1]
    return {name: float(count) for name, count in re.findall(
        r'^recorder_collector_enrolments_total\{result="(\w+)"\} (\S+)$', text, re.M)}


before = counted()
found = {
    "enrol without a token": call(9441, "", enrol),
    "enrol as another account": call(9441, mine, enrol),
    "agents without a certificate": call(9440, mine, connect),
    "agents without anything": call(9440, "", connect),
    "people without a token": call(9442, "", records),
    "people with a token of that audience": call(9442, mine, records),
    "metrics without a token": get(f"https://{host}:9444/metrics")[0],
    "metrics with a token of that audience": get(f"https://{host}:9444/metrics", mine)[0],
    "health of the collector": get(f"http://{asked['collector']}:9443/healthz"),
    "health of the agent": get(f"http://{agent}:9443/healthz"),
    "anything else of the agent": get(f"http://{agent}:9443/metrics")[0],
}
after = counted()
more = {name: count - before.get(name, 0) for name, count in after.items()}
found["counted"] = {name: count for name, count in more.items() if count}
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def found(installation: Installation) -> Iterator[dict[str, Any]]:
    """What a pod of another namespace got, with a token of the agents' audience that is its own."""
    place = installation.opted_in(f"stranger-{os.getpid()}")
    source = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 600, "path": "recorder"}}
    (image,) = {each["image"] for each in installation.pod("collector")["spec"]["containers"]}
    main = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "tokens", "mountPath": TOKENS}],
    }
    volumes = [{"name": "tokens", "projected": {"sources": [source]}}]
    installation.pods.run(pod(place, "stranger", main, volumes=volumes, securityContext={"fsGroup": 65532}))
    asked = {
        "ca": installation.client.get("ConfigMap", "recorder-ca", PLACE)["data"]["ca.crt"],
        "host": f"{COLLECTOR}.{PLACE}.svc",
        "collector": installation.pod("collector")["status"]["podIP"],
        "agent": installation.pod("agent")["status"]["podIP"],
        "tokens": TOKENS,
        "admin": installation.cluster.api.admin_token,
    }
    command = ("exec", "-i", "-n", place, "stranger", "--", "/opt/recorder/bin/python", "-c", SCRIPT)
    done = installation.cluster.kubectl(*command, stdin=json.dumps(asked).encode())
    yield dict(json.loads(done.stdout))
    installation.client.delete("Namespace", place)


@pytest.mark.parametrize(
    ("door", "answers"),
    [
        ("enrol without a token", REFUSED),
        ("enrol as another account", REFUSED),
        ("agents without a certificate", {"UNAVAILABLE"}),  # no TLS without one
        ("agents without anything", {"UNAVAILABLE"}),
        ("people without a token", REFUSED),
        ("people with a token of that audience", REFUSED),
        ("metrics without a token", {401, 403}),
        ("metrics with a token of that audience", {401, 403}),
        ("anything else of the agent", {404}),
    ],
)
def test_a_door_is_shut(found: dict[str, Any], door: str, answers: set[object]) -> None:
    """To a pod of another namespace."""
    assert found[door] in answers


def test_health_is_all_there_is_to_read(found: dict[str, Any]) -> None:
    """It says whether, and nothing else."""
    assert found["health of the collector"] == [200, ""]
    assert found["health of the agent"] == [200, ""]


def test_the_refused_are_counted(found: dict[str, Any]) -> None:
    """Each attempt to get a certificate, by the reason."""
    assert found["counted"] == {"token": 1, "account": 1}
