"""The tables of the current schema, and the seal that each row bears.

SQLite's own check finds a broken tree, not a byte that changed within a value; a row's seal (CRC-32
over all its other columns) does. Statements are SQLAlchemy's, so that another database could hold them.

    store         one row: schema, the store's identity, its revision, the next sighting's id
    recording     by id, as JSON
    sighting      one for each source, or for each group that was folded
    first_sights  what is large and rarely read of a sighting
    accesses      the same of what its container accessed, in parts (`packed_accesses`)
    source        which sighting a source's reports go to
    sought        for which recordings a sighting was reported, and whether it is theirs: the same as
                  `sighting.recordings` less `sighting.not_for`
    result        by recording, kind, container, suffix, partial
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
)

__all__ = [
    "ACCESSES",
    "FIRST_SIGHTS",
    "METADATA",
    "RECORDING",
    "RESULT",
    "SIGHTING",
    "SOUGHT",
    "SOURCE",
    "STORE",
    "BrokenSeal",
    "State",
    "checked",
    "in_state",
    "seal_of",
    "sealed",
]


class State(IntEnum):
    """What a sighting's row holds."""

    OPEN = 0
    FOLDED = 1  # sources that are finished
    BARE = 2  # the same without first sights
    EMPTIED = 3  # refused: who it was, and no calls


class BrokenSeal(Exception):  # noqa: N818 -- becomes StoreDamaged where the file's name is known
    """A row is not what was written. The text names table and key."""


METADATA = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's INTEGER has 64 bits, and as a primary key it is the row's place: BIGINT needs an index."""


def _seal() -> Column[int]:
    return Column("seal", BigInteger, nullable=False)


STORE = Table(
    "store",
    METADATA,
    Column("schema", Integer, primary_key=True, autoincrement=False),
    Column("identity", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("next_sighting", BigInteger, nullable=False),
    _seal(),
)

RECORDING = Table(
    "recording",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("deleted_at", Float),
    Column("emitted", BigInteger, nullable=False),
    _seal(),
)

SIGHTING = Table(
    "sighting",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("container", Text, nullable=False),
    Column("container_id", Text, nullable=False),
    Column("pod", Text),
    Column("state", Integer, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("recorded", Boolean, nullable=False),
    Column("confirmation", Text, nullable=False),
    Column("unasked", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("not_recorded", Text, nullable=False),
    Column("placement", Text),
    Column("recordings", Text, nullable=False),
    Column("not_for", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("sources", BigInteger, nullable=False),
    Column("fold_key", LargeBinary),
    Column("sights_digest", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _seal(),
)

FIRST_SIGHTS = Table(
    "first_sights",
    METADATA,
    Column("sighting_id", _ID, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
    _seal(),
)

ACCESSES = Table(
    "accesses",
    METADATA,
    Column("sighting_id", _ID, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("entries", Integer, nullable=False),
    Column("text", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _seal(),
)

SOURCE = Table(
    "source",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("sighting_id", _ID, nullable=False),
    _seal(),
    sqlite_with_rowid=False,
)

SOUGHT = Table(
    "sought",
    METADATA,
    Column("recording", Text, primary_key=True),
    Column("sighting_id", _ID, primary_key=True, autoincrement=False),
    Column("granted", Boolean, nullable=False),
    _seal(),
    sqlite_with_rowid=False,
)

RESULT = Table(
    "result",
    METADATA,
    Column("recording", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("container", Text, primary_key=True),
    Column("suffix", Text, primary_key=True),
    Column("partial", Boolean, primary_key=True),
    Column("name", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("edits", Text, nullable=False),
    Column("more", Text, nullable=False),
    _seal(),
)

_UNASKED = and_(SIGHTING.c.state == 0, SIGHTING.c.unasked, SIGHTING.c.pod.is_not(None))
_FINISHED = and_(SIGHTING.c.state == 0, SIGHTING.c.ended)
_KEYED = SIGHTING.c.fold_key.is_not(None)
_FOLDED = SIGHTING.c.state == 1

Index("sighting_by_revision", SIGHTING.c.revision)
Index("sighting_unasked", SIGHTING.c.id, sqlite_where=_UNASKED, postgresql_where=_UNASKED)
Index("sighting_finished", SIGHTING.c.revision, sqlite_where=_FINISHED, postgresql_where=_FINISHED)
Index("sighting_folded", SIGHTING.c.revision, sqlite_where=_FOLDED, postgresql_where=_FOLDED)
Index("sighting_by_fold_key", SIGHTING.c.fold_key, unique=True, sqlite_where=_KEYED, postgresql_where=_KEYED)
Index("source_by_sighting", SOURCE.c.sighting_id)
Index("sought_by_sighting", SOUGHT.c.sighting_id)
Index("result_by_name", RESULT.c.kind, RESULT.c.name)


def in_state(state: State) -> ColumnElement[bool]:
    """A condition of a query, with the number in its text: else the indexes above do not serve it."""
    return SIGHTING.c.state == bindparam(None, int(state), literal_execute=True)


_SEALED = {
    table: [each.name for each in table.columns if each.name != "seal"] for table in METADATA.tables.values()
}


def sealed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its seal; KeyError if a column is missing."""
    return {**row, "seal": seal_of(_SEALED[table], row)}


def checked(table: Table, row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The row, which has all columns; BrokenSeal if it is not what was written."""
    if row["seal"] != seal_of(_SEALED[table], row):
        key = ", ".join(_shown(row[each.name]) for each in table.primary_key)
        raise BrokenSeal(f"the row {key} of the table {table.name} is not what was written")
    return row


def seal_of(columns: Iterable[str], row: Mapping[Any, Any]) -> int:
    """The seal of a row with these columns, in their table's order, and its seal."""
    crc = 0
    for name in columns:
        value = row[name]
        # bool is an int here; text and bytes may not stand for each other, nor a number for its text
        if isinstance(value, bytes):
            crc = zlib.crc32(value, zlib.crc32(b"\0b", crc))
        elif isinstance(value, str):
            crc = zlib.crc32(value.encode("utf-8", "surrogatepass"), zlib.crc32(b"\0t", crc))
        elif value is None:
            crc = zlib.crc32(b"\0n", crc)
        else:
            crc = zlib.crc32(b"\0i%r" % (value + 0,), crc)
    return crc


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else ascii(value)[:80]
