"""The cache: made once, noticed when damaged, not disturbed by a neighbour."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.guest.build.recipe import Recipes
from tests.guest.cache import MANIFEST, Artefact, Cache, DamagedError, checksum, digest_of
from tests.guest.errors import BuildError

SIZE = 3 << 20


class Recipe:
    """Makes one file, mostly hole, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        self.times += 1
        with (folder / "disk").open("wb") as file:
            file.write(b"begin")
            file.seek(SIZE - 3)
            file.write(b"end")
        return {"made": self.times}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def made(cache: Cache, recipe: Recipe, *, deep: bool = False, key: str = "k") -> Artefact:
    return cache.make("thing", digest_of(key), recipe, deep=deep)


def test_is_made_once(cache: Cache) -> None:
    """The second use finds the first one's files and facts."""
    recipe = Recipe()
    first = made(cache, recipe)
    assert made(cache, recipe) == first
    assert made(cache, recipe, deep=True).facts == {"made": 1}
    assert (first / "disk").stat().st_size == SIZE


def test_changed_recipe_is_another_artefact(cache: Cache) -> None:
    """A new key makes anew, and the old artefact stays for who has the old recipe."""
    recipe = Recipe()
    old, new = made(cache, recipe), made(cache, recipe, key="other")
    assert recipe.times == 2
    assert old.folder != new.folder
    assert made(cache, recipe) == old


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("damage", ["byte", "hole", "short", "long", "gone", "manifest", "no manifest"])
def test_damage_is_noticed_and_made_again(cache: Cache, damage: str, deep: bool) -> None:
    """Whatever was done to the files through the file system, even with the old mtime put back."""
    recipe = Recipe()
    place = made(cache, recipe)
    disk = place / "disk"
    times = disk.stat().st_atime_ns, disk.stat().st_mtime_ns
    if damage == "gone":
        disk.unlink()
    elif damage == "manifest":
        (place / MANIFEST).write_text("{")
    elif damage == "no manifest":
        (place / MANIFEST).unlink()
    else:
        with disk.open("r+b") as file:
            if damage in ("byte", "hole"):
                file.seek(1 if damage == "byte" else SIZE // 2)
                file.write(b"X")
            else:
                file.truncate(SIZE - 1 if damage == "short" else SIZE + 1)
        os.utime(disk, ns=times)
    with pytest.raises(DamagedError):
        cache.find("thing", place.key, deep=deep)
    assert made(cache, recipe, deep=deep).facts == {"made": 2}
    assert cache.find("thing", place.key, deep=True) is not None
    assert not list((cache.root / "making").iterdir())


def test_touched_file_is_not_damage(cache: Cache) -> None:
    """New times and the same contents are believed, and read once only."""
    recipe = Recipe()
    disk = made(cache, recipe) / "disk"
    os.utime(disk)
    assert made(cache, recipe).facts == {"made": 1}
    status = disk.stat()
    assert [status.st_size, status.st_mtime_ns, status.st_ctime_ns] == cache.read(disk.parent)["files"][
        "disk"
    ][0]


def test_failed_recipe_leaves_nothing(cache: Cache) -> None:
    """What a recipe raises is passed on, and nothing half made is found later."""

    def recipe(folder: Path) -> Mapping[str, Any]:
        (folder / "half").touch()
        raise BuildError("no mirror")

    with pytest.raises(BuildError, match="no mirror"):
        cache.make("thing", digest_of("k"), recipe)
    assert cache.find("thing", digest_of("k")) is None
    assert not list((cache.root / "making").iterdir())


def test_two_builders_make_one(cache: Cache) -> None:
    """Of two processes that need an artefact at the same time one makes it, the other waits and uses it."""
    script = (
        "import sys, time; from pathlib import Path; from tests.guest.cache import Cache, digest_of\n"
        "def recipe(folder):\n"
        "    time.sleep(0.5); (folder / 'file').write_text('x'); return {}\n"
        "Cache(Path(sys.argv[1])).make('thing', digest_of('k'), recipe)\n"
    )
    words = [sys.executable, "-c", script, str(cache.root)]
    root = Path(__file__).parents[2]
    both = [subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE) for _ in range(2)]
    said = b"".join(process.communicate(timeout=60)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert said.count(b"made thing") == 1


def test_nothing_is_taken_away_while_it_is_opened(cache: Cache) -> None:
    """Removal waits for who is between looking up and opening."""
    place = made(cache, Recipe())
    done = threading.Event()

    def rebuild() -> None:
        (place / "disk").unlink()
        made(Cache(cache.root), Recipe())
        done.set()

    with cache.using():
        thread = threading.Thread(target=rebuild)
        thread.start()
        assert not done.wait(0.3)
        assert place.folder.exists()
    thread.join(30)
    assert done.is_set()


def test_prune_keeps_what_is_used(cache: Cache) -> None:
    """Only what no recipe wants and nobody has used for long is removed; so is what dead builders left."""
    recipe = Recipe()
    old, new, wanted = (made(cache, recipe, key=key) for key in ("old", "new", "wanted"))
    for artefact in (old, wanted):
        os.utime(artefact.folder, (0, 0))
    (cache.root / "making" / "thing.1").mkdir()
    cache.prune({wanted.folder})
    assert not old.folder.exists()
    assert new.folder.exists()
    assert wanted.folder.exists()
    assert not list((cache.root / "making").iterdir())


@pytest.mark.root
def test_nothing_mounted_is_removed(cache: Cache) -> None:
    """A folder that a dead builder left, with something mounted in it, is refused and stays whole."""
    inside = cache.root / "making" / "thing.1" / "with space"
    inside.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", inside], check=True)
    try:
        (inside / "file").touch()
        with pytest.raises(BuildError, match="with space is mounted"):
            cache.prune(set())
        assert (inside / "file").exists()
    finally:
        subprocess.run(["umount", inside], check=True)
    cache.prune(set())
    assert not inside.parent.exists()


def test_checksum_knows_where_data_is(tmp_path: Path) -> None:
    """Holes are not read, and moving data within a file of the same size changes the sum."""
    for name, at in (("a", 0), ("b", SIZE // 2), ("c", 0)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(SIZE)
            file.seek(at)
            file.write(b"data")
    assert checksum(tmp_path / "a") == checksum(tmp_path / "c") != checksum(tmp_path / "b")


def test_damaged_agent_is_made_again(tmp_path: Path) -> None:
    """The same for a real recipe: the initramfs of the agent."""
    cache = Cache(tmp_path)
    first = Recipes(cache).agent()
    archive = first / "agent.cpio"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-512] + bytes(512))
    assert Recipes(cache).agent().folder == first.folder
    assert archive.read_bytes() == whole
