"""Failures as the status of a call: a service raises RecorderErrors, its client gets the same class.

`abort` is the way out of the server, `failure_of` that into the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import grpc

from recorder.model.errors import (
    AccessDenied,
    BpfLimit,
    CgroupNotFound,
    InputError,
    InvalidRequest,
    LimitReached,
    MachineError,
    NotFound,
    RecorderError,
    RemoteFailed,
    TimedOut,
    Unreachable,
)
from recorder.rpc.fields import DETAILS_KEY, InvalidFields, details_of, fields_of

__all__ = ["abort", "code_of", "failure_of"]

MAX_MESSAGE = 1024
"""Bytes of UTF-8. Of the 8 KiB that a client takes as metadata; threefold where gRPC escapes them."""

# the first that fits; the more special before the more general
_CODES: tuple[tuple[type[RecorderError], grpc.StatusCode], ...] = (
    (InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (AccessDenied, grpc.StatusCode.PERMISSION_DENIED),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (CgroupNotFound, grpc.StatusCode.NOT_FOUND),
    (LimitReached, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (BpfLimit, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TimedOut, grpc.StatusCode.DEADLINE_EXCEEDED),
    (Unreachable, grpc.StatusCode.UNAVAILABLE),
    (InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (MachineError, grpc.StatusCode.FAILED_PRECONDITION),
    (RecorderError, grpc.StatusCode.INTERNAL),
)

_CLASSES: Mapping[grpc.StatusCode, type[RecorderError]] = MappingProxyType(
    {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
        grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
        grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
        grpc.StatusCode.NOT_FOUND: NotFound,
        grpc.StatusCode.RESOURCE_EXHAUSTED: LimitReached,
        grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
        grpc.StatusCode.UNAVAILABLE: Unreachable,
    }
)


def code_of(error: RecorderError) -> grpc.StatusCode:
    """The status code that says this failure."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: RecorderError) -> NoReturn:
    """End the call with the error's message, and its fields if it has some. Never returns."""
    code = code_of(error)
    message = str(error).encode("utf-8", "backslashreplace")[:MAX_MESSAGE].decode("utf-8", "ignore")
    trailing: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, InvalidFields):
        trailing = ((DETAILS_KEY, details_of(error, code.value[0])),)
    await context.abort(code, message, trailing)
    raise AssertionError("abort returned")


def failure_of(error: grpc.aio.AioRpcError) -> RecorderError:
    """What the other side said, as the class that it raised there or the nearest one.

    UNAVAILABLE is said by gRPC itself when there is no connection: see
    `recorder.rpc.channel`, which finds out why.
    """
    kind = _CLASSES.get(error.code(), RemoteFailed)
    text = (error.details() or error.code().name)[: 4 * MAX_MESSAGE]
    if kind is InvalidRequest:
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                fields = fields_of(value)
                if fields:
                    text = "; ".join(f"{field} {description}" for field, description in fields)
    return kind(_printable(text))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
