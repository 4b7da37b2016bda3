"""All settings of the agent, by section, with their defaults: values only.

Where they come from is `settings_sources`; what the bounds of [memory] add up to is
`budget`.
"""

# ruff: noqa: RUF009 -- setting() is dataclasses.field() with a description

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from recorder.containers.oci_runtime import UNRECORDABLE
from recorder.model.errors import InvalidSettings
from recorder.service.setting import (
    Duration,
    Endpoint,
    Number,
    PathName,
    Size,
    Switch,
    Text,
    Texts,
    Whole,
    is_loopback,
    setting,
    size_text,
)

__all__ = [
    "AgentSettings",
    "CaptureSettings",
    "CollectorSettings",
    "EnrolmentSettings",
    "ListenSettings",
    "MemorySettings",
    "RoleSettings",
    "RuntimeSettings",
    "Settings",
    "WebSettings",
]

AUTO = "auto"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_ENDPOINT = Endpoint()
_COLLECTOR = Text(
    'HOST:PORT such as "127.0.0.1:9464" or "[::1]:9464", unix:PATH, or empty for none',
    rf"(?:unix:/.{{1,107}}|{_ENDPOINT.pattern})",
)
_FILE = PathName(optional=True)
_RUNTIME = Text('"auto" for the usual paths, an absolute path, or empty for none', r"(?:auto|/.*)?")
_CRI = Texts(Text('"auto" for the usual paths, or an absolute path', r"auto|/.*"))
_NODE = Text("a name of 1 to 253 characters without spaces", r"\S{1,253}")


def _node() -> str:
    return os.uname().nodename


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The agent itself."""

    node: str = setting(
        _NODE,
        factory=_node,
        help="the node's name in records, and to the collector: as Kubernetes has it",
        flag="--node",
        computed="the kernel's name of the machine",
    )
    state_directory: Path = setting(
        PathName(),
        Path("/run/recorder"),
        "what the next agent needs after this one; gone with the boot",
        flag="--state-directory",
    )
    spool_directory: Path = setting(
        PathName(),
        Path("/var/lib/recorder/spool"),
        "ended records that the collector has not acknowledged",
        flag="--spool-directory",
    )
    pins: Path = setting(
        PathName(),
        Path("/sys/fs/bpf/recorder"),
        "where BPF maps and links are pinned, below a mounted bpffs",
        flag="--pins",
    )
    keep_armed: bool = setting(
        Switch(),
        False,
        "at SIGTERM, running recordings stay pinned for the next agent",
        flag="--keep-armed",
    )
    denials: str = setting(
        Text('"off", or "auto" for while a capture or a recording asks for them', r"off|auto"),
        "off",
        "whether what filters, AppArmor or SELinux deny is looked for; auto takes memory beyond the budgets:"
        " recorder agent --check shows how much",
        flag="--denials",
    )
    accesses: str = setting(
        Text('"off", or "auto" for while a capture or a recording asks for them', r"off|auto"),
        "off",
        "whether what containers use is looked for; auto takes memory beyond the budgets: recorder agent"
        " --check shows how much",
        flag="--accesses",
    )
    raw_paths: bool = setting(
        Switch(),
        False,
        "names in denials and accesses are left as they are; else what looks like a secret in a path is"
        " replaced",
        flag="--raw-paths",
    )


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """The gRPC service of the node."""

    socket: Path | None = setting(
        _FILE,
        Path("/run/recorder/agent.sock"),
        "the Unix socket, of root alone; empty: none",
        flag="--socket",
    )
    address: str = setting(_ENDPOINT, "", "TCP, with mutual TLS; empty: none")
    certificate: Path | None = setting(_FILE, None, "the server's certificate and its chain, in PEM")
    key: Path | None = setting(_FILE, None, "the certificate's private key, in PEM")
    client_ca: Path | None = setting(_FILE, None, "who signs the certificates of clients, in PEM")
    reflection: bool = setting(Switch(), False, "tell clients what the service is (for grpcurl and the like)")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """HTTP: health and metrics."""

    address: str = setting(_ENDPOINT, "", "/healthz and /readyz, plain and without a body; empty: none")
    metrics_address: str = setting(
        _ENDPOINT,
        "",
        "/metrics by mutual TLS with the files of [listen], for the role status; empty: none",
    )
    plain_metrics: str = setting(
        _ENDPOINT, "", "/metrics without TLS, on an address of the loopback; empty: none"
    )


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """The cluster's collector: what this node sees goes there, and its plan comes from there."""

    endpoint: str = setting(
        _COLLECTOR,
        "",
        "the collector, with mutual TLS; or unix:PATH on this machine; empty: none",
    )
    certificate: Path | None = setting(_FILE, None, "the agent's client certificate, in PEM")
    key: Path | None = setting(_FILE, None, "the certificate's private key, in PEM")
    ca: Path | None = setting(_FILE, None, "who signs the collector's certificate, in PEM")


@dataclass(frozen=True, slots=True)
class EnrolmentSettings:
    """How the agent gets its certificate in Kubernetes: it shows the token of its pod to the collector."""

    endpoint: str = setting(
        _ENDPOINT,
        "",
        "where the collector signs agents' certificates (its enrolment.address); empty: they are files",
    )
    token: Path = setting(
        PathName(),
        Path("/var/run/secrets/tokens/recorder"),
        "the pod's token for the collector's audience, projected by the kubelet",
    )


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Container runtimes: who is asked for the names of containers."""

    cri: tuple[str, ...] = setting(
        _CRI, (AUTO,), 'sockets of CRI runtimes; "auto": the usual paths that exist; []: none'
    )
    docker: str = setting(_RUNTIME, AUTO, "Docker's socket; auto: the usual path; empty: none")
    podman: str = setting(
        _RUNTIME, AUTO, "Podman's storage, GRAPHROOT[:RUNROOT]; auto: the usual paths; empty: none"
    )
    unrecordable_handlers: tuple[str, ...] = setting(
        Texts(),
        UNRECORDABLE,
        "runtime handlers (names, * for any characters) whose containers do not run on this kernel:"
        " never recorded",
    )
    poll: float = setting(
        Duration(1, 3600), 10.0, "how often a runtime without events is asked for its containers"
    )


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """The budget, and the bounds that it is divided into: docs/limits.md says what happens at each."""

    kernel: int = setting(Size(MIB, 4 * GIB), 16 * MIB, "budget: BPF maps")
    process: int = setting(Size(32 * MIB, 64 * GIB), 96 * MIB, "budget: the process's resident memory")
    slots: int = setting(Whole(1, 1 << 16), 1024, "containers that are recorded at a time")
    children: int = setting(Whole(1, 1 << 16), 256, "cgroups below one container")
    joiners: int = setting(Whole(1, 1 << 16), 1024, "processes at a time that come into containers (set-up)")
    roots: int = setting(Whole(1, 1 << 12), 512, "cgroups below which containers appear")
    processes: int = setting(Whole(1, 1 << 16), 4096, "processes that a capture by process follows")
    ring: int = setting(Size(4 * KIB, GIB, power=True), MIB, "the ring of events")
    containers: int = setting(Whole(1, 1 << 20), 1280, "containers that are known by name")
    first_sights: int = setting(
        Whole(0, 1 << 24), 8192, "times of first sight that are kept, over all containers"
    )
    denials: int = setting(
        Whole(16, 1 << 14),
        512,
        "different denials of AppArmor and SELinux at a time, where they are looked for",
    )
    accesses: int = setting(
        Whole(64, 1 << 18),
        8192,
        "different accesses of all containers at a time, where they are looked for",
    )
    captures: int = setting(Whole(1, 1 << 16), 256, "captures at a time, those without a client included")
    recordings: int = setting(Whole(1, 1 << 16), 1024, "recordings in the collector's plan")
    streams: int = setting(Whole(1, 1 << 16), 128, "calls of clients at a time")
    queues: int = setting(Size(64 * KIB, GIB), 3 * MIB, "bytes of messages that wait for all clients")
    message: int = setting(Size(64 * KIB, 64 * MIB), 2 * MIB, "the largest message to a client, or of a plan")
    request: int = setting(Size(4 * KIB, 4 * MIB), 64 * KIB, "the largest request of a client")
    spool: int = setting(Size(64 * KIB, 64 * GIB), 64 * MIB, "the spool, on disk")


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """Captures on request."""

    snapshots_per_second: float = setting(
        Number(0.1, 100), 2.0, "at most so many snapshots a second to one client"
    )


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """What the client with a certificate for a name may do; "*" in `capture` stands for all namespaces."""

    capture: tuple[str, ...] = ()
    host: bool = False
    plan: bool = False
    status: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them. `roles` by the certificate's name (SAN). InvalidSettings if they exclude each other."""

    agent: AgentSettings = AgentSettings()
    listen: ListenSettings = ListenSettings()
    web: WebSettings = WebSettings()
    collector: CollectorSettings = CollectorSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    runtimes: RuntimeSettings = RuntimeSettings()
    memory: MemorySettings = MemorySettings()
    capture: CaptureSettings = CaptureSettings()
    roles: Mapping[str, RoleSettings] = field(default_factory=dict, hash=False)

    @property
    def denials(self) -> bool:
        """Whether denials are looked for while somebody asks for them."""
        return self.agent.denials == "auto"

    @property
    def accesses(self) -> bool:
        """Whether what containers use is looked for while somebody asks for it."""
        return self.agent.accesses == "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "roles", MappingProxyType(dict(sorted(self.roles.items()))))
        listen, web, collector = self.listen, self.web, self.collector
        files = {"certificate": listen.certificate, "key": listen.key, "client_ca": listen.client_ca}
        for name, address in (
            ("listen.address", listen.address),
            ("web.metrics_address", web.metrics_address),
        ):
            _need(name, address, "listen", files)
        files = {"certificate": collector.certificate, "key": collector.key, "ca": collector.ca}
        if self.enrolment.endpoint:
            self._check_enrolment()
            files = {"ca": collector.ca}
        if not collector.endpoint.startswith("unix:"):
            _need("collector.endpoint", collector.endpoint, "collector", files)
        if web.plain_metrics and not is_loopback(web.plain_metrics):
            raise InvalidSettings(
                f"web.plain_metrics is {web.plain_metrics}, and metrics without TLS are for the loopback"
                " alone: use 127.0.0.1:PORT or [::1]:PORT, or web.metrics_address with a certificate"
            )
        if self.memory.message > self.memory.queues:
            raise InvalidSettings(
                f"memory.message is {size_text(self.memory.message)} and memory.queues"
                f" {size_text(self.memory.queues)}: one message must fit into the queues; lower the one or"
                " raise the other"
            )
        if not (listen.socket or listen.address or collector.endpoint):
            raise InvalidSettings(
                "nobody could reach this agent: set listen.socket, listen.address or collector.endpoint"
            )

    def _check_enrolment(self) -> None:
        collector = self.collector
        if not collector.endpoint or collector.endpoint.startswith("unix:"):
            raise InvalidSettings(
                f"enrolment.endpoint is {self.enrolment.endpoint}, and its certificate is for a collector by"
                " TCP: set collector.endpoint to its HOST:PORT for agents"
            )
        if collector.certificate or collector.key:
            raise InvalidSettings(
                "collector.certificate and collector.key are files, and enrolment.endpoint says that the"
                " collector is asked for a certificate: leave one of both empty"
            )


def _need(name: str, value: str, section: str, files: Mapping[str, Path | None]) -> None:
    missing = [f"{section}.{each}" for each, path in files.items() if value and path is None]
    if missing:
        raise InvalidSettings(
            f"{name} is {value}, and mutual TLS needs more files: set {', '.join(missing)} too"
        )
