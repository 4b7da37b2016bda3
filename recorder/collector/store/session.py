"""An open store's connection: transactions that are numbered, and tell the mark once they are on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, select, update

from recorder.collector.store.mark import Mark
from recorder.collector.store.sqlite import explained
from recorder.collector.store.tables import STORE, checked, sealed

__all__ = ["Session", "Transaction"]


class Transaction:
    """One that may write. `revision` is that of the store once it is committed, if `touched`."""

    def __init__(self, connection: Connection, revision: int, next_sighting: int) -> None:
        self.connection = connection
        self.revision = revision
        self.next_sighting = next_sighting
        self.touched = False

    def new_id(self) -> int:
        """For a sighting; never one that was given before."""
        self.next_sighting += 1
        return self.next_sighting - 1


class Session:
    """For one thread. Owns the connection and the mark, and closes both."""

    def __init__(self, path: Path, connection: Connection, mark: Mark) -> None:
        self.path = path
        self._connection = connection
        self._mark = mark
        with self.reading() as reading:
            row = checked(STORE, reading.execute(select(STORE)).mappings().one())
        self._schema: int = row["schema"]
        self._identity: bytes = row["identity"]
        self.revision: int = row["revision"]
        self._next_sighting: int = row["next_sighting"]
        mark.write(self._identity, self.revision)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A state of the store that does not change meanwhile."""
        with explained(self.path), self._connection.begin():
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """All of it or nothing; on disk when the block has ended without an error."""
        with explained(self.path):
            with self._connection.begin():
                transaction = Transaction(self._connection, self.revision + 1, self._next_sighting)
                yield transaction
                if not transaction.touched:
                    return
                row = {
                    "schema": self._schema,
                    "identity": self._identity,
                    "revision": transaction.revision,
                    "next_sighting": transaction.next_sighting,
                }
                self._connection.execute(update(STORE).values(sealed(STORE, row)))
            self.revision, self._next_sighting = transaction.revision, transaction.next_sighting
        self._mark.write(self._identity, self.revision)

    def close(self) -> None:
        """The log is written into the file, if there is room, and the lock is given back."""
        try:
            with explained(self.path):
                self._connection.close()
        finally:
            self._mark.close()
