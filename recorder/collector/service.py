"""The gRPC service Collector: agents by their certificates, people by their tokens.

Agents and people have a server each (`recorder.rpc.server`), since gRPC in Python cannot
ask for a certificate that may be left out: the agents' with mTLS, the people's with a
certificate of the server alone, and with the Unix socket. The service is the same, and sees for
each call who it is: a method is refused to whom it is not for, on either server.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import grpc.aio

from recorder.collector.agents.connection import Connection, ConnectionBounds, first_message
from recorder.collector.agents.ingest import Ingest, IngestBounds, IngestStore
from recorder.collector.agents.node_abilities import NodeAbilities, abilities_of
from recorder.collector.agents.node_names import DEFAULT_PATTERNS, NodeNames
from recorder.collector.agents.plan import PlanBounds, Planned, planned
from recorder.collector.figures import ConnectedAgent, ServiceFigures
from recorder.collector.people.authority import Authority
from recorder.collector.people.records import Records, RecordsBounds, RecordsStore
from recorder.collector.people.reviews import ROOT, Reviews, Viewer
from recorder.collector.platform import Platform
from recorder.model.errors import AccessDenied, InvalidRequest, LimitReached, RecorderError, Unreachable
from recorder.rpc.bearer import token_of
from recorder.rpc.limits import Limits
from recorder.rpc.names import is_subdomain, shown
from recorder.rpc.peer import Peer, certificate_of, peer_of
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc

__all__ = ["NAME", "CollectorService", "ServiceBounds", "ServiceStore", "agent_limits", "people_limits"]

log = logging.getLogger(__name__)

NAME = "recorder.rpc.v1.Collector"
RECEIVE_BYTES = 2 << 20
"""What gRPC takes of an agent: more than `message_bytes`, so that a report above that gets an answer."""
MAX_RUNTIMES = 16

_LOCAL_NODE = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
_WORD = re.compile(r"[ -~]{0,256}", re.ASCII)


class ServiceStore(IngestStore, RecordsStore, Protocol):
    """What the service asks of the store."""


@dataclass(frozen=True, slots=True)
class ServiceBounds:
    """agents: streams at a time. node_names: see `recorder.collector.agents.node_names`.

    review_seconds: how long an answer of the authority holds.
    """

    agents: int = 4096
    node_names: Sequence[str] = DEFAULT_PATTERNS
    connection: ConnectionBounds = field(default_factory=ConnectionBounds)
    ingest: IngestBounds = field(default_factory=IngestBounds)
    records: RecordsBounds = field(default_factory=RecordsBounds)
    plan: PlanBounds = field(default_factory=PlanBounds)
    review_seconds: float = 10.0


def agent_limits(agents: int) -> Limits:
    """For the agents' server. Each has one call; a second takes the place of the first."""
    return Limits(
        receive_bytes=RECEIVE_BYTES,
        send_bytes=RECEIVE_BYTES,
        streams=16,
        connections=agents + 64,
        calls=2 * agents + 64,
        # a fourth of all is for the Unix socket
        calls_in_all=2 * agents + 64,
        calls_of_peer=8,
        # thousands connect at once after a restart: who is given up then comes again, and it takes longer
        handshake_seconds=30,
    )


def people_limits(calls: int = 256) -> Limits:
    """For the people's server, and the agents of its Unix socket."""
    return Limits(
        receive_bytes=RECEIVE_BYTES,
        request_bytes=16 << 10,
        send_bytes=RECEIVE_BYTES,
        # tokens of OpenID Connect
        metadata_bytes=16 << 10,
        connections=calls + 16,
        calls=calls + 16,
        calls_in_all=calls,
        # nobody has a certificate there: all are one peer
        calls_of_peer=calls,
    )


class CollectorService(collector_pb2_grpc.CollectorServicer):
    """To be made in the event loop that serves; `run` is a task of it.

    changed: told the ids of recordings of whose containers something new is stored, or that lost or found
    their room in the plan.
    """

    def __init__(
        self,
        store: ServiceStore,
        platform: Platform,
        authority: Authority | None = None,
        bounds: ServiceBounds = ServiceBounds(),
        changed: Callable[[frozenset[str]], None] = lambda recordings: None,
    ) -> None:
        self.bounds_of_all = bounds
        self.bounds = bounds.connection
        self.figures = ServiceFigures()
        self.reviews = Reviews(authority, self.figures, seconds=bounds.review_seconds)
        self.records = Records(store, self.reviews, self.figures, bounds.records)
        self.ingest = Ingest(store, bounds.ingest, self.figures, self._stored)
        self.ready = asyncio.Event()
        self._store = store
        self._platform = platform
        self._changed = changed
        self._node_names = NodeNames(bounds.node_names)
        self._connections: dict[str, Connection] = {}
        self._planned = Planned()
        self._left_out: frozenset[str] = frozenset()
        self._plan = b""
        self._namespaces: Mapping[str, str] = {}
        self._closing: frozenset[str] = frozenset()
        self._recordings_came = asyncio.Event()
        self._stopping: RecorderError | None = None
        self.certificate_ends: Callable[[bytes], float] | None = None
        """When a certificate (PEM) ends, in Unix time: its agent's stream ends then. None: streams go on."""

    # --- its life

    async def run(self) -> None:
        """Until cancelled. Raises what the store raises, but for StoreFull: the collector has failed then."""
        self._recordings_came.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ingest.run())
            group.create_task(self._follow())

    def stop(self) -> None:
        """Ends all streams; those that come are refused. Agents connect again to the next collector."""
        self._stopping = Unreachable("the collector is stopping")
        self.records.stop(self._stopping)
        for each in list(self._connections.values()):
            each.end(self._stopping)

    def add_to_server(self, server: grpc.aio.Server) -> None:
        """As `Server` takes it for `NAME`."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            # bytes, both ways: a plan for all agents is made once, and a report is measured before it is read
            "Connect": grpc.stream_stream_rpc_method_handler(self.Connect),
            "GetRecords": grpc.unary_stream_rpc_method_handler(
                self.GetRecords,
                request_deserializer=pb.GetRecordsRequest.FromString,
                response_serializer=pb.GetRecordsResponse.SerializeToString,
            ),
            "WatchRecords": grpc.unary_stream_rpc_method_handler(
                self.WatchRecords,
                request_deserializer=pb.WatchRecordsRequest.FromString,
                response_serializer=pb.WatchRecordsResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))

    # --- what others tell it

    def recordings_changed(self) -> None:
        """The platform's recordings are others, or the store has forgotten one."""
        self._recordings_came.set()

    def records_changed(self, results: Iterable[str] | None = None) -> None:
        """Confirmations, or results of these recordings, have changed in the store; None: recordings, too."""
        self.records.changed(results)

    def agents(self) -> tuple[ConnectedAgent, ...]:
        """Those whose streams stand, by node."""
        return tuple(self._connections[node].agent for node in sorted(self._connections))

    @property
    def nodes(self) -> Collection[str]:
        """Theirs, unsorted; it changes as they come and go."""
        return self._connections.keys()

    def abilities(self, node: str) -> NodeAbilities | None:
        """What a node can record; None: its agent is not here."""
        connection = self._connections.get(node)
        return connection.agent.abilities if connection else None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Ids of recordings that found no room in the plan."""
        return self._planned.left_out

    def why_left_out(self, recording: str) -> str:
        """Why agents are not told of the recording of an id, and what a person can do; or empty."""
        if recording not in self._left_out:
            return ""
        figures, bounds = self.figures, self.bounds_of_all.plan
        return (
            f"agents have no room for it: their plan has {figures.plan_recordings} recordings"
            f" ({figures.plan_bytes} bytes) of at most {bounds.recordings} ({bounds.bytes} bytes); it is"
            " recorded as soon as there is room: delete recordings that are done with"
        )

    # --- Surroundings of its connections

    @property
    def plan(self) -> bytes:
        """As Surroundings.plan."""
        return self._plan

    @property
    def namespaces(self) -> Mapping[str, str]:
        """As Surroundings.namespaces."""
        return self._namespaces

    @property
    def closing(self) -> frozenset[str]:
        """As Surroundings.closing."""
        return self._closing

    # --- recordings

    async def _follow(self) -> None:
        while True:
            await self._recordings_came.wait()
            self._recordings_came.clear()
            if self._platform.ready:
                await self._take_recordings()

    async def _take_recordings(self) -> None:
        stored = await self._store.recordings()
        asked, refused = self._platform.recordings(), self._platform.refused()
        # what was deleted takes late reports until it is forgotten; what is refused now, of known containers
        self._namespaces = {
            **{name: each.recording.name.namespace for name, each in stored.items()},
            **{name: each.name.namespace for name, each in asked.items()},
        }
        self._closing = frozenset(refused) - frozenset(asked)
        new = planned(asked.values(), self.bounds_of_all.plan, self._planned.ids)
        left_out = frozenset(new.left_out)
        first = not self.ready.is_set()
        changed = first or new.message.revision != self._planned.message.revision
        if left_out - self._left_out:
            log.warning(
                "%d recordings have no room in the plan and wait for others to end", len(new.left_out)
            )
        moved = left_out ^ self._left_out
        self._planned, self._left_out = new, left_out
        self.figures.left_out = len(new.left_out)
        self.records.changed(None)
        if changed:
            self._publish()
        if moved:  # their status says so
            self._changed(moved)

    def _publish(self) -> None:
        message = self._planned.message
        self._plan = pb.CollectorMessage(plan=message).SerializeToString()
        figures = self.figures
        figures.plan_revision, figures.plan_bytes = message.revision, len(self._plan)
        figures.plan_recordings = len(message.recordings)
        log.info("plan %s: %d recordings", message.revision, len(message.recordings))
        self.ready.set()
        for each in self._connections.values():
            each.send_plan(message.revision)

    def _stored(self, recordings: frozenset[str]) -> None:
        self._changed(recordings)
        self.records.changed()

    # --- agents

    async def Connect(self, requests: Any, context: Any) -> None:  # noqa: N802 -- named as the RPC
        """As the proto says, in bytes."""
        ended = "failed"
        try:
            await self._connect(context)
            ended = "by_agent"
        except RecorderError as error:
            ended = error.code.lower()
            raise
        except asyncio.CancelledError:
            ended = "by_agent"
            raise
        finally:
            self.figures.ended[ended] += 1

    async def _connect(self, context: Any) -> None:
        if self._stopping:
            raise self._stopping
        peer = peer_of(context)
        node = "" if peer.local else self._node_names.node_of(peer)
        hello = await first_message(context, self.bounds.hello_seconds)
        agent = _agent(hello, peer, node)
        connection = self._begin(agent, Connection(agent, context, self, hello.plan_revision))
        del hello
        ending = self._end_in_time(connection, certificate_of(context))
        try:
            if self.ready.is_set():
                connection.send_plan(self._planned.message.revision)
            await connection.serve()
        finally:
            if ending:
                ending.cancel()
            if self._connections.get(agent.node) is connection:
                del self._connections[agent.node]
            self.figures.agents = len(self._connections)

    def _end_in_time(self, connection: Connection, certificate: bytes) -> asyncio.TimerHandle | None:
        """Its agent has another certificate by then, and connects again with that one."""
        if self.certificate_ends is None or not certificate:
            return None
        left = self.certificate_ends(certificate) - time.time()
        over = Unreachable("the certificate of this stream has ended: connect again with a new one")
        return asyncio.get_running_loop().call_later(max(0.0, left), connection.end, over)

    def _begin(self, agent: ConnectedAgent, connection: Connection) -> Connection:
        old = self._connections.get(agent.node)
        if old:
            # its agent was started anew, or lost the connection without a word
            old.end(Unreachable("another stream of this node has taken the place of this one"))
        elif len(self._connections) >= self.bounds_of_all.agents:
            raise LimitReached(
                f"{len(self._connections)} agents are connected, the most that is allowed; raise the bound"
            )
        self._connections[agent.node] = connection
        self.figures.streams += 1
        self.figures.agents = len(self._connections)
        return connection

    # --- people

    async def GetRecords(  # noqa: N802 -- named as the RPC
        self, request: pb.GetRecordsRequest, context: Any
    ) -> AsyncIterator[pb.GetRecordsResponse]:
        """As the proto says: what the caller may read."""
        async for message in self.records.get(request.filter, await self._viewer(context)):
            yield message

    async def WatchRecords(  # noqa: N802 -- named as the RPC
        self, request: pb.WatchRecordsRequest, context: Any
    ) -> AsyncIterator[pb.WatchRecordsResponse]:
        """As the proto says: what the caller may read."""
        async for message in self.records.watch(request.filter, await self._viewer(context)):
            yield message

    async def _viewer(self, context: Any) -> Viewer:
        if peer_of(context).local:
            return ROOT
        return await self.reviews.viewer(token_of(context.invocation_metadata()))


def _agent(hello: pb.Hello, peer: Peer, node: str) -> ConnectedAgent:
    """Who it is; `node` is its certificate's, empty for one of this machine, which is trusted to say it.

    AccessDenied for another node's name, InvalidRequest for what is none.
    """
    if node and hello.node != node:
        raise AccessDenied(
            f"the agent says that it is of the node {shown(hello.node)}; its certificate is for {shown(node)}"
        )
    if not (is_subdomain(hello.node) or (peer.local and _LOCAL_NODE.fullmatch(hello.node))):
        raise InvalidRequest(f"{shown(hello.node)} is no node's name")
    words = {
        name: getattr(hello, name)
        for name in ("boot_id", "recorder_version", "kernel_release", "machine", "loader")
    }
    runtimes = tuple(f"{each.name} {each.version}".strip() for each in hello.runtimes[:MAX_RUNTIMES])
    for text in (*words.values(), *runtimes):
        if not _WORD.fullmatch(text):
            raise InvalidRequest(f"hello has {shown(text)}; expected are at most 256 characters of ASCII")
    return ConnectedAgent(
        hello.node, **words, runtimes=runtimes, local=peer.local, abilities=abilities_of(hello)
    )
