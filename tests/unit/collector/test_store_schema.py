"""The store's schema: each version that was released is read for ever, and none changes.

`store_schemas/N.sql` is what a recorder of schema N left, by `sqlite3 STORE .dump` with its
application_id. Never write one of them anew: add the next.
"""

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, select, update

from recorder.collector.store import migrations
from recorder.collector.store.sighting import Confirmation
from recorder.collector.store.store import Store
from recorder.collector.store.stored import StoredResult
from recorder.collector.store.tables import RESULT, SIGHTING, sealed
from recorder.model.accesses import Accesses
from recorder.model.errors import StoreDamaged
from recorder.model.recording import ProfileKind
from recorder.model.wire import to_observation
from tests.denials_given import REST, apparmor, counted, selinux
from tests.unit.collector.store_made import bounds, edits, placed, recording, seen
from tests.unit.profiles.accessed import files

SCHEMAS = Path(__file__).with_name("store_schemas")
ACCESSES = files("r /etc/a\nrx /bin/app")
DENIALS = {apparmor(b"/etc/\xff\n"): counted(3), selinux(): counted(4, 5, 6), REST: counted(7)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "collector.db"


def restored(path, version):
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((SCHEMAS / f"{version}.sql").read_text())
    return path


def statements(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return sorted(
            sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        )


@pytest.mark.parametrize("version", range(1, migrations.SCHEMA + 1))
def test_every_released_schema_is_read(path, version):
    """All that a store of it holds: what was put in it, by the values that were put."""
    with contextlib.closing(Store.open(restored(path, version), bounds())) as store:
        confirmed, folded, refused = store.sightings("r1")
        assert (confirmed.id, confirmed.observation, confirmed.placement) == (
            1,
            seen(1, ended=False),
            placed(),
        )
        assert confirmed.confirmation == Confirmation.CONFIRMED
        assert (folded.sources, folded.folded) == (2, True)
        assert folded.observation.ledger.counts == {"children_full": 5, "ring_full": 2}
        assert folded.observation.identity.pod.uid == "uid-p2"
        assert (refused.observation, refused.reason) == (seen(4), "another node")
        assert refused.not_recorded == "why"
        other = store.sightings("r2")
        assert [(each.observation, each.recordings) for each in other] == [(seen(5, pod=None), {"r2"})]
        assert store.recordings()["r1"].recording == recording("r1")
        assert store.recordings()["r1"].emitted > 0
        assert store.recordings()["r2"].deleted_at == 12.5
        assert store.results("r1") == [
            StoredResult(
                "r1",
                ProfileKind.SECCOMP,
                "web",
                "x",
                True,
                "name",
                "uid",
                "final",
                "digest",
                edits(),
                {"newest": 3},
            )
        ]
        assert store.revision == {1: 9, 2: 11, 3: 13}[version]
        if version >= 2:
            (denied,) = store.sightings("r3")
            assert denied.observation == seen(8, pod=None, denials=DENIALS)
            assert store.recordings()["r3"].recording == recording("r3", denials=True)
        if version >= 3:
            (accessed,) = store.sightings("r4")
            assert accessed.observation == seen(9, pod=None, accesses=ACCESSES)
        assert not store.recordings()["r1"].recording.denials


def test_accesses_that_stood_within_a_sighting_move(path):
    """A recorder of schema 2 kept them there; nothing of them, or of the rest, changes."""
    restored(path, 2)
    whole = seen(8, pod=None, denials=DENIALS, accesses=ACCESSES)
    content = to_observation(replace(whole, first_sights={})).SerializeToString(deterministic=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        (row,) = connection.execute("SELECT * FROM sighting WHERE container_id = 'id-8'")
        row = {**row, "content": content}
        seal = sealed(SIGHTING, row)["seal"]
        connection.execute(
            "UPDATE sighting SET content = ?, seal = ? WHERE id = ?", (content, seal, row["id"])
        )
        connection.commit()
    for _ in range(2):
        with contextlib.closing(Store.open(path, bounds())) as store:
            (found,) = store.sightings("r3")
            assert found.observation == whole
            (bare,) = store.sightings("r3", accesses=False)
            assert bare.observation == replace(whole, accesses=Accesses())
            assert store.accesses_of([found.id]) == {found.id: 2}


def test_the_schema_of_today_is_the_last_released(path, tmp_path):
    """Who changes a table adds a version, a step and a dump."""
    Store.open(path, bounds()).close()
    assert statements(path) == statements(restored(tmp_path / "old" / "store", migrations.SCHEMA))
    assert sorted(migrations.STEPS) == list(range(1, migrations.SCHEMA))
    assert sorted(each.name for each in SCHEMAS.iterdir()) == [
        f"{version}.sql" for version in range(1, migrations.SCHEMA + 1)
    ]


def _rewrite(connection: Connection, table: Table, **values: object) -> None:
    for row in connection.execute(select(table)).mappings().all():
        key = table.c.name
        connection.execute(update(table).where(key == row["name"]).values(sealed(table, {**row, **values})))


def rename_digests(connection: Connection) -> None:
    _rewrite(connection, RESULT, digest="second")


def finish(connection: Connection) -> None:
    assert connection.execute(select(RESULT.c.digest)).scalars().all() == ["second"]
    _rewrite(connection, RESULT, state="third")


def fail(connection: Connection) -> None:
    _rewrite(connection, RESULT, state="half")
    raise RuntimeError("the step failed")


def later(*steps):
    """The steps of today, then these; and the schema that they lead to."""
    first = migrations.SCHEMA
    return {**migrations.STEPS, **dict(enumerate(steps, first))}, first + len(steps)


def with_steps(monkeypatch, steps, schema):
    """As a recorder that has these."""
    monkeypatch.setattr(migrations, "SCHEMA", schema)
    migrate = migrations.migrate
    monkeypatch.setattr(
        migrations,
        "migrate",
        lambda connection, version: migrate(connection, version, steps=steps, schema=schema),
    )


def version_of(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT schema FROM store").fetchone()[0]


def test_an_older_store_takes_all_steps_at_once(path, monkeypatch):
    """In order, each with what the one before left; all rows are checked afterwards."""
    restored(path, 1)
    with_steps(monkeypatch, *later(rename_digests, finish))
    for _ in range(2):
        with contextlib.closing(Store.open(path, bounds())) as store:
            (result,) = store.results("r1")
            assert (result.digest, result.state) == ("second", "third")
    assert version_of(path) == migrations.SCHEMA


def test_a_step_that_fails_leaves_the_store_as_it_was(path, monkeypatch):
    """Also the steps before it: the older recorder can go on with it."""
    restored(path, 1)
    with monkeypatch.context() as patch:
        with_steps(patch, *later(rename_digests, fail))
        with pytest.raises(RuntimeError, match="the step failed"):
            Store.open(path, bounds())
    assert version_of(path) == 1
    with contextlib.closing(Store.open(path, bounds())) as store:
        assert store.results("r1")[0].digest == "digest"


def test_a_step_that_forgets_a_seal_is_found_at_once(path, monkeypatch):
    """And nothing of it stays."""
    restored(path, 1)
    with monkeypatch.context() as patch:
        with_steps(patch, *later(lambda connection: connection.execute(update(RESULT).values(digest="new"))))
        with pytest.raises(StoreDamaged, match="the table result"):
            Store.open(path, bounds())
    assert version_of(path) == 1


@pytest.mark.parametrize("set_aside", [False, True])
def test_a_newer_store_is_refused_and_never_set_aside(path, monkeypatch, set_aside):
    """Whoever goes back to an older recorder loses nothing."""
    restored(path, migrations.SCHEMA)
    next_schema = later(rename_digests)
    with monkeypatch.context() as patch:
        with_steps(patch, *next_schema)
        Store.open(path, bounds()).close()
    whole = path.read_bytes()
    expected = (
        f"schema {next_schema[1]}, and this recorder knows those up to {migrations.SCHEMA}.*newer recorder"
    )
    with pytest.raises(StoreDamaged, match=expected):
        Store.open(path, bounds(), set_aside=set_aside)
    assert path.read_bytes() == whole
    with monkeypatch.context() as patch:
        with_steps(patch, *next_schema)
        with contextlib.closing(Store.open(path, bounds())) as store:
            assert store.results("r1")
