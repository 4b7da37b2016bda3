"""How the agent gets its certificate: with the token of its pod, from the collector that signs it.

The key is made here, stays in this process's memory, and is a new one with each certificate. A
certificate is renewed at half its time, and when the CA's file changes (a collector that lost its
CA made another). Connections that stand go on with the one that they were made with.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from recorder.agent.node_key import NodeKey
from recorder.agent.uplink import Pace
from recorder.model.errors import InvalidCertificate, RecorderError, RemoteFailed, Unreachable
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection
from recorder.rpc.limits import Limits
from recorder.rpc.names import shown
from recorder.rpc.tls import read_ca
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc

__all__ = ["Enrolment", "Identity"]

_PACE = Pace()

log = logging.getLogger(__name__)

LOOK = 30.0
"""Seconds between two looks at the clock and at the CA's file."""
CLOCKS = 240.0
"""Seconds by which two clocks may differ, with a fifth of what certificates are backdated by to spare."""
MAX_TOKEN = 16 << 10
MAX_CERTIFICATE = 32 << 10


@dataclass(frozen=True, slots=True)
class Identity:
    """What the collector signed: PEM, and times by this node's clock (Unix). `ca`: its file's digest."""

    certificate: bytes
    key: bytes
    renew: float
    ends: float
    ca: bytes

    def __repr__(self) -> str:
        return f"Identity(ends={self.ends:.0f})"  # the key is for nobody's log


class Enrolment:
    """Run `run` as a task. `enrolled` is set once there is a certificate.

    endpoint: HOST:PORT. token: the file of the pod's token, read anew for each attempt. ca: the file
    of who signs the collector's certificate. node: this one's name. `clock` (Unix time), `sleep` and
    `chance` are for tests.
    """

    def __init__(
        self,
        endpoint: str,
        token: Path,
        ca: Path,
        node: str,
        *,
        pace: Pace = _PACE,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.enrolled = asyncio.Event()
        self.problem = ""
        self.attempts = 0
        self._address = Address.parse_tcp(endpoint)
        self._token = token
        self._ca = ca
        self._node = node
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._identity: Identity | None = None

    @property
    def ends(self) -> float:
        """When the certificate ends, in Unix time; 0: there is none."""
        return self._identity.ends if self._identity else 0.0

    def credentials(self) -> grpc.ChannelCredentials:
        """For a connection to the collector. Unreachable before there is one; InvalidCertificate."""
        identity = self._identity
        if identity is None:
            raise Unreachable(f"this agent has no certificate yet: {self.problem or 'it has just begun'}")
        return grpc.ssl_channel_credentials(read_ca(self._ca), identity.key, identity.certificate)

    async def run(self) -> None:
        """Enrol, and again in time, until cancelled."""
        failures = 0
        while True:
            wait = self._due()
            if wait > 0:
                await self._sleep(min(wait, LOOK))
                continue
            try:
                self._identity = await self._enrol()
            except RecorderError as error:
                self._failed(f"{error.code}: {error}")
                await self._sleep(self._pace.backoff(failures, self._chance()))
                failures += 1
                continue
            failures, self.problem = 0, ""
            self.enrolled.set()
            log.info(
                "enrolled: the certificate of %s holds for %.0f s", self._node, self.ends - self._clock()
            )

    def _due(self) -> float:
        identity = self._identity
        if identity is None:
            return 0.0
        try:
            changed = _digest(read_ca(self._ca)) != identity.ca
        except InvalidCertificate as error:  # as while it is being replaced
            log.debug("%s", error)
            changed = False
        return 0.0 if changed else identity.renew - self._clock()

    async def _enrol(self) -> Identity:
        self.attempts += 1
        if not self._ca.exists():
            raise Unreachable(f"{self._ca} is not there yet: the collector publishes its CA when it starts")
        content = read_ca(self._ca)
        made = NodeKey.made()
        async with Connection(
            self._address, None, self._ca, Limits(), token=_read_token(self._token), who="collector"
        ) as connection:
            stub = collector_pb2_grpc.EnrolmentStub(connection.channel)  # type: ignore[no-untyped-call]
            request = pb.EnrollRequest(certificate_request=made.request.decode("ascii"))
            answer = await connection.ask(stub.Enroll, request, self._pace.connect)
        return self._checked(made, answer, _digest(content))

    def _checked(self, made: NodeKey, answer: pb.EnrollResponse, ca: bytes) -> Identity:
        if answer.node != self._node:
            raise InvalidCertificate(
                f"the collector knows this pod's node as {shown(answer.node)}, and agent.node is"
                f" {shown(self._node)}: set it to the node's name in Kubernetes (spec.nodeName)"
            )
        now = self._clock()
        if abs(now - answer.now) > CLOCKS:
            raise InvalidCertificate(
                f"this node's clock is {now - answer.now:+.0f} s from the collector's, and no certificate of"
                " either would count for the other: set it (NTP)"
            )
        certificate = answer.certificate.encode()
        if not certificate or len(certificate) > MAX_CERTIFICATE or answer.ends <= answer.now:
            raise RemoteFailed("the collector's answer has no certificate that holds")
        life = float(answer.ends - answer.now)
        return Identity(certificate, made.key, now + life / 2, now + life, ca)

    def _failed(self, problem: str) -> None:
        problem = "".join(each if each.isprintable() else "?" for each in problem[:500])
        if problem != self.problem:  # days without a collector shall not fill the log
            log.warning("enrolment: %s: %s", self._address, problem)
        self.problem = problem


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN + 1)
    except OSError as error:
        raise InvalidCertificate(
            f"{path}: {error.strerror}; it must be the token that Kubernetes projects into the agent's pod"
            " (serviceAccountToken)"
        ) from error
    token = content.decode("ascii", "replace").strip()
    if not token or len(content) > MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise InvalidCertificate(f"{path} holds no token of Kubernetes")
    return token
