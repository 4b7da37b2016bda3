"""The mark beside a store: who holds it, and the last revision that was committed.

SQLite takes a write-ahead log that is damaged, cut or gone for one that ends there, and says nothing:
commits would be missing that were acknowledged. The mark is written after each commit (not synced: it
may be behind after a power cut, never ahead), so a store that is behind its mark has lost something.
Its lock (flock) is held as long as the store is open.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from pathlib import Path

from recorder.model.errors import StorageError

__all__ = ["Mark"]

_MAGIC = b"recorder mark 1\n"
_FORM = struct.Struct("<16s16sQI")
"""Magic, the store's identity, revision, CRC-32 of all before; 44 bytes: within one sector."""
_HOLDER = 64
"""Where the pid of the last holder stands as text, for people."""

_LOG = logging.getLogger(__name__)


class Mark:
    """The open, locked file. `revision` is 0 and `identity` empty if it says nothing yet.

    Raises StorageError if another process has it locked, or it cannot be used.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(store.name + ".mark")
        self.identity, self.revision = b"", 0
        self._failed = False
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"cannot open {self.path}: {error.strerror}; the store's folder must be writable"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError as error:
            holder = os.pread(self._fd, 20, _HOLDER).decode(errors="replace").strip()
            os.close(self._fd)
            raise StorageError(
                f"the store {store} is in use by another process (pid {holder or 'unknown'}): one collector"
                " at a time can have it; stop the other, or give this one a store of its own"
            ) from error
        except OSError as error:
            os.close(self._fd)
            raise StorageError(f"cannot lock or read {self.path}: {error.strerror}") from error

    def _read(self) -> None:
        content = os.pread(self._fd, _FORM.size, 0)
        if not content.strip(b"\0"):
            return  # new, or nothing was committed yet
        if len(content) == _FORM.size and zlib.crc32(content[:-4]) == _FORM.unpack(content)[3]:
            magic, self.identity, self.revision, _ = _FORM.unpack(content)
            if magic == _MAGIC:
                return
        self.identity, self.revision = b"", 0
        _LOG.warning("%s is damaged: whether the store lost its last commits cannot be told", self.path)

    def hold(self) -> None:
        """Say who has it. OSError."""
        os.pwrite(self._fd, f"{os.getpid():<19}\n".encode(), _HOLDER)

    def write(self, identity: bytes, revision: int) -> None:
        """After a commit, which stands whatever becomes of this; the first failure is logged."""
        content = _FORM.pack(_MAGIC, identity, revision, 0)[:-4]
        try:
            os.pwrite(self._fd, content + struct.pack("<I", zlib.crc32(content)), 0)
        except OSError as error:
            if not self._failed:
                _LOG.warning("cannot write %s (%s): it is behind the store now", self.path, error.strerror)
            self._failed = True
        else:
            self.identity, self.revision, self._failed = identity, revision, False

    def close(self) -> None:
        """Unlock it."""
        os.close(self._fd)
