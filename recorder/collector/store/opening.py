"""Opening a store: whether it may be used, is whole, and has lost nothing since it was closed or killed.

All is read by a connection that cannot write, so what is refused is left as it was found.
"""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from recorder.collector.store import migrations, sqlite
from recorder.collector.store.file_system import has_room, refuse_network
from recorder.collector.store.mark import Mark
from recorder.collector.store.session import Session
from recorder.collector.store.sqlite import damaged, explained
from recorder.collector.store.tables import METADATA, SIGHTING, SOUGHT, checked
from recorder.collector.store.written import from_ids
from recorder.model.errors import StorageError, StoreDamaged

__all__ = ["open_session"]

RESERVE = 16
"""One part of so many of the bound in bytes is for what makes room again: confirmations, results, folding."""

_ROWS = 500

_LOG = logging.getLogger(__name__)


def open_session(path: Path, size: int, *, set_aside: bool = False) -> Session:
    """The store at a path, made if there was none, of at most `size` bytes.

    Raises StoreDamaged, StoreFull and StorageError. set_aside: one that is damaged is renamed to
    NAME.damaged-N and a new one begun; never one of a newer recorder.
    """
    _make_folder(path.parent)
    refuse_network(path.parent)
    mark = Mark(path)
    try:
        return _opened(path, size, mark, set_aside=set_aside)
    except BaseException:
        mark.close()
        raise


def _opened(path: Path, size: int, mark: Mark, *, set_aside: bool) -> Session:
    try:
        version = _verified(path, mark)
    except StoreDamaged as error:
        if not set_aside:
            raise
        aside = _set_aside(path, mark)
        _LOG.error("%s; it is now %s, and a new store is begun", error, aside)
        version = 0
    if version > migrations.SCHEMA:
        raise migrations.newer(path, version)
    _prepare(path, mark)
    with explained(path):
        connection = sqlite.connect(path)
    try:
        with explained(path), connection.begin():
            sqlite.limit(connection, size, size // RESERVE)
            if version == 0:
                migrations.create(connection)
            elif version < migrations.SCHEMA:
                migrations.migrate(connection, version)
                _check_rows(connection, path)
        return Session(path, connection, mark)
    except BaseException:
        connection.close()
        raise


def _make_folder(folder: Path) -> None:
    try:
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot use {folder} for the store: {error.strerror}; it must be a folder that this process can"
            " write"
        ) from error


def _prepare(path: Path, mark: Mark) -> None:
    """The file is there, for its owner alone, and the mark says who has it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        mark.hold()
    except OSError as error:
        if not has_room(path.parent):
            raise sqlite.full(path) from error
        raise StorageError(f"cannot open the store {path}: {error.strerror}") from error


def _verified(path: Path, mark: Mark) -> int:
    """The schema of a file that is whole; 0: there is none, or an empty one, and none was lost."""
    version, identity, revision = 0, b"", 0
    try:
        there = path.stat().st_size > 0
    except FileNotFoundError:
        there = False
    except OSError as error:
        raise StorageError(f"cannot open the store {path}: {error.strerror}") from error
    if there:
        with explained(path), sqlite.connect(path, read_only=True) as connection, connection.begin():
            _check_file(connection, path)
            version = migrations.schema_of(connection, path)
            if version:
                row = connection.execute(text("SELECT identity, revision FROM store")).one()
                identity, revision = row
            if version == migrations.SCHEMA:
                _check_rows(connection, path)
    if mark.revision == 0:
        return version
    if version == 0:
        raise damaged(
            path, f"it is gone or empty, and {mark.path.name} says that it had {mark.revision} commits"
        )
    if identity != mark.identity:
        raise damaged(path, f"it is not the store that {mark.path.name} belongs to")
    if revision < mark.revision:
        raise damaged(
            path,
            f"its last {mark.revision - revision} commits are missing (it has {revision}, and"
            f" {mark.path.name} says {mark.revision}): its log is damaged or gone, or it is a backup",
        )
    return version


def _check_file(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
    if found != "ok":
        raise damaged(path, " ".join(str(found).split()))


def _check_rows(connection: Connection, path: Path) -> None:
    """The seals of all rows, and that sightings and what is sought say the same."""
    belongings = 0
    for table in METADATA.tables.values():
        rows = connection.execution_options(yield_per=_ROWS).execute(select(table)).mappings()
        for row in rows:
            checked(table, row)
            if table is SIGHTING:
                belongings += len(from_ids(row["recordings"]))
    sought = connection.execute(select(func.count()).select_from(SOUGHT)).scalar_one()
    if sought != belongings:
        raise damaged(path, f"its sightings belong to recordings {belongings} times, and {sought} are listed")


def _set_aside(path: Path, mark: Mark) -> Path:
    log, index = sqlite.beside(path)
    aside = next(
        each
        for number in itertools.count(1)
        if not (each := path.with_name(f"{path.name}.damaged-{number}")).exists()
    )
    try:
        if log.exists():
            log.rename(sqlite.beside(aside)[0])
        index.unlink(missing_ok=True)
        if path.exists():
            path.rename(aside)
    except OSError as error:
        raise StorageError(f"cannot set {path} aside as {aside}: {error.strerror}") from error
    mark.write(b"", 0)
    return aside
