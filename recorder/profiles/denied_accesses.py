"""From AppArmor's denials to the accesses that a profile has to allow for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    Mount,
    MountStep,
    Peer,
    Ptrace,
    Signal,
    Socket,
    SocketRight,
    Subject,
    UnixSocket,
)
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.denial import AppArmorDenial
from recorder.model.escape import escape
from recorder.model.kernel_names import CAPABILITIES, FAMILIES, SOCKET_TYPES
from recorder.model.record import Phase, Record
from recorder.model.secret import generalised
from recorder.profiles.apparmor_words import PTRACE_RIGHTS, SIGNAL_RIGHTS, SOCKET_RIGHTS

__all__ = ["Denied", "denied_accesses", "profile_of"]

_VERDICTS: Final = frozenset({"denied", "allowed", "killed"})
_LEARNING: Final = "//null-"
"""In complain mode a program without a rule runs in a profile of this name below its own (domain.c)."""

_FILE: Final[Mapping[str, FileRight]] = {
    "read": FileRight.READ,
    "write": FileRight.WRITE,
    "append": FileRight.APPEND,
    "create": FileRight.CREATE,
    "delete": FileRight.REMOVE,
    "rename": FileRight.WRITE,
    "setattr": FileRight.CHMOD,
    "chmod": FileRight.CHMOD,
    "chown": FileRight.CHOWN,
    "chgrp": FileRight.CHOWN,
    "lock": FileRight.LOCK,
    "exec": FileRight.EXEC,
    "mmap": FileRight.MMAP_EXEC,
    "mprot": FileRight.MMAP_EXEC,
    "link": FileRight.LINK,
}
_WITH_ANOTHER: Final = frozenset({"open", "getattr"})  # granted with whatever else is
_TYPES: Final = {name: number for number, name in SOCKET_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Denied:
    """accesses: what one profile denied; others: profiles that denied more; left_out: sentences.

    learned: what was denied only since complain mode had put one end into a profile without rules.
    """

    accesses: Accesses
    learned: Accesses = Accesses()  # noqa: RUF009  (immutable)
    others: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def profile_of(denial: AppArmorDenial) -> str:
    """Return the name of the profile that denied, without what complain mode puts below it."""
    return denial.profile.content.decode("utf-8", "backslashreplace").split(_LEARNING, 1)[0]


def denied_accesses(record: Record, profile: str) -> Denied:
    """Return what a profile denied, or would have, as accesses of the workload."""
    entries: dict[AccessKey, Seen] = {}
    learned: dict[AccessKey, Seen] = {}
    others: set[str] = set()
    left_out: set[str] = set()
    for observation in record.observations:
        for key in observation.denials:
            denial = key.details
            if not isinstance(denial, AppArmorDenial) or key.verdict not in _VERDICTS:
                continue
            if profile_of(denial) != profile:
                others.add(escape(profile_of(denial)))
                continue
            found = _access(denial, profile)
            if isinstance(found, str):
                left_out.add(f"{escape(denial.operation)} of class {escape(denial.object_class)}: {found}")
                continue
            subject, rights = found
            access = AccessKey(Phase.WORKLOAD, subject)
            into = learned if _is_learned(denial) else entries
            into[access] = into.get(access, Seen()).join(Seen(rights))
    return Denied(Accesses(entries), Accesses(learned), tuple(sorted(others)), tuple(sorted(left_out)))


def _is_learned(denial: AppArmorDenial) -> bool:
    """Both ends of a signal, a trace or a socket are asked: each is denied if the other has no rules."""
    mark = _LEARNING.encode()
    return mark in denial.profile.content or mark in denial.peer.content


def _access(denial: AppArmorDenial, profile: str) -> tuple[Subject, int] | str:
    """Return what was denied, or why no rule can be made of it."""
    try:
        return _subject(denial, profile)
    except ValueError as error:
        return str(error)


def _subject(denial: AppArmorDenial, profile: str) -> tuple[Subject, int]:
    found: tuple[Subject, int]
    match denial.object_class:
        case "file":
            found = _file(denial)
        case "capability" if denial.capability in CAPABILITIES:
            found = Capability(CAPABILITIES.index(denial.capability)), CapabilityRight.GRANTED
        case "net":
            found = _socket(denial)
        case "signal" if denial.signal is not None:
            found = Signal(denial.signal, _peer(denial, profile)), _bits(denial, SIGNAL_RIGHTS)
        case "ptrace":
            found = Ptrace(_peer(denial, profile)), _bits(denial, PTRACE_RIGHTS)
        case "mount":
            found = _mount(denial), 0
        case _:
            raise ValueError("no rule is made of such a denial")
    return found


def _words(denial: AppArmorDenial) -> tuple[str, ...]:
    return denial.denied or denial.requested


def _bits(denial: AppArmorDenial, table: Mapping[str, int]) -> int:
    bits = 0
    for word in _words(denial):
        if word in table:
            bits |= table[word]
        elif word not in _WITH_ANOTHER:
            raise ValueError(f"there is no rule for {word!r}")
    if not bits:
        raise ValueError("it does not say what was denied")
    return bits


def _file(denial: AppArmorDenial) -> tuple[Subject, int]:
    name = denial.name.content
    if denial.name.cut or denial.target.cut:
        raise ValueError("its path is not whole")
    if not name.startswith(b"/"):
        raise ValueError(f"its name is no path: {generalised(name).text[:40]!r}")
    kind = FileKind.FOLDER if name.endswith(b"/") and name != b"/" else FileKind.REGULAR
    rights = _bits(denial, _FILE)
    target = denial.target.content.rstrip(b"/") if rights & FileRight.LINK else b""
    return File(name.rstrip(b"/") or b"/", target, kind), rights


def _socket(denial: AppArmorDenial) -> tuple[Subject, int]:
    if denial.family not in FAMILIES or denial.socket_type not in _TYPES:
        raise ValueError(f"there is no rule for family {denial.family!r}, type {denial.socket_type!r}")
    kind = _TYPES[denial.socket_type]
    rights = SocketRight(0)
    for word in _words(denial):
        rights |= SOCKET_RIGHTS.get(word, SocketRight(0))
    if denial.family == "unix":
        return UnixSocket(kind), rights
    return Socket(FAMILIES.index(denial.family), kind, denial.protocol or 0), rights


def _peer(denial: AppArmorDenial, profile: str) -> Peer:
    label = denial.peer.content
    inside = label.decode("utf-8", "backslashreplace").split(_LEARNING, 1)[0] == profile
    return Peer(inside=inside, label=b"" if inside else label)


_STEPS: Final = (
    (0x20, MountStep.REMOUNT),
    (0x1000, MountStep.BIND),
    (0x2000, MountStep.MOVE),
    (0x1E0000, MountStep.PROPAGATION),
)


def _mount(denial: AppArmorDenial) -> Mount:
    flags, name, other = denial.mount_flags or 0, denial.name.content, denial.target.content
    if denial.name.cut or denial.target.cut:
        raise ValueError("its path is not whole")
    if denial.operation == "pivotroot":
        return Mount(MountStep.PIVOT_ROOT, name, other)
    if denial.operation == "umount":
        return Mount(MountStep.UMOUNT, b"", name, flags=flags)
    step = next((step for mask, step in _STEPS if flags & mask), MountStep.MOUNT)
    return Mount(step, other, name, denial.file_system.content, flags)
