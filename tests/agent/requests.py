"""Requests to an agent by its plain stubs, and what comes back."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.process import WAIT


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """How a call, or the first message of a stream, is refused."""
    try:
        answer = call()
        if hasattr(answer, "cancel"):
            first = next(answer)
            answer.cancel()
            raise AssertionError(f"it was not refused: {first}")
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"it was not refused: {answer}")


def capture(stub: Any, request: pb.CaptureRequest) -> Any:
    return stub.Capture(request, timeout=WAIT)


def by(**selection: Any) -> pb.CaptureRequest:
    return pb.CaptureRequest(selection=pb.Selection(**selection))


def by_pod(namespace: str, name: str, container: str = "") -> pb.CaptureRequest:
    return by(pod=pb.PodSelection(namespace=namespace, name=name, container=container))


@contextlib.contextmanager
def begun(stub: Any, request: pb.CaptureRequest) -> Iterator[tuple[Any, bool]]:
    """A stream of a capture that has begun, and whether it goes on with one; cancelled at the end."""
    stream = capture(stub, request)
    try:
        first = next(stream)
        assert first.HasField("started"), first
        yield stream, first.started.resumed
    finally:
        stream.cancel()


def seen(stream: Any, what: Callable[[pb.Snapshot], bool]) -> pb.Snapshot:
    """The first snapshot for which `what` is true."""
    for message in stream:
        if message.HasField("snapshot") and what(message.snapshot):
            snapshot: pb.Snapshot = message.snapshot
            return snapshot
    raise AssertionError("the stream ended before")


def named(request: pb.CaptureRequest, capture_id: str) -> pb.CaptureRequest:
    made = pb.CaptureRequest()
    made.CopyFrom(request)
    made.capture_id = capture_id
    return made
