"""The cgroups below which containers appear, found by scanning the cgroup v2 tree.

A root is watched before what appears in it has a name: the kubelet's directories and slices, and those
of Docker, Podman and containerd, also where they lie in a container; and every cgroup that has a
container's cgroup in it already, whatever it is called (a `--cgroup-parent` of somebody's own).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from recorder.containers.place import NAMESPACES, QOS, is_namespace, is_qos_class, place_of, pod_uid_of

MAX_PREFIX = 15
"""Bytes of a name that the kernel side compares."""

_KUBEPODS_SLICE = re.compile(r"((?:.+-)?kubepods(?:-burstable|-besteffort)?)\.slice")
_PODMAN_POD_SLICE = re.compile(r"machine-libpod_pod_[0-9a-f]{64}\.slice")
_ID = re.compile("[0-9a-f]{64}")
_USER_MANAGER = re.compile(r"user@\d+\.service")


# Directories of one engine each: levels and prefixes. A pod of Podman's has a slice, or a bare id.
_BY_NAME = {
    "k8s.io": [(1, "")],
    "docker": [(1, "")],
    "system.slice": [(1, "docker-")],
    "machine.slice": [(1, "libpod-"), (2, "machine-libpod_")],
    "libpod_parent": [(1, "libpod-"), (2, "")],
}


@dataclass(frozen=True, slots=True, order=True)
class WatchRoot:
    """`levels` below the cgroup `path` (as in /proc/PID/cgroup) containers' cgroups are made.

    `prefix`: how the names of its new children begin; at most 15 bytes, empty: any. `mode`: how a
    container's phases are told apart, `container` or `exec`, as the kernel side names it. Of several with
    the same path the first whose prefix fits counts.
    """

    path: str
    levels: int = 1
    prefix: str = ""
    mode: str = "container"


def watch_roots(mount: Path, namespaces: Collection[str] = NAMESPACES) -> list[WatchRoot]:
    """All roots that are there now, sorted by path, levels and prefix. Blocking: it reads the whole tree.

    Pods that are there have roots of their own, those to come are reached through the roots above them.
    The tree changes: scan again when a cgroup came that none of them explains, and from time to time.
    """
    return sorted(_roots(mount, namespaces))


def _roots(mount: Path, namespaces: Collection[str]) -> Iterator[WatchRoot]:
    top = str(mount)
    for folder, children, _ in os.walk(top, onerror=None):
        path = folder[len(top) :] or "/"
        parts = path.split("/")[1:] if path != "/" else []
        rules = _rules(parts, namespaces)
        if not rules and any(place_of(f"{path.rstrip('/')}/{child}", namespaces) for child in children):
            rules = [(1, "")]
        for levels, prefix in rules:
            yield WatchRoot(path, levels, prefix)


def _rules(parts: list[str], namespaces: Collection[str]) -> list[tuple[int, str]]:
    """Levels and prefixes of what a directory of this name is for; none: for nothing known."""
    if not parts:
        return []
    name, parent = parts[-1], parts[-2] if len(parts) > 1 else ""
    kubepods = _KUBEPODS_SLICE.fullmatch(name)
    if kubepods or is_qos_class(parts):
        return _of_the_kubelet(kubepods[1] if kubepods else "", outermost=name not in QOS)
    if name in _BY_NAME:
        return _BY_NAME[name]
    if pod_uid_of(parts) or is_namespace(parts, namespaces):
        return [(1, "")]
    user = name in ("user.slice", "app.slice") and _USER_MANAGER.fullmatch(parent)
    pod = parent == "libpod_parent" and _ID.fullmatch(name)
    return [(1, "libpod-")] if user or pod or _PODMAN_POD_SLICE.fullmatch(name) else []


def _of_the_kubelet(stem: str, *, outermost: bool) -> list[tuple[int, str]]:
    """Pods to come; below the outermost directory also those of classes to come. `stem`: of a slice."""
    pod = f"{stem}-pod"[:MAX_PREFIX] if stem else "pod"
    found = [(2, pod)]
    if outermost and not stem.endswith(tuple(f"-{each}" for each in QOS)):
        classes = {f"{stem}-{each}"[:MAX_PREFIX] if stem else each for each in QOS}
        # a long stem leaves no room for what follows it: the nearer ones then
        found += [(3, each) for each in sorted(classes - {pod})]
    return found
