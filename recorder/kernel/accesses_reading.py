"""Entries of shared memory as values of the model. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

from recorder.kernel.accesses_layout import AccessFlag, AccessKind, AccessPeer, AccessText, Entry, What
from recorder.model.access import (
    Capability,
    File,
    FileKind,
    IoUring,
    MessageQueue,
    Mount,
    Peer,
    Ptrace,
    Signal,
    Socket,
    Subject,
    UnixSocket,
    UserNamespace,
)

# S_IFMT as 4 bits (include/uapi/linux/stat.h)
_KINDS: Mapping[int, FileKind] = {
    1: FileKind.FIFO,
    2: FileKind.CHARACTER,
    4: FileKind.FOLDER,
    6: FileKind.BLOCK,
    8: FileKind.REGULAR,
    10: FileKind.SYMLINK,
    12: FileKind.SOCKET,
}

WITHOUT_RIGHTS = (Mount, UserNamespace)
"""That it was used is all; the kernel side has a bit for it all the same."""

Texts = tuple[bytes, bytes, bytes]
"""By AccessText: the path, the target, a word."""


def subject_of(entry: Entry, texts: Texts) -> Subject:
    """What an entry that is ready is of."""
    return _SUBJECTS[AccessKind(entry.what.kind)](entry.what, texts)


def _path(what: What, path: bytes) -> bytes:
    """One on a mount that is in no tree has no beginning, and is no path from the root."""
    return path.lstrip(b"/") if what.flags & AccessFlag.ACCESS_DISCONNECTED else path


def _file(what: What, texts: Texts) -> Subject:
    kind = _KINDS.get(what.object, FileKind.UNSPECIFIED)
    if what.flags & AccessFlag.ACCESS_ANONYMOUS:
        kind = FileKind.ANONYMOUS
    cut = bool(what.flags & (AccessFlag.ACCESS_CUT | AccessFlag.ACCESS_UNREADABLE))
    return File(_path(what, texts[AccessText.TEXT_PATH]), texts[AccessText.TEXT_TARGET], kind, cut)


def _peer(what: What) -> Peer:
    return Peer(inside=what.peer == AccessPeer.PEER_INSIDE)


def _unix(what: What, texts: Texts) -> Subject:
    address, peer_address, _ = texts
    peer = None if what.peer == AccessPeer.PEER_NONE else _peer(what)
    return UnixSocket(what.type, address, peer_address, peer)


def _mount(what: What, texts: Texts) -> Subject:
    target, source, file_system = texts
    return Mount(what.object, source, target, file_system, what.number)


_SUBJECTS: Mapping[IntEnum, Callable[[What, Texts], Subject]] = {
    AccessKind.ACCESS_FILE: _file,
    AccessKind.ACCESS_SOCKET: lambda what, texts: Socket(what.object, what.type, what.protocol),
    AccessKind.ACCESS_UNIX: _unix,
    AccessKind.ACCESS_SIGNAL: lambda what, texts: Signal(what.object, _peer(what)),
    AccessKind.ACCESS_PTRACE: lambda what, texts: Ptrace(_peer(what)),
    AccessKind.ACCESS_MOUNT: _mount,
    AccessKind.ACCESS_CAPABILITY: lambda what, texts: Capability(what.object),
    AccessKind.ACCESS_USER_NAMESPACE: lambda what, texts: UserNamespace(),
    AccessKind.ACCESS_IO_URING: lambda what, texts: IoUring(),
    AccessKind.ACCESS_QUEUE: lambda what, texts: MessageQueue(texts[AccessText.TEXT_PATH]),
}
