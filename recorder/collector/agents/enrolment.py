"""The gRPC service Enrolment: an agent shows its pod's token, and gets its node's certificate.

Whoever reaches the port may ask: clients have no certificate there. Every answer that is no
certificate is counted with its reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc.aio

from recorder.collector.agents.node_names import PLACE
from recorder.collector.agents.turnstile import Turnstile, address_of
from recorder.collector.figures import ServiceFigures
from recorder.identity.authority import MAX_REQUEST, Certificate
from recorder.model.enrolment import NotVouched, Vouched
from recorder.model.errors import (
    AccessDenied,
    InvalidRequest,
    LimitReached,
    PlatformUnreachable,
    Unreachable,
)
from recorder.rpc.bearer import token_of
from recorder.rpc.limits import Limits
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc

__all__ = ["NAME", "EnrolmentService", "NodeAuthority", "Signer", "enrolment_limits"]

log = logging.getLogger(__name__)

NAME = "recorder.rpc.v1.Enrolment"
RATE, BURST = 1.0, 20
"""Of one address: a second, and at once. An agent asks twice a day; behind one address may be many."""
AT_A_TIME = 16
"""Questions to the platform."""
WAITING = 256
"""Calls that wait for their turn; more are refused."""


class NodeAuthority(Protocol):
    """Who knows which agent a token belongs to."""

    async def vouch(self, token: str) -> Vouched | NotVouched:
        """Whose agent the bearer is. PlatformUnreachable while it cannot be asked."""


class Signer(Protocol):
    """Who signs."""

    def sign(self, request: bytes, name: str) -> Certificate:
        """A certificate with that name, for the key of a request. InvalidRequest."""


def enrolment_limits() -> Limits:
    """For the enrolment's server, whose clients nobody knows: few and small calls, and no long ones."""
    return Limits(
        # more than is taken, so that a request above that gets an answer, and is counted
        receive_bytes=4 * MAX_REQUEST,
        request_bytes=MAX_REQUEST + (1 << 10),
        send_bytes=64 << 10,
        # a projected token has 1,200 characters
        metadata_bytes=16 << 10,
        streams=4,
        connections=WAITING + 64,
        calls=WAITING + 64,
        # nobody has a certificate there: all are one peer
        calls_of_peer=WAITING,
        calls_in_all=WAITING + WAITING // 2,
        request_seconds=5,
        idle_seconds=15,
    )


class EnrolmentService(collector_pb2_grpc.EnrolmentServicer):
    """pattern: of the certificate's name, with {node} in the node's place."""

    def __init__(
        self,
        authority: NodeAuthority,
        signer: Signer,
        pattern: str,
        figures: ServiceFigures,
        *,
        turnstile: Turnstile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._signer = signer
        self._pattern = pattern
        self._figures = figures
        self._turnstile = turnstile or Turnstile(RATE, BURST)
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_A_TIME)

    def add_to_server(self, server: grpc.aio.Server) -> None:
        """As `Server` takes it for `NAME`."""
        collector_pb2_grpc.add_EnrolmentServicer_to_server(self, server)  # type: ignore[no-untyped-call]

    async def Enroll(  # noqa: N802 -- named as the RPC
        self, request: pb.EnrollRequest, context: Any
    ) -> pb.EnrollResponse:
        """As the proto says."""
        result = "failed"
        try:
            if not self._turnstile.admits(address_of(context.peer())):
                result = "rate"
                raise LimitReached("this address asks too often for certificates; wait some seconds")
            async with self._slots:
                found = await self._authority.vouch(token_of(context.invocation_metadata()))
            if isinstance(found, NotVouched):
                result = found.refusal.value
                raise AccessDenied(found.message)
            name = self._pattern.replace(PLACE, found.node)
            certificate = self._signer.sign(request.certificate_request.encode(), name)
            result = "signed"
        except InvalidRequest:
            result = "request"
            raise
        except PlatformUnreachable as error:
            result = "unreachable"
            raise Unreachable(f"whose the token is cannot be asked now; try again later ({error})") from error
        except asyncio.CancelledError:
            result = "cancelled"
            raise
        finally:
            self._figures.enrolments[result] += 1
        log.info("the agent of %s (%s) has a certificate", found.node, found.pod)
        return pb.EnrollResponse(
            certificate=certificate.pem.decode("ascii"),
            node=found.node,
            now=int(self._clock()),
            begins=int(certificate.begins),
            ends=int(certificate.ends),
        )
