"""Files that are whole or not there: framed, checked, and put in place when they are on disk.

A frame is a magic word, the SHA-256 of the content, and the content: a file that was cut,
damaged or written by something else is told from a whole one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path

from recorder.model.errors import StorageError

__all__ = ["TEMPORARY", "is_full", "make_folder", "read_framed", "sync_folder", "write_framed"]

TEMPORARY = ".new-"
"""How the name of a file begins that is being written."""

FILE_MODE, FOLDER_MODE = 0o600, 0o700

_DIGEST = hashlib.sha256().digest_size
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """Whether the file system, or the quota, has no room."""
    return error.errno in _FULL


def make_folder(folder: Path, what: str) -> None:
    """The folder with mode 0700, made if it is missing, as are those above it (0755); StorageError."""
    try:
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=FOLDER_MODE)
            sync_folder(folder.parent)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if folder.stat().st_mode & 0o077:
            folder.chmod(FOLDER_MODE)
    except OSError as error:
        raise StorageError(
            f"cannot use {folder} for {what}: {error.strerror}; it must be a folder that root can write"
        ) from error


def sync_folder(folder: Path) -> None:
    """What was renamed or removed in it is on disk; OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_framed(path: Path, magic: bytes, content: bytes) -> int:
    """Whole and on disk when it returns, or as it was before; the file's size. OSError.

    One writer at a time for each path.
    """
    temporary = path.parent / f"{TEMPORARY}{path.name}"
    frame = magic + hashlib.sha256(content).digest() + content
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(frame)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return len(frame)


def read_framed(path: Path, magic: bytes) -> bytes:
    """The content; ValueError, with what is wrong, if it is no whole frame; OSError."""
    frame = path.read_bytes()
    if not frame.startswith(magic):
        raise ValueError("it does not begin as this version writes it")
    digest, content = frame[len(magic) :][:_DIGEST], frame[len(magic) + _DIGEST :]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("it is cut, or damaged")
    return content
