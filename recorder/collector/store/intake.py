"""Intake: what agents report becomes rows, joined with what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from recorder.collector.store import first_sights
from recorder.collector.store.row import columns_of, digest_of, from_content, source_key, to_content
from recorder.collector.store.rows import insert, rows_by, sights_rows, update_rows
from recorder.collector.store.session import Transaction
from recorder.collector.store.sighting import Change, Confirmation, Incoming
from recorder.collector.store.tables import FIRST_SIGHTS, SIGHTING, SOUGHT, SOURCE, BrokenSeal, State
from recorder.collector.store.written import from_ids, ids_text

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
            )
        keys.append(key)
        by_key[key] = each
    return keys, by_key


def known_sources(connection: Connection, keys: Collection[bytes]) -> dict[bytes, int]:
    """The sighting of each source that was seen before; BrokenSeal."""
    rows = rows_by(connection, SOURCE, SOURCE.c.key, keys)
    return {row["key"]: row["sighting_id"] for row in rows}


class Intake:
    """One batch within one transaction. `opened`: new sightings by node.

    room: how many more may be opened of a node; of one that is not in it, as many as there are.
    """

    def __init__(self, transaction: Transaction, room: Mapping[str, int]) -> None:
        self.opened: Counter[str] = Counter()
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
        packed = {key: first_sights.pack(each.observation.first_sights) for key, each in incoming.items()}
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
        recordings = frozenset(incoming.recordings)
        self._new.append(
            {
                "id": number,
                **columns_of(observation),
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
        self._sources.append({"key": key, "sighting_id": number})
        if sights:
            self._new_sights.append({"sighting_id": number, "content": sights})
        self._sought += [_sought(each, number, granted=True) for each in sorted(recordings)]
        self.opened[node] += 1
        return Change(number, changed=True)

    def _join(
        self, row: dict[str, Any], incoming: Incoming, sights: bytes, stored: Mapping[str, Any] | None
    ) -> Change:
        number = row["id"]
        content = to_content(incoming.observation)
        after = dict(row)
        if content != row["content"]:
            observation = from_content(row["content"]).join(replace(incoming.observation, first_sights={}))
            after["content"] = to_content(observation)
            after |= columns_of(observation)
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
        if after == row:
            return Change(number, changed=False)
        after["revision"] = self._transaction.revision
        self._changed.append(after)
        return Change(number, changed=True)

    def _write(self) -> None:
        connection = self._transaction.connection
        self._transaction.touched = bool(self._new or self._changed)
        insert(connection, SIGHTING, self._new)
        insert(connection, SOURCE, self._sources)
        insert(connection, FIRST_SIGHTS, self._new_sights)
        insert(connection, SOUGHT, self._sought)
        update_rows(connection, SIGHTING, self._changed)
        update_rows(connection, FIRST_SIGHTS, self._changed_sights)


def _sought(recording: str, number: int, granted: bool) -> dict[str, Any]:
    return {"recording": recording, "sighting_id": number, "granted": granted}
