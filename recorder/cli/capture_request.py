"""What a command asks an agent to capture; imports messages, so it is imported by those commands alone."""

from __future__ import annotations

import contextlib
import posixpath
import secrets

from recorder.cli.selection import Selection
from recorder.containers.cgroup import cgroup2_mount
from recorder.model.errors import NoCgroup2
from recorder.rpc.v1 import agent_pb2 as pb


def capture_request(
    agent: str, chosen: Selection | None, *, duration: float | None, rate: float
) -> pb.CaptureRequest:
    """Of a selection, None for all containers, without kinds.

    agent: its address; duration: seconds; rate: snapshots a second.
    """
    request = pb.CaptureRequest(snapshots_per_second=rate, capture_id=secrets.token_hex(16))
    if duration:
        request.duration.FromNanoseconds(round(duration * 1e9))
    selection = request.selection
    if chosen is None:
        selection.all.SetInParent()
        return request
    match chosen.by:
        case "pod":
            selection.pod.namespace, selection.pod.name, selection.pod.container = chosen.parts
        case "pid":
            selection.pid = int(chosen.value)
        case "cgroup":
            selection.cgroup = _cgroup(chosen.value, local=agent.startswith("unix:"))
        case "unit":
            name = chosen.value
            selection.unit = name if "." in name else f"{name}.service"  # as systemctl takes it
        case "container":
            selection.container = chosen.value
    return request


def _cgroup(path: str, *, local: bool) -> str:
    """The agent takes a path below the cgroup v2 mount; people also give it with the mount in front."""
    whole = "/" + posixpath.normpath(path).lstrip("/")
    if local:
        with contextlib.suppress(NoCgroup2):
            mount = str(cgroup2_mount())
            if whole == mount or whole.startswith(f"{mount}/"):
                return whole[len(mount) :] or "/"
    return whole
