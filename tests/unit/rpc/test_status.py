"""Failures on their way from a service to its client, over a real server."""

import asyncio
import logging

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from recorder.model import errors
from recorder.rpc.fields import DETAILS_KEY, FieldError, InvalidFields, details_of, fields_of
from recorder.rpc.server import Listening
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.unit.rpc.servicer import failure, on_socket, serving


def raised(path, error):
    """What the client of a service that raises `error` gets: the gRPC error, and the RecorderError."""

    async def run():
        async with serving(Listening(socket=path)) as (_, agent), on_socket(path) as connection:
            agent.failure = error
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.ListContainers(pb.ListContainersRequest(), timeout=5)
            own = await failure(lambda: connection.ask(stub.ListContainers, pb.ListContainersRequest()))
            return failed.value, own

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (errors.AccessDenied("no"), "PERMISSION_DENIED", errors.AccessDenied),
        (errors.NotFound("no"), "NOT_FOUND", errors.NotFound),
        (errors.CgroupNotFound("no"), "NOT_FOUND", errors.NotFound),
        (errors.LimitReached("no"), "RESOURCE_EXHAUSTED", errors.LimitReached),
        (errors.BpfLimit("no"), "RESOURCE_EXHAUSTED", errors.LimitReached),
        (errors.InvalidRequest("no"), "INVALID_ARGUMENT", errors.InvalidRequest),
        (errors.UsageError("no"), "INVALID_ARGUMENT", errors.InvalidRequest),
        (errors.NotPermitted("no"), "FAILED_PRECONDITION", errors.RemoteFailed),
        (errors.BpfLoadError("no"), "INTERNAL", errors.RemoteFailed),
    ],
)
def test_the_client_gets_what_the_service_raised(tmp_path, error, code, kind):
    """The same class or the nearest one, with the same words."""
    sent, own = raised(tmp_path / "s", error)
    assert (sent.code().name, sent.details()) == (code, "no")
    assert (type(own), str(own)) == (kind, "no")


def test_any_other_exception_is_logged_and_not_told(tmp_path, caplog):
    """Its text may have what the client must not see."""
    caplog.set_level(logging.ERROR)
    sent, own = raised(tmp_path / "s", RuntimeError("a secret"))
    assert sent.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in sent.details() + str(own)
    assert "a secret" in caplog.text


def test_wrong_fields_are_a_bad_request(tmp_path):
    """google.rpc.BadRequest as grpcio-status reads it; our own client says each field in words."""
    fields = [
        FieldError("selection.pid", "is 0", "give a pid"),
        FieldError("phases", "is 'x'", "leave it out"),
    ]
    sent, own = raised(tmp_path / "s", InvalidFields(fields))

    class Call:
        code, details, trailing_metadata = sent.code, sent.details, sent.trailing_metadata

    status = rpc_status.from_call(Call())
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("selection.pid", "is 0; give a pid"),
        ("phases", "is 'x'; leave it out"),
    ]
    assert status.message == "selection.pid is 0; give a pid (and 1 more)"
    assert isinstance(own, errors.InvalidRequest)
    assert str(own) == "selection.pid is 0; give a pid; phases is 'x'; leave it out"


def test_what_is_told_is_bounded(tmp_path):
    """Many long errors arrive as a few short ones, not as a call that fails for its size."""
    sent, _ = raised(
        tmp_path / "s", InvalidFields([FieldError(f"f[{i}]", "x" * 500, "y") for i in range(99)])
    )
    assert sent.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = next(value for key, value in sent.trailing_metadata() if key == DETAILS_KEY)
    assert len(fields_of(details)) == 8
    assert len(details) < 4096


def test_long_and_odd_messages_arrive(tmp_path):
    """Cut to a bound; surrogates escaped; what a terminal would act on shown as an escape."""
    sent, own = raised(tmp_path / "s", errors.NotFound("\udcff\x1b[2J\u00e4" + "\u20ac" * 5000))
    assert sent.code() is grpc.StatusCode.NOT_FOUND
    assert 1000 < len(sent.details().encode()) <= 1024
    assert str(own).startswith("\\udcff\\x1b[2J\u00e4\u20ac")
    assert str(own).isprintable()


def test_damaged_details_are_no_details():
    """Bytes from another server that are no Status, or have no BadRequest."""
    other = any_pb2.Any()
    other.Pack(error_details_pb2.RetryInfo())
    assert fields_of(b"\xff\xff") == fields_of(b"") == ()
    assert fields_of(status_pb2.Status(details=[other]).SerializeToString()) == ()
    assert fields_of(details_of(InvalidFields([FieldError("a", "b", "c")]), 3)) == (("a", "b; c"),)


def test_an_invalid_capture_is_refused_before_it_begins(tmp_path):
    """A stream ends with the same status."""

    async def run():
        async with serving(Listening(socket=tmp_path / "s")), on_socket(tmp_path / "s") as connection:
            stub = agent_pb2_grpc.AgentStub(connection.channel)

            async def first():
                return await anext(aiter(connection.listen(stub.Capture, pb.CaptureRequest())))

            return await failure(first)

    error = asyncio.run(run())
    assert isinstance(error, errors.InvalidRequest)
    assert str(error).startswith("selection is missing; select by one of")
