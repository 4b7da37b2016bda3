"""What surrounds each call on the server: the bounds of its peer, and failures as status.

A service raises RecorderErrors; their class and message reach the client. Any other
exception is a fault of the program: logged with its traceback, and to the client
INTERNAL without its text, which may have what the client must not see.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from recorder.model.errors import InternalError, InvalidRequest, LimitReached, RecorderError
from recorder.rpc.limits import Limits
from recorder.rpc.peer import Peer, peer_of
from recorder.rpc.status import abort

__all__ = ["Calls"]

log = logging.getLogger(__name__)

Behaviour = Callable[[Any, Any], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class RequestTooLarge(LimitReached):
    """Beyond `request_bytes`."""


class Calls(grpc.aio.ServerInterceptor):
    """Bounds the calls of one peer, and those of all by TCP; turns failures into status.

    A call counts from its beginning: a client that opens it and does not send its
    request holds a place, for `request_seconds` at most. `refused` counts calls that found no room.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[Peer] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self.refused = 0
        self.refused_requests = 0

    @property
    def open(self) -> int:
        """Calls that run now."""
        return self._open.total()

    async def ended(self) -> None:
        """Return when no call runs."""
        await self._idle.wait()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the method's handler with its behaviour wrapped; None if there is no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = _Method(handler_call_details.method, handler, self._limits)
        # As a method that streams requests it is called before the request is there, on
        # the wire it is the same. Serialised in `_Method`: gRPC would log a traceback for
        # a damaged request, and hold on to each message.
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make(
            partial(self._call, method),
            request_deserializer=handler.request_deserializer if handler.request_streaming else None,
            response_serializer=None if method.generates else handler.response_serializer,
        )

    async def _call(self, method: _Method, requests: Any, context: Any) -> Any:
        failure: RecorderError
        peer = peer_of(context)
        try:
            with self._counted(peer):
                return await method.run(requests, context)
        except grpc.aio.AbortError:
            raise
        except RecorderError as error:
            self.refused_requests += isinstance(error, RequestTooLarge)
            log.info("%s for %s: %s: %s", method.name, peer, error.code, error)
            failure = error
        except Exception:
            log.exception("%s failed; its client was told INTERNAL", method.name)
            failure = InternalError("a fault of this program; its log has the details")
        with suppress(grpc.aio.InternalError):  # the client is gone already
            return await abort(context, failure)
        # A normal end would have gRPC send a status over what is still being sent, and log that it cannot.
        raise asyncio.CancelledError("the client is gone")

    @contextmanager
    def _counted(self, peer: Peer) -> Iterator[None]:
        self._check(peer)
        self._open[peer] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]
            if not self._open:
                self._idle.set()

    def _check(self, peer: Peer) -> None:
        if not peer.local and self._open[peer] >= self._limits.calls_of_peer:
            who, most = f"{peer} has", self._limits.calls_of_peer
        elif self.open >= self._limits.most_calls:
            who, most = "clients have", self._limits.most_calls
        elif not peer.local and self.open - self._open[_LOCAL] >= self._limits.remote_calls:
            who, most = "clients by TCP have", self._limits.remote_calls
        else:
            return
        self.refused += 1
        raise LimitReached(
            f"{who} {most} calls open already, the most that is allowed; "
            "end one of them, or raise the bound in the settings"
        )


_LOCAL = Peer(local=True)


class _Method:
    """A method as its service has it, called with a stream of requests."""

    def __init__(self, name: str, handler: Any, limits: Limits) -> None:
        self.name = name
        self.handler = handler
        self.behaviour = _behaviour(handler)
        self.generates = inspect.isasyncgenfunction(self.behaviour)
        """Whether it gives its messages as a generator, else as a value or by `context.write`."""
        self._seconds = limits.request_seconds
        self._write_seconds = limits.write_seconds
        self._bytes = limits.request_bytes or limits.receive_bytes

    async def run(self, requests: Any, context: Any) -> Any:
        request = requests if self.handler.request_streaming else await self._request(requests)
        if not self.handler.response_streaming:
            return await self.behaviour(request, context)
        try:
            if not self.generates:
                return await self.behaviour(request, context)
            # closed here, not when it is collected: what it holds for this client ends with the call
            async with aclosing(self.behaviour(request, context)) as messages:
                async for message in messages:
                    content = self.handler.response_serializer(message)
                    del message  # a client that does not read costs its bytes alone
                    await self._write(context, content)
        except grpc.aio.InternalError as error:
            # gRPC's way to say in a write that the client is gone already
            raise asyncio.CancelledError("the client is gone") from error
        return None

    async def _write(self, context: Any, content: bytes) -> None:
        try:
            async with asyncio.timeout(self._write_seconds):
                await context.write(content)
        except TimeoutError as error:
            raise LimitReached(
                f"the client has not read for {self._write_seconds:g} s, and its message takes the room of"
                " others; read faster, or ask for fewer snapshots"
            ) from error

    async def _request(self, requests: Any) -> Any:
        try:
            async with asyncio.timeout(self._seconds):
                content = await anext(aiter(requests))
            if len(content) > self._bytes:
                raise RequestTooLarge(
                    f"the request has {len(content)} bytes; at most {self._bytes} are taken"
                )
            return self.handler.request_deserializer(content)
        except TimeoutError as error:
            raise InvalidRequest(f"no request came within {self._seconds:g} s") from error
        except StopAsyncIteration as error:
            raise InvalidRequest("the call ended without a request") from error
        except DecodeError as error:
            raise InvalidRequest(f"the request is no message of this method: {error}") from error


def _behaviour(handler: Any) -> Behaviour:
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            found = handler.unary_unary
        case False, True:
            found = handler.unary_stream
        case True, False:
            found = handler.stream_unary
        case _:
            found = handler.stream_stream
    return cast("Behaviour", found)
