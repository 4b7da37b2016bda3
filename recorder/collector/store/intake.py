"""Intake: what agents report becomes rows, joined with what is there."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from recorder.collector.store import first_sights, packed_accesses
from recorder.collector.store.access_rows import join_accesses, lacks
from recorder.collector.store.packed_accesses import packed
from recorder.collector.store.row import (
    columns_of,
    covers,
    cut_of,
    digest_of,
    from_content,
    source_key,
    to_content,
    with_cut,
)
from recorder.collector.store.rows import insert, rows_by, sights_rows, update_rows
from recorder.collector.store.session import Transaction
from recorder.collector.store.sighting import Change, Confirmation, Incoming
from recorder.collector.store.tables import FIRST_SIGHTS, SIGHTING, SOUGHT, SOURCE, BrokenSeal, State
from recorder.collector.store.written import from_ids, ids_text
from recorder.model.errors import InvalidRecord

__all__ = ["Intake", "joined", "known_sources"]


def joined(batch: Sequence[Incoming]) -> tuple[list[bytes], dict[bytes, Incoming]]:
    """The source's key of each, in order, and what all that is said of one source says together."""
    keys: list[bytes] = []
    by_key: dict[bytes, Incoming] = {}
    for each in batch:
        key = source_key(each.observation.source)
        known = by_key.get(key)
        if known is not None:
            each = Incoming(  # noqa: PLW2901
                known.observation.join(each.observation),
                known.recordings + each.recordings,
                max(known.not_recorded, each.not_recorded),
                first_sights.join(known.packed_sights, each.packed_sights),
                _joined_parts(known.packed_accesses, each.packed_accesses),
            )
        keys.append(key)
        by_key[key] = each
    return keys, by_key


def known_sources(connection: Connection, keys: Collection[bytes]) -> dict[bytes, int]:
    """The sighting of each source that was seen before; BrokenSeal."""
    rows = rows_by(connection, SOURCE, SOURCE.c.key, keys)
    return {row["key"]: row["sighting_id"] for row in rows}


_MISSING = b"\xff" * 8
"""`Accesses.cut_at` of what lacks some, though none of those that are kept is above it."""


class Intake:
    """One batch within one transaction. `opened`: new sightings by node; `accessed`: bytes of accesses.

    room: how many more may be opened of a node; of one that is not in it, as many as there are. full:
    nodes of which no more accesses are kept: what has some that are new says that they are missing.
    """

    def __init__(self, transaction: Transaction, room: Mapping[str, int], full: frozenset[str]) -> None:
        self.opened: Counter[str] = Counter()
        self.accessed: Counter[str] = Counter()
        self._full = full
        self._transaction = transaction
        self._room = room
        self._new: list[dict[str, Any]] = []
        self._sources: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._new_sights: list[dict[str, Any]] = []
        self._changed_sights: list[dict[str, Any]] = []
        self._sought: list[dict[str, Any]] = []

    def put(self, incoming: Mapping[bytes, Incoming], known: Mapping[bytes, int]) -> dict[bytes, Change]:
        """Write what is new, of sources by their keys. BrokenSeal, InvalidRecord."""
        connection = self._transaction.connection
        rows = {row["id"]: row for row in rows_by(connection, SIGHTING, SIGHTING.c.id, set(known.values()))}
        packed = {key: _packed(each) for key, each in incoming.items()}
        stale = {
            key: rows[known[key]]
            for key, sights in packed.items()
            if sights
            and key in known
            and known[key] in rows
            and rows[known[key]]["sights_digest"] != digest_of(sights)
        }
        stored = sights_rows(connection, [row for row in stale.values() if row["state"] == State.OPEN])
        changes: dict[bytes, Change] = {}
        for key, each in incoming.items():
            if key not in known:
                changes[key] = self._open(key, each, packed[key])
                continue
            row = rows.get(known[key])
            if row is None:
                raise BrokenSeal(f"the sighting {known[key]} of a source is missing")
            if row["state"] != State.OPEN:
                changes[key] = Change(row["id"], changed=False)
                continue
            sights = packed[key] if key in stale else b""
            changes[key] = self._join(row, each, sights, stored.get(row["id"]))
        self._write()
        return changes

    def _open(self, key: bytes, incoming: Incoming, sights: bytes) -> Change:
        observation = incoming.observation
        node = observation.source.node
        if node in self._room and self.opened[node] >= self._room[node]:
            return Change(0, changed=False, stored=False)
        number = self._transaction.new_id()
        parts = _parts(incoming)
        recordings = frozenset(incoming.recordings)
        self._new.append(
            {
                "id": number,
                **columns_of(observation),
                "recorded": observation.seen or bool(parts),
                "state": int(State.OPEN),
                "confirmation": Confirmation.UNASKED.value,
                "unasked": True,
                "reason": "",
                "not_recorded": incoming.not_recorded,
                "placement": None,
                "recordings": ids_text(recordings),
                "not_for": ids_text(frozenset()),
                "revision": self._transaction.revision,
                "sources": 1,
                "fold_key": None,
                "sights_digest": digest_of(sights),
                "content": to_content(observation),
            }
        )
        if parts:
            self._open_accesses(self._new[-1], parts, observation.accesses.cut_at)
        self._sources.append({"key": key, "sighting_id": number})
        if sights:
            self._new_sights.append({"sighting_id": number, "content": sights})
        self._sought += [_sought(each, number, granted=True) for each in sorted(recordings)]
        self.opened[node] += 1
        return Change(number, changed=True)

    def _open_accesses(self, row: dict[str, Any], parts: Mapping[int, bytes], cut_at: bytes) -> None:
        cut = cut_at or _MISSING
        if row["node"] not in self._full:
            self.accessed[row["node"]] += sum(map(len, parts.values()))
            _, cut = join_accesses(self._transaction.connection, row["id"], parts, cut_at)
        if cut != cut_at:
            row["content"] = with_cut(row["content"], cut)

    def _join(
        self, row: dict[str, Any], incoming: Incoming, sights: bytes, stored: Mapping[str, Any] | None
    ) -> Change:
        number = row["id"]
        content = to_content(incoming.observation)
        after = dict(row)
        if content != row["content"]:
            observation = incoming.observation
            if not covers(content, row["content"]):
                observation = from_content(row["content"]).join(replace(observation, first_sights={}))
                content = to_content(observation)
            after["content"] = content
            after |= columns_of(observation)
            after["recorded"] = row["recorded"] or observation.seen
        accessed = self._join_accesses(row, after, incoming)
        if sights:
            seen = first_sights.join(stored["content"], sights) if stored else sights
            after["sights_digest"] = digest_of(seen)
            if after["sights_digest"] != row["sights_digest"]:
                into = self._changed_sights if stored else self._new_sights
                into.append({"sighting_id": number, "content": seen})
        known = from_ids(row["recordings"])
        recordings = known.union(incoming.recordings)
        if recordings != known:
            after["recordings"] = ids_text(recordings)
            # Nobody has said yet that the pod is one of these recordings'.
            granted = row["confirmation"] == Confirmation.UNASKED or row["pod"] is None
            if not granted:
                after["unasked"] = True
                after["not_for"] = ids_text(from_ids(row["not_for"]) | (recordings - known))
            self._sought += [_sought(each, number, granted) for each in sorted(recordings - known)]
        after["not_recorded"] = max(row["not_recorded"], incoming.not_recorded)
        if after == row and not accessed:
            return Change(number, changed=False)
        after["revision"] = self._transaction.revision
        self._changed.append(after)
        return Change(number, changed=True)

    def _join_accesses(self, row: dict[str, Any], after: dict[str, Any], incoming: Incoming) -> bool:
        """Whether there are more of them; `after` is brought up to date."""
        parts = _parts(incoming)
        if not (parts or incoming.observation.accesses.cut_at):
            return False
        connection, node = self._transaction.connection, row["node"]
        before, cut_at = cut_of(row["content"]), cut_of(after["content"])
        if node in self._full and lacks(connection, row["id"], parts):
            parts, cut_at = {}, cut_at or _MISSING
            after["content"] = with_cut(after["content"], cut_at)
        changed, cut = join_accesses(connection, row["id"], parts, cut_at, lowered=cut_at != before)
        self.accessed[node] += sum(map(len, parts.values())) if changed else 0
        if cut != cut_at:
            after["content"] = with_cut(after["content"], cut)
        after["recorded"] = after["recorded"] or changed
        return changed

    def _write(self) -> None:
        connection = self._transaction.connection
        self._transaction.touched = bool(self._new or self._changed)
        insert(connection, SIGHTING, self._new)
        insert(connection, SOURCE, self._sources)
        insert(connection, FIRST_SIGHTS, self._new_sights)
        insert(connection, SOUGHT, self._sought)
        update_rows(connection, SIGHTING, self._changed)
        update_rows(connection, FIRST_SIGHTS, self._changed_sights)


def _packed(incoming: Incoming) -> bytes:
    """All its first sights."""
    return first_sights.join(first_sights.pack(incoming.observation.first_sights), incoming.packed_sights)


def _parts(incoming: Incoming) -> dict[int, bytes]:
    """All its accesses, by part. InvalidRecord."""
    try:
        return _joined_parts(packed(incoming.observation.accesses), incoming.packed_accesses)
    except (ValueError, struct.error) as error:
        raise InvalidRecord(f"accesses have no form as a message: {error}") from error


def _joined_parts(parts: Mapping[int, bytes], more: Mapping[int, bytes]) -> dict[int, bytes]:
    numbers = sorted(parts.keys() | more.keys())
    return {part: packed_accesses.join(parts.get(part, b""), more.get(part, b"")) for part in numbers}


def _sought(recording: str, number: int, granted: bool) -> dict[str, Any]:
    return {"recording": recording, "sighting_id": number, "granted": granted}
