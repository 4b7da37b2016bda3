"""The gRPC service Agent: requests are checked, then asked of the core."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from recorder.agent.capture_stream import CaptureStreams
from recorder.agent.captures import AWAY, Captures
from recorder.agent.selections import LOOK
from recorder.agent.status import Status
from recorder.containers.index import ContainerIndex
from recorder.rpc.peer import peer_of
from recorder.rpc.requests import check_capture
from recorder.rpc.roles import Access, Roles
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc

__all__ = ["AgentService"]


class AgentService(agent_pb2_grpc.AgentServicer):
    """Serves one core."""

    def __init__(
        self,
        captures: Captures,
        streams: CaptureStreams,
        status: Status,
        index: ContainerIndex,
        roles: Roles,
    ) -> None:
        self._captures = captures
        self._streams = streams
        self._status = status
        self._index = index
        self._roles = roles

    def stop(self) -> None:
        """Ends all streams: their clients come back to the next agent."""
        self._streams.stopping.set()
        for each in self._captures.all():
            each.changed.set()

    def _access(self, context: Any) -> Access:
        return Access.of(peer_of(context), self._roles)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        """As the proto says; needs the role status."""
        self._access(context).require_status()
        return self._status.response()

    async def ListContainers(
        self, request: pb.ListContainersRequest, context: Any
    ) -> pb.ListContainersResponse:
        """As the proto says: those that the peer may see."""
        access = self._access(context)
        access.require_any()
        await self._index.refresh(LOOK)
        found = [
            each
            for each in self._status.containers()
            if access.may_see(each.identity.pod.namespace if each.identity.HasField("pod") else None)
        ]
        return pb.ListContainersResponse(containers=found)

    async def Capture(self, request: pb.CaptureRequest, context: Any) -> AsyncIterator[pb.CaptureResponse]:
        """As the proto says; the role depends on the selection."""
        check_capture(request)
        access = self._access(context)
        access.require_selection(request.selection)
        capture, resumed = await self._captures.begin(request, access)
        capture.streams += 1
        stream = capture.streams
        capture.connected = True
        said_all = finished = False
        try:
            yield pb.CaptureResponse(
                started=pb.CaptureStarted(capture_id=request.capture_id, resumed=resumed)
            )
            async for response in self._streams.serve(capture, stream, request.snapshots_per_second):
                said_all = response.snapshot.final
                yield response
                finished = said_all
        finally:
            if capture.streams == stream:
                capture.connected = False
                # Its client may have gone as soon as it had the last word; else it has a moment to ask again.
                capture.away_since = time.monotonic() - (AWAY - 10 if said_all else 0)
                if finished or not capture.capture_id:
                    # the stream may be ending because it is cancelled: the end is not
                    await asyncio.shield(self._captures.end(capture))
