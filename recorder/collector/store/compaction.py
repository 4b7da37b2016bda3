"""Compaction: how a store that nears its bound makes room, oldest first, without a change of any result.

In this order, only as far as room is needed:

1. refused sightings that are finished lose their content (no result has it);
2. sightings that are finished, confirmed (or of no pod) and emitted are folded (`folding`);
3. folded ones lose their first sights: who called what first, for explanations alone.

What is not emitted, what runs and what is missing is never touched. Sources are remembered, so that
late repeats of what is gone change nothing.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, or_, select, tuple_

from recorder.collector.store import sqlite
from recorder.collector.store.access_rows import fold_accesses, keep_parts
from recorder.collector.store.bounds import StoreBounds
from recorder.collector.store.folding import fold_key, folded, folded_sights
from recorder.collector.store.row import digest_of, from_content, sighting_of, to_content
from recorder.collector.store.rows import (
    delete_sightings,
    delete_where,
    insert,
    rows_by,
    sights_rows,
    update_rows,
)
from recorder.collector.store.session import Session, Transaction
from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.collector.store.tables import (
    ACCESSES,
    FIRST_SIGHTS,
    RECORDING,
    SIGHTING,
    SOUGHT,
    SOURCE,
    State,
    in_state,
)
from recorder.model.errors import InvalidRecord
from recorder.model.record import Observation

__all__ = ["Compaction", "Target"]

CHUNK = 256
"""Sightings in one transaction: some tens of milliseconds."""

Cursor = tuple[int, int]
"""Revision and id of the last row that was looked at."""


@dataclass(frozen=True, slots=True)
class Target:
    """How much may be left: bytes in use, open sightings, and open ones of each of some nodes."""

    bytes: int
    sightings: int
    node_sightings: int
    nodes: frozenset[str] = frozenset()

    @classmethod
    def below(cls, bounds: StoreBounds, numerator: int, denominator: int) -> Target:
        """A part of the bounds."""
        return cls(
            bounds.bytes * numerator // denominator,
            bounds.sightings * numerator // denominator,
            bounds.node_sightings * numerator // denominator,
        )


class Compaction:
    """One run. `opened`: open sightings by node, which it keeps right."""

    def __init__(self, session: Session, opened: Counter[str], target: Target) -> None:
        self._session = session
        self._opened = opened
        self._target = target
        self._bytes_over = False
        self._look()

    @property
    def needed(self) -> bool:
        """Whether there is more than the target."""
        return self._bytes_over or self._counts_over()

    def run(self, most: int) -> int:
        """Until the target is reached, nothing may go, or `most` rows were made smaller; how many were."""
        done = 0
        for stage in (self._empty, self._fold, self._forget_sights):
            cursor: Cursor | None = (0, 0)
            while (
                cursor and done < most and self.needed and (stage != self._forget_sights or self._bytes_over)
            ):
                count, cursor = stage(cursor)
                done += count
                self._look()
        return done

    def _look(self) -> None:
        with self._session.reading() as connection:
            self._bytes_over = sqlite.in_use(connection) > self._target.bytes

    def _counts_over(self) -> bool:
        return self._opened.total() > self._target.sightings or any(self._nodes_over())

    def _nodes_over(self) -> list[str]:
        return [each for each in self._target.nodes if self._opened[each] > self._target.node_sightings]

    def _wanted(self, cursor: Cursor, *conditions: ColumnElement[bool]) -> Select[Any]:
        revision, number = cursor
        later = tuple_(SIGHTING.c.revision, SIGHTING.c.id) > tuple_(literal(revision), literal(number))
        query = select(SIGHTING.c.id, SIGHTING.c.revision).where(*conditions, later)
        nodes = self._nodes_over()
        if nodes and not self._bytes_over and self._opened.total() <= self._target.sightings:
            query = query.where(SIGHTING.c.node.in_(nodes))
        return query.order_by(SIGHTING.c.revision, SIGHTING.c.id).limit(CHUNK)

    def _chosen(
        self, transaction: Transaction, query: Select[Any]
    ) -> tuple[list[dict[str, Any]], Cursor | None]:
        found = transaction.connection.execute(query).all()
        if not found:
            return [], None
        rows = list(rows_by(transaction.connection, SIGHTING, SIGHTING.c.id, [each.id for each in found]))
        rows.sort(key=lambda row: (row["revision"], row["id"]))
        return rows, (found[-1].revision, found[-1].id)

    def _close(self, rows: Collection[dict[str, Any]]) -> None:
        """After the commit: these are not open any more."""
        self._opened.subtract(row["node"] for row in rows if row["state"] == State.OPEN)

    def _empty(self, cursor: Cursor) -> tuple[int, Cursor | None]:
        refused = SIGHTING.c.confirmation == Confirmation.REFUSED.value
        with self._session.writing() as transaction:
            rows, after = self._chosen(
                transaction,
                self._wanted(cursor, in_state(State.OPEN), SIGHTING.c.ended, refused),
            )
            emptied = [
                {**row, "state": int(State.EMPTIED), "sights_digest": b"", "content": _without_calls(row)}
                for row in rows
            ]
            update_rows(transaction.connection, SIGHTING, emptied)
            for column in (FIRST_SIGHTS.c.sighting_id, ACCESSES.c.sighting_id):
                delete_where(transaction.connection, column, [row["id"] for row in rows])
            transaction.touched = bool(rows)
        self._close(rows)
        return len(rows), after

    def _forget_sights(self, cursor: Cursor) -> tuple[int, Cursor | None]:
        with self._session.writing() as transaction:
            rows, after = self._chosen(transaction, self._wanted(cursor, in_state(State.FOLDED)))
            bare = [{**row, "state": int(State.BARE), "sights_digest": b""} for row in rows]
            update_rows(transaction.connection, SIGHTING, bare)
            delete_where(transaction.connection, FIRST_SIGHTS.c.sighting_id, [row["id"] for row in rows])
            transaction.touched = bool(rows)
        return len(rows), after

    def _fold(self, cursor: Cursor) -> tuple[int, Cursor | None]:
        counted = or_(
            SIGHTING.c.confirmation == Confirmation.CONFIRMED.value,
            and_(SIGHTING.c.pod.is_(None), SIGHTING.c.confirmation == Confirmation.UNASKED.value),
        )
        unemitted = exists(
            select(SOUGHT.c.sighting_id)
            .select_from(SOUGHT.outerjoin(RECORDING, RECORDING.c.id == SOUGHT.c.recording))
            .where(
                SOUGHT.c.sighting_id == SIGHTING.c.id,
                SOUGHT.c.granted,
                func.coalesce(RECORDING.c.emitted, 0) < SIGHTING.c.revision,
            )
        )
        closed: list[dict[str, Any]] = []
        with self._session.writing() as transaction:
            rows, after = self._chosen(
                transaction,
                self._wanted(cursor, in_state(State.OPEN), SIGHTING.c.ended, counted, ~unemitted),
            )
            for key, group in self._groups(transaction, rows).items():
                if _fold_group(transaction, key, group):
                    closed += group
            transaction.touched = bool(closed)
        self._close(closed)
        return len(closed), after

    def _groups(
        self, transaction: Transaction, rows: Sequence[dict[str, Any]]
    ) -> dict[bytes, list[dict[str, Any]]]:
        """By fold key, what is folded already first."""
        groups: dict[bytes, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(fold_key(sighting_of(row)), []).append(row)
        for row in rows_by(transaction.connection, SIGHTING, SIGHTING.c.fold_key, groups):
            groups[row["fold_key"]].insert(0, row)
        return groups


def _without_calls(row: dict[str, Any]) -> bytes:
    seen = from_content(row["content"])
    return to_content(Observation(seen.source, seen.identity, ended=True))


def _fold_group(transaction: Transaction, key: bytes, rows: Sequence[dict[str, Any]]) -> bool:
    """Write one row in place of several; False, and nothing, if what they say has no place in one."""
    connection = transaction.connection
    target, *others = sorted(rows, key=lambda row: (row["state"] == State.OPEN, row["id"]))
    bare = target["state"] == State.BARE
    stored = sights_rows(connection, rows)
    sightings: list[Sighting] = [sighting_of(row) for row in rows]
    try:
        observation, shifts = folded(sightings)
        content = to_content(observation)
        contents = [stored[row["id"]]["content"] if row["id"] in stored else b"" for row in rows]
        sights = b"" if bare else folded_sights(contents, shifts)
        parts = fold_accesses(connection, target["id"], [row["id"] for row in rows], shifts)
    except (InvalidRecord, struct.error):
        return False
    if parts is None:
        return False
    keep_parts(connection, target["id"], parts)
    row = {
        **target,
        "state": int(State.BARE if bare else State.FOLDED),
        "recorded": any(each["recorded"] for each in rows),
        "revision": max(each["revision"] for each in rows),
        "sources": sum(each["sources"] for each in rows),
        "fold_key": key,
        "sights_digest": digest_of(sights),
        "content": content,
    }
    gone = [each["id"] for each in others]
    moved = [
        {**each, "sighting_id": target["id"]}
        for each in rows_by(connection, SOURCE, SOURCE.c.sighting_id, gone)
    ]
    delete_sightings(connection, gone, sources=False)
    update_rows(connection, SOURCE, moved)
    update_rows(connection, SIGHTING, [row])
    if row["sights_digest"] == target["sights_digest"]:
        return True
    delete_where(connection, FIRST_SIGHTS.c.sighting_id, [target["id"]])
    if sights:
        insert(connection, FIRST_SIGHTS, [{"sighting_id": target["id"], "content": sights}])
    return True
