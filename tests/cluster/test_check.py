"""`recorder check --cluster` against real API servers: whose kinds, whose recorder, whose rights."""

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from recorder.cli.main import main
from recorder.kube.rights import NEEDED
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP
from tests.cluster.deployed import BASE, Deployed, deploy

KINDS = ("ProfileRecording", "SeccompProfile", "AppArmorProfile", "SelinuxProfile")


@pytest.fixture(scope="module")
def deployed(api_server: ApiServer, new_namespace: Callable[..., str]) -> Iterator[Deployed]:
    made = deploy(api_server.client, new_namespace())
    yield made
    made.remove()


@pytest.fixture
def check(capsys):
    """`check(server, *words)`: its status and points, by name."""

    def run(server: ApiServer, *words: str, token: str = ""):
        where = server.kubeconfig_of(token, "checking") if token else server.kubeconfig
        status = main(["check", "--cluster", "--kubeconfig", str(where), "--json", *words])
        said = capsys.readouterr()
        assert said.out, said.err
        return status, {each["point"]: each for each in json.loads(said.out)["points"]}

    return run


def test_a_cluster_with_our_manifests(api_server, deployed, check):
    """The kinds are ours, the collector's account has all that it needs, and needs all that it has."""
    account = f"{deployed.namespace}/{deployed.collector.name}"
    # as the collector itself may ask
    status, points = check(api_server, "--account", account, token=deployed.collector.token())
    assert status == 0
    for kind in KINDS:
        assert points[f"kind {kind}"]["good"], points
        assert points[f"kind {kind}"]["found"].endswith("of this recorder (deploy/crds)")
    assert points["other recorder"]["found"] == "none"
    assert points[f"rights of {account}"]["found"] == "all that the collector needs"
    assert "is empty" in points["CA"]["found"]


def test_the_manifests_give_what_is_asked_for():
    """The rules of deploy/base are those that the check asks for: none is missing, none is more."""
    given: dict[tuple[str, str, str], set[str]] = {}
    for each in yaml.safe_load_all((BASE / "rights.yaml").read_text()):
        if each["kind"] in ("ClusterRole", "Role") and each["metadata"]["name"].endswith(
            "recorder-collector"
        ):
            for rule in each["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        for name in rule.get("resourceNames", [""]):
                            given.setdefault((group, resource, name), set()).update(rule["verbs"])
    assert given == {(each.group, each.resource, each.name): set(each.verbs) for each in NEEDED}


def test_an_account_without_rights(api_server, namespace, check):
    """Each missing right is named, and the answer is no."""
    account = api_server.service_account(namespace())
    api_server.grant(
        account, [{"apiGroups": [GROUP], "resources": ["profilerecordings"], "verbs": ["get", "list"]}]
    )
    named = f"{account.namespace}/{account.name}"
    status, points = check(api_server, "--account", named)
    point = points[f"rights of {named}"]
    assert (status, point["good"]) == (1, False)
    assert f"watch, patch profilerecordings.{GROUP}" in point["found"]
    assert "get pods" in point["found"]
    assert "get, update configmaps recorder-ca" in point["found"]
    assert "there is no ConfigMap" in points["CA"]["found"]


def test_beside_the_security_profiles_operator(spo_api_server, check):
    """Its kinds are not said to be ours, and its webhook is said to record."""
    client = spo_api_server.client
    with contextlib.ExitStack() as undo:
        client.create(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "check-spo"},
                "webhooks": [
                    {
                        "name": "recording.spo.io",
                        "rules": [
                            {
                                "apiGroups": [""],
                                "apiVersions": ["v1"],
                                "operations": ["CREATE"],
                                "resources": ["pods"],
                            }
                        ],
                        "clientConfig": {"url": "https://127.0.0.1:1/mutate"},
                        "namespaceSelector": {"matchLabels": {"no-such": "label"}},
                        "failurePolicy": "Ignore",
                        "sideEffects": "None",
                        "admissionReviewVersions": ["v1"],
                    }
                ],
            }
        )
        undo.callback(client.delete, "MutatingWebhookConfiguration", "check-spo")
        status, points = check(spo_api_server)
    assert status == 0  # it works beside it
    for kind in KINDS:
        assert "not of this recorder" in points[f"kind {kind}"]["found"]
    assert not points["other recorder"]["good"]
    assert "webhook recording.spo.io in check-spo" in points["other recorder"]["found"]


def test_a_definition_that_is_missing(spo_api_server, check):
    """It says how to install it; without one that is needed the answer is no."""
    client = spo_api_server.client
    name = f"apparmorprofiles.{GROUP}"
    definition = client.get("CustomResourceDefinition", name)
    client.delete("CustomResourceDefinition", name)
    try:
        client.wait("CustomResourceDefinition", name, lambda each: each is None)
        status, points = check(spo_api_server)
    finally:
        for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
            definition["metadata"].pop(key, None)
        definition.pop("status", None)
        client.create(definition)
    assert status == 0  # profiles of that kind alone cannot be made
    assert points["kind AppArmorProfile"]["found"] == "not installed"
    assert "kubectl apply -k deploy/crds" in points["kind AppArmorProfile"]["remedy"]


def test_no_cluster(tmp_path, capsys):
    """It says that nobody answers, and is no traceback."""
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    assert main(["check", "--cluster", "--kubeconfig", str(path)]) == 3
    said = capsys.readouterr()
    assert "PLATFORM_UNREACHABLE" in said.err
