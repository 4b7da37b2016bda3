"""Rows of a SQLite table, against SQLite itself: of all sizes, and of files that are damaged."""

import contextlib
import random
import sqlite3

import pytest

from recorder.containers.pages import Damaged
from recorder.containers.sqlite_table import sqlite_row, sqlite_version
from tests.unit.containers.fake_cri import hex_id

SCHEMA = (
    "CREATE TABLE IDNamespace(ID TEXT PRIMARY KEY NOT NULL);"
    "CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT,"
    " JSON TEXT NOT NULL, FOREIGN KEY (ID) REFERENCES IDNamespace(ID) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE ContainerState(ID TEXT PRIMARY KEY NOT NULL, State INTEGER NOT NULL, ExitCode INTEGER)"
)
"""As libpod makes its tables, those that matter here."""
SIZES = (0, 1, 60, 400, 489, 490, 1000, 3900, 4000, 4061, 4062, 4096, 4097, 9000, 70_000, 300_000)


def reader(path):
    def read(offset, size):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    return read


def database(path, page_size=4096):
    made = sqlite3.connect(path, isolation_level=None)
    made.execute(f"PRAGMA page_size = {page_size}")
    made.executescript(SCHEMA)
    return made


def insert(made, number, size, pod=None):
    text = f"{number:x}".ljust(size, "x")[:size]
    made.execute("INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)", (hex_id(number), f"c{number}", pod, text))


def as_sqlite_has_it(made, table, key):
    row = made.execute(f"SELECT * FROM {table} WHERE ID = ?", (key,)).fetchone()  # noqa: S608 -- ours
    return row and tuple(each.encode() if isinstance(each, str) else each for each in row)


@pytest.mark.parametrize("page_size", [1024, 4096, 65536])
def test_each_row_is_as_sqlite_has_it(tmp_path, page_size, scaled):
    """Hundreds of rows, some on many pages; then with others gone, and longer."""
    made = database(tmp_path / "db.sql", page_size)
    read = reader(tmp_path / "db.sql")
    count = scaled(600, least=200)
    for number in range(count):
        size = SIZES[number % len(SIZES)] if number < 100 else 700
        insert(made, number, size, None if number % 2 else "pod")
        made.execute("INSERT INTO ContainerState VALUES (?, ?, ?)", (hex_id(number), number - 5, -number))
    changes = (
        "SELECT 1",
        "DELETE FROM ContainerConfig WHERE rowid % 3 = 0",
        "UPDATE ContainerConfig SET JSON = JSON || hex(zeroblob(3000)) WHERE rowid % 5 = 0",
    )
    for change in changes:
        made.execute(change)
        for number in range(count + 1):
            for table in ("ContainerConfig", "ContainerState"):
                found = sqlite_row(read, table, hex_id(number))
                assert found == as_sqlite_has_it(made, table, hex_id(number))
    assert sqlite_row(read, "PodConfig", hex_id(1)) is None


def test_the_version_rises_with_each_change(tmp_path):
    """So that a row that was read meanwhile does not count."""
    made = database(tmp_path / "db.sql")
    versions = []
    for number in range(5):
        insert(made, number, 10)
        versions.append(sqlite_version(reader(tmp_path / "db.sql")))
    assert versions == sorted(set(versions))


def test_a_write_ahead_log_is_refused(tmp_path):
    """What is in it is not in the file."""
    made = database(tmp_path / "db.sql")
    made.execute("PRAGMA journal_mode = WAL")
    insert(made, 1, 10)
    with pytest.raises(Damaged, match="write-ahead log"):
        sqlite_row(reader(tmp_path / "db.sql"), "ContainerConfig", hex_id(1))


def test_whatever_the_bytes_are(tmp_path, scaled):
    """A file with wrong bytes, or that ends too early, is damaged or has another row: it is never a fault."""
    made = database(tmp_path / "db.sql", 1024)
    for number in range(60):
        insert(made, number, SIZES[number % len(SIZES)] % 5000)
    made.close()
    whole = (tmp_path / "db.sql").read_bytes()
    odds = random.Random(11)
    for turn in range(scaled(3000, least=300)):
        data = bytearray(whole if turn % 5 else whole[: odds.randrange(len(whole))])
        for _ in range(odds.randrange(60)):
            if data:
                data[min(len(data) - 1, odds.choice((odds.randrange(200), odds.randrange(len(whole)))))] = (
                    odds.randrange(256)
                )
        content = bytes(data)
        with contextlib.suppress(Damaged):
            sqlite_row(
                lambda at, size, of=content: of[at : at + size] if at >= 0 else b"",
                "ContainerConfig",
                hex_id(7),
            )


def test_a_tree_without_an_end(tmp_path):
    """A page that is its own child."""
    made = database(tmp_path / "db.sql")
    for number in range(400):
        insert(made, number, 500)
    (root,) = made.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ContainerConfig'").fetchone()
    made.close()
    data = bytearray((tmp_path / "db.sql").read_bytes())
    start = (root - 1) * 4096
    assert data[start] == 5, "the root is no leaf"
    data[start + 8 : start + 12] = root.to_bytes(4, "big")
    (tmp_path / "db.sql").write_bytes(data)
    with pytest.raises(Damaged, match="no end"):
        sqlite_row(reader(tmp_path / "db.sql"), "ContainerConfig", hex_id(9999))
