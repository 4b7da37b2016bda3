"""The spool: final records that the collector has not acknowledged, in a bounded folder of the node.

One file for each source, named after it. A file is there when `put` has returned, whatever
happens to the process or the machine then. Entries outlive a boot: they are final.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from recorder.agent import disk
from recorder.agent.v1 import state_pb2 as pb
from recorder.model.errors import InvalidRecord, SpoolFull, StorageError
from recorder.model.record import Observation, Source
from recorder.model.wire import from_observation, to_observation
from recorder.service.setting import size_text

__all__ = ["Entry", "Spool"]

MAGIC = b"recorder spool 1\n"
SUFFIX, DAMAGED = ".entry", ".damaged"
BLOCK = 4096
"""A file takes whole blocks of a file system."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A final observation, with who asked for it: ids of the plan's recordings, and of captures."""

    observation: Observation
    recordings: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "recordings", tuple(sorted(set(self.recordings))))
        object.__setattr__(self, "captures", tuple(sorted(set(self.captures))))

    @property
    def key(self) -> Source:
        """Its source."""
        return self.observation.source

    def join(self, other: Entry) -> Entry:
        """What two entries of one source say together; ValueError if the sources differ."""
        return Entry(
            self.observation.join(other.observation),
            self.recordings + other.recordings,
            self.captures + other.captures,
        )


class Spool:
    """A folder (mode 0700) of entries, at most `limit` bytes in blocks of 4 KiB. For any thread.

    Raises StorageError if the folder cannot be used, as do all methods. What is damaged is
    renamed to *.damaged when it is read, is logged, and takes room until a person removes it.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        disk.make_folder(folder, "the spool")
        self._bytes = 0
        self._entries = 0
        self._damaged = 0
        self._scan()

    def _scan(self) -> None:
        try:
            with os.scandir(self._folder) as found:
                for each in found:
                    if each.name.startswith(disk.TEMPORARY):
                        os.unlink(each.path)  # of a process that was killed while it wrote
                    elif each.name.endswith((SUFFIX, DAMAGED)):
                        self._bytes += _size(Path(each.path))
                        self._entries += each.name.endswith(SUFFIX)
                        self._damaged += each.name.endswith(DAMAGED)
        except OSError as error:
            raise self._cannot("read", self._folder, error) from error

    @property
    def limit(self) -> int:
        """In bytes."""
        return self._limit

    @property
    def bytes(self) -> int:
        """What is in use, damaged files included."""
        return self._bytes

    @property
    def damaged(self) -> int:
        """Files that are set aside."""
        return self._damaged

    def __len__(self) -> int:
        return self._entries

    def __contains__(self, key: object) -> bool:
        return isinstance(key, Source) and _size(self._path(key)) > 0

    def put(self, entry: Entry) -> None:
        """On disk when it returns; joined with what is there of the same source.

        Raises SpoolFull: its bound, or no room on the file system; nothing changes then.
        """
        path = self._path(entry.key)
        with self._lock:
            known = self._read(path)
            if known:
                entry = known.join(entry)
            content = _to_bytes(entry)
            before = _size(path)
            size = _blocks(len(MAGIC) + 32 + len(content))
            if self._bytes - before + size > self._limit:
                raise SpoolFull(
                    f"the spool {self._folder} has {size_text(self._bytes)} of its {size_text(self._limit)}"
                    f" in use, and the record of cgroup {entry.key.cgroup_id} needs {size_text(size)}:"
                    " let the agent reach its collector, or raise memory.spool"
                )
            try:
                disk.write_framed(path, MAGIC, content)
            except OSError as error:
                self._recount(path, before)
                if disk.is_full(error):
                    raise SpoolFull(
                        f"the file system of the spool {self._folder} is full ({error.strerror}):"
                        " make room on it"
                    ) from error
                raise self._cannot("write", path, error) from error
            self._recount(path, before)

    def message(self, key: Source) -> pb.SpoolEntry | None:
        """The entry of a source, as it is kept; None if there is none, or it is damaged."""
        with self._lock:
            return self._read_message(self._path(key))

    def remove(self, key: Source) -> None:
        """It is acknowledged. Of a source without an entry: nothing."""
        path = self._path(key)
        with self._lock:
            before = _size(path)
            try:
                path.unlink(missing_ok=True)
                disk.sync_folder(self._folder)
            except OSError as error:
                raise self._cannot("remove", path, error) from error
            finally:
                self._recount(path, before)

    def settle(self, key: Source, *, recordings: bool = False, capture: str = "") -> None:
        """The collector has it (`recordings`), or a capture is over: gone once nobody is owed it."""
        path = self._path(key)
        with self._lock:
            entry = self._read(path)
            if entry is None:
                return
            left = Entry(
                entry.observation,
                () if recordings else entry.recordings,
                tuple(each for each in entry.captures if each != capture),
            )
            if left == entry:
                return
            before = _size(path)
            try:
                if left.recordings or left.captures:
                    disk.write_framed(path, MAGIC, _to_bytes(left))
                else:
                    path.unlink()
                    disk.sync_folder(self._folder)
            except OSError as error:
                raise self._cannot("settle", path, error) from error
            finally:
                self._recount(path, before)

    def entries(self) -> Iterator[Entry]:
        """Those that are there now, in the order of their files' names, one in memory at a time.

        What is put meanwhile may be among them, what is removed meanwhile is not.
        """
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(SUFFIX))
        except OSError as error:
            raise self._cannot("read", self._folder, error) from error
        for name in names:
            with self._lock:
                entry = self._read(self._folder / name)
            if entry:
                yield entry

    def _path(self, key: Source) -> Path:
        text = "\0".join((key.node, key.boot_id, str(key.cgroup_id), str(key.epoch)))
        return self._folder / (
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40] + SUFFIX
        )

    def _read(self, path: Path) -> Entry | None:
        """Under the lock."""
        message = self._read_message(path)
        try:
            return _of_message(message) if message else None
        except InvalidRecord as error:
            self._set_aside(path, error)
            return None

    def _read_message(self, path: Path) -> pb.SpoolEntry | None:
        """Under the lock."""
        try:
            message = pb.SpoolEntry.FromString(disk.read_framed(path, MAGIC))
            if self._path(_source(message)) != path:
                raise ValueError("it is not of the source that its name says")
        except FileNotFoundError:
            return None
        except (ValueError, DecodeError) as error:
            self._set_aside(path, error)
            return None
        except OSError as error:
            raise self._cannot("read", path, error) from error
        return message

    def _set_aside(self, path: Path, why: Exception) -> None:
        aside = path.with_suffix(DAMAGED)
        before = _size(aside)
        try:
            path.replace(aside)
        except OSError as error:
            raise self._cannot("set aside", path, error) from error
        self._entries -= 1
        self._damaged += not before
        self._bytes -= before
        _LOG.error("an entry of the spool is damaged and set aside as %s: %s", aside, why)

    def _recount(self, path: Path, before: int) -> None:
        """After a change of the file, whether it succeeded or not."""
        after = _size(path)
        self._bytes += after - before
        self._entries += bool(after) - bool(before)

    def _cannot(self, what: str, path: Path, error: OSError) -> StorageError:
        return StorageError(
            f"cannot {what} {path}: {error.strerror};"
            " the spool must be a folder of root on a writable file system"
        )


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _size(path: Path) -> int:
    """In whole blocks; 0: it is not there. A whole file is never empty."""
    try:
        return max(BLOCK, _blocks(path.lstat().st_size))
    except OSError:
        return 0


def _to_bytes(entry: Entry) -> bytes:
    message = pb.SpoolEntry(
        observation=to_observation(entry.observation), recordings=entry.recordings, captures=entry.captures
    )
    return message.SerializeToString(deterministic=True)


def _source(message: pb.SpoolEntry) -> Source:
    source = message.observation.source
    return Source(source.node, source.boot_id, source.cgroup_id, source.epoch)


def _of_message(message: pb.SpoolEntry) -> Entry:
    return Entry(from_observation(message.observation), tuple(message.recordings), tuple(message.captures))
