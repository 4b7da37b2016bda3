"""Which fields of a request are wrong, as google.rpc.BadRequest in the status of a call.

A client of any language finds it in the trailing metadata under `grpc-status-details-bin`
(google.rpc.Status, https://cloud.google.com/apis/design/errors); `grpcurl` prints it.
What is told is bounded, because trailing metadata is: clients refuse more than 8 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from recorder.model.errors import InvalidRequest

__all__ = ["DETAILS_KEY", "FieldError", "InvalidFields", "details_of", "fields_of"]

DETAILS_KEY = "grpc-status-details-bin"
"""Of the gRPC project's grpcio-status, whose constant is private."""

MAX_FIELDS = 8
MAX_TEXT = 240


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its path (`selection.pod.namespace`, `kinds[0]`), what is wrong, what to do."""

    field: str
    wrong: str
    remedy: str

    @property
    def text(self) -> str:
        """What is wrong and what to do, at most `MAX_TEXT` characters."""
        text = f"{self.wrong}; {self.remedy}"
        return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."

    def __str__(self) -> str:
        return f"{self.field} {self.text}"


class InvalidFields(InvalidRequest):
    """A request is refused: `fields` has the first `MAX_FIELDS` errors, in the request's order."""

    def __init__(self, fields: Sequence[FieldError]) -> None:
        self.fields = tuple(fields[:MAX_FIELDS])
        others = len(fields) - 1
        more = f" (and {others} more)" if others else ""
        super().__init__(f"{self.fields[0]}{more}")


def details_of(error: InvalidFields, code: int) -> bytes:
    """The google.rpc.Status with BadRequest, for the trailing metadata; `code` is gRPC's number."""
    bad = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.text)
            for each in error.fields
        ]
    )
    detail = any_pb2.Any()
    detail.Pack(bad)
    return bytes(status_pb2.Status(code=code, message=str(error), details=[detail]).SerializeToString())


def fields_of(details: bytes) -> tuple[tuple[str, str], ...]:
    """The fields and descriptions in a google.rpc.Status; none if it has no BadRequest or is damaged."""
    bad = error_details_pb2.BadRequest()
    try:
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Unpack(bad):
                return tuple((each.field, each.description) for each in bad.field_violations)
    except DecodeError:
        return ()
    return ()
