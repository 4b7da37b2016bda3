"""What libpod itself has of a container: its configuration, in one of two kinds of database."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from recorder.containers.bolt import bolt_value, bolt_version
from recorder.containers.pages import Damaged, Read
from recorder.containers.sqlite_table import sqlite_row, sqlite_version

__all__ = ["Open", "labels_of", "places"]

Open: TypeAlias = "Callable[[Path], int | None]"
"""A file's descriptor, which the caller closes; None: there is no such file."""

TRIES, PAUSE = 20, 0.005
"""How often it is read while others write it, and seconds between."""


def places(graph_root: Path, run_root: Path) -> tuple[Path, ...]:
    """Where libpod's databases may be, in the order in which it uses them; last that of a transient store."""
    return (
        graph_root / "libpod/bolt_state.db",
        graph_root / "db.sql",
        graph_root / "libpod/db.sql",
        run_root / "db.sql",
    )


def labels_of(container_id: str, databases: tuple[Path, ...], open_file: Open) -> Mapping[str, str]:
    """A container's labels; none of one that libpod does not know (Buildah's). Raises Damaged, OSError."""
    for path in databases:
        descriptor = open_file(path)
        if descriptor is None:
            continue
        try:
            found = _configuration(path, descriptor, container_id)
        finally:
            os.close(descriptor)
        if found is not None:
            return _labels(path, found)
    return {}


def _configuration(path: Path, descriptor: int, container_id: str) -> bytes | None:
    def read(offset: int, size: int) -> bytes:
        # a damaged file may name pages that no file has
        return os.pread(descriptor, size, offset) if 0 <= offset < 1 << 62 else b""

    look = _in_bolt if path.suffix == ".db" else _in_sqlite
    problem = "it is written all the time"
    for _ in range(TRIES):
        try:
            settled, found = look(path, read, container_id)
        except Damaged as error:
            problem = str(error)
        else:
            if settled:
                return found
        time.sleep(PAUSE)
    raise Damaged(f"{path}: {problem}")


def _in_bolt(path: Path, read: Read, container_id: str) -> tuple[bool, bytes | None]:
    version = bolt_version(read)
    found = bolt_value(read, b"ctr", container_id.encode(), b"config")
    return bolt_version(read) == version, found


def _in_sqlite(path: Path, read: Read, container_id: str) -> tuple[bool, bytes | None]:
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists():
        return False, None
    version = sqlite_version(read)
    row = sqlite_row(read, "ContainerConfig", container_id)
    found = row[3] if row and len(row) > 3 else None
    settled = sqlite_version(read) == version and not journal.exists()
    return settled, found if isinstance(found, bytes) else None


def _labels(path: Path, text: bytes) -> Mapping[str, str]:
    try:
        configuration: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged(f"{path}: a container's configuration is no JSON") from None
    labels = configuration.get("labels") if isinstance(configuration, dict) else None
    if not isinstance(labels, dict):
        return {}
    return {key: value for key, value in labels.items() if isinstance(value, str)}
