"""A gRPC server on a Unix socket, on TCP with mTLS, or both; health always, reflection when configured."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from recorder.model.errors import AddressInUse, InvalidSettings
from recorder.rpc.address import Address
from recorder.rpc.calls import Calls
from recorder.rpc.limits import Limits, server_options
from recorder.rpc.tls import TlsFiles, server_credentials
from recorder.rpc.unix_socket import UnixSocket

__all__ = ["Listening", "Server"]

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to serve. `tcp` (HOST:PORT; port 0: one that is free) needs `tls` with its `client_ca`.

    With `tokens` clients by TCP need no certificate: the service itself has to see who they are.
    """

    socket: Path | None = None
    tcp: str = ""
    tls: TlsFiles | None = None
    reflection: bool = False
    tokens: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.tcp and self.tls is None:
            raise InvalidSettings(
                f"serving on TCP ({self.tcp}) needs a certificate, its key and the CA of the clients' "
                "certificates; without TLS there is the Unix socket alone"
            )
        if not self.tcp and self.socket is None:
            raise InvalidSettings("there is nothing to serve on: give a Unix socket or a TCP address")


class Server:
    """Serves `services`: for each service's full name what adds its servicer to a grpc.aio server.

    `Server({"recorder.rpc.v1.Agent": partial(add_AgentServicer_to_server, servicer)}, listening)`.
    To be made in the event loop that serves. It is not healthy until `set_serving(True)`.
    """

    def __init__(
        self, services: Mapping[str, Callable[[grpc.aio.Server], None]], listening: Listening
    ) -> None:
        self.calls = Calls(listening.limits)
        self.tcp_port = 0
        self._listening = listening
        self._names = ("", *services)
        self._health = health.aio.HealthServicer()
        self._socket = UnixSocket(listening.socket) if listening.socket else None
        self._server = grpc.aio.server(
            interceptors=[self.calls],
            options=server_options(listening.limits),
            maximum_concurrent_rpcs=listening.limits.calls,
        )
        for add in services.values():
            add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if listening.reflection:
            _reflect((*services, HEALTH, REFLECTION), self._server)

    async def start(self) -> None:
        """Listen, and serve. Raises AddressInUse, InvalidCertificate or UsageError; then nothing is left."""
        await self.set_serving(False)
        try:
            self._listen()
            await self._server.start()
        except BaseException:
            await self.stop(0)
            raise

    def _listen(self) -> None:
        if self._listening.tcp and self._listening.tls:
            address = Address.parse_tcp(self._listening.tcp)
            credentials = server_credentials(self._listening.tls, tokens=self._listening.tokens)
            try:
                self.tcp_port = self._server.add_secure_port(address.grpc, credentials)
            except RuntimeError as error:
                raise AddressInUse(
                    f"cannot listen on {address}: another process has the port, or the address is not of "
                    f"this machine (see: ss -ltnp sport = :{address.port})"
                ) from error
        if self._socket:
            # last: what has the socket's path serves
            self._socket.bind(self._server.add_insecure_port)

    async def set_serving(self, serving: bool) -> None:
        """Say by the health service, for each service and for all, whether it serves."""
        status = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and end those that are left after `seconds`. May be repeated.

        It returns when all have ended, those that take more than a second for it aside.
        """
        if self._socket:
            self._socket.remove()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self.calls.ended()


def _reflect(names: tuple[str, ...], server: grpc.aio.Server) -> None:
    # 0.4 MiB that an agent without it does not spend
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415

    reflection.enable_server_reflection(names, server)
