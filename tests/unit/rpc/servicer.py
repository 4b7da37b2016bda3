"""A small agent of the real stubs, and what tests need to serve and call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from recorder.model.errors import RecorderError
from recorder.record.v1 import record_pb2
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection
from recorder.rpc.limits import Limits
from recorder.rpc.peer import peer_of
from recorder.rpc.requests import check_capture
from recorder.rpc.server import Listening, Server
from recorder.rpc.tls import TlsFiles
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc

NAME = "recorder.rpc.v1.Agent"
CAPTURE = f"/{NAME}/Capture"


class SmallAgent(agent_pb2_grpc.AgentServicer):
    """GetStatus says who asks; ListContainers raises `failure`; Capture checks its request, and sends."""

    def __init__(self) -> None:
        self.failure: Exception = RuntimeError("a secret: /etc/shadow")
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.sent = 0
        self.ended = asyncio.Event()
        self.size = 10
        self.count: int | None = None
        """Snapshots to send; None: until the client goes."""

    async def GetStatus(self, request, context):
        return pb.GetStatusResponse(node=str(peer_of(context)))

    async def ListContainers(self, request, context):
        raise self.failure

    async def Capture(self, request, context):
        check_capture(request)
        try:
            yield pb.CaptureResponse(started=pb.CaptureStarted(capture_id=request.capture_id))
            while self.count is None or self.sent < self.count:
                await self.go_on.wait()
                self.sent += 1
                yield snapshot(self.size)
        finally:
            self.ended.set()


def snapshot(size: int) -> pb.CaptureResponse:
    """A snapshot of about `size` bytes."""
    observation = record_pb2.Observation(source=record_pb2.Source(node="n" * size))
    return pb.CaptureResponse(snapshot=pb.Snapshot(record=record_pb2.Record(observations=[observation])))


def by_container() -> pb.CaptureRequest:
    return pb.CaptureRequest(selection=pb.Selection(container="web"), capture_id="one")


@asynccontextmanager
async def serving(
    listening: Listening, agent: SmallAgent | None = None
) -> AsyncIterator[tuple[Server, SmallAgent]]:
    """A started server of a small agent; stopped at the end."""
    agent = agent or SmallAgent()
    server = Server({NAME: partial(agent_pb2_grpc.add_AgentServicer_to_server, agent)}, listening)
    await server.start()
    try:
        yield server, agent
    finally:
        await server.stop(0)


def on_socket(path: Path, limits: Limits | None = None) -> Connection:
    return Connection(Address(path=path), limits=limits)


def on_tcp(server: Server, files: TlsFiles, server_ca: Path, host: str = "localhost") -> Connection:
    return Connection(Address(host=host, port=server.tcp_port), files, server_ca)


async def status(connection: Connection) -> str:
    """Who the server says that asks."""
    stub = agent_pb2_grpc.AgentStub(connection.channel)
    return str((await connection.ask(stub.GetStatus, pb.GetStatusRequest())).node)


async def failure(call: Callable[[], object]) -> RecorderError:
    """The RecorderError that awaiting the call raises."""
    try:
        await call()  # type: ignore[misc]
    except RecorderError as error:
        return error
    raise AssertionError("it did not fail")


def stub_of(connection: Connection) -> agent_pb2_grpc.AgentStub:
    return agent_pb2_grpc.AgentStub(connection.channel)


async def stalled(connection: Connection, count: int) -> list:
    """Captures whose first message was read, and no other."""
    calls = [stub_of(connection).Capture(by_container()) for _ in range(count)]
    for call in calls:
        assert (await call.read()).HasField("started")
    return calls
