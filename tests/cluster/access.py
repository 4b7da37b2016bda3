"""People, service accounts and their rights, as Kubernetes has them (RBAC)."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.cluster.client import Client

RBAC = "rbac.authorization.k8s.io/v1"
Rules = Sequence[
    Mapping[str, Any]
]  # as in a Role: apiGroups, resources, verbs, resourceNames, nonResourceURLs
_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Person:
    """A user whom the API server knows by a static token. No rights until `grant`."""

    name: str
    token: str

    @property
    def subject(self) -> Mapping[str, str]:
        """As a binding names it."""
        return {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": self.name}


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account that exists. No rights until `grant`."""

    client: Client
    namespace: str
    name: str

    @property
    def username(self) -> str:
        """As reviews show it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def subject(self) -> Mapping[str, str]:
        """As a binding names it."""
        return {"kind": "ServiceAccount", "namespace": self.namespace, "name": self.name}

    def token(self, *audiences: str, seconds: int = 3600, pod: Mapping[str, Any] | None = None) -> str:
        """A new token (TokenRequest); without audiences for the API server. `pod`: bound to that object.

        The API server takes no less than 600 seconds.
        """
        spec: dict[str, Any] = {"expirationSeconds": seconds, "audiences": list(audiences)}
        if pod is not None:
            metadata = pod["metadata"]
            spec["boundObjectRef"] = {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": metadata["name"],
                "uid": metadata["uid"],
            }
        path = self.client.path("ServiceAccount", self.namespace, self.name, subresource="token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self.client.request("POST", path, body)["status"]["token"])


def make_service_account(client: Client, namespace: str, name: str = "") -> ServiceAccount:
    """A new service account; a name of its own if none is given."""
    name = name or f"account-{next(_serial)}"
    client.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    )
    return ServiceAccount(client, namespace, name)


def grant(client: Client, who: Person | ServiceAccount, rules: Rules, namespace: str = "") -> None:
    """Give rights by a Role in a namespace, or by a ClusterRole. They hold as soon as it returns."""
    prefix = "" if namespace else "Cluster"
    metadata = {"name": f"granted-{next(_serial)}", **({"namespace": namespace} if namespace else {})}
    client.create({"apiVersion": RBAC, "kind": f"{prefix}Role", "metadata": metadata, "rules": list(rules)})
    client.create(
        {
            "apiVersion": RBAC,
            "kind": f"{prefix}RoleBinding",
            "metadata": metadata,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": f"{prefix}Role",
                "name": metadata["name"],
            },
            "subjects": [dict(who.subject)],
        }
    )
