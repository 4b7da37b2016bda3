"""The folder in which artefacts are kept: each made once, checked at every use, and made again if damaged.

    ${XDG_CACHE_HOME:-~/.cache}/profile-recorder/guests/    (cluster/ for tests/cluster)
        build.lock            held by the one that builds
        use.lock              shared by who opens artefacts, exclusive for who removes one
        artefacts/NAME-KEY/   the files of one, and manifest.json: their checksums, what was found, seconds
        making/               what is being made; renamed into artefacts/ when whole
        run/                  one folder for each running guest

A key is the checksum of the recipe and of the keys of what it was made from: a changed recipe is another
artefact, and two checkouts with different recipes do not take each other's away.

Every use, the start of each guest too, compares each file's size and the times of its last change of content
(mtime) and of anything (ctime, which no program can set: writing, truncating, replacing, copying, renaming
and setting the mtime back all change it) with those of when it was made, or last read whole. Where they
differ the file is read and compared with its checksum. `deep` reads all: that also finds bytes that changed
under the file system, on the disk itself.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.guest.errors import BuildError

KEEP_DAYS = 14  # an artefact that no recipe asks for is removed so long after its last use
BLOCK = 256 << 10
ZEROS = bytes(BLOCK)
MANIFEST = "manifest.json"


def say(text: str, who: str = "guests") -> None:
    """One line for the person who waits."""
    sys.stderr.write(f"{who}: {text}\n")
    sys.stderr.flush()


def digest_of(*parts: str | Path) -> str:
    """The key that belongs to texts and to the contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def checksum(path: Path) -> str:
    """SHA-256 of a file's size and of its blocks that are not all zero, each with its place.

    Disks and memories are mostly holes, which are not read. Whether a block of zeros is a hole may change
    by itself when a file system writes its delayed allocations: so zeros never count.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(b"%d" % size)
        at = 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole from here on
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            first = max(at, start - start % BLOCK)
            at = min(size, end + -end % BLOCK)
            for place in range(first, at, BLOCK):
                block = os.pread(file.fileno(), BLOCK, place)
                if block != ZEROS[: len(block)]:
                    digest.update(b"@%d" % place)
                    digest.update(block)
    return digest.hexdigest()


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def remove_tree(folder: Path) -> None:
    """Remove a folder if it is there; BuildError, and nothing is touched, if something is mounted in it."""
    inside = os.fsencode(folder.resolve())
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        place = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split(b" ")[4])
        if place == inside or place.startswith(inside + b"/"):
            raise BuildError(f"{os.fsdecode(place)} is mounted: unmount it (umount), then try again")
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something that was made: its files are in `folder`. `facts`: what was found when it was made."""

    name: str
    key: str
    folder: Path
    facts: Mapping[str, Any]
    seconds: float

    def __truediv__(self, file: str) -> Path:
        return self.folder / file


class DamagedError(Exception):
    """An artefact is there and is not what was made."""


class Cache:
    """A folder of artefacts; several processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artefacts = root / "artefacts"
        self.run = root / "run"
        self._building = 0
        for folder in (self.artefacts, self.run, root / "making"):
            folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def default(cls, name: str = "guests") -> "Cache":
        """This user's cache of that name."""
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(base) / "profile-recorder" / name)

    def folder(self, name: str, key: str) -> Path:
        """Where an artefact is, or would be."""
        return self.artefacts / f"{name}-{key[:16]}"

    def find(self, name: str, key: str, *, deep: bool = False) -> Artefact | None:
        """An artefact if it is there; raises DamagedError if its files are not what was made."""
        folder = self.folder(name, key)
        if not folder.exists():
            return None
        try:
            manifest = self.read(folder)
            files = {
                str(file): (list(map(int, stamp)), str(sum_))
                for file, (stamp, sum_) in manifest["files"].items()
            }
            found = Artefact(
                name, str(manifest["key"]), folder, dict(manifest["facts"]), float(manifest["seconds"])
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{folder / MANIFEST}: {error!r}") from error
        if found.key != key:
            raise DamagedError(f"{folder / MANIFEST}: the key is {found.key}")
        self._check(folder, files, deep=deep)
        return found

    @staticmethod
    def read(folder: Path) -> dict[str, Any]:
        """An artefact's manifest; DamagedError if it cannot be read."""
        try:
            return dict(json.loads((folder / MANIFEST).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise DamagedError(f"{folder / MANIFEST}: {error!r}") from error

    def _check(self, folder: Path, files: Mapping[str, tuple[list[int], str]], *, deep: bool) -> None:
        suspects = []
        for file, (stamp, _) in files.items():
            try:
                now = _stamp(folder / file)
            except OSError as error:
                raise DamagedError(str(error)) from error
            if now[0] != stamp[0]:
                raise DamagedError(f"{folder / file}: {now[0]} bytes instead of {stamp[0]}")
            if deep or now != stamp:
                suspects.append(file)
        if not suspects:
            return
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashlib works without the interpreter lock
            for file, sum_ in zip(
                suspects, pool.map(lambda file: checksum(folder / file), suspects), strict=True
            ):
                if sum_ != files[file][1]:
                    raise DamagedError(f"{folder / file}: the contents have changed")
        if any(_stamp(folder / file) != files[file][0] for file in suspects):
            self._restamp(folder, files)  # touched or copied, and the same: believe the new times

    def _restamp(self, folder: Path, files: Mapping[str, tuple[list[int], str]]) -> None:
        manifest = self.read(folder)
        manifest["files"] = {file: [_stamp(folder / file), sum_] for file, (_, sum_) in files.items()}
        self._write(folder, manifest)

    @staticmethod
    def _write(folder: Path, manifest: Mapping[str, Any]) -> None:
        new = folder / f"{MANIFEST}.{os.getpid()}"
        new.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        new.replace(folder / MANIFEST)

    def make(
        self, name: str, key: str, recipe: Callable[[Path], Mapping[str, Any]], *, deep: bool = False
    ) -> Artefact:
        """The artefact `name` of `key`, made by `recipe` unless it is there and whole.

        `recipe(folder)` writes files into an empty folder and returns facts. What it raises is passed on, and
        nothing is kept then.
        """
        found, _ = self._look(name, key, deep=deep)
        if found is None:
            with self.building():
                # another process may have made it while this one waited
                found, damage = self._look(name, key, deep=deep)
                if found is None:
                    if damage:
                        say(f"{name} is damaged and is made again: {damage}", self.root.name)
                    found = self._make(name, key, recipe)
        with contextlib.suppress(OSError):  # somebody else's cache, used read-only
            os.utime(found.folder)
        return found

    def _look(self, name: str, key: str, *, deep: bool) -> tuple[Artefact | None, str]:
        try:
            return self.find(name, key, deep=deep), ""
        except DamagedError as error:
            return None, str(error)

    def _make(self, name: str, key: str, recipe: Callable[[Path], Mapping[str, Any]]) -> Artefact:
        folder = self.root / "making" / f"{name}.{os.getpid()}"
        remove_tree(folder)
        folder.mkdir()
        say(f"making {name}", self.root.name)
        start = time.monotonic()
        try:
            facts = dict(recipe(folder))
            seconds = round(time.monotonic() - start, 1)
            files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            sums = {file: checksum(folder / file) for file in files}
            with self.changing():
                place = self.folder(name, key)
                if place.exists():
                    self.remove(place)
                folder.rename(place)
            manifest = {
                "name": name,
                "key": key,
                "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": seconds,
                "facts": facts,
                "files": {file: [_stamp(place / file), sums[file]] for file in files},
            }
            self._write(place, manifest)
        finally:
            remove_tree(folder)
        say(f"made {name} in {seconds:.1f} s", self.root.name)
        return Artefact(name, key, place, facts, seconds)

    def remove(self, place: Path) -> None:
        """Take an artefact away at once; who has its files open keeps them."""
        grave = self.root / "making" / f"removed.{os.getpid()}.{time.monotonic_ns()}"
        place.rename(grave)
        remove_tree(grave)

    def prune(self, wanted: set[Path]) -> None:
        """Remove what nobody has used for KEEP_DAYS and is not in `wanted`; and what dead builders left."""
        with self.building():
            for left in (self.root / "making").iterdir():
                remove_tree(left)
            for place in self.artefacts.iterdir():
                if place not in wanted and time.time() - place.stat().st_mtime > KEEP_DAYS * 86400:
                    say(f"removing {place.name}: not used for {KEEP_DAYS} days", self.root.name)
                    with self.changing():
                        self.remove(place)

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Only one process builds at a time; the others wait. May be nested."""
        if self._building:
            yield
            return
        with (self.root / "build.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "?"
                say(f"waiting for process {holder}, which is building", self.root.name)
                fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            file.truncate()
            file.write(f"{os.getpid()}\n")
            file.flush()
            self._building += 1
            try:
                yield
            finally:
                self._building -= 1

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """While held, nothing is removed: from looking an artefact up until its files are open."""
        with (self.root / "use.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While held, nobody is between looking up and opening."""
        with (self.root / "use.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
