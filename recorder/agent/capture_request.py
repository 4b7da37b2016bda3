"""Which requests for captures this agent takes, beyond what their fields say."""

from __future__ import annotations

from recorder.agent.accesses import AccessReader
from recorder.model.errors import UnsupportedKernel
from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = ["check_accesses", "check_denials", "check_same"]

NO_ACCESSES = FieldError(
    "kinds",
    "has KIND_ACCESSES, and this agent does not look for accesses",
    'set its agent.accesses to "auto"',
)
NOT_OF_A_PROCESS = FieldError(
    "kinds", "has KIND_ACCESSES, and a process is selected", "select its cgroup: accesses are known by cgroup"
)
NO_DENIALS = FieldError(
    "kinds", "has KIND_DENIALS, and this agent does not look for denials", 'set its agent.denials to "auto"'
)


def check_denials(request: pb.CaptureRequest, offered: bool) -> None:
    """offered: this agent looks for them. Raises InvalidFields."""
    if pb.KIND_DENIALS in request.kinds and not offered:
        raise InvalidFields([NO_DENIALS])


def check_accesses(request: pb.CaptureRequest, reader: AccessReader | None) -> None:
    """Whoever asks for them gets them, or hears why not: never a result that only looks like one.

    reader: how this agent sees them; None if it does not. Raises InvalidFields or UnsupportedKernel.
    """
    if pb.KIND_ACCESSES not in request.kinds:
        return
    if reader is None:
        raise InvalidFields([NO_ACCESSES])
    if request.selection.WhichOneof("by") == "pid":
        raise InvalidFields([NOT_OF_A_PROCESS])
    if reader.problem:
        raise UnsupportedKernel(f"accesses cannot be seen on this node: {reader.problem}")


def check_same(known: pb.CaptureRequest, again: pb.CaptureRequest) -> None:
    """Whether a client that comes back asks for what it asked for before. Raises InvalidFields."""
    for name in ("selection", "kinds", "phases"):
        if getattr(known, name) != getattr(again, name):
            raise InvalidFields(
                [
                    FieldError(
                        name,
                        "is not that of the capture of this name, which goes on",
                        "ask with the same again, or choose another capture_id",
                    )
                ]
            )
