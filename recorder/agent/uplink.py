"""The uplink: the agent's end of the stream to its collector (`Collector.Connect`).

At most `window` reports are under way; further ones are made when the collector has
acknowledged. What was not acknowledged when a stream breaks is sent again in the next,
as one state for each source, as it is then. So an outage, a slow collector and one that
never acknowledges all cost the same: nothing but lateness.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio

from recorder.agent.outbox import Outbox, Part
from recorder.model.errors import RecorderError
from recorder.record.v1 import record_pb2
from recorder.rpc.v1 import agent_pb2, collector_pb2_grpc
from recorder.rpc.v1 import collector_pb2 as pb

log = logging.getLogger(__name__)

Options: TypeAlias = "tuple[tuple[str, int], ...]"
Credentials: TypeAlias = "Callable[[], grpc.ChannelCredentials | None]"

MAX_PROBLEM = 300
"""Characters of a collector's own words that are kept."""
MAX_REASONS = 100
"""Of refusals that are remembered, so that each is said once; the oldest goes."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The uplink's times, in seconds, and its window."""

    first_backoff: float = 0.5
    last_backoff: float = 60.0
    connect: float = 20.0  # to be connected
    acknowledge: float = 60.0  # for the oldest report under way, since it is that
    plan: float = 30.0  # for the core to take a plan
    keepalive: float = 20.0
    keepalive_timeout: float = 10.0
    window: int = 64

    def backoff(self, attempt: int, chance: float) -> float:
        """The wait before attempt 0, 1, ...: a tenth to all of a time that doubles, by `chance` (0 to 1).

        So much of it is left to chance since all agents of a cluster lose their collector at once.
        """
        longest = min(self.last_backoff, self.first_backoff * 2.0 ** min(attempt, 32))
        return longest * (0.1 + 0.9 * chance)


class _StreamFailed(Exception):  # noqa: N818 - never leaves this module
    """Why a stream is given up."""


class Uplink:
    """Run `run` as a task; `close` ends it in order.

    endpoint: HOST:PORT or unix:PATH. credentials: called for each connection, so that new
    certificate files are used; None is no TLS. hello: what to say first, as it is then.
    on_plan: takes each plan that comes, one after the other; a RecorderError refuses it.
    `sleep`, `chance` (0 to 1) and `clock` are for tests.
    """

    def __init__(
        self,
        endpoint: str,
        credentials: Credentials,
        hello: Callable[[], pb.Hello],
        outbox: Outbox,
        on_plan: Callable[[pb.Plan], Awaitable[None]],
        *,
        pace: Pace = Pace(),
        options: Options = (),
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._hello = hello
        self._outbox = outbox
        self._on_plan = on_plan
        self._pace = pace
        self._options = options
        self._sleep = sleep
        self._chance = chance
        self._clock = clock
        self._attempt = 0
        self._connected = False
        self._problem = ""
        self._reasons: dict[str, None] = {}  # of refusals that were said, the oldest first
        self._flushed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def status(self) -> agent_pb2.UplinkStatus:
        """For GetStatus; `spool_bytes` is not the uplink's, and 0."""
        return agent_pb2.UplinkStatus(
            collector=self._endpoint,
            connected=self._connected,
            unacknowledged=self._outbox.unacknowledged(),
            problem=self._problem,
        )

    async def run(self) -> None:
        """Connect, and connect again whenever the stream is lost, until cancelled."""
        self._task = asyncio.current_task()
        while True:
            begun = self._clock()
            try:
                await self._connect()
            except _StreamFailed as error:
                self._failed(str(error))
            except RecorderError as error:  # the credentials
                self._failed(f"{error.code}: {error}")
            finally:
                lived = self._connected and self._clock() - begun > self._pace.last_backoff
                self._connected = False
                self._outbox.rewind()
            if lived:
                self._attempt = 0
            delay = self._pace.backoff(self._attempt, self._chance())
            self._attempt += 1
            await self._sleep(delay)

    async def close(self, seconds: float) -> bool:
        """Wait at most `seconds` until all is acknowledged, then end `run`; whether it was.

        While the collector is away nothing is waited for: what it lacks is the next agent's.
        """
        whole = self._outbox.unacknowledged() == 0
        if self._connected and not whole:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._connected and self._outbox.unacknowledged():
                        self._flushed.clear()
                        await self._flushed.wait()
            whole = self._outbox.unacknowledged() == 0
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        return whole

    def _failed(self, problem: str) -> None:
        problem = _printable(problem)
        # Days without a collector shall not fill the log: a problem is said when it is a new one.
        if problem != self._problem:
            log.warning("uplink: %s: %s", self._endpoint, problem)
        self._problem = problem
        self._flushed.set()

    def _channel(self) -> grpc.aio.Channel:
        pace = self._pace
        options = (
            # a connection of its own: else gRPC's own backoff comes on top of ours
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            # a collector that is gone without a word (power, network) is noticed
            ("grpc.keepalive_time_ms", round(pace.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", round(pace.keepalive_timeout * 1000)),
            # by itself keepalive_timeout_ms leaves a ping its minute (grpc 1.85: the trace http2_ping
            # says "Set ping timeout timer of 60000ms")
            ("grpc.http2.ping_timeout_ms", round(pace.keepalive_timeout * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            *self._options,
        )
        credentials = self._credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(self._endpoint, options=options)
        return grpc.aio.secure_channel(self._endpoint, credentials, options=options)

    async def _connect(self) -> None:
        """One connection and stream, until it is lost. Raises _StreamFailed, or what `credentials` raises."""
        channel = self._channel()
        try:
            call = collector_pb2_grpc.CollectorStub(channel).Connect()  # type: ignore[no-untyped-call]
            try:
                async with asyncio.timeout(self._pace.connect):
                    await call.wait_for_connection()
                    await call.write(pb.AgentMessage(hello=self._hello()))
            except TimeoutError:
                raise _StreamFailed(f"no connection within {self._pace.connect:g} s") from None
            self._connected = True
            await _Stream(self, call).run()
        except grpc.aio.AioRpcError as error:
            raise _StreamFailed(f"{error.code().name}: {error.details()}") from error
        except asyncio.InvalidStateError:  # a write to a call that has ended
            raise _StreamFailed("the collector ended the stream") from None
        finally:
            await channel.close()

    def _progress(self) -> None:
        """The collector has answered a report: it works."""
        self._attempt = 0
        self._problem = ""
        self._flushed.set()

    def _refused(self, name: str, reason: str) -> None:
        """Said once for each reason: it may be the same for all containers of the node."""
        reason = _printable(reason)
        if reason in self._reasons:
            return
        if len(self._reasons) >= MAX_REASONS:
            del self._reasons[next(iter(self._reasons))]
        self._reasons[reason] = None
        log.error(
            "uplink: %s: the collector does not store what was seen of %s, and perhaps of others: %s",
            self._endpoint,
            _printable(name),
            reason,
        )


@dataclass(frozen=True, slots=True)
class _Sent:
    key: Hashable
    name: str
    time: float


class _Stream:
    """One stream that stands: who reads, who writes, and who looks that acknowledgements come."""

    def __init__(self, uplink: Uplink, call: Any) -> None:
        self._uplink = uplink
        self._outbox = uplink._outbox
        self._pace = uplink._pace
        self._call = call
        self._sequence = 0
        self._sent: dict[int, _Sent] = {}
        self._turn = 0.0  # when the oldest of them became that
        self._room = asyncio.Semaphore(self._pace.window)

    async def run(self) -> None:
        """Until the stream is lost. Raises _StreamFailed or AioRpcError."""
        tasks = [asyncio.create_task(work) for work in (self._read(), self._write(), self._watch())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            message = await self._call.read()
            if message is grpc.aio.EOF:
                details = await self._call.details()
                raise _StreamFailed(f"{(await self._call.code()).name}: {details or 'the stream has ended'}")
            match message.WhichOneof("message"):
                case "acknowledgement":
                    self._acknowledge(message.acknowledgement)
                case "plan":
                    await self._take(message.plan)
                case _:
                    log.debug("uplink: a message that this version does not know")

    def _acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        sequence = acknowledgement.sequence
        if not 0 < sequence <= self._sequence:
            raise _StreamFailed(f"acknowledges report {sequence}, and {self._sequence} were sent")
        oldest = next(iter(self._sent), None)
        sent = self._sent.pop(sequence, None)
        if sent:  # else said twice
            if sequence == oldest:
                self._turn = self._uplink._clock()
            if acknowledgement.refused:
                self._uplink._refused(sent.name, acknowledgement.refused)
                self._outbox.refused(sent.key)
            else:
                self._outbox.acknowledged(sent.key)
            self._room.release()
            self._uplink._progress()

    async def _take(self, plan: pb.Plan) -> None:
        try:
            async with asyncio.timeout(self._pace.plan):
                await self._uplink._on_plan(plan)
        except TimeoutError:
            raise _StreamFailed(f"a plan was not taken within {self._pace.plan:g} s") from None
        except RecorderError as error:
            self._uplink._failed(f"plan refused: {error.code}: {error}")

    async def _write(self) -> None:
        while True:
            await self._room.acquire()
            part = await self._outbox.next()
            self._sequence += 1
            name = _name(part.observation.identity)
            self._sent[self._sequence] = _Sent(part.key, name, self._uplink._clock())
            await self._call.write(pb.AgentMessage(report=_report(self._sequence, part)))

    async def _watch(self) -> None:
        """The oldest report has its time from when it became the oldest, not from when it was sent.

        While thousands of agents report at once a window may take minutes, a report after the other. Who
        gave up then would have to be connected anew and send it all again, and all would wait longer.
        """
        limit, clock = self._pace.acknowledge, self._uplink._clock
        while True:
            oldest = next(iter(self._sent.values()), None)
            left = max(oldest.time, self._turn) + limit - clock() if oldest else limit
            if left <= 0:
                raise _StreamFailed(f"a report was not acknowledged within {limit:g} s")
            await asyncio.sleep(left)


def _name(identity: record_pb2.Identity) -> str:
    return "/".join(filter(None, (identity.pod.namespace, identity.pod.name, identity.name)))


def _printable(text: str) -> str:
    """Somebody else's words, cut, without what a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in text[:MAX_PROBLEM])


def _report(sequence: int, part: Part) -> pb.Report:
    return pb.Report(
        sequence=sequence,
        recordings=part.recordings,
        observation=part.observation,
        not_recorded=part.not_recorded,
    )
