"""The client's side: a connection to an agent or a collector, whose failures say what to do."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc
import grpc.aio

from recorder.model.errors import (
    LimitReached,
    NotPermitted,
    RecorderError,
    TimedOut,
    Unreachable,
    Untrusted,
    UsageError,
)
from recorder.rpc.address import Address
from recorder.rpc.limits import Limits, channel_options
from recorder.rpc.status import failure_of
from recorder.rpc.tls import TlsFiles, channel_credentials, token_credentials

__all__ = ["DEADLINE_SECONDS", "Connection", "open_channel"]

DEADLINE_SECONDS = 10.0
"""For an answer, and for the first message of a stream."""

Answer = TypeVar("Answer")

# what BoringSSL and gRPC say when it was the handshake that failed
_OF_TLS = ("handshake", "ssl", "tls", "certificate", "verification", "x509")


def open_channel(
    address: Address,
    tls: TlsFiles | None = None,
    server_ca: Path | None = None,
    limits: Limits | None = None,
    token: str = "",
) -> grpc.aio.Channel:
    """A channel; it connects with its first call. UsageError if TLS files do not fit the kind of address.

    By TCP the client shows its certificate, or a token instead.
    """
    options = channel_options(limits or Limits())
    if address.path:
        if tls or server_ca or token:
            raise UsageError(
                f"{address} is a Unix socket and needs no certificates: leave them out, or give HOST:PORT"
            )
        # by a path gRPC would send it as :authority, escaped
        return grpc.aio.insecure_channel(
            address.grpc, options=[*options, ("grpc.default_authority", "localhost")]
        )
    if token and server_ca:
        return grpc.aio.secure_channel(address.grpc, token_credentials(token, server_ca), options=options)
    if not tls or not server_ca:
        raise UsageError(
            f"{address} is reached by TLS alone: give a certificate and its key, and the CA of the server"
        )
    return grpc.aio.secure_channel(address.grpc, channel_credentials(tls, server_ca), options=options)


class Connection:
    """A channel whose calls raise RecorderErrors; an asynchronous context manager.

    `who` is what answers there, for messages: the agent, the collector.
    """

    def __init__(
        self,
        address: Address,
        tls: TlsFiles | None = None,
        server_ca: Path | None = None,
        limits: Limits | None = None,
        *,
        token: str = "",
        who: str = "agent",
    ) -> None:
        self.address = address
        self.who = who
        self._token = bool(token)
        self.channel = open_channel(address, tls, server_ca, limits, token)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.channel.close()

    async def ask(
        self, method: Callable[..., Any], request: object, seconds: float = DEADLINE_SECONDS
    ) -> Any:
        """The answer to one request: `await connection.ask(stub.GetStatus, GetStatusRequest())`."""
        try:
            return await method(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise await self.failure(error, seconds) from error

    async def listen(
        self, method: Callable[..., Any], request: object, seconds: float = DEADLINE_SECONDS
    ) -> AsyncIterator[Any]:
        """The messages of a stream. `seconds` is for the first; after it keepalives find a dead peer.

        The call is cancelled when the generator is closed.
        """
        call = method(request)
        try:
            async with asyncio.timeout(seconds):
                message = await call.read()
            while message is not grpc.aio.EOF:
                yield message
                message = await call.read()
            # read() ends without an exception at any status
            if await call.code() is not grpc.StatusCode.OK:
                raise _error_of(call, await call.code(), await call.details(), await call.trailing_metadata())
        except TimeoutError as error:
            raise self._late(seconds) from error
        except grpc.aio.AioRpcError as error:
            raise await self.failure(error, seconds) from error
        finally:
            call.cancel()

    async def failure(self, error: grpc.aio.AioRpcError, seconds: float = DEADLINE_SECONDS) -> RecorderError:
        """What to raise for a call that failed: why, and what the person can do."""
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            if self.address.path:
                return await asyncio.to_thread(self._socket_failure, self.address.path, details)
            return self._tcp_failure(details)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._late(seconds)
        failure = failure_of(error)
        if isinstance(failure, LimitReached) and "larger than max" in details:
            return LimitReached(
                f"a message to or from the {self.who} at {self.address} is too large: {details}"
            )
        return failure

    def _late(self, seconds: float) -> TimedOut:
        return TimedOut(
            f"the {self.who} at {self.address} did not answer within {seconds:g} s: see its log, or try again"
        )

    def _socket_failure(self, path: Path, details: str) -> RecorderError:
        start = f"start it (recorder {self.who}, as root), or give another address"
        match _connects(path):
            case errno.ENOENT | errno.ENOTDIR:
                return Unreachable(f"no {self.who} is running: there is no socket {path}; {start}")
            case errno.ECONNREFUSED:
                return Unreachable(
                    f"no {self.who} is running: it ended without removing its socket {path}; {start}"
                )
            case errno.EACCES | errno.EPERM:
                return NotPermitted(
                    f"the {self.who}'s socket {path} is for root alone: run this as root (sudo)"
                )
            case 0:
                return Unreachable(
                    f"the {self.who} at {path} ended the connection, as it does when it stops or has too "
                    f"many of them: see its log, or try again ({details})"
                )
            case other:
                return Unreachable(
                    f"no connection to the {self.who} at {path}: {os.strerror(other)}; {start}"
                )

    def _tcp_failure(self, details: str) -> RecorderError:
        text = details.lower()
        if "refused" in text:
            return Unreachable(
                f"nobody listens on {self.address}: start the {self.who} there, or correct the address"
            )
        if "dns resolution" in text or "name resolution" in text or "domain name" in text:
            return Unreachable(f"there is no host {self.address.host}: correct the address ({details})")
        if any(word in text for word in _OF_TLS):
            if self._token:
                return Untrusted(
                    f"no TLS connection to {self.address}: its certificate must be signed by the CA that was "
                    f"given, be valid now and name {self.address.host} ({details})"
                )
            return Untrusted(
                f"no TLS connection to {self.address}: its certificate must be signed by the CA that was "
                f"given, be valid now and name {self.address.host}, and yours must be signed by the "
                f"{self.who}'s CA for clients ({details})"
            )
        if self._token:
            return Unreachable(
                f"the connection to {self.address} failed; see the {self.who}'s log, and whether this is its "
                f"port for tokens ({details})"
            )
        return Unreachable(
            f"the connection to {self.address} failed; if it ended at once, the {self.who} does not take "
            f"your certificate: it must be valid now and signed by its CA for clients ({details})"
        )


def _error_of(
    call: Any, code: grpc.StatusCode, details: str, trailing: grpc.aio.Metadata
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=details)


def _connects(path: Path) -> int:
    """The errno of connecting to it; 0: somebody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            return client.connect_ex(os.fspath(path))
        except OSError as error:  # the path is too long
            return error.errno or errno.EINVAL
