"""A denial: what a security module did not let a container do, or would not have.

The kernel names paths, profiles and contexts by bytes, and so does this: they may
hold anything but NUL. Who shows them escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from recorder.model.first_sight import MAX_COMM
from recorder.model.record import MAX_DENIALS

__all__ = [
    "MAX_DENIALS",
    "MAX_DENIAL_BYTES",
    "AppArmorDenial",
    "Denial",
    "DenialCount",
    "DenialKey",
    "Lack",
    "SelinuxDenial",
    "Sighting",
    "Text",
    "Verdict",
]

MAX_DENIAL_BYTES = 96 << 10
"""Sum of `DenialKey.size` in one observation, to which its source keeps. A join does not: what is left out
would depend on the order of joins."""


class Verdict(StrEnum):
    """What the module did."""

    DENIED = "denied"
    ALLOWED = "allowed"
    """It would have been denied: complain mode, or permissive."""
    KILLED = "killed"
    AUDITED = "audited"
    """It was allowed, and a rule says that it is to be logged."""
    OTHER = "other"
    """Hints, status and errors of AppArmor: a policy was loaded, or could not be."""
    REST = "rest"
    """Denials of a container that had as many different ones as are kept: only their number is known."""


class Lack(StrEnum):
    """Why a denial is not all that the kernel knew."""

    UNREADABLE = "unreadable"
    CLASS_UNKNOWN = "class_unknown"
    OBJECT_MISSING = "object_missing"
    PATH_CUT = "path_cut"
    FOUND_BY_PID = "found_by_pid"
    """Whose it was is told by its process's number, looked at a moment afterwards; signal, limit, mount
    flags and permissions that have no letter of their own are not known."""


@dataclass(frozen=True, slots=True, order=True)
class Text:
    """A text of the kernel's. length: bytes that it had there; content: those that were kept."""

    content: bytes = b""
    length: int = 0

    @property
    def cut(self) -> bool:
        """Whether the end is missing."""
        return self.length > len(self.content)


@dataclass(frozen=True, slots=True, order=True)
class Sighting:
    """Times are ns of CLOCK_BOOTTIME; a pid is a thread group's, in the kernel's own numbers.

    comm ends before its first NUL and after 15 bytes.
    """

    time_ns: int
    pid: int
    comm: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "comm", bytes(self.comm).split(b"\0", 1)[0][:MAX_COMM])


@dataclass(frozen=True, slots=True)
class AppArmorDenial:
    """Of AppArmor. What the class does not have is empty, or None.

    object_class: AppArmor's word, such as `file`, `capability`, `net`; requested and denied: words
    such as `read`, in the order of their bits; target: of a link, a rename, a change of profile; the
    source of a mount.
    """

    operation: str
    object_class: str
    profile: Text
    namespace: Text
    complain: bool
    requested: tuple[str, ...]
    denied: tuple[str, ...]
    name: Text
    target: Text
    peer: Text
    info: Text
    error: int
    capability: str | None = None
    family: str | None = None
    socket_type: str | None = None
    protocol: int | None = None
    port: int | None = None
    signal: int | None = None
    limit: int | None = None
    file_system: Text = Text()
    mount_flags: int | None = None
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class SelinuxDenial:
    """Of SELinux. permissions: those that the record names, by the kernel's own table.

    name: a path from the task's root where the kernel knows one, else the last part of it.
    """

    source: Text
    target: Text
    object_class: str
    permissions: tuple[str, ...]
    permissive: bool
    name: Text
    capability: str | None = None
    family: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class DenialKey:
    """All that makes a denial the one that it is. details is None for Verdict.REST.

    verdict: a `Verdict`, or the word of a newer recorder.
    """

    verdict: str
    details: AppArmorDenial | SelinuxDenial | None

    @property
    def module(self) -> str:
        """Who denied it: `apparmor`, `selinux`; empty where that is not known."""
        match self.details:
            case AppArmorDenial():
                return "apparmor"
            case SelinuxDenial():
                return "selinux"
            case _:
                return ""

    @property
    def order(self) -> tuple[Any, ...]:
        """What keys are sorted by: two that differ have two that differ."""
        details = self.details
        values = [getattr(details, each.name) for each in fields(details)] if details else []
        return self.module, self.verdict, *((value is not None, value) for value in values)

    @property
    def size(self) -> int:
        """Bytes that it takes in a message, about: those of its texts, and 100 for the rest."""
        details = self.details
        values = [getattr(details, each.name) for each in fields(details)] if details else []
        return 100 + sum(len(value.content) for value in values if isinstance(value, Text))


@dataclass(frozen=True, slots=True)
class DenialCount:
    """How often one denial came, and when. lacks: `Lack`s, or words of a newer recorder."""

    count: int
    first: Sighting
    last: Sighting
    lacks: frozenset[str] = frozenset()

    def join(self, other: DenialCount) -> DenialCount:
        """Return what two states of one source say together."""
        return self._with(other, max(self.count, other.count))

    def __add__(self, other: DenialCount) -> DenialCount:
        """Return the total over different sources."""
        return self._with(other, self.count + other.count)

    def _with(self, other: DenialCount, count: int) -> DenialCount:
        return DenialCount(
            count, min(self.first, other.first), max(self.last, other.last), self.lacks | other.lacks
        )


@dataclass(frozen=True, slots=True)
class Denial:
    """One denial of one cgroup, as often as it came. details is None for Verdict.REST."""

    cgroup_id: int
    verdict: Verdict
    details: AppArmorDenial | SelinuxDenial | None
    count: int
    first: Sighting
    last: Sighting
    lacks: frozenset[Lack] = frozenset()

    @property
    def key(self) -> DenialKey:
        """Which one it is, in any cgroup."""
        return DenialKey(self.verdict, self.details)

    @property
    def counted(self) -> DenialCount:
        """How often it came."""
        return DenialCount(self.count, self.first, self.last, frozenset(self.lacks))
