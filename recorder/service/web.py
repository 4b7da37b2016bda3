"""Pages for machines by HTTP/1.1: probes (no body, plain), and metrics (TLS, or plain on loopback).

It knows GET and HEAD of fixed paths, answers one request for each connection, and
reads nothing of a request but its first line and, where tokens count, the token. What
clients can cost:

- A connection has `seconds` in all: for the handshake, the request and the answer.
- A request's head has at most `head_bytes` (431 beyond it); a body is not read.
- There are at most `connections`. With one more the oldest is dropped, so that clients
  that are slow on purpose do not keep out a probe, which takes milliseconds.
- An answer is made when it is asked for, and goes with its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recorder.model.errors import AddressInUse, InvalidSettings, PlatformUnreachable
from recorder.rpc.address import Address
from recorder.rpc.peer import Peer, peer_of_certificate
from recorder.rpc.tls import HttpTls, TlsFiles

__all__ = [
    "METRICS_TYPE",
    "Allows",
    "Answer",
    "Client",
    "WebLimits",
    "WebServer",
    "metrics_server",
    "probe_server",
]

log = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""

_PHRASES: Mapping[int, str] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,255}) HTTP/1\.[01]\r\n")
_AUTHORIZATION = re.compile(rb"\r\nauthorization:[ \t]*bearer[ \t]+([!-~]{1,16384})[ \t]*\r\n", re.IGNORECASE)
_BACKLOG = 128
"""Connections that the kernel holds until they are accepted; beyond it a probe waits for its second SYN."""
_LEFTOVER_BYTES = 64 << 10
_LEFTOVER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status with a body, which may be empty."""

    status: int
    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the names of the certificate, if there is one, and the token (RFC 6750, 2.1), or empty."""

    peer: Peer
    token: str = field(default="", repr=False)


Page = Callable[[], Answer | Awaitable[Answer]]
Allows = Callable[[Client], Awaitable[bool]]
"""Whether a client may see the pages. PlatformUnreachable: it cannot be said now."""


@dataclass(frozen=True, slots=True)
class WebLimits:
    """What clients can cost at most."""

    connections: int = 32
    head_bytes: int = 8 << 10
    seconds: float = 5.0


class WebServer:
    """Serves `pages` (path: what makes the answer, in the event loop) on one address.

    With `tls`, `allows` decides about each request; a client needs a certificate of the files' CA,
    with `tokens` that or a token. `dropped` counts connections that made room for newer ones.
    """

    def __init__(
        self,
        pages: Mapping[str, Page],
        address: Address,
        *,
        tls: TlsFiles | None = None,
        allows: Allows | None = None,
        tokens: bool = False,
        limits: WebLimits | None = None,
    ) -> None:
        self.port = address.port
        self.dropped = 0
        self._pages = pages
        self._address = address
        self._tls = HttpTls(tls, optional=tokens) if tls else None
        self._allows = allows or _nobody
        self._tokens = tokens
        self._limits = limits or WebLimits()
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._open: dict[asyncio.Task[None], None] = {}

    @property
    def open(self) -> int:
        """Connections that stand."""
        return len(self._open)

    async def start(self) -> None:
        """Listen, and serve until `stop`. Raises AddressInUse."""
        try:
            self._socket = await _listen(self._address)
        except OSError as error:
            raise AddressInUse(
                f"cannot listen on {self._address}: {error.strerror or error}; give another address, or see "
                f"who has it: ss -ltnp sport = :{self._address.port}"
            ) from error
        self.port = self._socket.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._socket))

    async def stop(self) -> None:
        """Drop all connections, and listen no more. May be repeated."""
        tasks = [*([self._accepting] if self._accepting else []), *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket:
            self._socket.close()
        self._accepting = self._socket = None

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor is free, or the client is gone already
                log.warning("%s: a connection was not accepted: %s", self._address, error.strerror)
                await asyncio.sleep(0.1)
                continue
            if len(self._open) >= self._limits.connections:
                oldest = next(iter(self._open))
                del self._open[oldest]
                oldest.cancel()
                self.dropped += 1
            task = asyncio.create_task(self._serve(connection))
            self._open[task] = None
            task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _serve(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=self._limits.head_bytes)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.WriteTransport | None = None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.seconds):
                made, _ = await loop.connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=self._tls.context() if self._tls else None,
                    ssl_handshake_timeout=self._limits.seconds if self._tls else None,
                )
                transport = made
                transport.set_write_buffer_limits(high=0)  # drain waits for the whole answer
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                await self._answer(reader, writer)
        except (TimeoutError, OSError, EOFError) as error:
            # EOFError: the client went before its request was whole; OSError: TLS's, too
            log.info("a client of %s was dropped: %s", self._address, _reason(error))
        finally:
            if transport:
                transport.abort()
            connection.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, answer = await self._respond(reader, writer)
        head = [
            f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}",
            f"Content-Length: {len(answer.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if answer.body:
            head += [f"Content-Type: {answer.content_type}", "X-Content-Type-Options: nosniff"]
        if answer.status == 405:
            head.append("Allow: GET, HEAD")
        if answer.status == 401:
            head.append("WWW-Authenticate: Bearer")
        writer.write("\r\n".join([*head, "", ""]).encode() + (b"" if method == "HEAD" else answer.body))
        await writer.drain()
        await _finish(reader, writer)

    async def _respond(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, Answer]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return "", Answer(431)
        line = _REQUEST_LINE.match(head)
        if line is None:
            return "", Answer(400)
        method, path = line[1].decode(), line[2].decode().partition("?")[0]
        refused = await self._refused(writer, head)
        return method, refused or await self._page(method, path)

    async def _refused(self, writer: asyncio.StreamWriter, head: bytes) -> Answer | None:
        if self._tls is None:
            return None
        peer = peer_of_certificate(writer.get_extra_info("peercert"))
        found = _AUTHORIZATION.search(head) if self._tokens else None
        client = Client(peer, found[1].decode() if found else "")
        if self._tokens and not client.token and not peer.names:
            return Answer(401)
        try:
            if await self._allows(client):
                return None
        except PlatformUnreachable as error:
            log.warning("whether a client of %s may see it cannot be said: %s", self._address, error)
            return Answer(503)
        log.info("%s was refused at %s", "a token" if client.token else peer, self._address)
        return Answer(403)

    async def _page(self, method: str, path: str) -> Answer:
        if path not in self._pages:
            return Answer(404)
        if method not in ("GET", "HEAD"):
            return Answer(405)
        try:
            answer = self._pages[path]()
            return answer if isinstance(answer, Answer) else await answer
        except Exception:
            log.exception("the page %s failed", path)
            return Answer(500)


async def _nobody(client: Client) -> bool:
    return False


async def _finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A socket that is closed with data unread sends a reset, which can overtake the answer (RFC 9112, 9.6).
    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_LEFTOVER_SECONDS):
            left = _LEFTOVER_BYTES
            while left > 0 and (data := await reader.read(left)):
                left -= len(data)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _listen(address: Address) -> socket.socket:
    family, _, _, _, where = (await _resolved(address))[0]
    listening = socket.create_server(where[:2], family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


async def _resolved(address: Address) -> list[Any]:
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or type(error).__name__)


def probe_server(
    address: str, *, healthy: Callable[[], bool], ready: Callable[[], bool], limits: WebLimits | None = None
) -> WebServer:
    """/healthz and /readyz without a body: 200, or 503 for no. Plain, since they say nothing else."""
    pages: dict[str, Page] = {
        "/healthz": lambda: Answer(200 if healthy() else 503),
        "/readyz": lambda: Answer(200 if ready() else 503),
    }
    return WebServer(pages, Address.parse_tcp(address), limits=limits)


def metrics_server(
    address: str,
    metrics: Callable[[], bytes | Awaitable[bytes]],
    *,
    tls: TlsFiles | None = None,
    allows: Allows | None = None,
    tokens: bool = False,
    content_type: str = METRICS_TYPE,
    limits: WebLimits | None = None,
) -> WebServer:
    """/metrics for whom `allows` allows; without `tls` for all, on loopback alone (InvalidSettings)."""
    where = Address.parse_tcp(address)
    if where.host == "localhost":  # which /etc/hosts may say is another machine
        where = Address(host="127.0.0.1", port=where.port)
    if tls is None and not _is_loopback(where.host):
        raise InvalidSettings(
            f"metrics on {where} need TLS (a certificate, its key and the CA of the clients' certificates); "
            "without it they are served on loopback alone: 127.0.0.1 or [::1]"
        )

    async def page() -> Answer:
        made = metrics()
        return Answer(200, made if isinstance(made, bytes) else await made, content_type)

    pages = {"/metrics": page}
    return WebServer(pages, where, tls=tls, allows=allows, tokens=tokens, limits=limits)


def _is_loopback(host: str) -> bool:
    # numbers alone: what a name stands for changes
    try:
        return socket.inet_pton(socket.AF_INET, host)[0] == 127
    except OSError:
        return host == "::1"
