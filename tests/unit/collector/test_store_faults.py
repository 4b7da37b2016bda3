"""The store under faults: what was acknowledged is there, or the store says that it is not."""

import contextlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.collector.store import file_system
from recorder.collector.store.store import Store
from recorder.collector.store.stored import StoredResult
from recorder.model.errors import RecorderError, StorageError, StoreDamaged, StoreFull
from recorder.model.recording import ProfileKind
from tests.unit.collector.fuse import mounted
from tests.unit.collector.store_made import MIB, bounds, edits, incoming, placed, recording, seen
from tests.unit.collector.store_writer import BATCH, OPEN

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "collector.db"


def filled(path):
    """An open store with rows in each table."""
    store = Store.open(path, bounds())
    for uid in ("r1", "r2"):
        store.save_recording(recording(uid))
        for suffix in ("a", "b"):
            store.save_result(
                StoredResult(uid, ProfileKind.SECCOMP, "web", suffix, name=suffix, edits=edits())
            )
    for begin in range(0, 60, 20):
        store.put([incoming(n, f"r{n % 2 + 1}", sights=30) for n in range(begin, begin + 20)])
    store.confirm(1, placed())
    store.refuse(2, "another node")
    return store


def everything(store):
    return (
        store.sightings("r1"),
        store.sightings("r2"),
        store.recordings(),
        store.results("r1"),
        store.results("r2"),
        store.revision,
    )


@contextlib.contextmanager
def opened(path, **options):
    store = Store.open(path, bounds(), **options)
    try:
        yield store
    finally:
        store.close()


def files(path):
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", ".mark")]


def copied(path, folder):
    """As a machine that lost its power would have it: the store is open."""
    folder.mkdir()
    for each in files(path):
        if each.exists():
            shutil.copy(each, folder)
    return folder / path.name


# Damage


def read(path):
    """All that is in it, or what is said of its damage."""
    try:
        with opened(path) as store:
            return everything(store), ""
    except StoreDamaged as error:
        return None, str(error)


def test_a_changed_byte_is_found_or_changes_nothing(path, tmp_path, scaled):
    """One byte of the file, anywhere: the store is damaged and says so, or all of it is as it was."""
    store = filled(path)
    wanted = everything(store)
    store.close()
    whole = path.read_bytes()
    random_ = random.Random(1)
    # Each page has its turn; half of its bytes near the end, where rows are.
    places = [
        page + random_.choice([random_.randrange(100), random_.randrange(4096)])
        for page in range(0, len(whole), 4096)
    ]
    places += [random_.randrange(len(whole)) for _ in range(scaled(2000, 150))]
    damaged = 0
    for place in [*range(0, 100, 7), *places]:
        changed = bytearray(whole)
        changed[place] ^= 1 << random_.randrange(8)
        path.write_bytes(changed)
        found, complaint = read(path)
        if complaint:
            damaged += 1
            assert str(path) in complaint
            assert "--set-aside-damaged-store" in complaint
            assert path.read_bytes() == bytes(changed), "what is damaged is left as it was found"
        else:
            assert found == wanted, f"byte {place} changed something, and nobody said so"
        for each in files(path)[1:3]:
            each.unlink(missing_ok=True)
    assert damaged > len(places) // 4


def test_a_changed_byte_of_the_log_is_found(path, tmp_path, scaled):
    """SQLite takes a damaged write-ahead log for one that ends there; the mark tells that it did not."""
    store = filled(path)
    wanted = everything(store)
    crashed = copied(path, tmp_path / "crashed")
    store.close()
    log = files(crashed)[1].read_bytes()
    assert len(log) > 50_000
    random_ = random.Random(2)
    damaged = 0
    for number, place in enumerate(
        [*range(32), *(random_.randrange(len(log)) for _ in range(scaled(500, 50)))]
    ):
        copy = copied(crashed, tmp_path / f"copy-{number}")
        changed = bytearray(log)
        changed[place] ^= 1 << random_.randrange(8)
        files(copy)[1].write_bytes(changed)
        files(copy)[2].unlink()
        found, complaint = read(copy)
        if complaint:
            damaged += 1
            assert str(copy) in complaint
            assert files(copy)[1].read_bytes() == bytes(changed), "the log is kept for whoever looks at it"
        else:
            assert found == wanted, f"byte {place} of the log changed something"
        shutil.rmtree(copy.parent)
    assert damaged > 25
    with opened(crashed) as store:
        assert everything(store) == wanted, "with its log as it was, nothing is missing"


@pytest.mark.parametrize("what", ["cut", "gone", "store gone", "older backup", "another store"])
def test_commits_that_are_missing_are_found(path, tmp_path, what):
    """The log cut or removed, the file removed or exchanged: never a store that forgot in silence."""
    store = filled(path)
    backup = copied(path, tmp_path / "backup")
    store.put([incoming(100)])
    crashed = copied(path, tmp_path / "crashed")
    store.close()
    file, log, index, mark = files(crashed)
    index.unlink()
    if what == "cut":
        log.write_bytes(log.read_bytes()[:-5000])
    elif what == "gone":
        log.unlink()
    elif what == "store gone":
        file.unlink()
    elif what == "older backup":
        for old, new in zip(files(backup)[:2], (file, log), strict=True):
            shutil.copy(old, new)
    else:
        log.unlink()
        with opened(tmp_path / "other" / file.name) as other:
            other.put([incoming(n) for n in range(3)])
        shutil.copy(tmp_path / "other" / file.name, file)
    with pytest.raises(StoreDamaged, match=re.escape(mark.name)):
        Store.open(crashed, bounds())


def test_a_backup_takes_the_place_of_a_damaged_store(path, tmp_path):
    """As docs/store.md says: the copy that VACUUM INTO makes of an open store, and the mark removed."""
    store = filled(path)
    wanted = everything(store)
    with contextlib.closing(sqlite3.connect(path)) as person:
        person.execute("VACUUM INTO ?", (str(tmp_path / "backup"),))
    store.put([incoming(100)])
    store.close()
    path.write_bytes(b"damage" * 1000)
    with pytest.raises(StoreDamaged):
        Store.open(path, bounds())
    for each in files(path)[1:]:
        each.unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup", path)
    with opened(path) as store:
        assert everything(store) == wanted


def test_a_damaged_store_is_set_aside_only_if_that_is_asked(path, caplog):
    """A new one is begun beside it; the damaged one stays for whoever wants to look."""
    filled(path).close()
    path.write_bytes(path.read_bytes()[:10_000])
    damaged = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreDamaged):
            Store.open(path, bounds())
    with opened(path, set_aside=True) as store:
        assert store.sightings("r1") == []
        store.put([incoming(1)])
    assert path.with_name("collector.db.damaged-1").read_bytes() == damaged
    assert "damaged-1" in caplog.text
    with opened(path, set_aside=True) as store:
        assert len(store.sightings("r1")) == 1
    path.unlink()
    with opened(path, set_aside=True) as store:
        assert store.sightings("r1") == []


def test_damage_while_it_is_open_is_found_when_it_is_read(path):
    """A page that changes on the disk below a running collector."""
    filled(path).close()
    with opened(path) as store:
        whole = bytearray(path.read_bytes())
        for place in range(8192, len(whole), 64):
            whole[place] ^= 0xFF
        with path.open("r+b") as file:
            file.write(whole)
        with pytest.raises(StoreDamaged, match=re.escape(str(path))):
            everything(store)


def test_another_program_s_database_is_left_alone(path):
    """A wrong path in the settings must not cost somebody their data."""
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreDamaged, match="another program's database"):
        Store.open(path, bounds())
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


# Killed


def started(path):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.collector.store_writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_was_acknowledged_survives_sigkill(path, scaled):
    """Again and again, in the middle of commits and of folding: every batch that was acknowledged, whole."""
    random_ = random.Random(3)
    acknowledged = 0
    for _ in range(scaled(100, 8)):
        with started(path) as writer:
            assert writer.stdout.readline() == "open\n"
            lines = random_.randrange(1, 30)
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            time.sleep(random_.uniform(0, 0.02))  # a moment of the next commits, whichever
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                acknowledged = int(line)
        assert writer.returncode == -signal.SIGKILL
        with opened(path) as store:
            found = store.sightings("r1")
            sources = sum(each.sources for each in found)
            assert acknowledged <= sources <= acknowledged + BATCH
            assert sources % BATCH == 0, "a batch is whole or not there"
            assert store.known([seen(n).source for n in range(sources + 1)]) == {
                seen(n).source for n in range(sources)
            }
            assert sum(each.observation.ledger.counts.get("ring_full", 0) for each in found) == sources
            assert sum(each.observation.ledger.counts.get("children_full", 0) for each in found) == sum(
                range(sources)
            )
    assert acknowledged > 2 * OPEN, "it has folded"


def test_a_store_has_one_process(path):
    """The second is told who has it; when that one is killed, it may."""
    with started(path) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match=rf"in use by another process \(pid {holder.pid}\)"):
            Store.open(path, bounds())
        holder.kill()
        holder.wait()
    with opened(path) as store:
        with pytest.raises(StorageError, match="in use"):
            Store.open(path, bounds())
        store.put([incoming(10_000)])


# Full


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, tmp_path):
    """A file system of 3 or 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder))
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(8 * MIB)
        run("mkfs.ext4", "-q", "-m", "0", str(image))
        run("mount", "-o", "loop", str(image), str(folder))
    yield folder
    run("umount", str(folder))


def fill(path):
    """Take all room that there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def save_recordings(store, count):
    for number in range(count):
        store.save_recording(recording(f"r{number}"))


@pytest.mark.root
def test_a_full_disk_is_a_state_and_no_loss(small_disk):
    """Nothing is acknowledged while there is no room; all that was is there; with room it goes on."""
    path = small_disk / "store"
    store = Store.open(path, bounds())
    stored = 0
    for number in range(0, 100_000, 10):
        batch = [incoming(n, sights=50) for n in range(number, number + 10)]
        if number == 300:
            fill(small_disk / "ballast")
        try:
            store.put(batch)
        except StoreFull as error:
            message = str(error)
            break
        stored = number + 10
    assert stored >= 300
    assert f"file system of the store {path} is full" in message
    assert store.figures().full == message
    with pytest.raises(StoreFull):
        store.put(batch)
    with pytest.raises(StoreFull):
        save_recordings(store, 1000)
    kept = [each.observation for each in store.sightings("r1")]
    assert kept == [seen(n, sights=50) for n in range(stored)]
    (small_disk / "ballast").unlink()
    assert all(each.stored for each in store.put(batch))
    assert store.figures().full == ""
    store.close()
    with opened(path) as store:
        assert [each.observation for each in store.sightings("r1")] == [
            seen(n, sights=50) for n in range(stored + 10)
        ]


@pytest.mark.root
def test_a_store_opens_on_a_full_disk_once_there_is_room(small_disk):
    """What is there stays there; what cannot be said is not guessed to be damage."""
    path = small_disk / "store"
    with opened(path) as store:
        store.put([incoming(n) for n in range(50)])
    fill(small_disk / "ballast")
    with contextlib.suppress(StoreFull), opened(path) as store:  # ext4 may have a block left
        assert len(store.sightings("r1")) == 50
    with pytest.raises(StoreFull):
        Store.open(small_disk / "new", bounds())
    (small_disk / "ballast").unlink()
    with opened(path) as store:
        assert [each.observation for each in store.sightings("r1")] == [seen(n) for n in range(50)]
    with opened(small_disk / "new") as store:
        store.put([incoming(1)])


@pytest.mark.root
def test_a_file_system_that_became_read_only_is_no_damage(small_disk):
    """The kernel does that to a disk with errors."""
    path = small_disk / "store"
    store = Store.open(path, bounds())
    store.put([incoming(1)])
    store.close()
    run("mount", "-o", "remount,ro", str(small_disk))
    with pytest.raises(StorageError, match="Read-only file system"):
        Store.open(path, bounds())
    run("mount", "-o", "remount,rw", str(small_disk))
    with opened(path) as store:
        assert len(store.sightings("r1")) == 1


# Where it may be


@pytest.mark.parametrize(("magic", "name"), sorted(file_system.NETWORK.items()))
def test_network_file_systems_are_refused(path, monkeypatch, magic, name):
    """By statfs' magic; nothing is made there."""
    monkeypatch.setattr(file_system, "type_of", lambda _: magic)
    with pytest.raises(StorageError, match=rf"network file system \({name}\).*local disk"):
        Store.open(path, bounds())
    assert list(path.parent.iterdir()) == []


@pytest.mark.root
def test_a_real_fuse_mount_is_refused(tmp_path):
    """What statfs(2) really says of one."""
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse (modprobe fuse)")
    with (
        mounted(tmp_path / "fuse") as folder,
        pytest.raises(StorageError, match=r"network file system \(fuse\)"),
    ):
        Store.open(folder / "store", bounds())


def test_the_file_system_of_this_folder_is_what_stat_says(tmp_path):
    """The magic is read from the right place of the structure."""
    found = subprocess.run(
        ["stat", "-f", "-c", "%t", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert file_system.type_of(tmp_path) == int(found.stdout, 16)


def test_the_store_is_its_owner_s_alone(path):
    """It says what runs in the cluster."""
    with opened(path) as store:
        store.put([incoming(1)])
        assert path.parent.stat().st_mode & 0o777 == 0o700
        for each in files(path):
            assert each.stat().st_mode & 0o077 == 0, each


@pytest.mark.parametrize("what", ["a folder", "below a file"])
def test_a_path_that_cannot_be_a_store_is_refused(tmp_path, what):
    """With the path, and what it must be."""
    path = tmp_path / "store"
    if what == "a folder":
        path.mkdir()
    else:
        path.write_text("")
        path /= "store"
    with pytest.raises(RecorderError, match=re.escape(str(tmp_path))) as caught:
        Store.open(path, bounds())
    assert caught.type is StorageError
