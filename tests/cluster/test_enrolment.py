"""Identities by a real API server: whose token gets a node's certificate, and what our accounts may do.

Service accounts, rights and the ConfigMap are those of deploy/base.
"""

import asyncio
import http.client
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from recorder.agent.enrolment import Enrolment
from recorder.agent.node_key import NodeKey
from recorder.agent.uplink import Pace
from recorder.kube.agent_pods import AgentPods, AgentsAre
from recorder.model.enrolment import NotVouched, Refusal
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc
from tests.cluster.access import make_service_account
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP, Object
from tests.cluster.deployed import Deployed, deploy
from tests.cluster.errors import AnswerError
from tests.cluster.kube import kube
from tests.cluster.own_collector import OwnCollector
from tests.cluster.scene import OPT_IN, Scene, names, state
from tests.collector.simulated_agent import SimulatedAgent

AUDIENCE = "recorder-collector"
WAIT = 60.0
PACE = Pace(first_backoff=0.05, last_backoff=0.5)


@pytest.fixture(scope="module")
def deployed(api_server: ApiServer, new_namespace: Callable[..., str]) -> Iterator[Deployed]:
    made = deploy(api_server.client, new_namespace())
    yield made
    made.remove()


@pytest.fixture(scope="module")
def cluster(
    api_server: ApiServer, deployed: Deployed, new_namespace: Callable[..., str], tmp_path_factory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("enrolment") / "c"
    with OwnCollector(folder, deployed, api_server) as collector:
        made = Scene(api_server, new_namespace, collector)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def ca(cluster: Scene, deployed: Deployed, tmp_path_factory) -> Path:
    """As a pod sees the ConfigMap."""
    found = cluster.client.wait(
        "ConfigMap",
        "recorder-ca",
        lambda each: bool(each and (each.get("data") or {}).get("ca.crt")),
        deployed.namespace,
    )
    assert found
    assert list(found["data"]) == ["ca.crt"]
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(found["data"]["ca.crt"])
    assert path.read_bytes() == (cluster.collector.folder / "identity/ca.crt").read_bytes()
    assert "PRIVATE" not in path.read_text()
    return path


def ask(cluster: Scene, ca: Path, token: str) -> pb.EnrollResponse:
    """As an agent asks; RpcError."""
    credentials = grpc.ssl_channel_credentials(ca.read_bytes())
    if token:
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.access_token_call_credentials(token)
        )
    with grpc.secure_channel(f"localhost:{cluster.collector.enrol_port}", credentials) as channel:
        request = pb.EnrollRequest(certificate_request=NodeKey.made().request.decode())
        answer: pb.EnrollResponse = collector_pb2_grpc.EnrolmentStub(channel).Enroll(request, timeout=WAIT)
        return answer


def test_an_agents_pod_becomes_its_nodes_agent(cluster, deployed, ca, tmp_path):
    """By its token alone; its certificate is renewed while it reports, and nothing that it saw is lost."""
    place = cluster.namespace(OPT_IN)
    web = cluster.container(cluster.pod(place, "web"))
    cluster.record(place, f"r-{place}")
    token = tmp_path / "token"
    token.write_text(deployed.agent.token(AUDIENCE, seconds=600, pod=deployed.pod()))
    made: list[Enrolment] = []

    async def begin() -> SimulatedAgent:
        enrolment = Enrolment(f"localhost:{cluster.collector.enrol_port}", token, ca, "node-a", pace=PACE)
        made.append(enrolment)
        return SimulatedAgent(f"localhost:{cluster.wire.port}", "node-a", enrolment.credentials)

    agent = cluster.do(begin())
    (enrolment,) = made

    async def reconnect() -> None:
        await cluster.wire.cut()
        await cluster.wire.mend()

    tasks = [cluster.loop.start(enrolment.run())]
    try:
        cluster.do(asyncio.wait_for(enrolment.enrolled.wait(), WAIT))
        tasks.append(cluster.loop.start(agent.uplink.run()))
        cluster.act(lambda: agent.see(web, "execve", "read"))
        cluster.stored(agent)
        first = enrolment.ends
        end = time.monotonic() + WAIT
        number = 0
        calls = ["write", "mkdir", "rmdir", "unlink", "rename", "chmod", "chown", "link"]
        while enrolment.ends == first:  # for half of LIFE
            assert time.monotonic() < end, enrolment.problem
            call = calls[number % len(calls)]
            cluster.act(lambda call=call: agent.see(web, call))
            cluster.do(reconnect())
            cluster.stored(agent)
            number += 1
            time.sleep(0.2)
        # the stream ends with the certificate that it was made with
        while not cluster.collector.ended("unreachable"):
            assert time.monotonic() < end, enrolment.problem
            time.sleep(0.2)
        assert time.time() >= first - 1
        cluster.act(lambda: (agent.see(web, "getpid"), agent.end(web)))
        cluster.stored(agent)
        profile = cluster.profile(f"r-{place}-web", lambda each: state(each) == "final")
        assert {"execve", "read", "getpid", *calls[:number]} <= set(names(profile))
        assert enrolment.attempts >= 2
    finally:
        cluster.do(agent.uplink.close(0))
        for each in tasks:
            each.cancel()


def test_the_api_server_refuses_the_token(cluster, deployed):
    """What opens the collector's enrolment opens nothing else: 401, whatever is asked."""
    client = cluster.client.bearing(deployed.agent.token(AUDIENCE, pod=deployed.pod()))
    for path in (
        "/api",
        "/api/v1/namespaces",
        f"/api/v1/namespaces/{deployed.namespace}/configmaps/recorder-ca",
    ):
        with pytest.raises(AnswerError) as caught:
            client.request("GET", path)
        assert caught.value.status == 401


class Strangers:
    """Tokens of who is no agent."""

    def __init__(self, deployed: Deployed, namespace: Callable[..., str]) -> None:
        self.deployed = deployed
        self.agent = deployed.agent
        self.client = deployed.client
        self.namespace = namespace

    def of_pod(self, pod: Object, *, audience: str = AUDIENCE) -> str:
        return self.agent.token(*filter(None, [audience]), pod=pod)

    def of_a_gone_pod(self) -> str:
        return self.of_pod_then_gone(self.deployed.pod())

    def of_pod_then_gone(self, pod: Object) -> str:
        name, token = pod["metadata"]["name"], self.of_pod(pod)
        path = self.client.path("Pod", self.deployed.namespace, name)
        self.client.request("DELETE", path, {"gracePeriodSeconds": 0})
        self.client.wait("Pod", name, lambda each: each is None, self.deployed.namespace)
        return token

    def of_a_pod_that_was_made_again(self) -> str:
        pod = self.deployed.pod()
        token = self.of_pod_then_gone(pod)
        self.deployed.pod(name=pod["metadata"]["name"])
        return token

    def of_another_account(self) -> str:
        other = self.deployed.collector
        return other.token(AUDIENCE, pod=self.deployed.pod(account=other, owners=[self.deployed.owner()]))

    def of_another_namespace(self) -> str:
        other = make_service_account(self.client, self.namespace(), self.agent.name)
        return other.token(AUDIENCE, pod=self.deployed.pod(account=other))

    def of_another_daemon_set(self) -> str:
        theirs = self.deployed.another_daemon_set("theirs")["metadata"]
        owner = self.deployed.owner(name=theirs["name"], uid=theirs["uid"])
        return self.of_pod(self.deployed.pod(owners=[owner]))

    def of_an_owner_that_does_not_control_it(self) -> str:
        return self.of_pod(self.deployed.pod(owners=[self.deployed.owner(controller=False)]))


REFUSED: dict[str, tuple[str, Callable[[Strangers], str]]] = {
    "none": ("token", lambda _: ""),
    "nobody's": ("token", lambda _: "forged"),
    "of the API server's audience": ("token", lambda to: to.of_pod(to.deployed.pod(), audience="")),
    "of another audience": ("token", lambda to: to.of_pod(to.deployed.pod(), audience="elsewhere")),
    "of a pod that is gone": ("token", Strangers.of_a_gone_pod),
    "of a pod whose name another one has": ("token", Strangers.of_a_pod_that_was_made_again),
    "of another account": ("account", Strangers.of_another_account),
    "of another namespace": ("account", Strangers.of_another_namespace),
    "of no pod": ("unbound", lambda to: to.agent.token(AUDIENCE)),
    "of a pod without an owner": ("owner", lambda to: to.of_pod(to.deployed.pod(owners=[]))),
    "of another DaemonSet": ("owner", Strangers.of_another_daemon_set),
    "of an owner that does not control it": ("owner", Strangers.of_an_owner_that_does_not_control_it),
    "of a pod on no node": ("node", lambda to: to.of_pod(to.deployed.pod(""))),
}
"""Each with the reason under which it is counted."""


@pytest.mark.parametrize("case", REFUSED)
def test_tokens_that_get_no_certificate(cluster, deployed, ca, namespace, case):
    """Each is refused, and counted with its reason."""
    reason, make = REFUSED[case]
    token = make(Strangers(deployed, namespace))
    before = cluster.collector.counted()
    with pytest.raises(grpc.RpcError) as caught:
        ask(cluster, ca, token)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    after = cluster.collector.counted()
    assert after.get("signed", 0) == before.get("signed", 0)
    assert after[reason] == before.get(reason, 0) + 1


def test_a_pod_that_changed_after_its_token_was_looked_at(api_server, deployed):
    """Between the two questions: gone, or another one has its name. What counts is the uid."""
    pod = deployed.pod()["metadata"]
    agents = AgentsAre(deployed.namespace, "recorder-agent", "recorder-agent", AUDIENCE)
    with kube(api_server.kubeconfig) as platform:
        vouching = AgentPods(platform.client, agents)
        for name, uid in ((pod["name"], "another"), ("no-such-pod", pod["uid"])):
            found = platform.do(vouching._vouch_for(name, uid))
            assert isinstance(found, NotVouched)
            assert found.refusal is Refusal.POD
        assert platform.do(vouching._vouch_for(pod["name"], pod["uid"])).node == "node-a"


def test_a_stolen_certificate_is_for_its_node_alone(cluster, deployed, ca):
    """It opens no stream of another node, no records of people, and signs nothing."""
    key = NodeKey.made()
    token = deployed.agent.token(AUDIENCE, pod=deployed.pod("node-s"))
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(ca.read_bytes()), grpc.access_token_call_credentials(token)
    )
    with grpc.secure_channel(f"localhost:{cluster.collector.enrol_port}", credentials) as channel:
        request = pb.EnrollRequest(certificate_request=key.request.decode())
        answer = collector_pb2_grpc.EnrolmentStub(channel).Enroll(request, timeout=WAIT)
    assert answer.node == "node-s"
    stolen = grpc.ssl_channel_credentials(ca.read_bytes(), key.key, answer.certificate.encode())

    def refused(port: int, method: Callable[[grpc.Channel], object]) -> grpc.StatusCode:
        with grpc.secure_channel(f"localhost:{port}", stolen) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                method(channel)
            return caught.value.code()

    def hello(channel: grpc.Channel) -> object:
        message = pb.AgentMessage(hello=pb.Hello(node="node-a", boot_id="boot"))
        return list(collector_pb2_grpc.CollectorStub(channel).Connect(iter([message]), timeout=WAIT))

    def records(channel: grpc.Channel) -> object:
        return list(
            collector_pb2_grpc.CollectorStub(channel).GetRecords(pb.GetRecordsRequest(), timeout=WAIT)
        )

    def enrol(channel: grpc.Channel) -> object:
        return collector_pb2_grpc.EnrolmentStub(channel).Enroll(request, timeout=WAIT)

    collector = cluster.collector
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert refused(collector.port, hello) is denied
    assert refused(collector.port, records) is denied
    assert refused(collector.people_port, records) is denied
    assert refused(collector.enrol_port, enrol) is denied


def test_without_a_certificate_and_a_token(cluster, ca):
    """Every port and RPC refuses it, but for health, which says nothing else."""
    collector = cluster.collector
    plain = grpc.ssl_channel_credentials(ca.read_bytes())
    stub = collector_pb2_grpc.CollectorStub
    methods: dict[str, Callable[[grpc.Channel], object]] = {
        "Connect": lambda channel: list(stub(channel).Connect(iter([pb.AgentMessage()]), timeout=WAIT)),
        "GetRecords": lambda channel: list(stub(channel).GetRecords(pb.GetRecordsRequest(), timeout=WAIT)),
        "WatchRecords": lambda channel: list(
            stub(channel).WatchRecords(pb.WatchRecordsRequest(), timeout=WAIT)
        ),
        "Enroll": lambda channel: collector_pb2_grpc.EnrolmentStub(channel).Enroll(
            pb.EnrollRequest(certificate_request=NodeKey.made().request.decode()), timeout=WAIT
        ),
    }
    for port in (collector.port, collector.people_port, collector.enrol_port):
        for name, method in methods.items():
            with grpc.secure_channel(f"localhost:{port}", plain) as channel:
                with pytest.raises(grpc.RpcError) as caught:
                    method(channel)
                expected = {
                    collector.port: {grpc.StatusCode.UNAVAILABLE},  # no handshake
                    collector.people_port: {grpc.StatusCode.PERMISSION_DENIED},
                    collector.enrol_port: {grpc.StatusCode.UNIMPLEMENTED},
                }[port]
                if name == "Enroll":
                    expected = {
                        collector.port: {grpc.StatusCode.UNAVAILABLE},
                        collector.people_port: {grpc.StatusCode.UNIMPLEMENTED},
                        collector.enrol_port: {grpc.StatusCode.PERMISSION_DENIED},
                    }[port]
                assert caught.value.code() in expected, (port, name, caught.value)
    tls = ssl.create_default_context(cafile=str(ca))
    tls.check_hostname = False
    metrics = http.client.HTTPSConnection("127.0.0.1", collector.metrics_port, context=tls, timeout=WAIT)
    metrics.request("GET", "/metrics")
    answer = metrics.getresponse()
    assert (answer.status, answer.read()) == (401, b"")
    metrics.close()
    with urllib.request.urlopen(f"http://127.0.0.1:{collector.probe_port}/healthz", timeout=WAIT) as page:
        assert (page.status, page.read()) == (200, b"")


# --- rights

Rules = dict[tuple[str, str, str], set[str]]
"""Verbs by group, resource and the object's name; empty: of all."""

PROFILE_VERBS = {"get", "list", "watch", "create", "patch", "delete"}
EVERYWHERE: Rules = {
    (GROUP, "profilerecordings", ""): {"get", "list", "watch", "patch"},
    (GROUP, "profilerecordings/status", ""): {"patch"},
    (GROUP, "seccompprofiles", ""): PROFILE_VERBS,
    (GROUP, "apparmorprofiles", ""): PROFILE_VERBS,
    (GROUP, "selinuxprofiles", ""): PROFILE_VERBS,
    (GROUP, "securityprofilesoperatordaemons", ""): {"get", "list"},
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""): {"get", "list"},
    ("apiextensions.k8s.io", "customresourcedefinitions", ""): {"get", "list"},
    ("", "namespaces", ""): {"list", "watch"},
    ("", "pods", ""): {"get"},
    ("", "events", ""): {"create", "get", "patch"},
    ("authentication.k8s.io", "tokenreviews", ""): {"create"},
    ("authorization.k8s.io", "subjectaccessreviews", ""): {"create"},
}
"""What the collector may do in any namespace."""
ANYBODYS: Rules = {
    ("authorization.k8s.io", "selfsubjectaccessreviews", ""): {"create"},
    ("authorization.k8s.io", "selfsubjectrulesreviews", ""): {"create"},
}
"""What whoever has a token may do: ask what they may (system:basic-user)."""


def rules(cluster: Scene, token: str, namespace: str) -> Rules:
    """All that the API server says that the bearer may do with objects there (SelfSubjectRulesReview)."""
    answer = cluster.client.bearing(token).create(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "metadata": {},
            "spec": {"namespace": namespace},
        }
    )
    found: Rules = {}
    for rule in answer["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    found.setdefault((group, resource, name), set()).update(rule["verbs"])
    return found


def test_the_collectors_rights(cluster, deployed, new_namespace):
    """What it needs, and nothing else: no Secrets, no list of pods, nothing written to them, no wildcard."""
    token = deployed.collector.token()
    assert rules(cluster, token, new_namespace()) == {**ANYBODYS, **EVERYWHERE}
    own = {("", "configmaps", "recorder-ca"): {"get", "update"}}
    assert rules(cluster, token, deployed.namespace) == {**ANYBODYS, **EVERYWHERE, **own}


def test_the_collectors_real_requests(cluster, deployed, new_namespace):
    """The API server refuses what it says that it refuses."""
    client = cluster.client.bearing(deployed.collector.token())
    place = new_namespace()
    cluster.client.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": place}, "data": {}}
    )
    pod = cluster.pod(place, "victim")
    assert client.get("Pod", "victim", place)["metadata"]["uid"] == pod.uid

    def refused(what: Callable[[], object]) -> None:
        with pytest.raises(AnswerError) as caught:
            what()
        assert caught.value.status == 403

    refused(lambda: client.get("Secret", "s", place))
    refused(lambda: client.objects("Secret", place))
    refused(lambda: client.objects("Secret"))
    refused(lambda: client.objects("Pod", place))
    refused(lambda: client.objects("Pod"))
    refused(lambda: client.patch("Pod", "victim", {"metadata": {"labels": {"a": "b"}}}, place))
    refused(lambda: client.delete("Pod", "victim", place))
    refused(lambda: client.objects("ConfigMap", deployed.namespace))
    refused(lambda: client.get("ConfigMap", "kube-root-ca.crt", deployed.namespace))
    refused(lambda: client.delete("ConfigMap", "recorder-ca", deployed.namespace))


def test_the_agents_account_can_do_nothing(cluster, deployed, new_namespace):
    """Not even with a token that the API server takes, which its pods do not have."""
    token = deployed.agent.token()
    for namespace in (new_namespace(), deployed.namespace):
        assert rules(cluster, token, namespace) == ANYBODYS
    for path in (
        "/api/v1/pods",
        "/api/v1/nodes",
        f"/api/v1/namespaces/{deployed.namespace}/configmaps/recorder-ca",
        f"/apis/{GROUP}/v1/profilerecordings",
    ):
        with pytest.raises(AnswerError) as caught:
            cluster.client.bearing(token).request("GET", path)
        assert caught.value.status == 403


def test_a_person_with_the_manifests_role(cluster, deployed, ca, tmp_path):
    """Who is bound to it in one namespace reads and writes recordings there, and in no other."""
    first, second = cluster.namespace(OPT_IN), cluster.namespace(OPT_IN)
    for place in (first, second):
        cluster.record(place, "it")
    account = cluster.server.service_account(first)
    cluster.client.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "people", "namespace": first},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"profile-recorder-user.{deployed.namespace}",
            },
            "subjects": [dict(account.subject)],
        }
    )
    client = cluster.client.bearing(account.token())
    assert client.get("ProfileRecording", "it", first)
    for what in (
        lambda: client.get("ProfileRecording", "it", second),
        lambda: client.delete("ProfileRecording", "it", second),
        lambda: client.objects("ProfileRecording"),
        lambda: client.patch("ProfileRecording", "it", {"status": {}}, first, subresource="status"),
    ):
        with pytest.raises(AnswerError) as caught:
            what()
        assert caught.value.status == 403
    file = tmp_path / "token"
    file.write_text(account.token())
    said = {}
    for place in (first, second):
        said[place] = subprocess.run(
            [
                *(sys.executable, "-m", "recorder.cli.main", "records", "--json", "--namespace", place),
                *("--collector", f"localhost:{cluster.collector.people_port}"),
                *("--ca", str(ca), "--token-file", str(file)),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=WAIT,
        )
    assert said[first].returncode == 0, said[first]
    told: list[Object] = [json.loads(line) for line in said[first].stdout.splitlines()]
    assert [each["recording"]["namespace"] for each in told if "recording" in each] == [first]
    assert said[second].returncode == 3
    assert "ACCESS_DENIED" in said[second].stderr
