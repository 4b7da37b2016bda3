"""The schema's versions: how a store of an older one becomes one of this.

A version that was released never changes. A step makes version N + 1 of version N, by statements of its
own (never by `tables`, which are those of today), and seals the rows that it rewrites. All steps that a
store needs are one transaction, so a store is of the old version or of the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, select, text, update

from recorder.collector.store.packed_accesses import packed, unpack
from recorder.collector.store.sqlite import APPLICATION, damaged
from recorder.collector.store.tables import METADATA, STORE, seal_of, sealed
from recorder.model.access_wire import from_accesses
from recorder.model.errors import StoreDamaged
from recorder.record.v1 import record_pb2 as pb

__all__ = ["SCHEMA", "STEPS", "Step", "create", "migrate", "newer", "schema_of"]

SCHEMA = 3
"""Of `tables`. 1: the first. 2: observations may have denials and accesses, and recordings
may ask for denials. 3: accesses have a table of their own."""

Step = Callable[[Connection], None]


def _denials(_: Connection) -> None:
    """Rows of version 1 are rows of version 2 without what a recorder of version 1 would drop."""


def _accesses(connection: Connection) -> None:
    """What was accessed moves from the sightings into a table of its own."""
    connection.exec_driver_sql(_ACCESSES)
    after = 0
    while True:
        found = connection.execute(_PAGE, {"after": after}).mappings().all()
        if not found:
            return
        after = found[-1]["id"]
        for row in found:
            message = pb.Observation.FromString(row["content"])
            if message.accesses:
                _move_accesses(connection, dict(row), message)


def _move_accesses(connection: Connection, row: dict[str, Any], message: pb.Observation) -> None:
    for part, content in packed(from_accesses("stored", message.accesses, message.accesses_cut_at)).items():
        entries = unpack(content).values()
        moved = {
            "sighting_id": row["id"],
            "part": part,
            "entries": len(entries),
            "text": sum(size for _, size, *_ in entries),
            "content": content,
        }
        connection.execute(_INSERT, {**moved, "seal": seal_of(moved, moved)})
    message.ClearField("accesses")
    del row["seal"]
    row["content"] = message.SerializeToString(deterministic=True)
    row["recorded"] = True
    values = {"id": row["id"], "content": row["content"], "seal": seal_of(row, row)}
    connection.execute(_UPDATE, values)


_ACCESSES = (
    "\nCREATE TABLE accesses (\n"
    "\tsighting_id INTEGER NOT NULL, \n"
    "\tpart INTEGER NOT NULL, \n"
    "\tentries INTEGER NOT NULL, \n"
    "\ttext INTEGER NOT NULL, \n"
    "\tcontent BLOB NOT NULL, \n"
    "\tseal BIGINT NOT NULL, \n"
    "\tPRIMARY KEY (sighting_id, part)\n)\n\n"
)
_PAGE = text("SELECT * FROM sighting WHERE id > :after ORDER BY id LIMIT 500")
_INSERT = text(
    "INSERT INTO accesses (sighting_id, part, entries, text, content, seal)"
    " VALUES (:sighting_id, :part, :entries, :text, :content, :seal)"
)
_UPDATE = text("UPDATE sighting SET content = :content, recorded = 1, seal = :seal WHERE id = :id")


STEPS: Mapping[int, Step] = {1: _denials, 2: _accesses}
"""By the version that a step begins with."""


def create(connection: Connection) -> None:
    """The tables, and the row of a new store with a random identity."""
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION}")
    METADATA.create_all(connection)
    row = {"schema": SCHEMA, "identity": os.urandom(16), "revision": 0, "next_sighting": 1}
    connection.execute(STORE.insert(), sealed(STORE, row))


def schema_of(connection: Connection, path: Path) -> int:
    """Which version a file has; 0: it has no tables yet. StoreDamaged if it is no store of ours."""
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    tables = inspect(connection).get_table_names()
    if not tables and application in (0, APPLICATION):
        return 0
    if application != APPLICATION or STORE.name not in tables:
        raise damaged(path, "it is another program's database, or its first page is overwritten")
    found = connection.execute(select(STORE.c.schema)).scalars().all()
    if len(found) != 1 or not isinstance(found[0], int) or found[0] < 1:
        raise damaged(path, f"its table of one row says {found!r} as its schema")
    return found[0]


def newer(path: Path, version: int) -> StoreDamaged:
    """It is whole, and not to be set aside."""
    return StoreDamaged(
        f"the store {path} has schema {version}, and this recorder knows those up to {SCHEMA}: it was written"
        " by a newer recorder; use that one again, or put a backup of the older schema in its place"
    )


def migrate(
    connection: Connection, version: int, *, steps: Mapping[int, Step] = STEPS, schema: int = SCHEMA
) -> None:
    """Take the steps from a version to `schema`, within the transaction that is open."""
    for each in range(version, schema):
        steps[each](connection)
    if version < schema:
        row = dict(connection.execute(select(STORE)).mappings().one())
        row["schema"] = schema
        connection.execute(update(STORE).values(sealed(STORE, row)))
