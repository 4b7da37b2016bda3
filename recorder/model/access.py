"""An access: what of the machine a container used, as the container names it.

A subject says what was used; its rights say how, as bits of the flag that is named
there. Both are values of what was seen, whether a security module was asked or not.
Paths are the kernel's bytes, from the root of the task that used them: anything but
NUL. Values of the enums and flags are those of `recorder.record.v1`, and never
change their meaning; a value that only a newer recorder knows is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

__all__ = [
    "MAX_ADDRESS",
    "MAX_PATH",
    "MAX_WORD",
    "Capability",
    "CapabilityRight",
    "File",
    "FileKind",
    "FileRight",
    "IoUring",
    "IoUringRight",
    "MessageQueue",
    "Mount",
    "MountStep",
    "Peer",
    "Ptrace",
    "PtraceRight",
    "Signal",
    "SignalRight",
    "Socket",
    "SocketRight",
    "Subject",
    "UnixSocket",
    "UserNamespace",
]

MAX_PATH = 4096
"""Bytes of a path: the kernel's PATH_MAX."""
MAX_ADDRESS = 108
"""Bytes of a UNIX socket's address: sun_path."""
MAX_WORD = 255
"""Bytes of a label, a queue's name or the name of a file system."""


class FileRight(IntFlag):
    """What was done with a file or a folder. Bits equal those of `recorder.record.v1.File.rights`.

    CREATE: made (also a folder, a node, a symbolic link, or a rename's and a link's new name), or
    opened so that it would have been. RENAME: of the old name, whose `target` is the new one.
    LINK: of the new name, whose `target` is the file's old one.
    """

    READ = 0x1
    WRITE = 0x2
    APPEND = 0x4
    CREATE = 0x8
    RENAME = 0x10
    LINK = 0x20
    TRUNCATE = 0x40
    CHMOD = 0x80
    CHOWN = 0x100
    REMOVE = 0x200
    EXEC = 0x400
    MMAP_EXEC = 0x800
    LOCK = 0x1000


class FileKind(IntEnum):
    """What a path names. Values equal `recorder.record.v1.FileKind`.

    ANONYMOUS: what has no name in a file system: memfd, pipes, anonymous inodes; the path is the
    kernel's word for it.
    """

    UNSPECIFIED = 0
    REGULAR = 1
    FOLDER = 2
    SYMLINK = 3
    SOCKET = 4
    FIFO = 5
    CHARACTER = 6
    BLOCK = 7
    ANONYMOUS = 8


class SocketRight(IntFlag):
    """What was done with a socket. Bits equal those of `recorder.record.v1.Socket.rights`."""

    CREATE = 0x1
    BIND = 0x2
    LISTEN = 0x4
    ACCEPT = 0x8
    CONNECT = 0x10
    SEND = 0x20
    RECEIVE = 0x40


class SignalRight(IntFlag):
    """Who sent it. Bits equal those of `recorder.record.v1.Signal.rights`."""

    SEND = 0x1
    RECEIVE = 0x2


class PtraceRight(IntFlag):
    """Who looked at whom, or stopped whom. Bits equal those of `recorder.record.v1.Ptrace.rights`."""

    READ = 0x1
    TRACE = 0x2
    READ_BY = 0x4
    TRACED_BY = 0x8


class CapabilityRight(IntFlag):
    """What the answer was. Bits equal those of `recorder.record.v1.Capability.rights`."""

    GRANTED = 0x1
    REFUSED = 0x2


class IoUringRight(IntFlag):
    """What of io_uring. Bits equal those of `recorder.record.v1.IoUring.rights`."""

    SETUP = 0x1
    SQPOLL = 0x2
    OVERRIDE_CREDS = 0x4
    COMMAND = 0x8


class MountStep(IntEnum):
    """What was done to the tree of mounts. Values equal `recorder.record.v1.MountStep`."""

    UNSPECIFIED = 0
    MOUNT = 1
    REMOUNT = 2
    BIND = 3
    MOVE = 4
    PROPAGATION = 5
    UMOUNT = 6
    PIVOT_ROOT = 7


def _check(name: str, value: bytes, limit: int, *, nul: bool = False) -> None:
    if len(value) > limit:
        raise ValueError(f"access: {name} has {len(value)} bytes; at most {limit} are kept")
    if not nul and b"\0" in value:
        raise ValueError(f"access: {name} is {value[:40]!r}, with a NUL in it")


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """Who is at the other end. inside: of the same container; label: what a security module calls it."""

    inside: bool = False
    label: bytes = b""

    def __post_init__(self) -> None:
        _check("label", self.label, MAX_WORD)


@dataclass(frozen=True, slots=True)
class File:
    """A path, with FileRight. target: the other path of RENAME and LINK, else empty.

    cut: the kernel's path was longer than what is kept here.
    """

    path: bytes
    target: bytes = b""
    kind: int = FileKind.UNSPECIFIED
    cut: bool = False

    def __post_init__(self) -> None:
        _check("path", self.path, MAX_PATH)
        _check("target", self.target, MAX_PATH)


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that is not of AF_UNIX, with SocketRight: numbers as socket(2) takes them.

    type is without SOCK_NONBLOCK and SOCK_CLOEXEC; protocol 0 is the family's own choice.
    """

    family: int
    type: int
    protocol: int = 0


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket of AF_UNIX, with SocketRight. Addresses as sun_path: abstract ones begin with NUL.

    An address that is a path is the one from the task's root. peer_address: of CONNECT and SEND.
    """

    type: int
    address: bytes = b""
    peer_address: bytes = b""
    peer: Peer | None = None

    def __post_init__(self) -> None:
        for name in ("address", "peer_address"):
            address = getattr(self, name)
            _check(name, address, MAX_PATH if address[:1] == b"/" else MAX_ADDRESS, nul=True)


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal's number (0: only whether it may be sent), with SignalRight."""

    number: int
    peer: Peer = Peer()


@dataclass(frozen=True, slots=True)
class Ptrace:
    """ptrace(2), /proc/PID/mem and the like, with PtraceRight."""

    peer: Peer = Peer()


@dataclass(frozen=True, slots=True)
class Mount:
    """A change of mounts; it has no rights. flags: mount(2)'s or umount2(2)'s.

    source: the device, or the path of BIND and MOVE; of PIVOT_ROOT the new root, and target the
    folder for the old one.
    """

    step: int
    source: bytes = b""
    target: bytes = b""
    file_system: bytes = b""
    flags: int = 0

    def __post_init__(self) -> None:
        _check("source", self.source, MAX_PATH)
        _check("target", self.target, MAX_PATH)
        _check("file_system", self.file_system, MAX_WORD)


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability's number, with CapabilityRight."""

    number: int


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """A new user namespace; it has no rights."""


@dataclass(frozen=True, slots=True)
class IoUring:
    """io_uring, with IoUringRight."""


@dataclass(frozen=True, slots=True)
class MessageQueue:
    """A POSIX message queue, `/name`, with FileRight."""

    name: bytes

    def __post_init__(self) -> None:
        _check("name", self.name, MAX_WORD + 1)


Subject = (
    File | Socket | UnixSocket | Signal | Ptrace | Mount | Capability | UserNamespace | IoUring | MessageQueue
)
"""What was used."""
