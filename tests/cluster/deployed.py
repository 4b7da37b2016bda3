"""Identities and rights of deploy/base in a namespace of a test's own, and pods as a DaemonSet has them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.access import ServiceAccount
from tests.cluster.client import Client, Object

BASE = Path(__file__).parents[2] / "deploy/base"
OWN = "profile-recorder"
"""The namespace that the manifests are written for."""
_serial = itertools.count(1)


@dataclass(frozen=True)
class Deployed:
    """What `deploy` made. Names of what is of no namespace have the test's namespace at their end."""

    client: Client
    namespace: str
    agent: ServiceAccount
    collector: ServiceAccount
    daemon_set: Object

    def pod(
        self,
        node: str = "node-a",
        *,
        account: ServiceAccount | None = None,
        owners: list[Mapping[str, Any]] | None = None,
        name: str = "",
    ) -> Object:
        """A pod of the agents' DaemonSet, as its controller makes it; or of another account, or owners."""
        account = account or self.agent
        if owners is None and account == self.agent:
            owners = [self.owner()]
        return self.client.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name or f"agent-{next(_serial)}",
                    "namespace": account.namespace,
                    "ownerReferences": owners or [],
                },
                "spec": {
                    **({"nodeName": node} if node else {}),
                    "serviceAccountName": account.name,
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "agent", "image": "localhost/profile-recorder:0"}],
                },
            }
        )

    def owner(self, **other: Any) -> Mapping[str, Any]:
        """The reference to the DaemonSet, with fields of it changed."""
        return {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "name": self.daemon_set["metadata"]["name"],
            "uid": self.daemon_set["metadata"]["uid"],
            "controller": True,
            **other,
        }

    def another_daemon_set(self, name: str) -> Object:
        """Somebody's, in the same namespace."""
        return self.client.create(_daemon_set(name, self.namespace))

    def remove(self) -> None:
        """What is of no namespace; the rest goes with the namespace."""
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            for each in self.client.objects(kind):
                if each["metadata"]["name"].endswith(f".{self.namespace}"):
                    self.client.delete(kind, each["metadata"]["name"])


def deploy(client: Client, namespace: str) -> Deployed:
    """The manifests' service accounts, rights and ConfigMap; of the DaemonSet its name alone."""
    for file in ("identity.yaml", "rights.yaml"):
        for each in yaml.safe_load_all((BASE / file).read_text()):
            client.create(_placed(each, namespace))
    agent, collector = (
        ServiceAccount(client, namespace, f"recorder-{each}") for each in ("agent", "collector")
    )
    daemon_set = client.create(_daemon_set("recorder-agent", namespace))
    return Deployed(client, namespace, agent, collector, daemon_set)


def _placed(thing: Object, namespace: str) -> Object:
    """As kustomize would: in the namespace, with everything that refers to it."""
    if thing["kind"].startswith("Cluster"):
        thing["metadata"]["name"] += f".{namespace}"
        if "roleRef" in thing:
            thing["roleRef"]["name"] += f".{namespace}"
    else:
        thing["metadata"]["namespace"] = namespace
    if "roleRef" in thing:
        thing["roleRef"].setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in thing.get("subjects") or ():
        assert subject["namespace"] == OWN
        subject["namespace"] = namespace
    return thing


def _daemon_set(name: str, namespace: str) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "agent", "image": "localhost/profile-recorder:0"}]},
            },
        },
    }
