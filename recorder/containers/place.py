"""What the path of a cgroup says by its shape: a container of which runtime, of which pod.

Pure. The shapes are those that the runtimes make: kubelet with either cgroup driver, containerd's
CRI and `ctr`, CRI-O, Docker, Podman. Only the end of a path counts, so whatever a runtime is itself
run in (a container with a kubelet or a systemd of its own) may stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from recorder.containers.container import Manager

NAMESPACES = ("default",)
"""containerd's namespaces of which `ctr` and others put containers into cgroups of the same name."""


QOS = ("burstable", "besteffort")
"""The kubelet's directories for pods of a QoS class; those of the third class have none."""


class Driver(StrEnum):
    """Who made the cgroup: the runtime by itself, or systemd when it was asked for a scope."""

    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True)
class Place:
    """A container's cgroup. `pod_uid` is the kubelet's, `manager` NONE where the path does not tell."""

    path: str
    container_id: str
    manager: Manager
    pod_uid: str = ""
    driver: Driver = Driver.CGROUPFS


_HEX = "[0-9a-f]{64}"
_ID = re.compile(_HEX)
# Engines that name the scope, and CRI-O and Podman also the directory, after themselves. What their
# monitors (conmon) are put into has another word between, so it does not match.
_SCOPE = re.compile(rf"(cri-containerd|crio|docker|libpod)-({_HEX})\.scope")
_PREFIXED = re.compile(rf"(crio|libpod)-({_HEX})")
# A slice that reached a runtime whose driver is cgroupfs: it made a directory of that name.
_MIXED = re.compile(rf"(.+\.slice):(?:cri-containerd|crio|docker):({_HEX})")
_MANAGERS = {"docker": Manager.DOCKER, "libpod": Manager.PODMAN}
_OWNERS = {"docker": Manager.DOCKER, "k8s.io": Manager.CRI}

_POD = re.compile(r"pod([0-9A-Za-z_.-]+)")
_POD_SLICE = re.compile(r"(?:.+-)?kubepods(?:-burstable|-besteffort)?-pod([0-9A-Za-z_]+)\.slice")
# containerd's identifiers (its package identifiers); 76 characters at most
_IDENTIFIER = re.compile(r"(?=.{1,76}\Z)[A-Za-z0-9]+(?:[-._][A-Za-z0-9]+)*")

# systemd's unit types whose units have a cgroup (systemd.unit(5)); slices are the way to them
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|scope|socket|mount|swap)")
_USER_MANAGER = re.compile(r"user@\d+\.service")


def parts_of(path: str) -> list[str]:
    """A cgroup path's names, from the outermost on."""
    return [part for part in path.split("/") if part]


def pod_uid_of(parts: list[str]) -> str:
    """The uid of the pod that this cgroup is the kubelet's for; empty: it is none."""
    if not parts:
        return ""
    if found := _POD_SLICE.fullmatch(parts[-1]):
        return found[1].replace("_", "-")
    if (found := _POD.fullmatch(parts[-1])) and is_qos_class(parts[:-1]):
        return found[1]
    return ""


def is_qos_class(parts: list[str]) -> bool:
    """Whether it is the kubelet's directory for all pods, or for those of one QoS class."""
    return parts[-1:] == ["kubepods"] or (parts[-2:-1] == ["kubepods"] and parts[-1] in QOS)


def place_of(path: str, namespaces: Collection[str] = NAMESPACES) -> Place | None:
    """The container that the cgroup is of; None: by its shape it is no container's.

    A cgroup below a container's is none itself (`container_above` finds it).
    """
    parts = parts_of(path)
    if not parts:
        return None
    name, parents = parts[-1], parts[:-1]
    pod_uid = pod_uid_of(parents)
    if found := _SCOPE.fullmatch(name) or _PREFIXED.fullmatch(name):
        driver = Driver.SYSTEMD if name.endswith(".scope") else Driver.CGROUPFS
        return Place(path, found[2], _manager(found[1], pod_uid), pod_uid, driver)
    if found := _MIXED.fullmatch(name):
        return Place(path, found[2], Manager.CRI, pod_uid_of([found[1]]))
    if is_namespace(parents, namespaces):
        return Place(path, name, Manager.CONTAINERD) if _IDENTIFIER.fullmatch(name) else None
    # Below libpod_parent a bare id is a pod of Podman's.
    if not _ID.fullmatch(name) or parents[-1:] == ["libpod_parent"]:
        return None
    owner = Manager.CRI if pod_uid else _OWNERS.get(parents[-1] if parents else "", Manager.NONE)
    return Place(path, name, owner, pod_uid)


def is_namespace(parts: list[str], namespaces: Collection[str] = NAMESPACES) -> bool:
    """Whether it is the directory of a containerd namespace: the outermost of this machine or a container."""
    if not parts or parts[-1] not in namespaces:
        return False
    return len(parts) == 1 or place_of("/" + "/".join(parts[:-1]), namespaces) is not None


def container_above(path: str, namespaces: Collection[str] = NAMESPACES) -> Place | None:
    """The innermost container that the cgroup is of or lies in; None: in none."""
    parts = parts_of(path)
    while parts:
        if place := place_of("/" + "/".join(parts), namespaces):
            return place
        parts.pop()
    return None


def _manager(engine: str, pod_uid: str) -> Manager:
    return Manager.CRI if pod_uid else _MANAGERS.get(engine, Manager.CRI)


def unit_of(path: str) -> str:
    """The systemd unit of this machine that the cgroup is of or lies in, as systemd-cgls shows it.

    The first name that is no slice; below a user's manager (user@UID.service) that user's unit if there
    is one. Empty: none (a slice alone, or a cgroup that systemd did not make). The `_` that systemd puts
    before names that would collide with cgroup files is taken away.
    """
    rest = parts_of(path)
    unit = ""
    while rest:
        name = rest.pop(0)
        if name.endswith(".slice"):
            continue
        name = name.removeprefix("_")
        if not _UNIT.fullmatch(name):
            break
        unit = name
        if not _USER_MANAGER.fullmatch(name):
            break
    return unit


def path_of_spec(cgroups_path: str) -> str:
    """The cgroup path that an OCI configuration's linux.cgroupsPath asks for; empty: it asks for none.

    systemd's form `slice:prefix:name` is spread out as systemd.slice(5) and runc do it. Where the runtime
    is in a container, the path is below that container's cgroup.
    """
    if cgroups_path.count(":") != 2 or cgroups_path.startswith("/"):
        return "/" + "/".join(parts_of(cgroups_path)) if cgroups_path else ""
    slice_name, prefix, name = cgroups_path.split(":")
    words = (slice_name or "system.slice").removesuffix(".slice").split("-")
    slices = ["-".join(words[: end + 1]) + ".slice" for end in range(len(words)) if words != ["", ""]]
    scope = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return "/" + "/".join([*slices, scope])
