"""The Unix socket of a server: there whole or not at all, root's alone, one server at a time.

gRPC makes a socket with the mode that the umask gives, and removes what is in its way.
So it is made in a folder that only its owner can enter, set to mode 0600 there,
and renamed to its place: nobody can connect before the mode is set, and what is at
the path is always a socket that is listened on. Who starts at the same time waits
at a lock of the folder (flock, which ends with its process).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from recorder.model.errors import AddressInUse, InvalidSettings

__all__ = ["UnixSocket"]

LOCK_SECONDS = 5.0
_NEW = ".new"
_NAME = "s"

MAX_PATH = 107 - len(f".{_NEW}/{_NAME}")
"""Bytes: sun_path less its NUL (unix(7)), and with room for the path where the socket is made."""


class UnixSocket:
    """One server's socket at `path`, which is absolute. Raises InvalidSettings if it cannot be one."""

    def __init__(self, path: Path) -> None:
        if not path.is_absolute() or len(os.fsencode(path)) > MAX_PATH:
            raise InvalidSettings(
                f"the socket's path {path} cannot be used; expected is an absolute path of at most "
                f"{MAX_PATH} bytes"
            )
        self.path = path
        self._made: tuple[int, int] | None = None

    def bind(self, listen: Callable[[str], object]) -> None:
        """Have `listen` bind and listen (`Server.add_insecure_port`), and put the socket in its place.

        A socket whose process is dead is replaced. AddressInUse if another process
        listens there, if the path is something else, or if it cannot be made there.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_folder()
            with self._locked():
                self._refuse_living()
                self._make(listen)
        except OSError as error:
            raise AddressInUse(
                f"the socket {self.path} cannot be made: {error.strerror or error}; "
                "run it as root, or give another path"
            ) from error

    def remove(self) -> None:
        """Remove the socket if it is still the one that `bind` made. May be repeated."""
        if self._made and _identity(self.path) == self._made:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        self._made = None

    def _check_folder(self) -> None:
        folder = self.path.parent.stat()
        mode = folder.st_mode
        if folder.st_uid not in (0, os.geteuid()):
            raise AddressInUse(
                f"{self.path.parent} belongs to another user (uid {folder.st_uid}), who could put a socket "
                f"of theirs in the place of {self.path.name}: chown it, or give another path"
            )
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            raise AddressInUse(
                f"others may write to {self.path.parent} (mode {stat.S_IMODE(mode):04o}), and could put a "
                f"socket of theirs in the place of {self.path.name}: chmod go-w {self.path.parent}"
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            end = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise AddressInUse(
                            f"another process holds a lock of {self.path.parent} for {LOCK_SECONDS:g} s: "
                            "wait if another agent is starting, else see lslocks"
                        ) from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(folder)

    def _refuse_living(self) -> None:
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(there.st_mode):
            raise AddressInUse(f"{self.path} exists and is no socket: remove it, or give another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            try:
                client.connect(os.fspath(self.path))
            except BlockingIOError:  # its queue is full, so there is somebody who listens
                raise self._in_use("a process that does not answer") from None
            except (ConnectionRefusedError, FileNotFoundError):
                return  # nobody listens
            pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        raise self._in_use(_named(pid))

    def _in_use(self, who: str) -> AddressInUse:
        return AddressInUse(
            f"{who} serves at {self.path} already: stop it first, or give another path (--socket PATH)"
        )

    def _make(self, listen: Callable[[str], object]) -> None:
        folder = self.path.with_name(f".{self.path.name}{_NEW}")
        self._discard(folder)  # of a process that was killed at this point: we have the lock
        folder.mkdir(mode=0o700)
        try:
            made = folder / _NAME
            try:
                listen(f"unix:{made}")
            except RuntimeError as error:  # gRPC says no more than that it failed
                raise AddressInUse(f"gRPC cannot listen at {self.path}: {error}") from error
            made.chmod(0o600)
            self._made = _identity(made)
            made.rename(self.path)
        finally:
            self._discard(folder)

    @staticmethod
    def _discard(folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            (folder / _NAME).unlink(missing_ok=True)
            folder.rmdir()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _named(pid: int) -> str:
    if pid <= 0:
        return "a process of another pid namespace"
    try:
        comm = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({ascii(comm)[1:-1]})"
