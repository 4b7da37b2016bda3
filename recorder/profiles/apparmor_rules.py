"""What an AppArmor profile has to allow for what was accessed; every format says of it what it can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    IoUring,
    IoUringRight,
    MessageQueue,
    Mount,
    MountStep,
    Ptrace,
    PtraceRight,
    Signal,
    SignalRight,
    Socket,
    SocketRight,
    Subject,
    UnixSocket,
    UserNamespace,
)
from recorder.model.accesses import Accesses, order_of
from recorder.model.kernel_names import CAPABILITIES, FAMILIES, LAST_SIGNAL, MOUNT_FLAGS, SOCKET_TYPES
from recorder.model.record import Phase
from recorder.model.secret import generalised
from recorder.profiles.glob import Glob
from recorder.profiles.path_part import Lifetime, numbered
from recorder.profiles.path_tree import (
    MAX_RULES,
    NOTHING,
    THRESHOLDS,
    PathRule,
    Permission,
    Thresholds,
    UsedPath,
    path_rules,
    united,
)

__all__ = [
    "AppArmorRules",
    "LinkRule",
    "NetworkRule",
    "UsedAccesses",
    "apparmor_name",
    "apparmor_rules",
    "permissions_of",
]

# apparmor_parser refuses a profile with a rule for them: the first it never had, the second was removed
_NO_TYPES: Final = frozenset({"dccp"})
_NO_FAMILIES: Final = frozenset({"decnet"})
_REMOUNT: Final = 0x20
_BIND: Final = 0x1000
_MOUNT_ATTRIBUTES: Final = sum(
    flag
    for flag, name in MOUNT_FLAGS.items()
    if name not in ("bind", "move", "private", "rec", "remount", "shared", "slave", "unbindable")
)
"""What mount rules have a word for, beside what makes another step of it."""

_PAIRED: Final = int(FileRight.RENAME | FileRight.LINK)
_MAKES: Final = int(FileRight.CREATE | FileRight.LINK)
_TAKES: Final = int(FileRight.REMOVE | FileRight.RENAME)
_PERMISSIONS: Final[Mapping[FileRight, Permission]] = {
    FileRight.READ: Permission.READ,
    FileRight.WRITE: Permission.WRITE,
    FileRight.APPEND: Permission.APPEND,
    FileRight.CREATE: Permission.WRITE,
    # security/apparmor/lsm.c, apparmor_path_rename(): read, write and delete of the old name
    FileRight.RENAME: Permission.READ | Permission.WRITE,
    FileRight.LINK: Permission.LINK,
    FileRight.TRUNCATE: Permission.WRITE,
    FileRight.CHMOD: Permission.WRITE,
    FileRight.CHOWN: Permission.WRITE,
    FileRight.REMOVE: Permission.WRITE,
    FileRight.EXEC: Permission.EXECUTE,
    FileRight.MMAP_EXEC: Permission.MAP,
    FileRight.LOCK: Permission.LOCK,
}


@dataclass(frozen=True, slots=True, order=True)
class NetworkRule:
    """Sockets of a family and a type, by AppArmor's words."""

    family: str
    type: str


@dataclass(frozen=True, slots=True)
class LinkRule:
    """A hard link that may be made: its new name, and that of the file."""

    name: Glob
    target: Glob


@dataclass(frozen=True, slots=True)
class AppArmorRules:
    """All that is to be allowed. capabilities: AppArmor's words; sources: how many records it is from.

    unix, signals, ptraces, mounts and queues are what was seen, with its rights. refused:
    capabilities that were asked for and refused, and are not allowed. left_out: what is in no
    rule, each as a sentence.
    """

    paths: tuple[PathRule, ...] = ()
    links: tuple[LinkRule, ...] = ()
    networks: tuple[NetworkRule, ...] = ()
    capabilities: tuple[str, ...] = ()
    unix: tuple[tuple[UnixSocket, SocketRight], ...] = ()
    signals: tuple[tuple[Signal, SignalRight], ...] = ()
    ptraces: tuple[tuple[Ptrace, PtraceRight], ...] = ()
    mounts: tuple[Mount, ...] = ()
    queues: tuple[tuple[MessageQueue, FileRight], ...] = ()
    user_namespaces: bool = False
    io_uring: IoUringRight = IoUringRight(0)  # noqa: RUF009  (a flag is immutable)
    refused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    sources: int = 1

    @property
    def empty(self) -> bool:
        """Whether nothing would be allowed."""
        return not (self.paths or self.networks or self.capabilities or self.unix or self.mounts)


def apparmor_name(path: bytes, kind: int) -> bytes:
    """Return what AppArmor calls a file of a kind (FileKind): names of folders end with a slash."""
    return path + b"/" if kind == FileKind.FOLDER and not path.endswith(b"/") else path


@lru_cache(maxsize=8192)  # a flag's operations are slow, and thousands of files have few different rights
def permissions_of(rights: int) -> Permission:
    """Return what rights over a file need of a profile; a write has the right to append."""
    found = NOTHING
    for right, permission in _PERMISSIONS.items():
        if rights & right:
            found |= permission
    return united(found, NOTHING)


def apparmor_rules(
    seen: Iterable[Accesses], thresholds: Thresholds = THRESHOLDS, maximum: int = MAX_RULES
) -> AppArmorRules:
    """Return the rules for what workloads accessed; each of `seen` is one record of a rule's coverage."""
    used = UsedAccesses()
    for n, each in enumerate(seen):
        used.add(each, n)
    return used.rules(thresholds, maximum)


class UsedAccesses:
    """What several records used together: state that grows, whatever the order.

    cut: there was more than is held here, which has no rule.
    """

    def __init__(self) -> None:
        self.cut = False
        self._paths = _Paths()
        self._other: dict[Subject, int] = {}
        self._sources = 0

    def add(self, accesses: Accesses, source: int) -> None:
        """What the workload of the record with this number accessed; it may come in parts."""
        self.cut |= bool(accesses.cut_at)
        self._sources = max(self._sources, source + 1)
        for subject, known in accesses.of(Phase.WORKLOAD):
            self.add_subject(subject, known.rights, 1 << source)

    def add_subject(self, subject: Subject, rights: int, sources: int) -> None:
        """What the workload used. sources: bit n for the record with the number n."""
        self._sources = max(self._sources, sources.bit_length())
        if isinstance(subject, File):
            self._paths.add(subject, rights, sources)
            return
        if isinstance(subject, UnixSocket):
            self._paths.add_socket(subject, rights, sources)
        self._other[subject] = self._other.get(subject, 0) | rights

    def rules(self, thresholds: Thresholds = THRESHOLDS, maximum: int = MAX_RULES) -> AppArmorRules:
        """Return the rules for all of it."""
        paths, other = self._paths, _Other()
        found = path_rules(paths.used(), thresholds, maximum)
        for subject in sorted(self._other, key=order_of):
            other.add(subject, self._other[subject])
        more = {"there were more accesses than a record holds: some have no rule"} if self.cut else set()
        return AppArmorRules(
            paths=found,
            links=_links(paths.pairs, found),
            networks=tuple(sorted(other.networks)),
            capabilities=tuple(sorted(other.capabilities)),
            unix=tuple(other.unix),
            signals=tuple(other.signals),
            ptraces=tuple(other.ptraces),
            mounts=tuple(other.mounts),
            queues=tuple(other.queues),
            user_namespaces=other.user_namespaces,
            io_uring=other.io_uring,
            refused=tuple(sorted(other.refused)),
            left_out=tuple(sorted(paths.left_out | other.left_out | more)),
            sources=max(1, self._sources),
        )


class _Paths:
    """Paths by name, with what is to be allowed, what became of them, and who used them."""

    def __init__(self) -> None:
        self.pairs: set[tuple[bytes, bytes]] = set()
        self.left_out: set[str] = set()
        self._permissions: dict[bytes, Permission] = {}
        self._sources: dict[bytes, int] = {}
        self._made: set[bytes] = set()
        self._gone: set[bytes] = set()
        self._numbered: set[bytes] = set()

    def add(self, file: File, rights: int, source: int) -> None:
        if file.cut:
            name = _shown(generalised(file.path).text)
            self.left_out.add(f"{name}...: longer than the kernel's path is kept")
            return
        if file.kind == FileKind.ANONYMOUS or not file.path.startswith(b"/"):
            # AppArmor asks for no path where the kernel has none: path_mediated_fs()
            return
        path, target = self._name(file.path, file.kind), b""
        permissions = permissions_of(rights)
        if rights & _PAIRED and file.target.startswith(b"/"):
            target = self._name(file.target, file.kind)
        if target and rights & FileRight.RENAME:
            self._put(target, Permission.WRITE, source)
            self._made.add(target)
            if numbered(path, target):
                self._numbered.add(path)
        if target and rights & FileRight.LINK:
            self._put(target, Permission.NAMED, source)
            self.pairs.add((path, target))
        self._put(path, permissions, source)
        if rights & _MAKES:
            self._made.add(path)
        if rights & _TAKES:
            self._gone.add(path)

    def add_socket(self, socket: UnixSocket, rights: int, source: int) -> None:
        """A socket with a path is asked for by its file."""
        if socket.address.startswith(b"/") and rights & SocketRight.BIND:
            self._put(self._name(socket.address, 0), Permission.READ | Permission.WRITE, source)
        if socket.peer_address.startswith(b"/"):
            self._put(self._name(socket.peer_address, 0), Permission.READ | Permission.WRITE, source)

    def used(self) -> Iterable[UsedPath]:
        for path, permissions in self._permissions.items():
            if permissions:
                life = Lifetime(path in self._made, path in self._gone, path in self._numbered)
                yield UsedPath(path, permissions, life, self._sources[path])

    def _name(self, path: bytes, kind: int) -> bytes:
        return apparmor_name(generalised(path).text, kind)

    def _put(self, path: bytes, permissions: Permission, source: int) -> None:
        self._permissions[path] = united(self._permissions.get(path, NOTHING), permissions)
        self._sources[path] = self._sources.get(path, 0) | source


class _Other:
    """What is no file, by AppArmor's words."""

    def __init__(self) -> None:
        self.networks: set[NetworkRule] = set()
        self.capabilities: set[str] = set()
        self.refused: set[str] = set()
        self.left_out: set[str] = set()
        self.unix: list[tuple[UnixSocket, SocketRight]] = []
        self.signals: list[tuple[Signal, SignalRight]] = []
        self.ptraces: list[tuple[Ptrace, PtraceRight]] = []
        self.mounts: list[Mount] = []
        self.queues: list[tuple[MessageQueue, FileRight]] = []
        self.user_namespaces = False
        self.io_uring = IoUringRight(0)

    def add(self, subject: Subject, rights: int) -> None:
        if isinstance(subject, Socket):
            self._socket(subject)
        elif isinstance(subject, UnixSocket):
            self.unix.append((subject, SocketRight(rights & 0x7F)))
        elif isinstance(subject, Signal):
            if 0 <= subject.number <= LAST_SIGNAL:
                self.signals.append((subject, SignalRight(rights & 0x3)))
            else:
                self.left_out.add(f"signal {subject.number}: there is none of that number")
        elif isinstance(subject, Ptrace):
            self.ptraces.append((subject, PtraceRight(rights & 0xF)))
        elif isinstance(subject, Mount):
            self._mount(subject)
        elif isinstance(subject, Capability):
            self._capability(subject, rights)
        elif isinstance(subject, UserNamespace):
            self.user_namespaces = True
        elif isinstance(subject, IoUring):
            self.io_uring |= IoUringRight(rights & 0xF)
        elif isinstance(subject, MessageQueue):
            self.queues.append((subject, FileRight(rights & 0x1FFF)))

    def _mount(self, mount: Mount) -> None:
        own = {int(MountStep.MOUNT): 0, int(MountStep.REMOUNT): _REMOUNT | _BIND}
        more = mount.flags & ~_MOUNT_ATTRIBUTES & ~own.get(mount.step, mount.flags)
        with_source = mount.step in (MountStep.BIND, MountStep.MOVE, MountStep.PIVOT_ROOT)
        folders = (mount.target, mount.source) if with_source else (mount.target,)
        if more:
            self.left_out.add(f"a mount with flags {more:#x}: AppArmor has no word for them")
        elif not all(each.startswith(b"/") for each in folders):
            self.left_out.add("a mount of or at what is no path: it has no rule")
        else:
            self.mounts.append(mount)

    def _socket(self, socket: Socket) -> None:
        kind = SOCKET_TYPES.get(socket.type)
        family = FAMILIES[socket.family] if 0 < socket.family < len(FAMILIES) else None
        if kind and family and kind not in _NO_TYPES and family not in _NO_FAMILIES:
            self.networks.add(NetworkRule(family, kind))
        else:
            self.left_out.add(
                f"sockets of family {socket.family}, type {socket.type}: AppArmor has no word for them"
            )

    def _capability(self, capability: Capability, rights: int) -> None:
        known = 0 <= capability.number < len(CAPABILITIES)
        name = CAPABILITIES[capability.number] if known else f"{capability.number}"
        if not rights & CapabilityRight.GRANTED:
            self.refused.add(name)
        elif known:
            self.capabilities.add(name)
        else:
            self.left_out.add(f"capability {name}: it has no name here; use a newer recorder")


def _links(pairs: set[tuple[bytes, bytes]], rules: Sequence[PathRule]) -> tuple[LinkRule, ...]:
    """Return a rule for each pair of patterns that two names of one file have."""
    linked = {path for pair in pairs for path in pair}
    globs: dict[bytes, Glob] = {}
    for rule in rules:
        globs.update((path, rule.glob) for path in rule.paths if path in linked)
    found = {(globs[name], globs[target]) for name, target in pairs}
    return tuple(LinkRule(*each) for each in sorted(found, key=str))


def _shown(path: bytes) -> str:
    return path[:80].decode("latin-1").encode("unicode_escape").decode()
