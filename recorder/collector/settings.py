"""All settings of the collector, by section, with their defaults: values only."""

# ruff: noqa: RUF009 -- setting() is dataclasses.field() with a description

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.model.errors import InvalidSettings
from recorder.service.setting import (
    Duration,
    Endpoint,
    PathName,
    Size,
    Switch,
    Text,
    Texts,
    Whole,
    is_loopback,
    setting,
)
from recorder.service.settings_sources import SettingsSources

__all__ = [
    "SOURCES",
    "CollectorSettings",
    "EnrolmentSettings",
    "FolderSettings",
    "KubernetesSettings",
    "ListenSettings",
    "MemorySettings",
    "ResultSettings",
    "Settings",
    "StoreSettings",
    "WebSettings",
]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_ENDPOINT = Endpoint()
_FILE = PathName(optional=True)
_NODE_NAME = Text("a URI or DNS name with {node} in it, once", r"(?=[^{}]*\{node\}[^{}]*$)\S{1,512}")
_SAN = Text("a URI or DNS name of a certificate", r"\S{1,2048}")
_NAMESPACE = Text("a namespace", r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAMESPACE_OR_NONE = Text("a namespace, or empty for the collector's own", rf"(?:{_NAMESPACE.pattern})?")
_OBJECT = Text("the name of an object", r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_WORD = Text("a word of at most 253 characters", r"[!-~]{1,253}")

_NODE_NAMES = ("spiffe://recorder/node/{node}", "{node}.node.recorder")


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """The collector itself."""

    node_names: tuple[str, ...] = setting(
        Texts(_NODE_NAME),
        _NODE_NAMES,
        "the name in an agent's certificate, URI or DNS; {node} is the node that it may speak of",
        flag="--node-names",
    )
    recheck: float = setting(
        Duration(1, 3600),
        60.0,
        "how often it is asked whether a person who watches records may still do so",
        flag="--recheck",
    )


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """The gRPC service: for agents by mutual TLS, for people by TLS and a token."""

    socket: Path | None = setting(
        _FILE,
        Path("/run/recorder/collector.sock"),
        "the Unix socket, of root alone, for people and for an agent of this machine; empty: none",
        flag="--socket",
    )
    agents: str = setting(_ENDPOINT, "", "TCP for agents, with mutual TLS; empty: none")
    address: str = setting(_ENDPOINT, "", "TCP for people, with TLS and a token of theirs; empty: none")
    certificate: Path | None = setting(_FILE, None, "the server's certificate and its chain, in PEM")
    key: Path | None = setting(_FILE, None, "the certificate's private key, in PEM")
    client_ca: Path | None = setting(_FILE, None, "who signs the certificates of agents, in PEM")
    reflection: bool = setting(Switch(), False, "tell clients what the service is (for grpcurl and the like)")


@dataclass(frozen=True, slots=True)
class EnrolmentSettings:
    """Certificates of agents and of the collector itself, signed by a CA of its own; in Kubernetes alone."""

    address: str = setting(
        _ENDPOINT,
        "",
        "TCP for agents that have no certificate yet, by TLS and the token of their pod; empty: none, and"
        " certificates are made elsewhere",
    )
    directory: Path = setting(
        PathName(),
        Path("/var/lib/recorder/identity"),
        "the folder of the CA and of the collector's certificate, which are made there",
    )
    ca_certificate: Path | None = setting(
        _FILE, None, "a CA that is made elsewhere (cert-manager's tls.crt), in PEM; empty: one is made"
    )
    ca_key: Path | None = setting(_FILE, None, "that CA's private key (tls.key), in PEM")
    server_names: tuple[str, ...] = setting(
        Texts(_SAN), (), "DNS names of the collector's certificate, by which agents and people reach it"
    )
    audience: str = setting(_WORD, "recorder-collector", "the audience of agents' tokens")
    namespace: str = setting(
        _NAMESPACE_OR_NONE, "", "the agents' namespace, and that of the ConfigMap; empty: the collector's own"
    )
    service_account: str = setting(_OBJECT, "recorder-agent", "the agents' service account")
    daemon_set: str = setting(_OBJECT, "recorder-agent", "the agents' DaemonSet")
    config_map: str = setting(
        _OBJECT, "recorder-ca", "the ConfigMap that is to hold the CA's certificate, as ca.crt"
    )
    life: float = setting(
        Duration(10, 90 * 86_400), 86_400.0, "how long certificates hold; they are renewed at half of it"
    )
    ca_life: float = setting(
        Duration(60, 3650 * 86_400),
        365 * 86_400.0,
        "how long a CA holds that is made here; a new one is made at half of it",
    )


@dataclass(frozen=True, slots=True)
class WebSettings:
    """HTTP: health and metrics."""

    address: str = setting(_ENDPOINT, "", "/healthz and /readyz, plain and without a body; empty: none")
    metrics_address: str = setting(
        _ENDPOINT,
        "",
        "/metrics by TLS with the files of [listen], for a certificate of metrics_readers or a token that may"
        " get the path /metrics; empty: none",
    )
    metrics_readers: tuple[str, ...] = setting(
        Texts(_SAN), (), "names of certificates, URI or DNS, that may read metrics"
    )
    plain_metrics: str = setting(
        _ENDPOINT, "", "/metrics without TLS, on an address of the loopback; empty: none"
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What is kept on disk: all that no result holds yet."""

    path: Path = setting(
        PathName(),
        Path("/var/lib/recorder/collector.db"),
        "the file, on a disk of this machine; its folder holds two more beside it",
        flag="--store",
    )
    size: int = setting(Size(MIB, 1024 * GIB), 2 * GIB, "bound: bytes of the file")
    sightings: int = setting(
        Whole(1, 100_000_000),
        200_000,
        "bound: containers whose record is held by itself, running ones included",
    )
    node_sightings: int = setting(Whole(1, 100_000_000), 10_000, "bound: the same of one node")
    node_accesses: int = setting(
        Size(MIB, 1024 * GIB),
        256 * MIB,
        "bound: bytes of what the containers of one node accessed; what is more is missing, and said to be",
    )
    set_aside_damaged: bool = setting(
        Switch(),
        False,
        "begin anew if the store is damaged, and keep the damaged file under another name",
        flag="--set-aside-damaged-store",
    )


@dataclass(frozen=True, slots=True)
class ResultSettings:
    """Results: their names, and when they are written."""

    namespace_prefix: bool = setting(
        Switch(), False, "the recording's namespace always stands in front of a result's name"
    )
    of_recording: int = setting(Whole(1, 100_000), 100, "results of one recording at most")
    settle: float = setting(
        Duration(0, 3600), 30.0, "a result is final when none of its containers has run for so long"
    )
    first_write: float = setting(Duration(0.1, 3600), 2.0, "the distance of the first two writes; it doubles")
    last_write: float = setting(Duration(0.1, 86_400), 60.0, "the largest distance of two writes")
    lost: float = setting(
        Duration(1, 86_400),
        600.0,
        "a container counts as ended when its node's agent has been away for so long and its pod is gone",
    )
    linger: float = setting(
        Duration(0, 86_400),
        600.0,
        "so long after its deletion a recording still takes what agents could not send before",
    )
    accept_unconfirmed: bool = setting(
        Switch(),
        False,
        "records of pods that were gone before the platform could be asked about them count too",
    )


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """Bounds of the process's memory."""

    agents: int = setting(Whole(1, 100_000), 4096, "agents that are connected at a time")
    pending: int = setting(Size(MIB, 16 * GIB), 32 * MIB, "bytes of reports that wait to be stored")
    window: int = setting(Whole(1, 4096), 64, "reports of one agent that wait to be stored")
    watches: int = setting(Whole(1, 100_000), 64, "people's streams at a time")
    watches_of_person: int = setting(Whole(1, 100_000), 8, "the same of one person")


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """The Kubernetes API: where recordings come from and results go to, unless [folders] says otherwise."""

    kubeconfig: Path | None = setting(
        _FILE,
        None,
        "how to reach the API server; empty: the pod's service account, $KUBECONFIG or ~/.kube/config",
        flag="--kubeconfig",
    )
    namespaces: tuple[str, ...] = setting(
        Texts(_NAMESPACE),
        (),
        "namespaces whose recordings are done; []: all that opted in",
        flag="--namespace",
    )


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """Folders instead of Kubernetes."""

    recordings: Path | None = setting(
        _FILE,
        None,
        "the folder of ProfileRecordings, as YAML; empty: Kubernetes is used",
        flag="--recordings",
    )
    results: Path | None = setting(_FILE, None, "the folder for profiles and statuses", flag="--results")
    poll: float = setting(Duration(0.1, 3600), 1.0, "how often both folders are looked at")


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them. InvalidSettings if they exclude each other."""

    collector: CollectorSettings = CollectorSettings()
    listen: ListenSettings = ListenSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    web: WebSettings = WebSettings()
    store: StoreSettings = StoreSettings()
    results: ResultSettings = ResultSettings()
    memory: MemorySettings = MemorySettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    folders: FolderSettings = FolderSettings()

    def __post_init__(self) -> None:
        self._check_addresses()
        if self.results.first_write > self.results.last_write:
            raise InvalidSettings(
                f"results.first_write is {self.results.first_write:g} s and results.last_write"
                f" {self.results.last_write:g} s: the first distance must not be the larger one"
            )
        folders = self.folders
        if (folders.recordings is None) != (folders.results is None):
            missing = "results" if folders.results is None else "recordings"
            raise InvalidSettings(f"folders.{missing} is missing: both folders are needed, or none of them")
        if folders.recordings is not None and folders.recordings == folders.results:
            raise InvalidSettings(
                f"folders.recordings and folders.results are both {folders.results}: use two folders, so that"
                " no result is read as a recording"
            )

    def _check_addresses(self) -> None:
        listen, web = self.listen, self.web
        own: dict[str, Path | None] = {"certificate": listen.certificate, "key": listen.key}
        both = {**own, "client_ca": listen.client_ca}
        if self.enrolment.address:
            self._check_enrolment(both)
            own, both = {}, {}
        _need("listen.agents", listen.agents, both)
        _need("listen.address", listen.address, own)
        _need("web.metrics_address", web.metrics_address, both)
        if web.plain_metrics and not is_loopback(web.plain_metrics):
            raise InvalidSettings(
                f"web.plain_metrics is {web.plain_metrics}, and metrics without TLS are for the loopback"
                " alone: use 127.0.0.1:PORT or [::1]:PORT, or web.metrics_address with a certificate"
            )
        if not (listen.socket or listen.agents):
            raise InvalidSettings(
                "no agent could reach this collector: set listen.agents, or listen.socket for an agent of"
                " this machine"
            )

    def _check_enrolment(self, files: Mapping[str, Path | None]) -> None:
        given = [f"listen.{each}" for each, path in files.items() if path is not None]
        if given:
            raise InvalidSettings(
                f"enrolment.address is {self.enrolment.address}, and with it the collector makes its own"
                f" certificates: leave {', '.join(given)} empty"
            )
        enrolment = self.enrolment
        if (enrolment.ca_certificate is None) != (enrolment.ca_key is None):
            missing = "ca_key" if enrolment.ca_key is None else "ca_certificate"
            raise InvalidSettings(f"enrolment.{missing} is missing: a CA is its certificate and its key")
        if not enrolment.server_names:
            raise InvalidSettings(
                "enrolment.server_names is empty: give the DNS names by which agents and people reach the"
                " collector, such as recorder-collector.recorder.svc"
            )
        if self.folders.recordings is not None:
            raise InvalidSettings(
                "enrolment.address needs Kubernetes, which knows whose a token is, and [folders] stands in"
                " its place: make certificates with `recorder certs`"
            )


def _need(name: str, value: str, files: Mapping[str, Path | None]) -> None:
    missing = [f"listen.{each}" for each, path in files.items() if value and path is None]
    if missing:
        raise InvalidSettings(f"{name} is {value}, and TLS needs more files: set {', '.join(missing)} too")


SOURCES = SettingsSources(Settings, "collector")
"""Of `recorder collector`."""
