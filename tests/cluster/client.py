"""Plain requests to an API server, by the standard library alone: what it answers is what it holds.

Objects are the JSON that goes over the wire, as dicts.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.cluster.errors import AnswerError, ClusterError
from tests.cluster.place import Place

GROUP = "security-profiles-operator.x-k8s.io"
Object = dict[str, Any]

# Where a kind is when no version is asked for.
VERSIONS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("ConfigMap", "Endpoints", "Event", "Namespace", "Node", "PersistentVolume", "Pod", "Secret"),
            *("Service", "ServiceAccount"),
        ),
        "v1",
    ),
    **dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), "apps/v1"),
    **dict.fromkeys(
        ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"), "rbac.authorization.k8s.io/v1"
    ),
    **dict.fromkeys(
        ("ProfileRecording", "SeccompProfile", "AppArmorProfile", "SelinuxProfile"), f"{GROUP}/v1"
    ),
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "Job": "batch/v1",
    "Lease": "coordination.k8s.io/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "SecurityProfilesOperatorDaemon": f"{GROUP}/v1",
    "SubjectAccessReview": "authorization.k8s.io/v1",
    "SelfSubjectAccessReview": "authorization.k8s.io/v1",
    "SelfSubjectRulesReview": "authorization.k8s.io/v1",
    "TokenReview": "authentication.k8s.io/v1",
}

PATCHES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class HttpFrom(http.client.HTTPConnection):
    """A connection that is made in a place."""

    def __init__(self, place: Place, host: str, port: int, seconds: float) -> None:
        super().__init__(host, port, timeout=seconds)
        self._place = place
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = self._place.connect(self.host, self.port, self._seconds)


class HttpsFrom(http.client.HTTPSConnection):
    """The same with TLS."""

    def __init__(self, place: Place, host: str, port: int, seconds: float, tls: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=seconds, context=tls)
        self._place = place
        self._seconds = seconds
        self._tls = tls

    def connect(self) -> None:
        made = self._place.connect(self.host, self.port, self._seconds)
        self.sock = self._tls.wrap_socket(made, server_hostname=self.host)


class Client:
    """Requests with one token; each on a connection of its own. AnswerError: any status but 2xx."""

    def __init__(self, place: Place, port: int, ca: Path, token: str = "", *, seconds: float = 30) -> None:
        self.place = place
        self.port = port
        self.ca = ca
        self.token = token
        self.seconds = seconds
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def bearing(self, token: str) -> "Client":
        """The same server, asked with another token."""
        return Client(self.place, self.port, self.ca, token, seconds=self.seconds)

    # --- one request

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """The answer: parsed JSON, or text where the server sent another type."""
        connection = self._connection(self.seconds)
        try:
            answer = self._ask(connection, method, path, body, query=query, content=content, accept=accept)
            data = answer.read()
            if "json" not in (answer.headers.get("Content-Type") or ""):
                return data.decode()
            return json.loads(data)
        finally:
            connection.close()

    def _connection(self, seconds: float) -> http.client.HTTPSConnection:
        return HttpsFrom(self.place, self.place.host, self.port, seconds, self._tls)

    def _ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None,
        content: str = "",
        accept: str,
    ) -> http.client.HTTPResponse:
        headers = {"Accept": accept}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = content
        asked = {key: value for key, value in (query or {}).items() if value not in (None, "", False)}
        connection.request(
            method,
            path + (f"?{urlencode(asked)}" if asked else ""),
            None if body is None else json.dumps(body).encode(),
            headers,
        )
        answer = connection.getresponse()
        if not 200 <= answer.status < 300:
            text = answer.read().decode(errors="replace")
            try:
                status = json.loads(text)
                reason, message = str(status.get("reason", "")), str(status.get("message", ""))
            except (ValueError, AttributeError):
                reason, message = "", text
            raise AnswerError(answer.status, reason, message)
        return answer

    # --- where objects are

    def path(
        self, kind: str, namespace: str = "", name: str = "", *, version: str = "", subresource: str = ""
    ) -> str:
        """The path of a collection or an object; `version` is an apiVersion, by default VERSIONS' own."""
        version = version or VERSIONS[kind]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural, namespaced = self._resource(base, kind)
        parts = [base]
        if namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def _resource(self, base: str, kind: str) -> tuple[str, bool]:
        if (base, kind) not in self._resources:
            for found in self.request("GET", base)["resources"]:
                if "/" not in found["name"]:
                    self._resources[base, found["kind"]] = (found["name"], bool(found["namespaced"]))
        if (base, kind) not in self._resources:
            raise ClusterError(f"the API server has no kind {kind} at {base}")
        return self._resources[base, kind]

    def _of(self, thing: Mapping[str, Any], *, subresource: str = "", collection: bool = False) -> str:
        metadata = thing.get("metadata", {})
        name = "" if collection else metadata["name"]
        return self.path(
            thing["kind"],
            metadata.get("namespace", ""),
            name,
            version=thing["apiVersion"],
            subresource=subresource,
        )

    # --- objects

    def create(self, thing: Mapping[str, Any], *, dry: bool = False) -> Object:
        """POST; the object as it is stored (with `dry`: as it would be)."""
        query = {"dryRun": "All" if dry else None}
        return dict(self.request("POST", self._of(thing, collection=True), thing, query=query))

    def get(self, kind: str, name: str, namespace: str = "", *, version: str = "") -> Object:
        """GET of one."""
        return dict(self.request("GET", self.path(kind, namespace, name, version=version)))

    def find(self, kind: str, name: str, namespace: str = "", *, version: str = "") -> Object | None:
        """The same; None if there is none."""
        try:
            return self.get(kind, name, namespace, version=version)
        except AnswerError as error:
            if error.status == 404:
                return None
            raise

    def objects(self, kind: str, namespace: str = "", *, labels: str = "", version: str = "") -> list[Object]:
        """All of a kind; `labels` is a selector."""
        path = self.path(kind, namespace, version=version)
        return [*self.request("GET", path, query={"labelSelector": labels})["items"]]

    def replace(self, thing: Mapping[str, Any], *, subresource: str = "") -> Object:
        """PUT: refused (409) if its resourceVersion is not the newest."""
        return dict(self.request("PUT", self._of(thing, subresource=subresource), thing))

    def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        how: str = "merge",
        subresource: str = "",
        version: str = "",
        manager: str = "",
    ) -> Object:
        """PATCH; `how` is one of PATCHES, `manager` the field manager's name."""
        path = self.path(kind, namespace, name, version=version, subresource=subresource)
        return dict(self.request("PATCH", path, patch, content=PATCHES[how], query={"fieldManager": manager}))

    def apply(
        self, thing: Mapping[str, Any], manager: str, *, force: bool = False, subresource: str = ""
    ) -> Object:
        """Server-side apply by a field manager."""
        query = {"fieldManager": manager, "force": "true" if force else None}
        path = self._of(thing, subresource=subresource)
        return dict(self.request("PATCH", path, thing, content=PATCHES["apply"], query=query))

    def delete(self, kind: str, name: str, namespace: str = "", *, version: str = "") -> None:
        """DELETE; returns as well if there is none."""
        try:
            self.request("DELETE", self.path(kind, namespace, name, version=version))
        except AnswerError as error:
            if error.status != 404:
                raise

    def delete_all(self, kind: str, namespace: str = "", *, labels: str = "") -> None:
        """DELETE of a collection."""
        self.request("DELETE", self.path(kind, namespace), query={"labelSelector": labels})

    def table(
        self, kind: str, namespace: str = "", *, version: str = ""
    ) -> tuple[list[Object], list[list[Any]]]:
        """What `kubectl get` shows: the columns' definitions, and the cells of each row."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        answer = self.request("GET", self.path(kind, namespace, version=version), accept=accept)
        return answer["columnDefinitions"], [row["cells"] for row in answer.get("rows") or []]

    # --- changes

    def watch(
        self,
        kind: str,
        namespace: str = "",
        *,
        name: str = "",
        version: str = "",
        since: str = "0",
        seconds: float = 30,
    ) -> Iterator[tuple[str, Object]]:
        """Events (ADDED, MODIFIED, DELETED) and their objects; ends after `seconds`.

        With `since` 0 the first events are what there is. An event ERROR is raised as AnswerError.
        """
        end = time.monotonic() + seconds
        connection = self._connection(seconds)
        query = {
            "watch": "true",
            "resourceVersion": since,
            "fieldSelector": f"metadata.name={name}" if name else "",
        }
        try:
            path = self.path(kind, namespace, version=version)
            answer = self._ask(connection, "GET", path, query=query, accept="application/json")
            while (left := end - time.monotonic()) > 0:
                if connection.sock is not None:
                    connection.sock.settimeout(left)
                line = answer.readline()
                if not line:
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise AnswerError(status["code"], status.get("reason", ""), status.get("message", ""))
                yield event["type"], event["object"]
        except TimeoutError:
            return
        finally:
            connection.close()

    def wait(
        self,
        kind: str,
        name: str,
        until: Callable[[Object | None], bool],
        namespace: str = "",
        *,
        version: str = "",
        seconds: float = 30,
    ) -> Object | None:
        """The object, None for none, as soon as `until` holds for it; TimeoutError shows the last one."""
        end = time.monotonic() + seconds
        last = self.find(kind, name, namespace, version=version)
        while not until(last):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{kind} {name} after {seconds:g} s: {json.dumps(last, indent=1)}")
            since = last["metadata"]["resourceVersion"] if last else ""
            changes = self.watch(
                kind, namespace, name=name, version=version, since=since or "0", seconds=left
            )
            try:
                for change, thing in changes:
                    last = None if change == "DELETED" else thing
                    if until(last):
                        return last
            except AnswerError as error:
                if error.status != 410:  # the version is too old: look again
                    raise
            last = self.find(kind, name, namespace, version=version)
        return last
