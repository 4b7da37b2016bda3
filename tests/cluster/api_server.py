"""A control plane for tests: etcd, kube-apiserver and some controllers, on a loopback address of its own.

RBAC decides; tokens of service accounts are bound ones, as from Kubernetes 1.24 on: no Secrets are made for
them. The controllers are those of namespaces, service accounts and garbage: nothing schedules or runs a pod,
so a pod is what a test writes.
"""

import contextlib
import http.client
import json
import secrets
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.access import Person, Rules, ServiceAccount, grant, make_service_account
from tests.cluster.address import Address
from tests.cluster.client import Client, HttpFrom, HttpsFrom
from tests.cluster.daemon import Daemon
from tests.cluster.errors import AnswerError, DaemonError
from tests.cluster.place import SERVICE, SERVICES, Place
from tests.unit.rpc.certificates import Authority

PORT, ETCD_PORT, ETCD_PEER_PORT, CONTROLLER_PORT = 6443, 2379, 2380, 10257
AUDIENCE = "https://kubernetes.default.svc"  # what tokens are for that the API server itself accepts
PEOPLE = ("alice", "bob", "carol", "dave")
CONTROLLERS = "namespace,serviceaccount,garbagecollector,root-ca-cert-publisher"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are."""

    api_server: Path
    controller_manager: Path
    etcd: Path


class ApiServer:
    """One control plane with its data in `folder`; it runs from `start` until `close`.

    url, ca_file, admin_token, kubeconfig: for whatever is under test. client: the admin's plain requests.
    """

    def __init__(
        self,
        folder: Path,
        programs: Programs,
        place: Place | None = None,
        controllers: str = CONTROLLERS,
    ) -> None:
        self.folder = folder
        self._place = place or Address()
        self._controllers = controllers
        self.host = self._place.host
        self.port = PORT
        self.url = f"https://{self.host}:{PORT}"
        self.admin_token = secrets.token_hex(16)
        self._people = {name: Person(name, secrets.token_hex(16)) for name in PEOPLE}
        authority = Authority(folder / "pki")
        self.ca_file = authority.certificate
        self._tls = authority.sign(
            f"IP:{self.host},IP:{SERVICE},DNS:localhost,DNS:kubernetes.default.svc",
            subject="kube-apiserver",
            purpose="serverAuth",
        )
        self._accounts_key = authority.sign("", subject="service-accounts").key
        self.kubeconfig = self.kubeconfig_of(self.admin_token, "admin")
        self.client = Client(self._place, PORT, self.ca_file, self.admin_token)
        self.etcd = self._make_etcd(programs.etcd)
        self.daemon = self._make_api_server(programs.api_server)
        self.controllers = self._make_controllers(programs.controller_manager)
        self.daemons = (self.etcd, self.daemon, self.controllers)

    # --- the daemons

    def _make_etcd(self, program: Path) -> Daemon:
        client, peer = f"http://{self.host}:{ETCD_PORT}", f"http://{self.host}:{ETCD_PEER_PORT}"
        words = [
            *(program, "--data-dir", self.folder / "etcd", "--logger", "zap", "--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]
        return self._daemon("etcd", words, "etcd.log", lambda: self.answers(self.host, ETCD_PORT, "/health"))

    def _daemon(self, name: str, words: Sequence[object], log: str, ready: Callable[[], bool]) -> Daemon:
        return Daemon(name, words, self.folder / log, ready, before=lambda: self._place.words)

    def _make_api_server(self, program: Path) -> Daemon:
        tokens = self.folder / "tokens.csv"
        lines = [f'{self.admin_token},admin,admin,"system:masters"']
        lines += [f"{person.token},{person.name},{person.name}" for person in self._people.values()]
        tokens.write_text("\n".join(lines) + "\n")
        tokens.chmod(0o600)
        words = [
            *(program, "--etcd-servers", f"http://{self.host}:{ETCD_PORT}"),
            *("--bind-address", self.host, "--secure-port", PORT),
            *("--tls-cert-file", self._tls.certificate, "--tls-private-key-file", self._tls.key),
            *("--service-account-issuer", AUDIENCE, "--api-audiences", AUDIENCE),
            *("--service-account-signing-key-file", self._accounts_key),
            *("--service-account-key-file", self._accounts_key),
            *("--token-auth-file", tokens, "--authorization-mode", "Node,RBAC", "--allow-privileged=true"),
            *("--service-cluster-ip-range", SERVICES),
            # the endpoints of the service `kubernetes` cannot be a loopback address
            *("--endpoint-reconciler-type", "lease" if self._place.routable else "none"),
            *("--kubelet-preferred-address-types", "InternalIP"),
            *("--feature-gates", "BoundServiceAccountTokenVolume=true", "--profiling=false"),
        ]
        return self._daemon("kube-apiserver", words, "apiserver.log", self.is_ready)

    def _make_controllers(self, program: Path) -> Daemon:
        words = [
            *(program, "--kubeconfig", self.kubeconfig, "--controllers", self._controllers),
            *("--service-account-private-key-file", self._accounts_key, "--root-ca-file", self.ca_file),
            *("--feature-gates", "BoundServiceAccountTokenVolume=true", "--leader-elect=false"),
            *("--bind-address", self.host, "--secure-port", CONTROLLER_PORT, "--port", 0),
            *("--cert-dir", self.folder / "controllers"),
        ]
        # it makes a certificate for itself, which nobody else knows
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname = False
        blind.verify_mode = ssl.CERT_NONE

        def ready() -> bool:
            return self.answers(self.host, CONTROLLER_PORT, "/healthz", tls=blind)

        return self._daemon("kube-controller-manager", words, "controllers.log", ready)

    def is_ready(self) -> bool:
        """Whether it says so by itself, and all it does after its start is done."""
        client = Client(self._place, PORT, self.ca_file, self.admin_token, seconds=2)
        try:
            return bool(client.request("GET", "/readyz") == "ok")
        except (OSError, http.client.HTTPException, AnswerError):
            return False

    def start(self) -> None:
        """Start what does not run, and wait until it is ready. The data are what they were."""
        self.etcd.start()
        self.etcd.wait()
        self.daemon.start()
        self.daemon.wait()
        self.controllers.start()
        self.controllers.wait()

    def stop(self) -> None:
        """The API server is gone at once, as in a crash; what it had stored is kept for `start`."""
        self.daemon.kill()

    def close(self) -> None:
        """End everything, and let go of the address. The folder is its owner's."""
        for daemon in reversed(self.daemons):
            daemon.kill()
        self._place.close()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Within it the API server is gone: connections are refused. Ready again at the end."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within it the API server takes connections and answers nothing."""
        self.daemon.pause()
        try:
            yield
        finally:
            self.daemon.resume()
            self.daemon.wait()

    def compact(self) -> None:
        """Forget all versions but the newest: who goes on from an older one is answered with 410."""
        revision = self._etcd("range", {"key": "AA=="})["header"]["revision"]
        self._etcd("compaction", {"revision": revision, "physical": True})

    def _etcd(self, verb: str, body: object) -> Any:
        status, data = self._asked(self.host, ETCD_PORT, "POST", f"/v3/kv/{verb}", body)
        if status != 200:
            raise DaemonError(f"etcd answered {verb} with {status}: {data.decode(errors='replace')}")
        return json.loads(data)

    def _asked(
        self,
        host: str,
        port: int,
        method: str,
        path: str,
        body: object = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of an answer of a daemon that needs no token."""
        connection: http.client.HTTPConnection = (
            HttpsFrom(self._place, host, port, 30, tls) if tls else HttpFrom(self._place, host, port, 30)
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self, host: str, port: int, path: str, *, tls: ssl.SSLContext | None = None) -> bool:
        """Whether a daemon beside this one answers with 200."""
        try:
            return self._asked(host, port, "GET", path, tls=tls)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def log_sizes(self) -> list[int]:
        """For `last_words`, of the logs as they are now."""
        return [daemon.log_size() for daemon in self.daemons]

    def last_words(self, since: Sequence[int] = ()) -> str:
        """The ends of the logs."""
        begin = since or [0] * len(self.daemons)
        return "\n".join(daemon.last_words(size) for daemon, size in zip(self.daemons, begin, strict=True))

    # --- who asks

    def kubeconfig_of(self, token: str, name: str) -> Path:
        """A kubeconfig file for that token."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "tests", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": name}}],
            "current-context": "tests",
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config, indent=1))
        path.chmod(0o600)
        return path

    def client_of(self, token: str) -> Client:
        """Plain requests with that token."""
        return self.client.bearing(token)

    def person(self, name: str) -> Person:
        """One of PEOPLE."""
        return self._people[name]

    def service_account(self, namespace: str, name: str = "") -> ServiceAccount:
        """A new one, without rights."""
        return make_service_account(self.client, namespace, name)

    def grant(self, who: Person | ServiceAccount, rules: Rules, namespace: str = "") -> None:
        """Give rights in a namespace, or without one in the whole cluster."""
        grant(self.client, who, rules, namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
