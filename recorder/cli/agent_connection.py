"""The connection of a command to an agent; imports grpc, so it is imported by those commands alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from recorder.model.errors import UsageError
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection
from recorder.rpc.tls import TlsFiles
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc

if TYPE_CHECKING:
    import argparse

Answer = TypeVar("Answer")


class AgentConnection:
    """One connection, made from the options of `agent_options`; all it does may raise RecorderError."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._connection = Connection(
            Address.parse(options.agent), _tls(options), Path(options.ca) if options.ca else None
        )
        self._agent = agent_pb2_grpc.AgentStub(self._connection.channel)  # type: ignore[no-untyped-call]

    def capture(self, request: pb.CaptureRequest) -> AsyncIterator[pb.CaptureResponse]:
        """One stream."""
        return self._connection.listen(self._agent.Capture, request)

    async def containers(self) -> pb.ListContainersResponse:
        """The containers that the agent knows."""
        response: pb.ListContainersResponse = await self._connection.ask(
            self._agent.ListContainers, pb.ListContainersRequest()
        )
        return response

    async def status(self) -> pb.GetStatusResponse:
        """What the agent says of itself."""
        response: pb.GetStatusResponse = await self._connection.ask(
            self._agent.GetStatus, pb.GetStatusRequest()
        )
        return response

    async def close(self) -> None:
        """May be repeated."""
        await self._connection.channel.close()


def _tls(options: argparse.Namespace) -> TlsFiles | None:
    if bool(options.certificate) != bool(options.key):
        raise UsageError("--certificate and --key belong together: give both, or neither for a Unix socket")
    return TlsFiles(Path(options.certificate), Path(options.key)) if options.certificate else None


def ask(options: argparse.Namespace, question: Callable[[AgentConnection], Awaitable[Answer]]) -> Answer:
    """One question over a connection of its own. Raises RecorderError."""

    async def answer() -> Answer:
        connection = AgentConnection(options)
        try:
            return await question(connection)
        finally:
            await connection.close()

    return asyncio.run(answer())
