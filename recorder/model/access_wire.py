"""Accesses as protobuf messages. What is read is checked: others wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recorder.model.access import (
    Capability,
    File,
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
from recorder.model.accesses import MAX_ACCESSES, Accesses, AccessKey, Seen
from recorder.model.errors import InvalidRecord
from recorder.model.first_sight import MAX_COMM, FirstSight
from recorder.record.v1 import record_pb2 as pb

__all__ = ["from_access", "from_accesses", "to_access", "to_accesses"]


def to_accesses(accesses: Accesses) -> list[pb.Access]:
    """In their order. ValueError for what the message has no room for."""
    return [to_access(key, seen) for key, seen in accesses.entries.items()]


def from_accesses(path: str, messages: Sequence[pb.Access], cut_at: bytes) -> Accesses:
    """By their keys, those that are said twice joined. InvalidRecord, with the path of what is wrong.

    More than `MAX_ACCESSES` are refused: no record has them.
    """
    if len(messages) > MAX_ACCESSES:
        raise InvalidRecord(
            f"{path}.accesses has {len(messages)} entries; at most {MAX_ACCESSES} are allowed"
        )
    entries: dict[AccessKey, Seen] = {}
    for index, message in enumerate(messages):
        try:
            key, seen = from_access(message)
        except ValueError as error:
            raise InvalidRecord(f"{path}.accesses[{index}]: {error}") from error
        known = entries.get(key)
        entries[key] = known.join(seen) if known else seen
    try:
        return Accesses(entries, cut_at)
    except ValueError as error:
        raise InvalidRecord(f"{path}.accesses_cut_at: {error}") from error


def from_access(message: pb.Access) -> tuple[AccessKey, Seen]:
    """One of them; ValueError for what is wrong in it."""
    return AccessKey(message.phase, _subject(message)), Seen(message.rights, _first(message))


def to_access(key: AccessKey, seen: Seen) -> pb.Access:
    """One of them; ValueError as `to_accesses`."""
    message = pb.Access(phase=_enum(key.phase), rights=seen.rights)
    if seen.first is not None:
        message.time_ns, message.comm = seen.first.time_ns, seen.first.comm
    match key.subject:
        case File(path, target, kind, cut):
            message.file.CopyFrom(pb.File(path=path, target=target, kind=_enum(kind), cut=cut))
        case Socket(family, kind, protocol):
            message.socket.CopyFrom(pb.Socket(family=family, type=kind, protocol=protocol))
        case UnixSocket(kind, address, peer_address, peer):
            message.unix.CopyFrom(
                pb.UnixSocket(type=kind, address=address, peer_address=peer_address, peer=_peer_message(peer))
            )
        case Signal(number, peer):
            message.signal.CopyFrom(pb.Signal(number=number, peer=_peer_message(peer)))
        case Ptrace(peer):
            message.ptrace.CopyFrom(pb.Ptrace(peer=_peer_message(peer)))
        case Mount(step, source, target, file_system, flags):
            message.mount.CopyFrom(
                pb.Mount(step=_enum(step), source=source, target=target, file_system=file_system, flags=flags)
            )
        case Capability(number):
            message.capability.CopyFrom(pb.Capability(number=number))
        case UserNamespace():
            message.user_namespace.SetInParent()
        case IoUring():
            message.io_uring.SetInParent()
        case MessageQueue(name):
            message.queue.CopyFrom(pb.MessageQueue(name=name))
    return message


def _subject(message: pb.Access) -> Subject:  # noqa: PLR0911  (one answer a subject)
    match message.WhichOneof("subject"):
        case "file":
            file = message.file
            return File(file.path, file.target, file.kind, file.cut)
        case "socket":
            socket = message.socket
            return Socket(socket.family, socket.type, socket.protocol)
        case "unix":
            unix = message.unix
            peer = _peer(unix.peer) if unix.HasField("peer") else None
            return UnixSocket(unix.type, unix.address, unix.peer_address, peer)
        case "signal":
            return Signal(message.signal.number, _peer(message.signal.peer))
        case "ptrace":
            return Ptrace(_peer(message.ptrace.peer))
        case "mount":
            mount = message.mount
            return Mount(mount.step, mount.source, mount.target, mount.file_system, mount.flags)
        case "capability":
            return Capability(message.capability.number)
        case "user_namespace":
            return UserNamespace()
        case "io_uring":
            return IoUring()
        case "queue":
            return MessageQueue(message.queue.name)
        case _:
            raise ValueError("subject is missing, or one that only a newer recorder knows")


def _first(message: pb.Access) -> FirstSight | None:
    if len(message.comm) > MAX_COMM or b"\0" in message.comm:
        raise ValueError(f"comm is {message.comm[:64]!r}; at most {MAX_COMM} bytes without NUL are allowed")
    return FirstSight(message.time_ns, message.comm) if message.HasField("time_ns") else None


def _peer(message: pb.Peer) -> Peer:
    return Peer(message.inside, message.label)


def _peer_message(peer: Peer | None) -> pb.Peer | None:
    return None if peer is None else pb.Peer(inside=peer.inside, label=peer.label)


def _enum(value: int) -> Any:
    # proto3 enums are open: the runtime takes any int32, the stubs' types only members.
    return value
