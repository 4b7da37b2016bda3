"""What a CRI runtime's answers mean: messages of runtime.v1 to containers. Pure.

Pod and container are named by metadata, which the kubelet sets, never by labels of the same meaning. Of
the labels of a sandbox those of `io.kubernetes.` are the kubelet's own and are left out; all others are
the pod's as they were when the sandbox was made.

The CRI does not say whether a container is an init, normal or ephemeral one. Kubelets of 1.16 to 1.2x with
ephemeral containers switched on label containers with `io.kubernetes.container.type`; others set nothing
that tells, nor do containerd and CRI-O (their `container-type` annotations tell sandboxes from
containers): then the kind is UNSPECIFIED.

The verbose `info` is JSON of the runtime's own making, of no agreed form: what is missing or of another
type in it is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recorder.containers.container import SANDBOX_NAME, Container, Manager
from recorder.containers.oci_runtime import handler_name, runtime_name
from recorder.containers.place import path_of_spec
from recorder.containers.runtime.v1 import api_pb2 as pb
from recorder.model.record import ContainerKind, Pod

MAX_INFO = 4 << 20
"""Bytes of JSON in one answer that are read; containerd's are some 20 KiB."""

_OWN_LABELS = "io.kubernetes."
_TYPE_LABEL = "io.kubernetes.container.type"
_KINDS = {
    "INIT": ContainerKind.INIT,
    "REGULAR": ContainerKind.NORMAL,
    "EPHEMERAL": ContainerKind.EPHEMERAL,
}
_DIGEST = re.compile(r"(?:.*@)?(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Handler:
    """A runtime handler of the CRI's configuration: containerd's runtime type, and the program if named."""

    name: str = ""
    runtime_type: str = ""
    binary: str = ""


@dataclass(frozen=True, slots=True)
class Handlers:
    """All handlers by name, and the name of the one for pods that name none."""

    by_name: Mapping[str, Handler] = field(default_factory=dict)
    default: str = ""

    def of(self, name: str) -> Handler:
        """The handler that a sandbox with this `runtime_handler` has."""
        name = name or self.default
        return self.by_name.get(name, Handler(name))


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod's sandbox, as far as its containers have it in common."""

    id: str
    pod: Pod
    labels: Mapping[str, str]
    handler: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Info:
    """What the verbose JSON of a container or sandbox says."""

    sandbox_id: str = ""
    pid: int = 0
    cgroups_path: str = ""
    runtime_type: str = ""
    binary: str = ""
    image: str = ""


def _json(info: Mapping[str, str], name: str) -> Any:
    text = info.get(name, "")
    if not text or len(text) > MAX_INFO:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _get(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any, *names: str) -> str:
    found = _get(value, *names)
    return found if isinstance(found, str) else ""


def info_of(info: Mapping[str, str]) -> Info:
    """Read `info` of ContainerStatus or PodSandboxStatus, as containerd and CRI-O write it."""
    found = _json(info, "info")
    pid = _get(found, "pid")
    return Info(
        sandbox_id=_text(found, "sandboxID"),
        pid=pid if isinstance(pid, int) and 0 < pid < 1 << 31 else 0,
        cgroups_path=_text(found, "runtimeSpec", "linux", "cgroupsPath"),
        runtime_type=_text(found, "runtimeType"),
        binary=_text(found, "runtimeOptions", "BinaryName") or _text(found, "runtimeOptions", "binary_name"),
        image=_text(found, "config", "image", "user_specified_image"),
    )


def handlers_of(status: pb.StatusResponse) -> Handlers:
    """Read Status: the names (Kubernetes 1.29), and containerd's configuration, which says more."""
    found = {each.name: Handler(each.name) for each in status.runtime_handlers if each.name}
    containerd = _get(_json(status.info, "config"), "containerd")
    configured = _get(containerd, "runtimes")
    if isinstance(configured, dict):
        for name, each in configured.items():
            binary = _text(each, "options", "BinaryName")
            found[name] = Handler(name, _text(each, "runtimeType"), binary)
    return Handlers(found, _text(containerd, "defaultRuntimeName"))


def sandbox_of(message: pb.PodSandbox | pb.PodSandboxStatus) -> Sandbox:
    """The sandbox, with the pod's labels."""
    metadata = message.metadata
    labels = {key: value for key, value in message.labels.items() if not key.startswith(_OWN_LABELS)}
    return Sandbox(
        id=message.id,
        pod=Pod(metadata.namespace, metadata.name, metadata.uid),
        labels=labels,
        handler=message.runtime_handler,
        ready=message.state == pb.SANDBOX_READY,
    )


def _with_runtime(
    container: Container, sandbox: Sandbox, info: Info, handlers: Handlers, patterns: Sequence[str]
) -> Container:
    handler = handlers.of(sandbox.handler)
    runtime_type = info.runtime_type or handler.runtime_type
    binary = info.binary or handler.binary
    reason = handler_name(patterns, handler.name, runtime_name(runtime_type, ""), runtime_type, binary)
    if reason and handler.name not in ("", reason):
        reason = f"{handler.name} ({reason})"
    return replace(
        container,
        runtime=runtime_name(runtime_type, binary),
        runtime_handler=handler.name,
        not_recordable=reason,
    )


def program_of(sandbox: Sandbox, info: Info, handlers: Handlers) -> str:
    """The OCI runtime's program: a path, or a name to be looked for; empty: not known."""
    handler = handlers.of(sandbox.handler)
    return info.binary or handler.binary or runtime_name(info.runtime_type or handler.runtime_type, "")


def image_digest_of(reference: str) -> str:
    """The digest of an image reference or id: `sha256:...`; empty: it has none."""
    found = _DIGEST.fullmatch(reference)
    return found[1] if found else ""


def _image(image: pb.ImageSpec, reference: str, info: Info) -> str:
    # The kubelet asks by the image's id; who wrote the pod asked by the name.
    for name in (image.user_specified_image, info.image, image.image, reference):
        if name and name != image_digest_of(name):
            return name
    return image.image or reference


def container_of(
    message: pb.Container | pb.ContainerStatus,
    sandbox: Sandbox,
    handlers: Handlers,
    patterns: Sequence[str],
    info: Info | None = None,
) -> Container:
    """A container of the sandbox's pod; `info` where it was asked for."""
    info = info or Info()
    found = Container(
        id=message.id,
        name=message.metadata.name,
        manager=Manager.CRI,
        cgroup_path=path_of_spec(info.cgroups_path),
        kind=_KINDS.get(message.labels.get(_TYPE_LABEL, "").upper(), ContainerKind.UNSPECIFIED),
        pod=sandbox.pod,
        labels=sandbox.labels,
        image=_image(message.image, message.image_ref, info),
        image_digest=image_digest_of(message.image_ref),
        restart_count=message.metadata.attempt,
        pid=info.pid,
    )
    return _with_runtime(found, sandbox, info, handlers, patterns)


def sandbox_container_of(
    sandbox: Sandbox, handlers: Handlers, patterns: Sequence[str], info: Info | None = None
) -> Container:
    """The pause container that the sandbox itself is."""
    info = info or Info()
    found = Container(
        id=sandbox.id,
        name=SANDBOX_NAME,
        manager=Manager.CRI,
        cgroup_path=path_of_spec(info.cgroups_path),
        pod=sandbox.pod,
        labels=sandbox.labels,
        pid=info.pid,
        sandbox=True,
    )
    return _with_runtime(found, sandbox, info, handlers, patterns)
