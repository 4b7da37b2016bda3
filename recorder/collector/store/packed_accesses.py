"""Accesses in few bytes, in sixteen parts by their digests, so that a report costs what is new in it.

A part is, sorted by digest and key:

    <I                  entries
    for each            8 bytes of the key's digest (`recorder.model.accesses.digest_of`)
    <I of all           lengths of the keys; then bytes of text (`text_of`)
    <Q of all           rights; then times
    <B of all           lengths of comms; 255: there is no first sight, its time is written as 0
    for each            bytes: the key, which is a `recorder.record.v1.Access` without what is said of it
    for each            bytes: the comm of the first sight

Equal accesses are equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

from recorder.model.access_wire import from_access, to_access
from recorder.model.accesses import Accesses, AccessKey, Seen, digest_of, text_of
from recorder.model.errors import InvalidRecord
from recorder.model.first_sight import FirstSight
from recorder.record.v1 import record_pb2 as pb

__all__ = [
    "PARTS",
    "Entries",
    "Row",
    "cut",
    "in_messages",
    "join",
    "key_of",
    "pack",
    "packed",
    "packed_messages",
    "part_of",
]
__all__ += ["shifted", "unpack", "unpacked"]

PARTS = 16

Row = tuple[bytes, int, int, int, bytes]
"""digest, bytes of text, rights, time, comm."""
Entries = dict[bytes, Row]
"""By key."""

_HEAD = struct.Struct("<I")
_UNKNOWN = 1 << 64
"""The time of a row without a first sight: after all times."""
_NONE = 255
_DIGEST = 8


def part_of(digest: bytes) -> int:
    """Return in which part an entry is: those of a lower part have lower digests."""
    return digest[0] * PARTS >> 8


def packed(accesses: Accesses) -> dict[int, bytes]:
    """Return the parts that have something. ValueError or struct.error for what a message has no room for."""
    return _packed(accesses.entries.items())


def packed_messages(messages: Sequence[pb.Access]) -> dict[int, bytes]:
    """Return the same of messages, which others wrote; InvalidRecord says which is wrong, and why."""

    def read() -> Iterator[tuple[AccessKey, Seen]]:
        for index, message in enumerate(messages):
            try:
                yield from_access(message)
            except ValueError as error:
                raise InvalidRecord(f"accesses[{index}]: {error}") from error

    return _packed(read()) if messages else {}


def _packed(seen: Iterable[tuple[AccessKey, Seen]]) -> dict[int, bytes]:
    parts: dict[int, Entries] = {}
    for key, each in seen:
        digest = digest_of(key)
        first = (each.first.time_ns, each.first.comm) if each.first else (_UNKNOWN, b"")
        named = to_access(key, Seen()).SerializeToString(deterministic=True)
        row = (digest, text_of(key.subject), each.rights, *first)
        entries = parts.setdefault(part_of(digest), {})
        known = entries.get(named)
        entries[named] = _joined(known, row) if known else row
    return {part: pack(entries) for part, entries in sorted(parts.items())}


def unpacked(parts: Iterable[bytes], cut_at: bytes = b"") -> Accesses:
    """Return what `packed` was given; ValueError or struct.error for what it did not make."""
    entries: dict[AccessKey, Seen] = {}
    for content in parts:
        for key, (_, _, rights, time, comm) in unpack(content).items():
            entries[key_of(key)] = Seen(rights, None if time == _UNKNOWN else FirstSight(time, comm))
    return Accesses(entries, cut_at)


def in_messages(content: bytes, most: int) -> Iterator[list[pb.Access]]:
    """Yield a part's entries as messages, of so many bytes at a time, or one."""
    some: list[pb.Access] = []
    size = 0
    for key, (_, _, rights, time, comm) in unpack(content).items():
        message = pb.Access.FromString(key)
        message.rights = rights
        if time != _UNKNOWN:
            message.time_ns, message.comm = time, comm
        more = message.ByteSize()
        if some and size + more > most:
            yield some
            some, size = [], 0
        some.append(message)
        size += more
    if some:
        yield some


def key_of(key: bytes) -> AccessKey:
    """Return the phase and the subject of a key; ValueError for what is none."""
    return from_access(pb.Access.FromString(key))[0]


def pack(entries: Mapping[bytes, Row]) -> bytes:
    """Return a part's bytes; none for no entry."""
    count = len(entries)
    if not count:
        return b""
    keys = sorted(entries, key=lambda key: (entries[key][0], key))
    digests, sizes, rights, times, comms = zip(*(entries[key] for key in keys), strict=True)
    known = [time != _UNKNOWN for time in times]
    written = [time if there else 0 for time, there in zip(times, known, strict=True)]
    lengths = [len(comm) if there else _NONE for comm, there in zip(comms, known, strict=True)]
    numbers = (*map(len, keys), *sizes, *rights, *written, *lengths)
    head = struct.pack(f"<{2 * count}I{2 * count}Q{count}B", *numbers)
    return b"".join((_HEAD.pack(count), *digests, head, *keys, *comms))


def unpack(content: bytes) -> Entries:
    """Return a part's entries, in their order; struct.error or ValueError for what `pack` did not make."""
    if not content:
        return {}
    (count,) = _HEAD.unpack_from(content)
    at = _HEAD.size
    digests = [content[n : n + _DIGEST] for n in range(at, at + _DIGEST * count, _DIGEST)]
    at += _DIGEST * count
    layout = f"<{2 * count}I{2 * count}Q{count}B"
    values = struct.unpack_from(layout, content, at)
    at += struct.calcsize(layout)
    lengths, sizes, rights, written, marks = (values[n * count : (n + 1) * count] for n in range(5))
    keys = list(_texts(content, at, lengths))
    comms = list(_texts(content, at + sum(lengths), [0 if each == _NONE else each for each in marks]))
    times = [_UNKNOWN if mark == _NONE else time for time, mark in zip(written, marks, strict=True)]
    return dict(zip(keys, zip(digests, sizes, rights, times, comms, strict=True), strict=True))


def _texts(content: bytes, at: int, lengths: Sequence[int]) -> Iterator[bytes]:
    for begin, end in pairwise(accumulate(lengths, initial=at)):
        if end > len(content):
            raise ValueError("accesses end before their last text")
        yield content[begin:end]


def join(content: bytes, other: bytes) -> bytes:
    """Return all rights of both, and the earlier first sights, as `Accesses.join` has it."""
    if not (content and other) or content == other:
        return content or other
    joined, more = unpack(content), unpack(other)
    changed = False
    for key, row in more.items():
        known = joined.get(key)
        if known is None:
            joined[key] = row
        elif known != row:
            joined[key] = _joined(known, row)
        changed |= joined[key] != known
    return pack(joined) if changed else content


def _joined(row: Row, other: Row) -> Row:
    digest, size, rights, *_ = row
    return (digest, size, rights | other[2], *min(row[3:], other[3:]))


def cut(content: bytes, digest: bytes) -> bytes:
    """Return the entries with a lower digest."""
    kept = {key: row for key, row in unpack(content).items() if row[0] < digest}
    return pack(kept)


def shifted(content: bytes, nanoseconds: int) -> bytes:
    """Return all times later by so much; struct.error for one that leaves 64 bits."""
    later = {
        key: row if row[3] == _UNKNOWN else (*row[:3], row[3] + nanoseconds, row[4])
        for key, row in unpack(content).items()
    }
    return pack(later)
