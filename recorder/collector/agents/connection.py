"""One agent's stream: hello, then reports in, the plan and acknowledgements out.

An idle stream costs the task in which gRPC calls the service, and no timer. Who has
something to say to the agent starts a task that writes it, and ends with it. What an
agent can make wait here is bounded: `window` reports that are not acknowledged and
written, beyond which its stream is read no further.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc.aio
from google.protobuf.message import DecodeError

from recorder.collector.agents.ingest import Ingest, Pending
from recorder.collector.agents.reports import Reason, Refusal, checked
from recorder.collector.figures import ConnectedAgent, ServiceFigures
from recorder.model.errors import InvalidRequest, LimitReached, RecorderError
from recorder.rpc.names import shown
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["Connection", "ConnectionBounds", "Surroundings", "first_message"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """message_bytes: of one from an agent that is looked at. The seconds are for hello, and for a write.

    Both are long: thousands connect at once after a restart, and what is late then is this side.
    """

    message_bytes: int = 256 << 10
    window: int = 64
    hello_seconds: float = 30.0
    write_seconds: float = 30.0


class Surroundings(Protocol):
    """What all streams share."""

    bounds: ConnectionBounds
    figures: ServiceFigures
    ingest: Ingest
    ready: asyncio.Event
    """Set once it is known which recordings there are: until then no report is read."""

    @property
    def plan(self) -> bytes:
        """The CollectorMessage with the plan of now, on the wire."""

    @property
    def namespaces(self) -> Mapping[str, str]:
        """That of each recording that takes reports, by id."""

    @property
    def closing(self) -> frozenset[str]:
        """Those of them that take no container that is not known already."""


async def first_message(context: Any, seconds: float) -> pb.Hello:
    """The agent's hello. InvalidRequest if it does not come in time, or something else comes."""
    try:
        async with asyncio.timeout(seconds):
            data = await context.read()
    except TimeoutError as error:
        raise InvalidRequest(f"no hello came within {seconds:g} s") from error
    if data is grpc.aio.EOF:
        raise InvalidRequest("the stream ended without a hello")
    message = _message(data)
    if message.WhichOneof("message") != "hello":
        raise InvalidRequest("the first message of a stream is a hello")
    return message.hello


def _message(data: bytes) -> pb.AgentMessage:
    try:
        return pb.AgentMessage.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"a message is none of this method: {error}") from error


class Connection:
    """`serve` is the stream's life, in the task in which gRPC called."""

    __slots__ = (
        "_context",
        "_failure",
        "_follows",
        "_last",
        "_outbox",
        "_plan_due",
        "_room",
        "_said",
        "_shared",
        "_task",
        "_under_way",
        "_writer",
        "agent",
        "closed",
        "node",
    )

    def __init__(self, agent: ConnectedAgent, context: Any, shared: Surroundings, follows: str) -> None:
        """Follows: the revision of the plan that the agent says it follows."""
        self.agent = agent
        self.node = agent.node
        self.closed = False
        self._context = context
        self._shared = shared
        self._follows = follows
        self._last = 0
        self._under_way = 0
        self._room: asyncio.Future[None] | None = None
        self._outbox: deque[bytes] | None = None
        self._plan_due = False
        self._writer: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._failure: RecorderError | None = None
        self._said: frozenset[str] = frozenset()

    async def serve(self) -> None:
        """Until the agent ends its side. Raises RecorderError for what breaks the protocol, or `end`'s."""
        self._task = asyncio.current_task()
        try:
            if self._failure:  # it was ended before it began
                raise self._failure
            await self._shared.ready.wait()
            await self._read()
        except asyncio.CancelledError:
            if self._failure and self._task:
                self._task.uncancel()
                raise self._failure from None
            raise
        finally:
            self.closed = True
            self._task = None
            if self._writer:
                self._writer.cancel()

    def end(self, failure: RecorderError) -> None:
        """Ends the stream with that status. May be repeated; the first counts."""
        if self.closed or self._failure:
            return
        self._failure = failure
        if self._task:
            self._task.cancel()

    # --- in

    async def _read(self) -> None:
        while True:
            if self._under_way >= self._shared.bounds.window:
                self._room = asyncio.get_running_loop().create_future()
                await self._room
            data = await self._context.read()
            if data is grpc.aio.EOF:
                return
            size = len(data)
            # before it is looked at: while thousands report at once, each waits for its turn at no cost
            await self._shared.ingest.room(size)
            pending = None
            try:
                pending = self._pending(data)
            finally:
                if pending is None:
                    self._shared.ingest.drop(size)
            if pending:
                self._shared.ingest.put(pending)
            del data, pending  # an idle stream holds no message

    def _pending(self, data: bytes) -> Pending | None:
        """What is to be stored of a message; None: nothing, and its sender knows why."""
        message = _message(data)
        kind = message.WhichOneof("message")
        if kind == "hello":
            raise InvalidRequest("a stream has one hello, its first message")
        if kind is None:
            return None  # a newer agent's, which cannot expect an answer
        report, size = message.report, len(data)
        if report.sequence <= self._last:
            raise InvalidRequest(f"report {report.sequence} comes after report {self._last}; sequences rise")
        self._last = report.sequence
        self._under_way += 1
        shared = self._shared
        shared.figures.reports += 1
        shared.figures.report_bytes += size
        if size > shared.bounds.message_bytes:
            text = f"the report has {size} bytes; at most {shared.bounds.message_bytes} are taken"
            self.acknowledge(report.sequence, Refusal(Reason.TOO_LARGE, text))
            return None
        found, others = checked(report, self.node, shared.namespaces)
        for each in others:
            self._refused(each)
        if isinstance(found, Refusal):
            self.acknowledge(report.sequence, found)
            return None
        known_only = shared.closing.issuperset(found.recordings)
        return Pending(found, self, report.sequence, size, known_only)

    # --- out

    def acknowledge(self, sequence: int, refusal: Refusal | None = None) -> None:
        """As Reporter.acknowledge."""
        if refusal:
            self._refused(refusal)
        if self.closed:
            return
        acknowledgement = pb.Acknowledgement(
            sequence=sequence, refused=f"{refusal.reason}: {refusal.message}" if refusal else ""
        )
        if self._outbox is None:
            self._outbox = deque()
        self._outbox.append(pb.CollectorMessage(acknowledgement=acknowledgement).SerializeToString())
        self._write_soon()

    def hold(self) -> None:
        """As Reporter.hold."""
        self._say(
            "held",
            "the store keeps no more of this node's containers until results hold those that it has; "
            "its reports wait",
        )

    def _refused(self, refusal: Refusal) -> None:
        self._shared.figures.refused[refusal.reason] += 1
        self._say(refusal.reason, f"a report is refused ({refusal.reason}): {refusal.message}")

    def _say(self, subject: str, text: str) -> None:
        """To the log, once for each stream: who sends a lot of nonsense shall not fill it."""
        if subject not in self._said:
            self._said |= {subject}
            log.warning("agent %s: %s", shown(self.node), text)

    def send_plan(self, revision: str) -> None:
        """The plan as it is when there is room to write it, unless it is what the agent follows already."""
        if self._follows != revision:
            self._follows = revision
            self._plan_due = True
            self._write_soon()

    def _write_soon(self) -> None:
        if self._writer is None and not self.closed:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._plan_due or self._outbox:
                if self._plan_due:
                    self._plan_due = False
                    await self._write_one(self._shared.plan)
                elif self._outbox:
                    await self._write_one(self._outbox.popleft())
                    self._acknowledged()
            self._outbox = None
        except RecorderError as error:
            self.end(error)
        except grpc.aio.InternalError:
            pass  # gRPC's way to say that the agent is gone: what reads has heard it too
        finally:
            self._writer = None

    async def _write_one(self, data: bytes) -> None:
        seconds = self._shared.bounds.write_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._context.write(data)
        except TimeoutError as error:
            raise LimitReached(f"the agent has not read for {seconds:g} s, which others wait for") from error

    def _acknowledged(self) -> None:
        self._under_way -= 1
        if self._room and not self._room.done():
            self._room.set_result(None)
        self._room = None
