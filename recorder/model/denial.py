"""A denial: what a security module did not let a container do, or would not have.

The kernel names paths, profiles and contexts by bytes, and so does this: they may
hold anything but NUL. Who shows them escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["AppArmorDenial", "Denial", "Lack", "SelinuxDenial", "Sighting", "Text", "Verdict"]


class Verdict(Enum):
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


class Lack(Enum):
    """Why a denial is not all that the kernel knew."""

    UNREADABLE = "unreadable"
    CLASS_UNKNOWN = "class_unknown"
    OBJECT_MISSING = "object_missing"
    PATH_CUT = "path_cut"
    FOUND_BY_PID = "found_by_pid"
    """Whose it was is told by its process's number, looked at a moment afterwards; signal, limit, mount
    flags and permissions that have no letter of their own are not known."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the kernel's. length: bytes that it had there; content: those that were kept."""

    content: bytes = b""
    length: int = 0

    @property
    def cut(self) -> bool:
        """Whether the end is missing."""
        return self.length > len(self.content)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Times are ns of CLOCK_BOOTTIME; a pid is a thread group's, in the kernel's own numbers.

    comm ends before its first NUL and after 15 bytes.
    """

    time_ns: int
    pid: int
    comm: bytes


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
class Denial:
    """One denial of one cgroup, as often as it came. details is None for Verdict.REST."""

    cgroup_id: int
    verdict: Verdict
    details: AppArmorDenial | SelinuxDenial | None
    count: int
    first: Sighting
    last: Sighting
    lacks: frozenset[Lack] = frozenset()
