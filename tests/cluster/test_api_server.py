"""The API server of the tests is a real one: it keeps and refuses what Kubernetes does, and can fail."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.access import ServiceAccount
from tests.cluster.address import Address
from tests.cluster.api_server import AUDIENCE, ApiServer
from tests.cluster.client import GROUP, Object
from tests.cluster.errors import AnswerError
from tests.cluster.objects import config_map, pod

NamespaceMaker = Callable[..., str]
READ = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]


def review(server: ApiServer, token: str, *audiences: str) -> Object:
    """The status of a TokenReview."""
    spec = {"token": token, "audiences": list(audiences)}
    thing = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    path = server.client.path("TokenReview")
    return dict(server.client.request("POST", path, thing)["status"])


def test_keeps_objects_and_refuses_old_versions(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """Create, get, replace, a conflict (409), delete."""
    client, where = api_server.client, namespace()
    first = client.create(config_map(where, a="1"))
    second = client.replace({**first, "data": {"a": "2"}})
    assert client.get("ConfigMap", "it", where)["data"] == {"a": "2"} == second["data"]
    with pytest.raises(AnswerError) as refused:
        client.replace({**first, "data": {"a": "3"}})
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    client.delete("ConfigMap", "it", where)
    assert client.find("ConfigMap", "it", where) is None


def test_server_side_apply_knows_who_owns_what(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """A field that another manager set is a conflict, and stays."""
    client, where = api_server.client, namespace()
    client.apply(config_map(where, a="1"), "one")
    with pytest.raises(AnswerError, match='conflict with "one"') as refused:
        client.apply(config_map(where, a="2", b="2"), "two")
    assert refused.value.status == 409
    client.apply(config_map(where, b="2"), "two")
    assert client.get("ConfigMap", "it", where)["data"] == {"a": "1", "b": "2"}


def test_waits_by_watching(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """A change that comes later is seen when it comes; one that does not is a TimeoutError."""
    client, where = api_server.client, namespace()
    late = threading.Timer(0.3, lambda: client.create(config_map(where, a="1")))
    late.start()
    assert client.wait("ConfigMap", "it", lambda found: found is not None, where)
    late.join()
    gone = threading.Timer(0.3, lambda: client.delete("ConfigMap", "it", where))
    gone.start()
    assert client.wait("ConfigMap", "it", lambda found: found is None, where) is None
    gone.join()
    with pytest.raises(TimeoutError):
        client.wait("ConfigMap", "it", lambda found: found is not None, where, seconds=0.3)


def test_deleted_namespace_goes_with_its_objects(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """The namespace controller works: Terminating, then gone."""
    client, where = api_server.client, namespace()
    client.create(config_map(where))
    client.delete("Namespace", where)
    assert client.wait("Namespace", where, lambda found: found is None) is None


def test_owned_objects_are_collected(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """The garbage collector works."""
    client, where = api_server.client, namespace()
    owner = client.create(config_map(where, "owner"))
    owned = config_map(where, "owned")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    ]
    client.create(owned)
    client.delete("ConfigMap", "owner", where)
    assert client.wait("ConfigMap", "owned", lambda found: found is None, where) is None


def test_pods_stay_as_they_were_written(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """Nobody schedules, runs or collects a pod: its node need not exist."""
    client, where = api_server.client, namespace()
    made = client.create(pod(where))
    client.patch("Pod", "it", {"status": {"phase": "Running"}}, where, subresource="status")
    found = client.get("Pod", "it", where)
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert (found["spec"]["nodeName"], found["status"]["phase"]) == ("node-a", "Running")


def test_rights_are_what_was_granted(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """RBAC: nothing without a binding, and a binding in one namespace is for that one."""
    here, there = namespace(), namespace()
    account = api_server.service_account(here)
    client = api_server.client_of(account.token())
    with pytest.raises(AnswerError) as refused:
        client.objects("ConfigMap", here)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    api_server.grant(account, READ, here)
    assert [found["metadata"]["name"] for found in client.objects("ConfigMap", here)] == ["kube-root-ca.crt"]
    with pytest.raises(AnswerError, match="forbidden"):
        client.objects("ConfigMap", there)
    with pytest.raises(AnswerError, match="forbidden"):
        client.create(config_map(here))


def test_people_have_tokens_of_their_own(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """A person is known by name, has no rights, and gets some; SubjectAccessReview agrees."""
    where = namespace()
    alice, bob = api_server.person("alice"), api_server.person("bob")
    assert review(api_server, alice.token)["user"]["username"] == "alice"
    api_server.grant(alice, READ, where)
    for person, allowed in ((alice, True), (bob, False)):
        what = {"namespace": where, "verb": "get", "resource": "configmaps"}
        spec = {"user": person.name, "resourceAttributes": what}
        asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        path = api_server.client.path("SubjectAccessReview")
        assert api_server.client.request("POST", path, asked)["status"].get("allowed", False) is allowed
    with pytest.raises(AnswerError) as refused:
        api_server.client_of("nobody's").objects("ConfigMap", where)
    assert refused.value.status == 401


def test_a_token_is_for_its_audience(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """One for another audience is none to the API server (401); TokenReview takes it for that audience."""
    account = api_server.service_account(namespace())
    token = account.token("recorder-collector")
    with pytest.raises(AnswerError) as refused:
        api_server.client_of(token).objects("ConfigMap", account.namespace)
    assert refused.value.status == 401
    assert not review(api_server, token).get("authenticated", False)
    found = review(api_server, token, "recorder-collector")
    assert (found["authenticated"], found["audiences"]) == (True, ["recorder-collector"])
    assert found["user"]["username"] == account.username
    assert review(api_server, account.token(), AUDIENCE)["authenticated"]


def test_a_bound_token_ends_with_its_pod(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """TokenReview names the pod and its uid; once the pod is gone the token counts no more."""
    account: ServiceAccount = api_server.service_account(namespace())
    made = api_server.client.create(pod(account.namespace, account=account.name))
    token = account.token("recorder-collector", pod=made)
    extra = review(api_server, token, "recorder-collector")["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["it"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [made["metadata"]["uid"]]
    path = api_server.client.path("Pod", account.namespace, "it")
    at_once = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
    api_server.client.request("DELETE", path, at_once)
    end = time.monotonic() + 30
    while review(api_server, token, "recorder-collector").get("authenticated"):
        assert time.monotonic() < end
        time.sleep(0.1)  # reviews of tokens are cached for seconds, and nothing tells when that ends


def test_an_outage_loses_nothing(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """While it is stopped connections are refused; then all is as it was, at the same address.

    Who watches on from a version before the last one is told that it is too late (410).
    """
    client, where = api_server.client, namespace()
    old = client.create(config_map(where, a="1"))["metadata"]["resourceVersion"]
    made = client.patch("ConfigMap", "it", {"data": {"a": "2"}}, where)
    with api_server.outage(), pytest.raises(ConnectionRefusedError):
        client.get("ConfigMap", "it", where)
    assert client.get("ConfigMap", "it", where) == made
    with pytest.raises(AnswerError) as refused:
        list(client.watch("ConfigMap", where, since=old, seconds=5))
    assert refused.value.status == 410


def test_paused_it_answers_nothing(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """Connections are taken and stay open; afterwards it answers."""
    where = namespace()
    hasty = api_server.client_of(api_server.admin_token)
    hasty.seconds = 0.5
    with api_server.paused(), pytest.raises(TimeoutError):
        hasty.get("Namespace", where)
    assert hasty.get("Namespace", where)


def test_an_old_version_is_gone(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """After `compact` a list of an older version is answered with 410."""
    client, where = api_server.client, namespace()
    old = client.create(config_map(where))["metadata"]["resourceVersion"]
    client.patch("ConfigMap", "it", {"data": {"a": "1"}}, where)
    api_server.compact()
    query = {"resourceVersion": old, "resourceVersionMatch": "Exact"}
    with pytest.raises(AnswerError) as refused:
        client.request("GET", client.path("ConfigMap", where), query=query)
    assert refused.value.status == 410


def test_kubectl_talks_to_it(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """The kubeconfig is all that kubectl needs."""
    where = namespace()
    api_server.client.create(config_map(where))
    said = subprocess.run(
        [
            "kubectl",
            "--kubeconfig",
            api_server.kubeconfig,
            "-n",
            where,
            "get",
            "configmap",
            "it",
            "-o",
            "name",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stdout == "configmap/it\n"


def test_no_two_have_one_address() -> None:
    """An address is its owner's until it lets go, also against another process."""
    with Address() as one, Address() as other:
        assert str(one) != str(other)


def test_killed_tests_leave_no_daemon(tmp_path: Path) -> None:
    """Who runs an API server and is killed with SIGKILL takes the daemons along."""
    body = (
        "import sys\nfrom pathlib import Path\nfrom tests.cluster.daemon import Daemon\n"
        "daemon = Daemon('sleep', ['sleep', '1000'], Path(sys.argv[1]), lambda: True)\n"
        "daemon.start()\nprint(daemon.pid, flush=True)\nsys.stdin.read()\n"
    )
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", body, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end, "the daemon lives on"
        time.sleep(0.02)


def test_api_group_is_there(api_server: ApiServer) -> None:
    """Our kinds are served."""
    found = api_server.client.request("GET", f"/apis/{GROUP}/v1")["resources"]
    assert {one["kind"] for one in found} == {
        *("ProfileRecording", "SeccompProfile", "AppArmorProfile", "SelinuxProfile"),
    }
