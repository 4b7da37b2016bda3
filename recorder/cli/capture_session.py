"""One capture, over as many streams as it takes: lost streams, an agent that restarts, the orderly end.

What was seen is joined, so a stream that breaks loses nothing; what the agent could not
say before it was lost for good is counted (`agent_lost`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

from recorder.model.errors import Interrupted, RecorderError, TimedOut, Unreachable
from recorder.model.ledger import Ledger
from recorder.model.record import Record, Source
from recorder.model.wire import from_message
from recorder.rpc.v1 import agent_pb2 as pb

SILENT_SECONDS = 30.0
"""A stream that said nothing for this time is dead: an agent says each few seconds that it lives."""
END_SECONDS = 5.0
"""The agent's time to say its last word after the capture was ended from here."""
SLACK_SECONDS = 1.0
"""After --duration by our clock, for an agent that ends the capture by its own."""
FIRST_BACKOFF, LAST_BACKOFF = 0.2, 5.0
"""Seconds between attempts to reconnect: doubled each time, less up to half at random."""

Lost: TypeAlias = Unreachable | TimedOut


class Connection(Protocol):
    """A way to the agent. Raises Unreachable or TimedOut if the agent is lost, or another RecorderError."""

    def capture(self, request: pb.CaptureRequest) -> AsyncIterator[pb.CaptureResponse]:
        """One stream."""

    async def close(self) -> None:
        """May be repeated."""


class Display(Protocol):
    """Who shows what goes on."""

    def update(self, record: Record, selected: int) -> None:
        """A snapshot came: all that is known, and how many containers are recorded now."""

    def note(self, text: str) -> None:
        """One line for a person."""


class CaptureSession:
    """Runs a capture to its end. `record` is what was seen so far, at any time."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        request: pb.CaptureRequest,
        display: Display,
        *,
        reconnect_for: float,
    ) -> None:
        self.record = Record()
        self.final = False
        self._connect = connect
        self._asked = request
        self._display = display
        self._reconnect_for = reconnect_for
        self._ending = asyncio.Event()
        self._abandoned = asyncio.Event()
        self._end_by = 0.0
        self._patient = False
        self._started = False
        self._lost_at: float | None = None
        self._attempts = 0
        self._begun_at = 0.0
        self._forgotten = 0
        self._last_sources: frozenset[Source] = frozenset()

    def end(self) -> None:
        """Ends the capture: asks the agent for its last word. A second time: without waiting for it."""
        if self._ending.is_set():
            self._abandoned.set()
        else:
            self._end_by = asyncio.get_running_loop().time() + END_SECONDS
            self._ending.set()

    async def run(self) -> None:
        """Until the capture is over, by the agent's word (`final`) or by `end`.

        Raises Unreachable (or TimedOut) if the agent cannot be reached, or was lost for longer
        than `reconnect_for`; Interrupted if it was ended before it began; another
        RecorderError if the agent refuses.
        """
        while not self.final:
            ending = self._ending.is_set()
            lost: Lost | None = None
            try:
                await self._attempt(ending)
            except (Unreachable, TimedOut) as error:
                lost = error
            if self.final or (ending and self._over() and not (lost and self._patient)):
                return
            if self._ending.is_set() and not ending:
                if not self._started:
                    raise Interrupted("ended before the agent had begun the capture")
                continue  # at once: ask for the last word
            await self._wait_to_reconnect(lost or Unreachable("the stream ended before the capture"))

    def result(self) -> Record:
        """What was seen; with the loss `agent_lost` wherever the agent's last word is missing."""
        record = self.record
        if self.final and not self._forgotten:
            return record
        cut = {
            each.source
            for each in record.observations
            if not each.ended and not (self.final and each.source in self._last_sources)
        }
        if self._forgotten or not cut:
            cut = {each.source for each in record.observations}
        count = Ledger({"agent_lost": max(1, self._forgotten)})
        return Record(
            tuple(
                replace(each, ledger=each.ledger + count) if each.source in cut else each
                for each in record.observations
            )
        )

    def _over(self) -> bool:
        return self._abandoned.is_set() or asyncio.get_running_loop().time() >= self._end_by

    async def _attempt(self, ending: bool) -> None:
        """One stream, until it ends or we end it; the last one is given until `_end_by`."""
        stop = self._abandoned if ending else self._ending
        limit = max(0.0, self._end_by - asyncio.get_running_loop().time()) if ending else None
        reader, stopped = asyncio.create_task(self._read(ending)), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reader, stopped}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
        finally:
            for task in (reader, stopped):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, RecorderError):
                    await task

    async def _read(self, ending: bool) -> None:
        connection = self._connect()
        request = pb.CaptureRequest()
        request.CopyFrom(self._asked)
        if ending:
            # A capture's duration counts from its beginning: this one is over.
            request.duration.FromMilliseconds(1)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SILENT_SECONDS) as limit:
                async for response in connection.capture(request):
                    self._take(response)
                    # After its last word the agent ends the stream: it knows then that we have it.
                    limit.reschedule(loop.time() + (1 if self.final else SILENT_SECONDS))
        except RecorderError:
            if not self.final:
                raise
        except TimeoutError:
            if self.final:
                return
            raise Unreachable("the agent says nothing any more") from None
        finally:
            await connection.close()

    def _take(self, response: pb.CaptureResponse) -> None:
        match response.WhichOneof("event"):
            case "started":
                self._begin(response.started.resumed)
            case "snapshot":
                self._alive()
                snapshot = from_message(response.snapshot.record)
                self.record = self.record.join(snapshot)
                self.final = response.snapshot.final
                self._last_sources = frozenset(each.source for each in snapshot.observations)
                self._display.update(self.record, response.snapshot.selected)
            case "keep_alive":
                self._alive()

    def _alive(self) -> None:
        self._lost_at = None
        if asyncio.get_running_loop().time() - self._begun_at > LAST_BACKOFF:
            self._attempts = 0  # not of an agent that comes and goes all the time

    def _begin(self, resumed: bool) -> None:
        loop = asyncio.get_running_loop()
        self._begun_at = loop.time()
        if self._lost_at is not None:
            seconds = loop.time() - self._lost_at
            self._display.note(f"found the agent again after {seconds:.1f} s")
            self._end_by = max(self._end_by, loop.time() + END_SECONDS) if self._patient else self._end_by
        if not self._started:
            self._started = True
            if self._asked.HasField("duration"):
                duration = self._asked.duration.ToTimedelta().total_seconds()
                loop.call_later(duration + SLACK_SECONDS, self._duration_is_over)
        elif not resumed:
            self._forgotten += 1
            self._display.note("the agent has forgotten the capture: calls in between may be missing")

    def _duration_is_over(self) -> None:
        if not self._ending.is_set():
            self._patient = True  # nobody waits at the keyboard: a lost agent is given its time to return
            self.end()

    async def _wait_to_reconnect(self, error: Lost) -> None:
        """Before the next attempt. Raises the error if there shall be none."""
        now = asyncio.get_running_loop().time()
        if not self._started:
            raise error
        if self._lost_at is None:
            self._lost_at = now
            self._display.note(
                f"lost the agent; trying to find it again for {self._reconnect_for:g} s ({error})"
            )
        left = self._lost_at + self._reconnect_for - now
        if left <= 0:
            raise Unreachable(
                f"lost the agent for more than {self._reconnect_for:g} s: {error}; see its log, or wait "
                "longer with --reconnect-for"
            )
        longest = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._attempts, 10))
        delay = min(longest * random.uniform(0.5, 1), left)  # noqa: S311 - not a secret
        self._attempts += 1
        stop = self._ending
        if self._ending.is_set():
            self._end_by = max(self._end_by, now + left) if self._patient else self._end_by
            stop, delay = self._abandoned, min(delay, 0.5, max(0.0, self._end_by - now))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
