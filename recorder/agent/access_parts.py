"""Accesses in parts: a message has only so many bytes of them, and the rest comes in the next ones.

Since two observations of one source join, a part is an observation like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from recorder.record.v1 import record_pb2

if TYPE_CHECKING:
    from recorder.model.accesses import AccessKey, Seen

__all__ = ["PART_BYTES", "fitting", "parts"]

PART_BYTES = 96 << 10
"""Of accesses in one message, if there are several: with all else that is below a report's 256 KiB."""

_FRAME = 8
"""A field's tag and length, at most (a length below 2^21)."""


def fitting(messages: Sequence[record_pb2.Access], start: int = 0) -> int:
    """Return the end of the part that begins at `start`: at least one message, if there is one."""
    size = 0
    for index in range(start, len(messages)):
        size += messages[index].ByteSize() + _FRAME
        if size > PART_BYTES and index > start:
            return index
    return len(messages)


def parts(
    news: Iterable[tuple[int, AccessKey, Seen]], most: int = PART_BYTES
) -> Iterator[tuple[int, list[record_pb2.Access]]]:
    """Yield parts of a log's news, each with the revision that it goes up to; at least one access in each."""
    from recorder.model.access_wire import to_access  # noqa: PLC0415 - who never asks for them does without

    part: list[record_pb2.Access] = []
    size = upto = 0
    for revision, key, seen in news:
        message = to_access(key, seen)
        more = message.ByteSize() + _FRAME
        if part and size + more > most:
            yield upto, part
            part, size = [], 0
        part.append(message)
        size, upto = size + more, revision
    if part:
        yield upto, part
