"""Rows of many keys at a time, checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, select, update

from recorder.collector.store.tables import (
    ACCESSES,
    FIRST_SIGHTS,
    SIGHTING,
    SOUGHT,
    SOURCE,
    BrokenSeal,
    checked,
    sealed,
)

__all__ = ["chunks", "delete_sightings", "delete_where", "insert", "rows_by", "sights_rows", "update_rows"]

MOST_KEYS = 500
"""In one statement; SQLite takes 32,766."""


def chunks(items: Iterable[Any], size: int = MOST_KEYS) -> Iterator[list[Any]]:
    """All, so many at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def rows_by(
    connection: Connection, table: Table, column: Column[Any], keys: Iterable[Any]
) -> Iterator[dict[str, Any]]:
    """The rows of which a column is one of the keys; BrokenSeal."""
    for chunk in chunks(keys):
        for row in connection.execute(select(table).where(column.in_(chunk))).mappings():
            yield dict(checked(table, row))


def sights_rows(connection: Connection, sightings: Iterable[Mapping[Any, Any]]) -> dict[int, dict[str, Any]]:
    """The rows of first sights of those sightings that have some, by the sighting's id; BrokenSeal."""
    ids = [row["id"] for row in sightings if row["sights_digest"]]
    found = {
        row["sighting_id"]: row for row in rows_by(connection, FIRST_SIGHTS, FIRST_SIGHTS.c.sighting_id, ids)
    }
    for each in ids:
        if each not in found:
            raise BrokenSeal(f"the first sights of the sighting {each} are missing")
    return found


def insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """With their seals."""
    if rows:
        connection.execute(table.insert(), [sealed(table, row) for row in rows])


def update_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Whole rows with the primary keys that they have."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    statement = update(table).values({each.name: bindparam(f"new_{each.name}") for each in table.columns})
    for key in keys:
        statement = statement.where(table.c[key] == bindparam(f"new_{key}"))
    connection.execute(
        statement, [{f"new_{name}": value for name, value in sealed(table, row).items()} for row in rows]
    )


def delete_where(connection: Connection, column: Column[Any], keys: Iterable[Any]) -> None:
    """The rows of which a column is one of the keys."""
    for chunk in chunks(keys):
        connection.execute(delete(column.table).where(column.in_(chunk)))


def delete_sightings(connection: Connection, ids: Sequence[int], *, sources: bool) -> None:
    """With what belongs to them; `sources`: also that their sources were ever seen."""
    for column in (
        SIGHTING.c.id,
        FIRST_SIGHTS.c.sighting_id,
        ACCESSES.c.sighting_id,
        SOUGHT.c.sighting_id,
    ):
        delete_where(connection, column, ids)
    if sources:
        delete_where(connection, SOURCE.c.sighting_id, ids)
