"""The spool: what was acknowledged is there, whole, whatever happened to the process."""

import random
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.agent.spool import Entry, Spool
from recorder.model.errors import SpoolFull, StorageError
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Identity, Observation, Source
from recorder.model.wire import to_observation
from tests.agent.storage import as_nobody, killed_writer, remount, small_filesystem
from tests.unit.model.strategies import observations

MIB = 1 << 20
ids = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=3).map(tuple)
entries = st.builds(Entry, observations(), ids, ids)


def source(number, boot="boot-1"):
    return Source("node", boot, 100 + number, 7)


def entry(number, boot="boot-1", size=0, **asked):
    """An entry that says which one it is, in all of its parts."""
    return Entry(
        Observation(
            source(number, boot),
            identity=Identity(f"c{number}", labels={f"l{index}": f"{number}" for index in range(size)}),
            calls={CallKey(1, 2, 1): Numbers.of({number % 500, 501})},
            ledger=Ledger({"children_full": number + 1}),
            ended=True,
        ),
        **asked,
    )


def fill(spool):
    """Put entries until there is no room; how many found some."""
    for number in range(1000):
        try:
            spool.put(entry(number, size=20))
        except SpoolFull:
            return number
    raise AssertionError("a small file system took a thousand entries")


def disk_use(folder):
    """As the files are, counted by stat: whole blocks of 4 KiB."""
    return sum(max(1, -(-path.stat().st_size // 4096)) * 4096 for path in folder.iterdir())


@given(st.lists(entries, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_put_is_read_back(tmp_path_factory, put):
    """By this spool and by the next one; entries of one source are joined."""
    folder = tmp_path_factory.mktemp("spool") / "spool"
    spool = Spool(folder, MIB)
    expected = {}
    for each in put:
        spool.put(each)
        known = expected.get(each.key)
        expected[each.key] = known.join(each) if known else each
    for reader in (spool, Spool(folder, MIB)):
        assert {each.key: each for each in reader.entries()} == expected
        assert all(
            reader.message(key).observation == to_observation(each.observation) and key in reader
            for key, each in expected.items()
        )
        assert len(reader) == len(expected)
        assert reader.bytes == disk_use(folder)
        assert reader.damaged == 0


def test_an_acknowledged_entry_goes(tmp_path):
    """Removing is for ever, may be repeated, and gives the room back."""
    spool = Spool(tmp_path / "s", MIB)
    for number in range(3):
        spool.put(entry(number))
    spool.remove(source(1))
    spool.remove(source(1))
    spool.remove(source(9))
    assert spool.message(source(1)) is None
    assert source(1) not in spool
    assert {each.key for each in Spool(tmp_path / "s", MIB).entries()} == {source(0), source(2)}
    assert (len(spool), spool.bytes) == (2, disk_use(tmp_path / "s"))


def test_entries_of_another_boot_stay(tmp_path):
    """They are final, and belong to their own boot."""
    Spool(tmp_path / "s", MIB).put(entry(1, "boot-1"))
    spool = Spool(tmp_path / "s", MIB)
    spool.put(entry(1, "boot-2"))
    assert {each.key for each in spool.entries()} == {source(1, "boot-1"), source(1, "boot-2")}


def test_who_asked_is_joined(tmp_path):
    """A second put of one source forgets nobody, and neither does one with less in it."""
    spool = Spool(tmp_path / "s", MIB)
    spool.put(entry(1, recordings=("b", "a"), captures=("x",)))
    spool.put(Entry(Observation(source(1)), recordings=("c", "a")))
    (read,) = spool.entries()
    assert (read.recordings, read.captures) == (("a", "b", "c"), ("x",))
    assert read.observation == entry(1).observation


def test_the_bound_is_kept_and_what_is_there_stays(tmp_path):
    """A full spool refuses with what to do; an entry that it has may still be put again."""
    spool = Spool(tmp_path / "s", 3 * 4096)
    for number in range(3):
        spool.put(entry(number))
    with pytest.raises(
        SpoolFull, match=r"has 12KiB of its 12KiB in use.*cgroup 103 needs 4KiB: let the agent"
    ):
        spool.put(entry(3))
    spool.put(entry(2))
    with pytest.raises(SpoolFull):
        spool.put(entry(2, size=600))  # it would grow
    assert {each.key: each for each in spool.entries()} == {source(n): entry(n) for n in range(3)}
    assert disk_use(tmp_path / "s") <= 3 * 4096
    spool.remove(source(0))
    spool.put(entry(3))
    assert spool.bytes == disk_use(tmp_path / "s") == 3 * 4096


def test_a_lower_bound_at_the_next_start_loses_nothing(tmp_path):
    """It only takes nothing more."""
    Spool(tmp_path / "s", MIB).put(entry(1, size=600))
    spool = Spool(tmp_path / "s", 8192)
    with pytest.raises(SpoolFull):
        spool.put(entry(2))
    assert len(list(spool.entries())) == 1


def test_the_files_are_roots_alone(tmp_path):
    """Records hold names and labels of other people's containers."""
    folder = tmp_path / "above" / "spool"
    Spool(folder, MIB).put(entry(1))
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert [path.stat().st_mode & 0o7777 for path in folder.iterdir()] == [0o600]
    folder.chmod(0o755)
    Spool(folder, MIB)
    assert folder.stat().st_mode & 0o7777 == 0o700


def test_damaged_files_are_set_aside_and_the_rest_is_read(tmp_path, caplog):
    """Cut at any length, any byte changed, another's content, or no entry at all: never a wrong record."""
    folder = tmp_path / "s"
    spool = Spool(folder, MIB)
    for number in range(40):
        spool.put(entry(number))
    paths = sorted(folder.iterdir())
    whole = [path.read_bytes() for path in paths]
    length = len(whole[0])
    for index in range(15):
        paths[index].write_bytes(whole[index][: length * index // 15])
    rng = random.Random(1)
    for index in range(15, 35):
        changed = bytearray(whole[index])
        changed[rng.randrange(length)] ^= 1 << rng.randrange(8)
        paths[index].write_bytes(changed)
    paths[35].write_bytes(whole[36])
    fresh = Spool(folder, MIB)
    read = list(fresh.entries())
    assert {each.key: each for each in read} == {each.key: entry(each.key.cgroup_id - 100) for each in read}
    assert (len(read), len(fresh), fresh.damaged) == (4, 4, 36)
    assert len(caplog.records) == 36
    assert str(paths[0].with_suffix(".damaged")) in caplog.text
    assert sorted(path.suffix for path in folder.iterdir()) == [".damaged"] * 36 + [".entry"] * 4
    # They take room until a person removes them, and are counted at the next start too.
    assert fresh.bytes == Spool(folder, MIB).bytes == disk_use(folder)
    assert Spool(folder, MIB).damaged == 36
    # An entry may be put where a damaged one was.
    damaged = next(number for number in range(40) if source(number) not in fresh)
    fresh.put(entry(damaged))
    assert entry(damaged) in fresh.entries()


def test_every_acknowledged_put_survives_a_kill(tmp_path, scaled):
    """A writer is killed again and again; what it said was put is there, what it said was removed is not."""
    folder = tmp_path / "spool"
    rng = random.Random(7)
    present, unsure = set(), set()
    first = 0
    for _ in range(scaled(300, 40)):

        def write(say, first=first):
            spool = Spool(folder, 64 * MIB)
            for number in range(first, first + 100_000):
                spool.put(entry(number, size=number % 60))
                say(f"put {number}")
                if number % 3 == 0:
                    say(f"removing {number - 1}")
                    spool.remove(source(number - 1))
                    say(f"removed {number - 1}")

        for line in killed_writer(write, rng.randrange(8), rng):
            what, number = line.split()
            first = max(first, int(number) + 1)
            if what == "put":
                present.add(int(number))
            elif what == "removing":
                unsure.add(int(number))
            else:
                present.discard(int(number))
                unsure.discard(int(number))
        unsure |= {first, first + 1}  # put, and not said any more
        spool = Spool(folder, 64 * MIB)
        found = {each.key.cgroup_id - 100: each for each in spool.entries()}
        assert spool.damaged == 0
        assert all(each == entry(number, size=number % 60) for number, each in found.items())
        assert present - unsure <= set(found) <= present | unsure
        assert (len(spool), spool.bytes) == (len(found), disk_use(folder))
        for number in sorted(found)[:-30]:
            spool.remove(source(number))
        present = set(sorted(found)[-30:])
        unsure.clear()
        first += 2
    assert first > 100


def test_put_is_on_disk_before_it_returns(tmp_path):
    """By strace: the file is synced, then renamed into place, then the folder is synced."""
    program = (
        "from tests.agent.test_spool import Spool, entry; import sys, pathlib\n"
        "Spool(pathlib.Path(sys.argv[1]), 1 << 20).put(entry(1)); print('acknowledged')"
    )
    log = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2,write", "-o", str(log)]
    command += [sys.executable, "-c", program, str(tmp_path / "spool")]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)
    trace = log.read_text()
    steps = re.findall(
        r"(fsync\(\d+<[^>]*/spool(?:/\.new-)?|rename\w*\(|acknowledged)", trace[trace.index(".new-") :]
    )
    kinds = ["file" if ".new-" in each else each.partition("(")[0] for each in steps]
    assert kinds == ["file", "rename", "fsync", "acknowledged"]


@pytest.mark.root
def test_a_full_file_system_refuses_and_recovers(tmp_path):
    """ENOSPC is a full spool: what is there stays whole, and there is room again once something goes."""
    with small_filesystem(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool", 64 * MIB)
        put = fill(spool)
        with pytest.raises(
            SpoolFull, match=r"the file system of .*/spool is full \(No space left on device\)"
        ):
            spool.put(entry(put, size=20))
        assert put > 3
        assert sorted(each.key.cgroup_id - 100 for each in spool.entries()) == list(range(put))
        assert not list((disk / "spool").glob(".new-*"))
        assert spool.bytes == disk_use(disk / "spool")
        spool.remove(source(0))
        spool.put(entry(1000, size=20))
        assert entry(1000, size=20) in spool.entries()


@pytest.mark.root
def test_a_read_only_file_system_is_an_error_that_says_so(tmp_path):
    """Nothing can be put or removed; what is there is read."""
    with small_filesystem(tmp_path / "disk") as disk:
        spool = Spool(disk / "spool", MIB)
        spool.put(entry(1))
        remount(disk, "ro")
        for attempt in (lambda: spool.put(entry(2)), lambda: spool.remove(source(1))):
            with pytest.raises(
                StorageError, match=r"cannot (write|remove) .*: Read-only file system; the spool must"
            ):
                attempt()
        assert list(Spool(disk / "spool", MIB).entries()) == [entry(1)]
        assert (len(spool), spool.bytes) == (1, 4096)
        with pytest.raises(StorageError, match=r"cannot use .*/other for the spool: Read-only file system"):
            Spool(disk / "other", MIB)


@pytest.mark.root
def test_a_folder_without_permission_is_an_error_that_says_so(open_folder):
    """As somebody else than its owner."""
    spool = Spool(open_folder / "spool", MIB)
    spool.put(entry(1))
    with as_nobody():
        for attempt in (
            lambda: spool.put(entry(2)),
            lambda: spool.message(source(1)),
            lambda: list(spool.entries()),
        ):
            with pytest.raises(
                StorageError, match=r"cannot (write|read) .*: Permission denied; the spool must"
            ):
                attempt()
        with pytest.raises(StorageError, match="Permission denied"):
            Spool(open_folder / "spool", MIB)
    assert list(spool.entries()) == [entry(1)]


def test_a_file_in_the_folders_place_is_an_error(tmp_path):
    """Not a folder."""
    (tmp_path / "spool").touch()
    with pytest.raises(StorageError, match=r"cannot use .*/spool for the spool: Not a directory"):
        Spool(tmp_path / "spool", MIB)
