"""Accesses: all that one source was seen to use, as state that can be joined in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

from recorder.model.access import (
    Capability,
    File,
    IoUring,
    MessageQueue,
    Mount,
    Ptrace,
    Signal,
    Socket,
    Subject,
    UnixSocket,
    UserNamespace,
)
from recorder.model.first_sight import FirstSight

__all__ = [
    "LOSSES",
    "MAX_ACCESSES",
    "MAX_TEXT",
    "AccessKey",
    "Accesses",
    "Seen",
    "digest_of",
    "order_of",
    "text_of",
]

MAX_ACCESSES = 16_384
"""Entries of one source. A package's installation or a compile has some thousands."""
MAX_TEXT = 2 * 1024 * 1024
"""Bytes of the paths, addresses and names of one source's entries, together."""

LOSSES = frozenset({"accesses_full", "accesses_late", "accesses_unwatched"})
"""Causes of a ledger that are of accesses alone: the calls of such a record are whole."""

_KINDS = (
    File, Socket, UnixSocket, Signal, Ptrace, Mount, Capability, UserNamespace, IoUring, MessageQueue,
)  # fmt: skip
_RANK: Mapping[type, int] = {kind: rank for rank, kind in enumerate(_KINDS)}
_DIGEST = 8


class AccessKey(NamedTuple):
    """What is kept once: a `Phase` value, or an unknown one, and what was used."""

    phase: int
    subject: Subject


@dataclass(frozen=True, slots=True)
class Seen:
    """rights: bits of the subject's flag, those of a newer recorder too; 0 where it has none."""

    rights: int = 0
    first: FirstSight | None = None

    def join(self, other: Seen) -> Seen:
        """Return all rights of both, and the earlier first sight."""
        firsts = [each for each in (self.first, other.first) if each is not None]
        return Seen(self.rights | other.rights, min(firsts, default=None))


@dataclass(frozen=True, slots=True)
class Accesses:
    """Entries by key, sorted; at most MAX_ACCESSES, with MAX_TEXT bytes.

    Of too many those are kept whose digests are least: a sample of all folders alike. cut_at: the
    digest from which on they are not kept, 8 bytes; empty: all are. It is part of the state, since
    without it the order of joins would decide what is kept.
    """

    entries: Mapping[AccessKey, Seen] = field(default_factory=dict)
    cut_at: bytes = b""

    def __post_init__(self) -> None:
        if len(self.cut_at) not in (0, _DIGEST):
            raise ValueError(f"accesses: cut_at has {len(self.cut_at)} bytes; it has {_DIGEST}, or none")
        keys: Iterable[AccessKey] = [AccessKey(*key) for key in self.entries]
        if self.cut_at or not _fits(keys):
            keys, cut_at = _least(keys, self.cut_at)
            object.__setattr__(self, "cut_at", cut_at)
        entries = {key: self.entries[key] for key in sorted(keys, key=_order)}
        object.__setattr__(self, "entries", MappingProxyType(entries))

    def __bool__(self) -> bool:
        """Whether anything was seen."""
        return bool(self.entries)

    def join(self, other: Accesses) -> Accesses:
        """Return what two states of one source, or several sources, say together."""
        entries = dict(self.entries)
        for key, seen in other.entries.items():
            known = entries.get(key)
            entries[key] = known.join(seen) if known else seen
        return Accesses(entries, min((each for each in (self.cut_at, other.cut_at) if each), default=b""))

    def of(self, phase: int) -> Iterator[tuple[Subject, Seen]]:
        """Yield the entries of a phase, in order."""
        for key, seen in self.entries.items():
            if key.phase == phase:
                yield key.subject, seen


def order_of(subject: Subject) -> tuple[int, tuple[object, ...]]:
    """Return by what subjects are sorted: their kind, then their fields."""
    values = (getattr(subject, name) for name in subject.__slots__)
    return (_RANK[type(subject)], tuple(_comparable(value) for value in values))


def _comparable(value: object) -> tuple[object, ...]:
    if value is None:
        return ()
    return (int(value) if isinstance(value, IntEnum) else value,)


def _order(key: AccessKey) -> tuple[int, int, tuple[object, ...]]:
    return (int(key.phase), *order_of(key.subject))


def text_of(subject: Subject) -> int:
    """Return how many bytes of MAX_TEXT it takes."""
    values = (getattr(subject, name) for name in subject.__slots__)
    return sum(len(value) for value in values if isinstance(value, bytes))


def _fits(keys: Iterable[AccessKey]) -> bool:
    sizes = [text_of(key.subject) for key in keys]
    return len(sizes) <= MAX_ACCESSES and sum(sizes) <= MAX_TEXT


def _least(keys: Iterable[AccessKey], cut_at: bytes) -> tuple[list[AccessKey], bytes]:
    """Return those below a digest, up to the bounds, and the digest from which on none is kept."""
    kept: list[AccessKey] = []
    size = 0
    for digest, key in sorted(((digest_of(key), key) for key in keys), key=lambda each: each[0]):
        size += text_of(key.subject)
        if (cut_at and digest >= cut_at) or len(kept) == MAX_ACCESSES or size > MAX_TEXT:
            return kept, min(digest, cut_at) if cut_at else digest
        kept.append(key)
    return kept, cut_at


def digest_of(key: AccessKey) -> bytes:
    """Return the 8 bytes by which those are chosen that are kept of too many."""
    return sha256(repr(_order(key)).encode()).digest()[:_DIGEST]
