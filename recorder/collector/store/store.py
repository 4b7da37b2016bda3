"""The store: one SQLite file of what the collector must not forget. The policy is in docs/store.md.

All of it is read and written by one thread, the one that opened it: see `async_store`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Select, exists, func, select

from recorder.collector.store import catalogue, sqlite
from recorder.collector.store.access_rows import accesses_of, entries_of, parts_of
from recorder.collector.store.bounds import StoreBounds, StoreFigures
from recorder.collector.store.compaction import CHUNK, Compaction, Target
from recorder.collector.store.figures import figures_of
from recorder.collector.store.intake import Intake, joined, known_sources
from recorder.collector.store.node_accesses import NodeAccesses
from recorder.collector.store.opening import open_session
from recorder.collector.store.row import OUTLINE, decided, outline_of, sighting_of, source_key
from recorder.collector.store.rows import rows_by, sights_rows, update_rows
from recorder.collector.store.session import Session
from recorder.collector.store.sighting import Change, Confirmation, Decision, Incoming, Outline, Sighting
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.collector.store.tables import SIGHTING, SOUGHT, State, in_state
from recorder.collector.store.written import from_ids
from recorder.model.errors import StoreFull
from recorder.model.record import Source
from recorder.model.recording import ProfileKind, Recording
from recorder.model.result import Placement

__all__ = ["Store"]

_MOST_ROWS = 8 * CHUNK
"""That one call makes smaller."""


class Store:
    """An open store.

    Every method raises StoreDamaged, StoreFull (a write; nothing of it is kept) or StorageError. What a
    method wrote is on disk when it returns.
    """

    def __init__(self, session: Session, bounds: StoreBounds) -> None:
        self._session = session
        self._bounds = bounds
        self._full = ""
        self._fruitless = False  # compaction found nothing, and nothing was confirmed or emitted since
        self._opened = self._count_opened()
        self._accesses = NodeAccesses(session, bounds.node_accesses)
        self.compactions = 0
        """How often rows were made smaller."""

    @classmethod
    def open(cls, path: Path, bounds: StoreBounds | None = None, *, set_aside: bool = False) -> Self:
        """The store at a path, made if there was none, checked as a whole, migrated if it is older.

        StoreDamaged if it is damaged, has lost commits, or is of a newer recorder; StorageError if it is
        on a network file system, in use by another process, or cannot be read or written; StoreFull.
        set_aside: rename one that is damaged to NAME.damaged-N, and begin a new one.
        """
        bounds = bounds or StoreBounds()
        session = open_session(path, bounds.bytes, set_aside=set_aside)
        try:
            return cls(session, bounds)
        except BaseException:
            session.close()
            raise

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self._session.close()

    @property
    def revision(self) -> int:
        """Rises with each commit that changes something."""
        return self._session.revision

    # What agents report

    def put(self, batch: Sequence[Incoming]) -> list[Change]:
        """Join a batch with what is there, in one commit; what became of each, in order.

        In any order, repeated or late: the same comes out. A source that was folded or emptied keeps
        what it has. Raises StoreFull if there is no room and nothing that may go; InvalidRecord for an
        observation that has no form as a message.
        """
        keys, incoming = joined(batch)
        try:
            changes = self._put(incoming)
        except StoreFull as error:
            self._full = str(error)
            if not self._make_room(len(incoming)):
                raise
            changes = self._put(incoming)
        self._full = ""
        return [changes[key] for key in keys]

    def _put(self, incoming: dict[bytes, Incoming]) -> dict[bytes, Change]:
        known, new = self._known(incoming)
        room = self._room(new)
        if room and self._make_room(0, frozenset(room)):
            known, new = self._known(incoming)
            room = self._room(new)
        more = sum(min(count, max(0, room.get(node, count))) for node, count in new.items())
        if more and self._opened.total() + more > self._bounds.sightings:
            raise sqlite.bound_reached(self._session.path)
        accessed = {each.observation.source.node for each in incoming.values() if each.accessed}
        full = self._accesses.full(accessed)
        with self._session.writing() as transaction:
            intake = Intake(transaction, room, full)
            changes = intake.put(incoming, known)
            if transaction.touched and sqlite.in_use(transaction.connection) > self._bounds.bytes:
                raise sqlite.bound_reached(self._session.path)
            self._fruitless = self._fruitless and not transaction.touched
        self._opened += intake.opened
        self._accesses.add(intake.accessed)
        return changes

    def _known(self, incoming: dict[bytes, Incoming]) -> tuple[dict[bytes, int], Counter[str]]:
        """The sightings of sources that were seen before; how many were not, by node."""
        with self._session.reading() as connection:
            known = known_sources(connection, incoming)
        return known, Counter(
            each.observation.source.node for key, each in incoming.items() if key not in known
        )

    def _room(self, new: Counter[str]) -> dict[str, int]:
        """How many more sightings may be opened of those nodes that have more."""
        most = self._bounds.node_sightings
        return {
            node: most - self._opened[node]
            for node, count in new.items()
            if self._opened[node] + count > most
        }

    # What the platform says of pods

    def decide(self, decisions: Sequence[Decision]) -> list[bool]:
        """Keep what was said of sightings, in one commit; False for each that is not open any more.

        What was confirmed stays so (`Decision`).
        """
        by_id = {each.sighting_id: each for each in decisions}
        with self._session.writing() as transaction:
            rows = {
                row["id"]: row
                for row in rows_by(transaction.connection, SIGHTING, SIGHTING.c.id, by_id)
                if row["state"] == State.OPEN
            }
            changed = []
            for number, row in rows.items():
                after = decided(row, by_id[number])
                if after != row:
                    changed.append({**after, "revision": transaction.revision})
                if after["not_for"] != row["not_for"]:
                    _grant(transaction.connection, number, from_ids(after["not_for"]))
            update_rows(transaction.connection, SIGHTING, changed)
            transaction.touched = bool(changed)
        self._fruitless = False
        return [each.sighting_id in rows for each in decisions]

    def confirm(self, sighting_id: int, placement: Placement) -> bool:
        """The pod is where the agent says; False if the sighting is not open any more."""
        return self.decide([Decision(sighting_id, Confirmation.CONFIRMED, placement)])[0]

    def refuse(self, sighting_id: int, reason: str) -> bool:
        """It is not what the agent says; False as above."""
        return self.decide([Decision(sighting_id, Confirmation.REFUSED, reason=reason)])[0]

    def missing(self, sighting_id: int, reason: str) -> bool:
        """There was no such pod any more; False as above."""
        return self.decide([Decision(sighting_id, Confirmation.MISSING, reason=reason)])[0]

    # Sightings

    def sighting(self, sighting_id: int, *, accesses: bool = True) -> Sighting | None:
        """One, with all or without accesses; None: there is none, or it was folded into another."""
        query = select(SIGHTING).where(SIGHTING.c.id == sighting_id)
        found = self._sightings(query, first_sights=True, accesses=accesses)
        return found[0] if found else None

    def accesses(self, sighting_id: int, *, part: int | None = None) -> dict[int, bytes]:
        """What a sighting's container accessed, by part (`packed_accesses`): of one, or of all."""
        with self._session.reading() as connection:
            return parts_of(connection, sighting_id, part)

    def accesses_of_source(self, source: Source) -> dict[int, bytes]:
        """The same of the sighting that a source's reports are in now, whichever it was folded into."""
        key = source_key(source)
        with self._session.reading() as connection:
            number = known_sources(connection, [key]).get(key)
            return {} if number is None else parts_of(connection, number)

    def accesses_of(self, sighting_ids: Sequence[int]) -> dict[int, int]:
        """How many different ones, of each sighting that has some."""
        with self._session.reading() as connection:
            return entries_of(connection, sighting_ids)

    def sightings(
        self,
        recording: str,
        *,
        container: str | None = None,
        running: bool | None = None,
        first_sights: bool = True,
        accesses: bool = True,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Sighting]:
        """Those of a recording, by id: of one container's name, that run or have ended, or all.

        first_sights, accesses: False leaves them out, which is many times as fast and small. after, limit:
        a page.
        """
        query = (
            select(SIGHTING)
            .join(SOUGHT, SOUGHT.c.sighting_id == SIGHTING.c.id)
            .where(SOUGHT.c.recording == recording, SOUGHT.c.granted, SOUGHT.c.sighting_id > after)
            .order_by(SOUGHT.c.sighting_id)
        )
        if container is not None:
            query = query.where(SIGHTING.c.container == container)
        if running is not None:
            query = query.where(SIGHTING.c.ended.is_(not running))
        if limit is not None:
            query = query.limit(limit)
        return self._sightings(query, first_sights=first_sights, accesses=accesses)

    def unconfirmed(self, limit: int, after: int = 0) -> list[Sighting]:
        """Those of pods that the platform is to be asked for, by id, without first sights and accesses.

        Their recordings are all that they were reported for, those that came after a decision among them.
        """
        query = select(SIGHTING).where(
            in_state(State.OPEN),
            SIGHTING.c.unasked,
            SIGHTING.c.pod.is_not(None),
            SIGHTING.c.id > after,
        )
        with self._session.reading() as connection:
            found = connection.execute(query.order_by(SIGHTING.c.id).limit(limit)).mappings()
            return [sighting_of(row, undecided=True) for row in found]

    def _sightings(self, query: Select[Any], *, first_sights: bool, accesses: bool) -> list[Sighting]:
        with self._session.reading() as connection:
            rows = connection.execute(query).mappings().all()
            seen = sights_rows(connection, rows) if first_sights else {}
            found = [sighting_of(row, seen.get(row["id"])) for row in rows]
            return [_with_accesses(connection, each) for each in found] if accesses else found

    def outlines(self, recording: str, newer_than: int = 0, limit: int = 2000) -> list[Outline]:
        """Those of a recording that changed after that revision, by revision and id, folded ones too.

        A page is never cut within one revision: after `limit` the rest of the last one comes as well.
        """
        # Not a join: it would begin with all of the recording's, and few of them have changed.
        its = exists().where(
            SOUGHT.c.recording == recording, SOUGHT.c.sighting_id == SIGHTING.c.id, SOUGHT.c.granted
        )
        query = select(*OUTLINE).where(its).order_by(SIGHTING.c.revision, SIGHTING.c.id)
        with self._session.reading() as connection:
            page = connection.execute(query.where(SIGHTING.c.revision > newer_than).limit(limit)).all()
            if len(page) == limit:
                last = page[-1]
                rest = query.where(SIGHTING.c.revision == last.revision, SIGHTING.c.id > last.id)
                page = [*page, *connection.execute(rest)]
            return [outline_of(row) for row in page]

    def known(self, sources: Collection[Source]) -> set[Source]:
        """Those of which something is stored, the folded and the emptied ones among them."""
        keys = {source_key(each): each for each in sources}
        with self._session.reading() as connection:
            return {keys[key] for key in known_sources(connection, keys)}

    def changed_since(self, revision: int) -> list[int]:
        """Ids of sightings that changed after that revision of the store, by revision and id."""
        query = select(SIGHTING.c.id).where(SIGHTING.c.revision > revision)
        with self._session.reading() as connection:
            found = connection.execute(query.order_by(SIGHTING.c.revision, SIGHTING.c.id))
            return list(found.scalars())

    # Recordings and results

    def recordings(self) -> dict[str, StoredRecording]:
        """All that are kept, by id, the deleted ones among them."""
        with self._session.reading() as connection:
            return catalogue.recordings(connection)

    def save_recording(self, recording: Recording) -> None:
        """As it is asked now, and not deleted."""
        with self._session.writing() as transaction:
            transaction.touched = catalogue.save_recording(transaction.connection, recording)

    def mark_deleted(self, recording: str, at: float) -> None:
        """It was found gone at that Unix time; the first time stays. Of an unknown one: nothing."""
        with self._session.writing() as transaction:
            transaction.touched = catalogue.set_deleted(transaction.connection, recording, at)

    def forget_recording(self, recording: str) -> None:
        """Remove it, its results, and the sightings that no other recording has, also that they ever were."""
        with self._session.writing() as transaction:
            transaction.touched = catalogue.forget_recording(transaction.connection, recording)
        self._fruitless = False
        self._opened = self._count_opened()
        self._accesses.count()

    def strays(self) -> list[str]:
        """Recordings that sightings name and that are not kept: reported after `forget_recording`."""
        with self._session.reading() as connection:
            return catalogue.strays(connection)

    def emitted(self, recording: str, revision: int) -> None:
        """All results of it hold what its sightings up to that revision of the store say."""
        with self._session.writing() as transaction:
            transaction.touched = catalogue.set_emitted(transaction.connection, recording, revision)
        self._fruitless = False

    def unemitted(self) -> dict[str, int]:
        """Recordings of which results may lack something, and the newest revision of their sightings."""
        with self._session.reading() as connection:
            return catalogue.unemitted(connection)

    def results(self, recording: str) -> list[StoredResult]:
        """Those of a recording, sorted by kind, container, suffix, partial."""
        with self._session.reading() as connection:
            return catalogue.results(connection, recording)

    def result_by_name(self, kind: ProfileKind, name: str) -> StoredResult | None:
        """Which result writes the object of that name; None: none that is kept."""
        with self._session.reading() as connection:
            return catalogue.result_by_name(connection, kind, name)

    def save_result(self, result: StoredResult) -> None:
        """In place of the one with its recording, kind, container, suffix and partial."""
        self.save_results([result])

    def save_results(self, results: Sequence[StoredResult]) -> None:
        """The same of several, in their order, in one commit."""
        with self._session.writing() as transaction:
            for each in results:
                transaction.touched |= catalogue.save_result(transaction.connection, each)

    def remove_result(self, result: StoredResult) -> None:
        """The one with that key, if there is one."""
        with self._session.writing() as transaction:
            transaction.touched = catalogue.remove_result(transaction.connection, result)

    # Room

    def compact(self) -> int:
        """Make room if more than 7/8 of a bound are in use, down to 3/4; how many rows were made smaller.

        At most some thousands at a time, some hundred milliseconds: call it again while it is not 0.
        """
        if not Compaction(self._session, self._opened, Target.below(self._bounds, 7, 8)).needed:
            return 0
        return self._compact(Target.below(self._bounds, 3, 4))

    def _make_room(self, count: int, nodes: frozenset[str] = frozenset()) -> int:
        """For so many more sightings, or for some of those nodes; how many rows were made smaller."""
        if self._fruitless:
            return 0
        bounds = self._bounds
        target = Target(
            bytes=bounds.bytes - bounds.bytes // 64,
            sightings=max(0, bounds.sightings - count),
            node_sightings=max(0, bounds.node_sightings - CHUNK),
            nodes=nodes,
        )
        done = self._compact(target)
        self._fruitless = not done
        return done

    def _compact(self, target: Target) -> int:
        done = Compaction(self._session, self._opened, target).run(_MOST_ROWS)
        if done:
            self.compactions += 1
            self._accesses.count()
        return done

    def _count_opened(self) -> Counter[str]:
        query = select(SIGHTING.c.node, func.count()).where(in_state(State.OPEN)).group_by(SIGHTING.c.node)
        with self._session.reading() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})

    def figures(self) -> StoreFigures:
        """What is in it now; reads all sightings' rows, so ask some times a minute."""
        with self._session.reading() as connection:
            return figures_of(connection, self._session, self._bounds, self._full)


def _with_accesses(connection: Connection, sighting: Sighting) -> Sighting:
    seen = sighting.observation
    accesses = accesses_of(connection, sighting.id, seen.accesses.cut_at)
    return replace(sighting, observation=replace(seen, accesses=accesses)) if accesses else sighting


def _grant(connection: Connection, sighting: int, not_for: frozenset[str]) -> None:
    rows = rows_by(connection, SOUGHT, SOUGHT.c.sighting_id, [sighting])
    update_rows(connection, SOUGHT, [{**row, "granted": row["recording"] not in not_for} for row in rows])
