"""What is SQLite's own: connections, their settings, room in the file, and what its errors mean.

Commits are synced before they return (synchronous=FULL with the write-ahead log).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from recorder.collector.store.file_system import has_room
from recorder.collector.store.tables import BrokenSeal
from recorder.model.errors import StorageError, StoreDamaged, StoreFull

__all__ = [
    "APPLICATION",
    "beside",
    "bound_reached",
    "connect",
    "damaged",
    "explained",
    "full",
    "in_use",
    "limit",
    "log_bytes",
]

APPLICATION = 0x52454353
"""PRAGMA application_id of a store: RECS."""

CACHE_KIB = 8192
BUSY_MS = 5000
"""A person's backup may hold the file for a moment."""

LOG_BYTES = 16 << 20
"""What the write-ahead log is cut to after it was larger."""


def connect(path: Path, *, read_only: bool = False) -> Connection:
    """The only connection of this process to the file. sqlite3.Error and DBAPIError.

    read_only: neither the file nor its log are changed, also when it is closed.
    """
    mode = "ro" if read_only else "rwc"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"

    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
        try:
            for setting in _settings(read_only=read_only):
                connection.execute(f"PRAGMA {setting}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = sqlalchemy.create_engine("sqlite://", creator=opened, poolclass=NullPool)
    sqlalchemy.event.listen(engine, "begin", _begin)
    return engine.connect()


def _settings(*, read_only: bool) -> Iterator[str]:
    yield f"cache_size=-{CACHE_KIB}"
    yield "trusted_schema=OFF"
    yield "cell_size_check=ON"
    yield "temp_store=MEMORY"
    if read_only:
        return
    yield "journal_mode=WAL"
    yield "synchronous=FULL"
    yield f"journal_size_limit={LOG_BYTES}"


def _begin(connection: Connection) -> None:
    # The driver begins by itself before some statements only; with isolation_level=None never.
    connection.exec_driver_sql("BEGIN")


def beside(path: Path) -> tuple[Path, Path]:
    """The write-ahead log and its index, as SQLite names them."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def limit(connection: Connection, size: int, reserve: int) -> None:
    """A write is refused that needs the file to be larger than this many bytes.

    reserve: what the file may have besides, also if it is larger already, since its bound was: to make
    it smaller takes some room.
    """
    page = _page(connection)
    pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count={max(size // page, pages) + reserve // page}")


def in_use(connection: Connection) -> int:
    """Bytes of pages that hold something, those of an open transaction included."""
    pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    free: int = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return (pages - free) * _page(connection)


def _page(connection: Connection) -> int:
    size: int = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    return size


def log_bytes(path: Path) -> int:
    """The size of the write-ahead log; 0: there is none."""
    try:
        return beside(path)[0].stat().st_size
    except OSError:
        return 0


def full(path: Path) -> StoreFull:
    """There is no room on its file system."""
    return StoreFull(
        f"the file system of the store {path} is full: make room on it; until then agents keep what"
        " they have, and nothing that was acknowledged is lost"
    )


def bound_reached(path: Path) -> StoreFull:
    """There is no room within its own bound."""
    return StoreFull(
        f"the store {path} is at its bound, and all that is in it waits to be published or to be asked for:"
        " see what keeps results from being written, delete recordings that are done, or raise the bound;"
        " until then agents keep what they have"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say by the error tree what SQLite, or a seal, said of the file."""
    try:
        yield
    except BrokenSeal as error:
        raise damaged(path, str(error)) from error
    except DBAPIError as error:
        raise _meaning(path, error.orig or error) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _meaning(path, error) from error


def damaged(path: Path, why: str) -> StoreDamaged:
    """With what a person can do."""
    return StoreDamaged(
        f"the store {path} is damaged: {why}; nothing more is read from it. Put a backup in its place and"
        f" remove {path.name}-wal, {path.name}-shm and {path.name}.mark, or begin anew by"
        " --set-aside-damaged-store, which keeps the damaged file beside it: results that are published"
        " stay, what no result holds yet is lost"
    )


def _meaning(path: Path, error: BaseException) -> Exception:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or name in _DAMAGE:
        return damaged(path, str(error))
    if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
        return damaged(path, "a text in it is no UTF-8")
    no_room = name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")) and not has_room(
        path.parent
    )
    if no_room:  # also of a quota (EDQUOT), a new file or its index
        return full(path)
    if name == "SQLITE_FULL":  # max_page_count
        return bound_reached(path)
    hint = "it must be a file that this process can write"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        hint = "another program holds it: end that; VACUUM INTO and .backup hold it for a moment only"
    return StorageError(f"cannot use the store {path}: {error} ({name or type(error).__name__}); {hint}")


_DAMAGE = ("SQLITE_IOERR_CORRUPTFS", "SQLITE_IOERR_SHORT_READ", "SQLITE_MISMATCH", "SQLITE_ERROR")
"""The last: statements are right for the schema that the file says it has, so it has another one."""
