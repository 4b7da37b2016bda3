"""Files in folders that others may write to as well: read with bounds, written in one step."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MAX_BYTES", "Found", "Stamp", "look", "read", "stamp_of", "write"]

MAX_BYTES = 4 << 20
"""Of one file: a recording has a thousand bytes, a result less than a megabyte."""

Stamp = tuple[int, int, int, int]
"""Changes whenever somebody writes the file, or puts another in its place."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file's text, its stamp, and the name of its user."""

    text: str
    stamp: Stamp
    owner: str


def look(folder: Path, suffixes: tuple[str, ...], *, follow: bool = False) -> dict[str, Stamp]:
    """The plain files with such ends in a folder, by name; hidden ones are left out. OSError.

    follow: links to plain files count as well.
    """
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(suffixes) or entry.name.startswith("."):
                continue
            try:
                if entry.is_file(follow_symlinks=follow):
                    found[entry.name] = stamp_of(entry.stat(follow_symlinks=follow))
            except FileNotFoundError:  # gone meanwhile
                continue
    return found


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in a file's status."""
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def read(path: Path, *, follow: bool = False) -> Found | None:
    """A plain file; None if there is none. OSError; ValueError: too large, no plain file, or no UTF-8."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no plain file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: byte {error.start}") from error
    return Found(text, stamp_of(status), _user(status.st_uid))


def write(path: Path, text: str, mode: int = 0o644) -> Stamp:
    """Put a file with this text in the place of whatever has that name: whole, or not at all. OSError."""
    new = path.with_name(f".{path.name[:200]}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    return stamp_of(path.lstat())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
