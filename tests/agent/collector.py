"""A small collector: takes reports, acknowledges, sends plans, and can behave badly.

In a test it runs in a thread of its own: `with collector() as server`. As a process, to be
killed:

    python -m tests.agent.collector ADDRESS [--plan FILE.json] [--store FILE.json]

ADDRESS as gRPC takes it; the plan is a message Plan in JSON, read again at SIGHUP; the
store is the record so far, written anew after each report and before it is acknowledged.
"""

import argparse
import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format

from recorder.model.record import Observation, Record, Source
from recorder.model.wire import from_json, from_observation, to_json
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc

WAIT = 30.0
"""Seconds until a test that waits has failed."""

OPTIONS = (
    ("grpc.so_reuseport", 0),
    # agents ping more often than gRPC allows by default
    ("grpc.http2.min_ping_interval_without_data_ms", 100),
    ("grpc.http2.max_ping_strikes", 0),
)


@dataclass
class Behaviour:
    """How it treats its agents; may be changed while it runs."""

    acknowledges: bool = True
    acknowledge_after: float = 0.0  # seconds
    read_after: float = 0.0  # seconds before each message is read: slow
    refuses: grpc.StatusCode | None = None  # each stream, at once
    will_not_store: Callable[[pb.Report], str] = lambda report: ""  # why; empty: it does
    drops_after: int | None = None  # reports of a stream, not acknowledged; then the stream ends
    says: Sequence[pb.CollectorMessage] = ()  # right after hello, whatever it means


@dataclass
class Collector:
    """`stored` is what it would still know after a restart; `hellos` and `reports` are what came."""

    address: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    plan: pb.Plan | None = None
    credentials: grpc.ServerCredentials | None = None
    hellos: list[pb.Hello] = field(default_factory=list)
    reports: list[pb.Report] = field(default_factory=list)
    stored: dict[Source, Observation] = field(default_factory=dict)
    recordings: dict[Source, set[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # why it is not recorded, by container id
    streams: int = 0
    port: int = 0
    on_stored: Callable[[], None] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _queues: "set[asyncio.Queue[pb.CollectorMessage]]" = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server: grpc.aio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    # for tests

    @property
    def record(self) -> Record:
        """All that is stored."""
        return Record(tuple(self.stored.values()))

    def start(self) -> None:
        """Serve; on a port of its choice where the address ends with :0, and on the same one ever after."""
        self._do(self._start())

    def stop(self) -> None:
        """At once: streams break."""
        if self._server:
            self._do(self._server.stop(None))
            self._server = None

    def restart(self) -> None:
        """What is stored stays."""
        self.stop()
        self.start()

    def forget(self) -> None:
        """As a collector that lost its store."""
        with self._changed:
            self.stored.clear()
            self.recordings.clear()
            self.refused.clear()

    def send(self, plan: pb.Plan) -> None:
        """The plan from now on: to agents that are connected, and to those that come."""

        self.plan = plan
        self.say(pb.CollectorMessage(plan=plan))

    def say(self, message: pb.CollectorMessage) -> None:
        """To all agents that are connected."""

        async def spread() -> None:
            for queue in self._queues:
                queue.put_nowait(message)

        self._do(spread())

    def wait_for(self, what: Callable[["Collector"], Any], seconds: float = WAIT) -> None:
        """Until `what(collector)` is true."""
        with self._changed:
            assert self._changed.wait_for(lambda: what(self), seconds), (
                f"not within {seconds} s: {len(self.hellos)} hellos, {len(self.reports)} reports, "
                f"{len(self.stored)} stored"
            )

    def close(self) -> None:
        """For good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)

    # in the loop's thread

    def _do(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT)

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        collector_pb2_grpc.add_CollectorServicer_to_server(_Servicer(self), self._server)
        if self.credentials:
            self.port = self._server.add_secure_port(self.address, self.credentials)
        else:
            self.port = self._server.add_insecure_port(self.address)
        if self.address.endswith(":0"):
            self.address = f"{self.address.removesuffix(':0')}:{self.port}"
        await self._server.start()

    async def serve(self, messages: Any, context: Any) -> None:
        """One stream."""
        behaviour = self.behaviour
        self.streams += 1
        if behaviour.refuses:
            await context.abort(behaviour.refuses, "refused by the test")
        queue: asyncio.Queue[pb.CollectorMessage] = asyncio.Queue()
        self._queues.add(queue)
        writer = asyncio.create_task(self._write(queue, context))
        try:
            count = 0
            async for message in messages:
                await asyncio.sleep(behaviour.read_after)
                if message.HasField("hello"):
                    self._take_hello(message.hello, queue)
                    continue
                count += 1
                self._take(message.report, acknowledged=False)
                if behaviour.drops_after is not None and count >= behaviour.drops_after:
                    return
                if self.behaviour.acknowledges:
                    refused = self.behaviour.will_not_store(message.report)
                    if not refused:
                        self._take(message.report, acknowledged=True)
                    await asyncio.sleep(behaviour.acknowledge_after)
                    acknowledgement = pb.Acknowledgement(sequence=message.report.sequence, refused=refused)
                    queue.put_nowait(pb.CollectorMessage(acknowledgement=acknowledgement))
        finally:
            self._queues.discard(queue)
            writer.cancel()

    async def _write(self, queue: "asyncio.Queue[pb.CollectorMessage]", context: Any) -> None:
        while True:
            await context.write(await queue.get())

    def _take_hello(self, hello: pb.Hello, queue: "asyncio.Queue[pb.CollectorMessage]") -> None:
        with self._changed:
            self.hellos.append(hello)
            self._changed.notify_all()
        for message in self.behaviour.says:
            queue.put_nowait(message)
        if self.plan is not None and self.plan.revision != hello.plan_revision:
            queue.put_nowait(pb.CollectorMessage(plan=self.plan))

    def _take(self, report: pb.Report, *, acknowledged: bool) -> None:
        with self._changed:
            if not acknowledged:
                self.reports.append(report)
            elif report.not_recorded:
                self.refused[report.observation.identity.container_id] = report.not_recorded
            else:
                new = from_observation(report.observation)
                known = self.stored.get(new.source)
                self.stored[new.source] = known.join(new) if known else new
                self.recordings.setdefault(new.source, set()).update(report.recordings)
                if self.on_stored:
                    self.on_stored()
            self._changed.notify_all()


class _Servicer(collector_pb2_grpc.CollectorServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Connect(self, request_iterator: Any, context: Any) -> None:
        await self._collector.serve(request_iterator, context)


@contextlib.contextmanager
def collector(address: str = "127.0.0.1:0", **settings: Any) -> Iterator[Collector]:
    """A collector that serves; closed at the end."""
    made = Collector(address, **settings)
    try:
        made.start()
        yield made
    finally:
        made.close()


def _read_plan(path: Path | None) -> pb.Plan | None:
    return json_format.Parse(path.read_text(), pb.Plan()) if path else None


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    watched = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    made = Collector(options.address, plan=_read_plan(options.plan))
    if options.store:
        if options.store.exists():
            made.stored = {each.source: each for each in from_json(options.store.read_text()).observations}

        def write() -> None:
            new = options.store.with_suffix(".new")
            new.write_text(to_json(made.record))
            new.rename(options.store)

        made.on_stored = write
    with contextlib.closing(made) as serving:
        serving.start()
        print(f"serving on {serving.address}", flush=True)
        while signal.sigwait(watched) == signal.SIGHUP:
            plan = _read_plan(options.plan)
            if plan is not None:
                serving.send(plan)


if __name__ == "__main__":
    main()
