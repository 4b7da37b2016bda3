"""The rows of what containers accessed, by statements within a transaction that is open.

A sighting has at most so many entries and bytes as a record (`recorder.model.accesses`): of more, those
are kept whose digests are least.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select

from recorder.collector.store.packed_accesses import (
    PARTS,
    cut,
    join,
    part_of,
    shifted,
    unpack,
    unpacked,
)
from recorder.collector.store.rows import chunks, insert, update_rows
from recorder.collector.store.tables import ACCESSES, BrokenSeal, checked
from recorder.model.accesses import MAX_ACCESSES, MAX_TEXT, Accesses

__all__ = [
    "AccessBounds",
    "accesses_of",
    "entries_of",
    "fold_accesses",
    "join_accesses",
    "keep_parts",
    "lacks",
    "parts_of",
]


@dataclass(frozen=True, slots=True)
class AccessBounds:
    """Of one sighting."""

    entries: int = MAX_ACCESSES
    text: int = MAX_TEXT


BOUNDS = AccessBounds()


def parts_of(connection: Connection, sighting: int, part: int | None = None) -> dict[int, bytes]:
    """The parts of a sighting, or one of them, in their order; BrokenSeal."""
    rows = _rows(connection, sighting, None if part is None else [part])
    return {row["part"]: row["content"] for row in rows.values()}


def entries_of(connection: Connection, sightings: Iterable[int]) -> dict[int, int]:
    """How many entries, by sighting; of those that have some."""
    found: dict[int, int] = {}
    of = ACCESSES.c.sighting_id
    for chunk in chunks(sightings):
        query = select(of, func.sum(ACCESSES.c.entries)).where(of.in_(chunk)).group_by(of)
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found


def accesses_of(connection: Connection, sighting: int, cut_at: bytes) -> Accesses:
    """All of a sighting; BrokenSeal."""
    try:
        return unpacked(parts_of(connection, sighting).values(), cut_at)
    except (ValueError, struct.error) as error:
        raise BrokenSeal(f"the accesses of the sighting {sighting} cannot be read: {error}") from error


def join_accesses(
    connection: Connection,
    sighting: int,
    parts: Mapping[int, bytes],
    cut_at: bytes,
    *,
    lowered: bool = False,
) -> tuple[bool, bytes]:
    """Join parts with what is there; whether something changed, and the digest from which on none is kept.

    cut_at: the lower one of what is known and what was reported; lowered: the one that was reported.
    """
    rows = _rows(connection, sighting, parts)
    new, changed = [], []
    for part, content in parts.items():
        row = rows.get(part)
        joined = join(row["content"] if row else b"", content)
        if cut_at and part >= part_of(cut_at):
            joined = cut(joined, cut_at)
        if row is None and joined:
            new.append(_row(sighting, part, joined))
        elif row is not None and joined != row["content"]:
            changed.append(_row(sighting, part, joined))
    insert(connection, ACCESSES, new)
    update_rows(connection, ACCESSES, changed)
    if lowered:
        _cut(connection, sighting, cut_at)
    return bool(new or changed), _trim(connection, sighting, cut_at)


def lacks(connection: Connection, sighting: int, parts: Mapping[int, bytes]) -> bool:
    """Whether there is something in these parts that the sighting has not."""
    rows = _rows(connection, sighting, parts)
    return any(
        part not in rows or join(rows[part]["content"], content) != rows[part]["content"]
        for part, content in parts.items()
    )


def _cut(connection: Connection, sighting: int, cut_at: bytes) -> None:
    """Take away what is at that digest or above."""
    part = part_of(cut_at)
    connection.execute(delete(ACCESSES).where(_of(sighting), ACCESSES.c.part > part))
    for row in _rows(connection, sighting, [part]).values():
        _replace(connection, sighting, part, row["content"], cut(row["content"], cut_at))


def _trim(connection: Connection, sighting: int, cut_at: bytes) -> bytes:
    """Within the bounds; the first digest that is not kept, if that is a lower one."""
    columns = ACCESSES.c.part, ACCESSES.c.entries, ACCESSES.c.text
    query = select(*columns).where(_of(sighting)).order_by(ACCESSES.c.part)
    entries = text = 0
    for part, more, more_text in connection.execute(query).all():
        if entries + more > BOUNDS.entries or text + more_text > BOUNDS.text:
            (row,) = _rows(connection, sighting, [part]).values()
            for digest, size, *_ in unpack(row["content"]).values():
                text += size
                if entries == BOUNDS.entries or text > BOUNDS.text:
                    _cut(connection, sighting, digest)
                    return digest
                entries += 1
        else:
            entries, text = entries + more, text + more_text
    return cut_at


def fold_accesses(
    connection: Connection, target: int, sightings: Sequence[int], shifts: Sequence[int]
) -> dict[int, bytes] | None:
    """The parts of several sightings, each later by its shift, as one's; None: there are too many.

    One part at a time is read of all of them. `keep_parts` writes them.
    """
    found: dict[int, bytes] = {}
    entries = text = 0
    for part in range(PARTS):
        content = b""
        for sighting, shift in zip(sightings, shifts, strict=True):
            for row in _rows(connection, sighting, [part]).values():
                content = join(content, shifted(row["content"], shift) if shift else row["content"])
        if content:
            row = _row(target, part, content)
            entries, text = entries + row["entries"], text + row["text"]
            if entries > BOUNDS.entries or text > BOUNDS.text:
                return None
            found[part] = content
    return found


def keep_parts(connection: Connection, sighting: int, parts: Mapping[int, bytes]) -> None:
    """In place of what is there."""
    known = parts_of(connection, sighting)
    for part in sorted(known.keys() | parts.keys()):
        _replace(connection, sighting, part, known.get(part, b""), parts.get(part, b""))


def _replace(connection: Connection, sighting: int, part: int, before: bytes, after: bytes) -> None:
    if before == after:
        return
    if not after:
        connection.execute(delete(ACCESSES).where(_of(sighting), ACCESSES.c.part == part))
    elif not before:
        insert(connection, ACCESSES, [_row(sighting, part, after)])
    else:
        update_rows(connection, ACCESSES, [_row(sighting, part, after)])


def _rows(
    connection: Connection, sighting: int, parts: Iterable[int] | None = None
) -> dict[int, dict[str, Any]]:
    query = select(ACCESSES).where(_of(sighting)).order_by(ACCESSES.c.part)
    if parts is not None:
        query = query.where(ACCESSES.c.part.in_(list(parts)))
    return {row["part"]: dict(checked(ACCESSES, row)) for row in connection.execute(query).mappings()}


def _of(sighting: int) -> Any:
    return ACCESSES.c.sighting_id == sighting


def _row(sighting: int, part: int, content: bytes) -> dict[str, Any]:
    entries = unpack(content)
    return {
        "sighting_id": sighting,
        "part": part,
        "entries": len(entries),
        "text": sum(row[1] for row in entries.values()),
        "content": content,
    }
