"""What a request may say: each field's range, checked before anything is done for it.

Texts are data of somebody else. They are matched here against what such a name can
be, so that behind this point no path leaves the cgroup tree, and no name has
characters that a terminal or a log would act on.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator

from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.names import is_container, is_label, is_subdomain, is_unit, shown
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["MAX_DURATION_SECONDS", "MAX_KINDS", "MAX_SNAPSHOTS_PER_SECOND", "check_capture"]

MAX_DURATION_SECONDS = 30 * 24 * 3600
MIN_DURATION_SECONDS = 0.001
MAX_SNAPSHOTS_PER_SECOND = 100.0
MIN_SNAPSHOTS_PER_SECOND = 0.001
MAX_KINDS = 16
MAX_PATH = 4095
"""Bytes: the kernel's PATH_MAX less its NUL."""
MAX_PID = 1 << 22
"""The kernel's PID_MAX_LIMIT on 64 bits."""

_CAPTURE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_PHASES = ("", "exec", "container")


def check_capture(request: pb.CaptureRequest) -> None:
    """Return if the request can be served. Raises InvalidFields with each field that is wrong."""
    errors = list(_capture(request))
    if errors:
        raise InvalidFields(errors)


def _capture(request: pb.CaptureRequest) -> Iterator[FieldError]:
    yield from _selection(request.selection)
    yield from _kinds(request)
    if request.HasField("duration"):
        yield from _duration(request)
    yield from _rate(request.snapshots_per_second)
    if request.capture_id and not _CAPTURE_ID.fullmatch(request.capture_id):
        yield FieldError(
            "capture_id",
            f"is {shown(request.capture_id)}",
            "choose 1 to 64 of A-Z, a-z, 0-9, _ and -, or leave it out",
        )
    if request.phases not in _PHASES:
        yield FieldError(
            "phases",
            f"is {shown(request.phases)}",
            "expected is exec or container, or nothing for what the selection suggests",
        )


def _selection(selection: pb.Selection) -> Iterator[FieldError]:
    match selection.WhichOneof("by"):
        case "container":
            if not is_container(selection.container):
                yield FieldError(
                    "selection.container",
                    f"is {shown(selection.container)}",
                    "expected is a container's id, its first 12 or more characters, or its name",
                )
        case "pod":
            yield from _pod(selection.pod)
        case "cgroup":
            yield from _cgroup(selection.cgroup)
        case "unit":
            if not is_unit(selection.unit):
                yield FieldError(
                    "selection.unit",
                    f"is {shown(selection.unit)}",
                    "expected is a unit's full name, such as nginx.service",
                )
        case "pid":
            if not 0 < selection.pid <= MAX_PID:
                yield FieldError(
                    "selection.pid",
                    f"is {selection.pid}",
                    f"expected is a process id from 1 to {MAX_PID}, as the agent's node has it",
                )
        case "all":
            pass
        case _:
            yield FieldError(
                "selection", "is missing", "select by one of container, pod, cgroup, unit, pid and all"
            )


def _pod(pod: pb.PodSelection) -> Iterator[FieldError]:
    if not is_label(pod.namespace):
        yield FieldError(
            "selection.pod.namespace", f"is {shown(pod.namespace)}", "expected is a namespace's name"
        )
    if not is_subdomain(pod.name):
        yield FieldError("selection.pod.name", f"is {shown(pod.name)}", "expected is a pod's name")
    if pod.container and not is_label(pod.container):
        yield FieldError(
            "selection.pod.container",
            f"is {shown(pod.container)}",
            "expected is the name of one of the pod's containers, or nothing for all of them",
        )


def _cgroup(path: str) -> Iterator[FieldError]:
    # normpath leaves two slashes at the beginning, as POSIX demands
    whole = path.startswith("/") and not path.startswith("//") and posixpath.normpath(path) == path
    if not whole or not path.isprintable() or len(path.encode()) > MAX_PATH:
        yield FieldError(
            "selection.cgroup",
            f"is {shown(path)}",
            f"expected is a path below the cgroup v2 mount that begins with /, without . and .., "
            f"of at most {MAX_PATH} bytes that can be printed",
        )


def _kinds(request: pb.CaptureRequest) -> Iterator[FieldError]:
    known = {number for number in pb.Kind.values() if number != pb.KIND_UNSPECIFIED}
    if len(request.kinds) > MAX_KINDS:
        yield FieldError(
            "kinds", f"has {len(request.kinds)} entries", f"at most {MAX_KINDS} are allowed; say each once"
        )
        return
    for index, kind in enumerate(request.kinds):
        if kind not in known:
            names = ", ".join(pb.Kind.Name(each) for each in sorted(known))
            yield FieldError(
                f"kinds[{index}]",
                f"is {kind}, which this agent does not know",
                f"it can record {names}; a newer agent may know more",
            )


def _duration(request: pb.CaptureRequest) -> Iterator[FieldError]:
    seconds, nanos = request.duration.seconds, request.duration.nanos
    # google/protobuf/duration.proto: nanos within a second, and of the sign of the seconds
    sound = -1_000_000_000 < nanos < 1_000_000_000 and seconds * nanos >= 0
    if not sound or not MIN_DURATION_SECONDS <= seconds + nanos / 1e9 <= MAX_DURATION_SECONDS:
        yield FieldError(
            "duration",
            f"is {seconds} s and {nanos} ns",
            f"expected are {MIN_DURATION_SECONDS:g} s to {MAX_DURATION_SECONDS} s (30 days), "
            "or nothing: until the client goes",
        )


def _rate(rate: float) -> Iterator[FieldError]:
    in_range = MIN_SNAPSHOTS_PER_SECOND <= rate <= MAX_SNAPSHOTS_PER_SECOND
    if rate != 0 and not (math.isfinite(rate) and in_range):
        yield FieldError(
            "snapshots_per_second",
            f"is {rate:g}",
            f"expected are {MIN_SNAPSHOTS_PER_SECOND:g} to {MAX_SNAPSHOTS_PER_SECOND:g}, "
            "or 0 for the agent's own bound",
        )
