"""The catalogue: recordings and their results, by statements within a transaction that is open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, func, select

from recorder.collector.store.rows import delete_sightings, insert, rows_by, update_rows
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.collector.store.tables import RECORDING, RESULT, SIGHTING, SOUGHT, checked
from recorder.collector.store.written import (
    edits_text,
    from_edits,
    from_ids,
    from_recording,
    ids_text,
    json_text,
    recording_text,
)
from recorder.model.recording import ProfileKind, Recording

__all__ = [
    "forget_recording",
    "recordings",
    "remove_result",
    "result_by_name",
    "results",
    "save_recording",
    "save_result",
    "set_deleted",
    "set_emitted",
    "strays",
    "unemitted",
]


def recordings(connection: Connection) -> dict[str, StoredRecording]:
    """All, by id."""
    found = connection.execute(select(RECORDING).order_by(RECORDING.c.id)).mappings()
    return {
        row["id"]: StoredRecording(from_recording(row["content"]), row["deleted_at"], row["emitted"])
        for row in (checked(RECORDING, each) for each in found)
    }


def save_recording(connection: Connection, recording: Recording) -> bool:
    """As it is asked now; not deleted. Whether anything changed."""
    content = recording_text(recording)
    row = _recording(connection, recording.id)
    if row is None:
        insert(
            connection,
            RECORDING,
            [{"id": recording.id, "content": content, "deleted_at": None, "emitted": 0}],
        )
        return True
    return _changed_recording(connection, row, content=content, deleted_at=None)


def set_deleted(connection: Connection, recording: str, at: float) -> bool:
    """It is gone since; the first time stays. Whether anything changed."""
    row = _recording(connection, recording)
    return bool(row and row["deleted_at"] is None) and _changed_recording(
        connection, row, deleted_at=float(at)
    )


def set_emitted(connection: Connection, recording: str, revision: int) -> bool:
    """It never goes back. Whether anything changed."""
    row = _recording(connection, recording)
    return bool(row and row["emitted"] < revision) and _changed_recording(connection, row, emitted=revision)


def _recording(connection: Connection, number: str) -> dict[str, Any] | None:
    return next(rows_by(connection, RECORDING, RECORDING.c.id, [number]), None)


def _changed_recording(connection: Connection, row: Mapping[str, Any] | None, **values: Any) -> bool:
    if row is None or all(row[name] == value for name, value in values.items()):
        return False
    update_rows(connection, RECORDING, [{**row, **values}])
    return True


def forget_recording(connection: Connection, recording: str) -> bool:
    """With its results, and with all sightings that no other recording has. Whether there was anything."""
    ids = (
        connection.execute(select(SOUGHT.c.sighting_id).where(SOUGHT.c.recording == recording))
        .scalars()
        .all()
    )
    gone, kept = [], []
    for row in rows_by(connection, SIGHTING, SIGHTING.c.id, ids):
        others = from_ids(row["recordings"]) - {recording}
        if others:
            # What it is folded by has its recordings in it: it takes up nothing any more.
            kept.append(
                {
                    **row,
                    "recordings": ids_text(others),
                    "fold_key": None,
                    "not_for": ids_text(from_ids(row["not_for"]) - {recording}),
                }
            )
        else:
            gone.append(row["id"])
    delete_sightings(connection, gone, sources=True)
    update_rows(connection, SIGHTING, kept)
    removed = connection.execute(delete(SOUGHT).where(SOUGHT.c.recording == recording)).rowcount
    removed += connection.execute(delete(RESULT).where(RESULT.c.recording == recording)).rowcount
    removed += connection.execute(delete(RECORDING).where(RECORDING.c.id == recording)).rowcount
    return bool(removed or ids)


def strays(connection: Connection) -> list[str]:
    """Recordings that sightings name, and that are not saved."""
    query = select(SOUGHT.c.recording).where(SOUGHT.c.recording.not_in(select(RECORDING.c.id))).distinct()
    return sorted(connection.execute(query).scalars())


def unemitted(connection: Connection) -> dict[str, int]:
    """The newest revision of each saved recording's sightings, if it is newer than what is emitted."""
    query = (
        select(RECORDING.c.id, func.max(SIGHTING.c.revision))
        .select_from(
            RECORDING.join(SOUGHT, SOUGHT.c.recording == RECORDING.c.id).join(
                SIGHTING, SIGHTING.c.id == SOUGHT.c.sighting_id
            )
        )
        .where(SIGHTING.c.revision > RECORDING.c.emitted, SOUGHT.c.granted)
        .group_by(RECORDING.c.id)
        .order_by(RECORDING.c.id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def results(connection: Connection, recording: str) -> list[StoredResult]:
    """Those of a recording, sorted by their keys."""
    query = select(RESULT).where(RESULT.c.recording == recording).order_by(*RESULT.primary_key)
    return [_result(row) for row in connection.execute(query).mappings()]


def result_by_name(connection: Connection, kind: ProfileKind, name: str) -> StoredResult | None:
    """Who writes the object of that name; of several, which another's deletion left, the first by key."""
    query = (
        select(RESULT).where(RESULT.c.kind == kind.value, RESULT.c.name == name).order_by(*RESULT.primary_key)
    )
    row = connection.execute(query.limit(1)).mappings().first()
    return _result(row) if row else None


def save_result(connection: Connection, result: StoredResult) -> bool:
    """In place of the one with its key. Whether anything changed."""
    found = connection.execute(select(RESULT).where(_key(result))).mappings().first()
    row = {
        "recording": result.recording,
        "kind": result.kind.value,
        "container": result.container,
        "suffix": result.suffix,
        "partial": result.partial,
        "name": result.name,
        "uid": result.uid,
        "state": result.state,
        "digest": result.digest,
        "edits": edits_text(result.edits),
        "more": json_text(dict(result.more)),
    }
    if found is None:
        insert(connection, RESULT, [row])
        return True
    before = dict(checked(RESULT, found))
    if all(before[name] == value for name, value in row.items()):
        return False
    update_rows(connection, RESULT, [row])
    return True


def remove_result(connection: Connection, result: StoredResult) -> bool:
    """The one with its key. Whether there was one."""
    return bool(connection.execute(delete(RESULT).where(_key(result))).rowcount)


def _key(result: StoredResult) -> Any:
    return and_(
        RESULT.c.recording == result.recording,
        RESULT.c.kind == result.kind.value,
        RESULT.c.container == result.container,
        RESULT.c.suffix == result.suffix,
        RESULT.c.partial == result.partial,
    )


def _result(row: Mapping[Any, Any]) -> StoredResult:
    checked(RESULT, row)
    return StoredResult(
        recording=row["recording"],
        kind=ProfileKind(row["kind"]),
        container=row["container"],
        suffix=row["suffix"],
        partial=row["partial"],
        name=row["name"],
        uid=row["uid"],
        state=row["state"],
        digest=row["digest"],
        edits=from_edits(row["edits"]),
        more=json.loads(row["more"]),
    )
