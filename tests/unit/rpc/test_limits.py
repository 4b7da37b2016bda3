"""What clients can cost: each bound driven to its limit, by gRPC's own client and by hand-made HTTP/2."""

import asyncio
import contextlib
import socket
import time

import grpc
import pytest

from recorder.model.errors import LimitReached, RemoteError
from recorder.rpc.limits import Limits
from recorder.rpc.server import Listening
from recorder.rpc.v1 import agent_pb2 as pb
from tests.unit.rpc import http2
from tests.unit.rpc.servicer import (
    CAPTURE,
    SmallAgent,
    by_container,
    failure,
    on_socket,
    on_tcp,
    serving,
    stalled,
    status,
    stub_of,
)

MIB = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


async def code_of(call):
    """The status code that awaiting a raw call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def sent_request(path, request, **options):
    """The status of a Capture with this request, and that of a good call afterwards."""

    async def run():
        async with (
            serving(Listening(socket=path, limits=Limits(receive_bytes=64 << 10))),
            on_socket(path, Limits(receive_bytes=1 << 30)) as connection,
        ):
            call = stub_of(connection).Capture(request, **options)
            code = await code_of(call.read())
            if code is grpc.StatusCode.OK:
                call.cancel()
            return code, await status(connection)

    return asyncio.run(run())


def test_a_large_request_is_refused(path):
    """Above `receive_bytes`: RESOURCE_EXHAUSTED; the connection goes on."""
    request = pb.CaptureRequest(selection=pb.Selection(container="x" * (65 << 10)))
    assert sent_request(path, request) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the Unix socket")


def test_a_request_that_grows_when_it_is_decompressed_is_refused(path):
    """The bound is on the decompressed size: 50 MiB of one letter are 50 KB on the wire."""
    request = pb.CaptureRequest(selection=pb.Selection(container="x" * (50 * MIB)))
    code, answer = sent_request(path, request, compression=grpc.Compression.Gzip)
    assert (code, answer) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the Unix socket")


def test_large_headers_are_refused(path):
    """Above `metadata_bytes`, in one and in many."""
    for metadata in ([("x", "y" * 20_000)], [(f"x{index}", "y" * 100) for index in range(200)]):
        code, answer = sent_request(path, by_container(), metadata=metadata)
        assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
        assert answer == "the Unix socket"


def test_a_large_answer_is_refused(path):
    """Above `send_bytes` nothing is sent but the status."""

    async def run():
        agent = SmallAgent()
        agent.size = 100_000
        limits = Limits(send_bytes=50_000)
        async with (
            serving(Listening(socket=path, limits=limits), agent),
            on_socket(path) as connection,
        ):
            stream = connection.listen(stub_of(connection).Capture, by_container())
            await anext(stream)
            return await failure(lambda: anext(stream))

    assert isinstance(asyncio.run(run()), LimitReached)


def test_streams_of_a_connection_are_bounded(path):
    """One more than `streams` waits; another connection is served meanwhile."""

    async def run():
        limits = Limits(streams=4)
        async with (
            serving(Listening(socket=path, limits=limits)),
            on_socket(path) as connection,
            on_socket(path) as other,
        ):
            calls = await stalled(connection, 4)
            late = await code_of(stub_of(connection).GetStatus(pb.GetStatusRequest(), timeout=0.5))
            meanwhile = await status(other)
            calls[0].cancel()
            return late, meanwhile, await status(connection)

    late, *answers = asyncio.run(run())
    assert late is grpc.StatusCode.DEADLINE_EXCEEDED
    assert answers == ["the Unix socket"] * 2


def test_a_client_that_ignores_the_bound_of_streams_is_refused(path):
    """By hand: more streams than were allowed are reset, or the connection ends; others are served."""

    async def run():
        agent = SmallAgent()
        agent.go_on.clear()
        async with (
            serving(Listening(socket=path, limits=Limits(streams=4)), agent) as (server, _),
            on_socket(path) as other,
        ):
            request = by_container().SerializeToString()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendall(http2.PREFACE + http2.settings())
                reader = http2.frames(connection)
                await asyncio.to_thread(next, reader)  # the server's settings: from now on the bound holds
                connection.sendall(http2.frame(http2.SETTINGS, flags=1))
                for stream in range(1, 100, 2):
                    connection.sendall(http2.headers(stream, CAPTURE) + http2.message(stream, request))
                await asyncio.sleep(0.5)
                most = server.calls.open
                return most, await status(other)

    most, answer = asyncio.run(run())
    assert 0 <= most <= 4
    assert answer == "the Unix socket"


def test_connections_are_bounded_for_each_address(path, server_files, client_files, authority):
    """Silent ones by TCP fill that address, not the Unix socket, until their handshake's time is over."""

    async def run():
        limits = Limits(connections=3, handshake_seconds=2)
        tls = server_files.files(authority.certificate)
        listening = Listening(socket=path, tcp="127.0.0.1:0", tls=tls, limits=limits)
        async with serving(listening) as (server, _), on_socket(path) as local:
            silent = [socket.create_connection(("127.0.0.1", server.tcp_port)) for _ in range(3)]
            await asyncio.sleep(0.3)
            begin = time.monotonic()
            async with on_tcp(server, client_files.files(), authority.certificate) as connection:
                refused = await failure(lambda: status(connection))
                answer = await status(local)
                # no client has to end anything: the handshakes' time does
                while True:
                    with contextlib.suppress(RemoteError):
                        served = await status(connection)
                        break
                    assert time.monotonic() < begin + 20
                    await asyncio.sleep(0.2)
            for each in silent:
                each.close()
            return refused, answer, served

    refused, answer, served = asyncio.run(run())
    assert isinstance(refused, RemoteError)
    assert answer == "the Unix socket"
    assert served.startswith("spiffe://")


def test_calls_of_a_peer_are_bounded(path, server_files, client_files, authority):
    """Over all its connections, by its names; another peer is served; what ends gives room."""

    async def run():
        limits = Limits(calls_of_peer=4)
        tls = server_files.files(authority.certificate)
        listening = Listening(socket=path, tcp="127.0.0.1:0", tls=tls, limits=limits)
        other_files = authority.sign("URI:spiffe://example.org/other")
        async with (
            serving(listening) as (server, _),
            on_tcp(server, client_files.files(), authority.certificate) as first,
            on_tcp(server, client_files.files(), authority.certificate) as second,
            on_tcp(server, other_files.files(), authority.certificate) as other,
            on_socket(path) as local,
        ):
            calls = await stalled(first, 2) + await stalled(second, 2)
            refused = [await failure(lambda each=each: status(each)) for each in (first, second)]
            answers = [await status(other), await status(local)]
            for call in calls:
                call.cancel()
            while server.calls.open:
                await asyncio.sleep(0.01)
            return refused, answers, server.calls.refused, await status(first)

    refused, answers, count, after = asyncio.run(run())
    for each in refused:
        assert isinstance(each, LimitReached)
        assert "has 4 calls open already" in str(each)
    assert answers == ["spiffe://example.org/other", "the Unix socket"]
    assert count == 2
    assert after.startswith("spiffe://example.org/ci")


def test_calls_are_bounded_in_all(path):
    """One more than `calls` is refused at once."""

    async def run():
        async with (
            serving(Listening(socket=path, limits=Limits(calls=3))),
            on_socket(path) as connection,
        ):
            calls = await stalled(connection, 3)
            refused = await failure(lambda: status(connection))
            for call in calls:
                call.cancel()
            return refused

    assert isinstance(asyncio.run(run()), LimitReached)


def test_clients_by_tcp_leave_calls_for_the_socket(path, server_files, client_files, authority):
    """A fourth of all calls is for root; calls whose request never comes hold a place as well."""

    async def run():
        tls = server_files.files(authority.certificate)
        limits = Limits(calls=8)
        listening = Listening(socket=path, tcp="127.0.0.1:0", tls=tls, limits=limits)
        async with (
            serving(listening) as (server, _),
            on_tcp(server, client_files.files(), authority.certificate) as remote,
            on_socket(path) as local,
        ):
            calls = await stalled(remote, 3)
            without = remote.channel.stream_stream(
                CAPTURE, request_serializer=pb.CaptureRequest.SerializeToString
            )
            calls += [without() for _ in range(3)]
            async with asyncio.timeout(5):
                while server.calls.open < 6:
                    await asyncio.sleep(0.01)
            refused = await failure(lambda: status(remote))
            answers = [await status(local)] + [await code_of(each.read()) for each in await stalled(local, 2)]
            for call in calls:
                call.cancel()
            return refused, answers

    refused, answers = asyncio.run(run())
    assert isinstance(refused, LimitReached)
    assert "clients by TCP have 6 calls open already" in str(refused)
    assert answers == ["the Unix socket", grpc.StatusCode.OK, grpc.StatusCode.OK]


@pytest.mark.parametrize(("ends", "words"), [(False, "no request came within"), (True, "without a request")])
def test_a_call_without_a_request_ends(path, ends, words):
    """In time, when its client sends nothing; at once, when it ends the call."""

    async def run():
        limits = Limits(request_seconds=0.5)
        async with serving(Listening(socket=path, limits=limits)), on_socket(path) as connection:
            method = connection.channel.stream_stream(CAPTURE)
            call = method()
            if ends:
                await call.done_writing()
            code = await asyncio.wait_for(code_of(call.read()), 5)
            return code, await call.code(), await call.details()

    _, code, details = asyncio.run(run())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in details


def test_a_damaged_request_is_refused(path, caplog):
    """Bytes that are no message: INVALID_ARGUMENT, and one line in the log."""
    caplog.set_level("INFO", "recorder.rpc.calls")

    async def run():
        async with serving(Listening(socket=path)), on_socket(path) as connection:
            method = connection.channel.unary_unary("/recorder.rpc.v1.Agent/GetStatus")
            return await code_of(method(b"\xff\xff"))

    assert asyncio.run(run()) is grpc.StatusCode.INVALID_ARGUMENT
    assert len(caplog.records) == 1
    assert "no message of this method" in caplog.text


def goaway(connection, data, every):
    """The error code of the server's GOAWAY while `data` is sent again and again; None if it only closes."""
    connection.settimeout(10)
    connection.sendall(http2.PREFACE + http2.settings())
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(50):
            connection.sendall(data)
            time.sleep(every)
    for kind, _, payload in http2.frames(connection):
        if kind == http2.GOAWAY:
            return int.from_bytes(payload[4:8])
    return None


def test_pings_without_end_end_the_connection(path):
    """A client that pings all the time is told to calm down; others are served."""

    async def run():
        async with serving(Listening(socket=path)), on_socket(path) as other:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                ping = http2.frame(http2.PING, b"12345678")
                return await asyncio.to_thread(goaway, connection, ping, 0.01), await status(other)

    assert asyncio.run(run()) == (http2.ENHANCE_YOUR_CALM, "the Unix socket")


def seconds_until_closed(path, data):
    """How long a connection stands that sends this, and answers no ping."""
    begin = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(data)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for kind, flags, _ in http2.frames(connection):
                if kind == http2.SETTINGS and not flags and data.endswith(http2.settings()):
                    connection.sendall(http2.frame(http2.SETTINGS, flags=1))
    return time.monotonic() - begin


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(handshake_seconds=1), b""),
        (Limits(handshake_seconds=1), http2.PREFACE[:10]),
        (Limits(keepalive_seconds=1, keepalive_timeout_seconds=1), http2.PREFACE + http2.settings()),
        (Limits(idle_seconds=1), http2.PREFACE + http2.settings()),
    ],
    ids=["says nothing", "says half a preface", "answers no ping", "has no call"],
)
def test_a_dead_client_is_dropped(path, limits, data):
    """A connection without HTTP/2's handshake, without answers to pings, or without a call ends in time."""

    async def run():
        async with serving(Listening(socket=path, limits=limits)):
            return await asyncio.to_thread(seconds_until_closed, path, data)

    assert 0.5 < asyncio.run(run()) < 10
