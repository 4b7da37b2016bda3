"""The schema's versions: how a store of an older one becomes one of this.

A version that was released never changes. A step makes version N + 1 of version N, by statements of its
own (never by `tables`, which are those of today), and seals the rows that it rewrites. All steps that a
store needs are one transaction, so a store is of the old version or of the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Connection, inspect, select, update

from recorder.collector.store.sqlite import APPLICATION, damaged
from recorder.collector.store.tables import METADATA, STORE, sealed
from recorder.model.errors import StoreDamaged

__all__ = ["SCHEMA", "STEPS", "Step", "create", "migrate", "newer", "schema_of"]

SCHEMA = 2
"""Of `tables`. 1: the first. 2: observations may have denials and accesses, and recordings
may ask for denials."""

Step = Callable[[Connection], None]


def _denials(_: Connection) -> None:
    """Rows of version 1 are rows of version 2 without what a recorder of version 1 would drop."""


STEPS: Mapping[int, Step] = {1: _denials}
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
