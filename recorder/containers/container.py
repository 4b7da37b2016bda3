"""A container as its runtime describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from recorder.model.record import ContainerKind, Identity, Pod

SANDBOX_NAME = "POD"
"""What a pod's own container (pause) is called, as the kubelet's and cAdvisor's metrics call it."""


class Manager(StrEnum):
    """Who keeps the container."""

    CRI = "cri"
    DOCKER = "docker"
    PODMAN = "podman"
    CONTAINERD = "containerd"
    SYSTEMD = "systemd"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Container:
    """What is known of one container; empty, 0 and UNSPECIFIED: not known.

    `image` is as it was asked for, `image_digest` the repository's or, for an image that came from none,
    the image's own (sha256:...). `runtime` and `runtime_version` are the OCI runtime's (runc, 1.1.5),
    `runtime_handler` the CRI's name for it. `pid` is in the runtime's pid namespace; 0: it does not run.
    `sandbox`: a pod's pause container. `not_recordable`: the name of the handler that runs it in a
    virtual machine or a user-space kernel.
    """

    id: str
    name: str
    manager: Manager
    cgroup_path: str = ""
    kind: ContainerKind = ContainerKind.UNSPECIFIED
    pod: Pod | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    image: str = ""
    image_digest: str = ""
    runtime: str = ""
    runtime_version: str = ""
    runtime_handler: str = ""
    restart_count: int = 0
    pid: int = 0
    sandbox: bool = False
    not_recordable: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.labels, MappingProxyType):
            object.__setattr__(self, "labels", MappingProxyType(dict(sorted(self.labels.items()))))

    def with_runtime_version(self, version: str) -> Container:
        """The same container with its OCI runtime's version."""
        return replace(self, runtime_version=version)

    def identity(self) -> Identity:
        """Who it is, as a record says it."""
        return Identity(
            name=self.name,
            cgroup_path=self.cgroup_path,
            container_id=self.id,
            kind=self.kind,
            pod=self.pod,
            image=self.image,
            image_digest=self.image_digest,
            restart_count=self.restart_count,
            labels=self.labels,
        )
