"""The abstract form of an AppArmor profile (AppArmorProfile objects), and what it cannot say.

How it is installed decides what goes where: executables `ixr`, libraries `mr`, readOnlyPaths `r` and
`deny wlk`, writeOnlyPaths `wlk` and `deny r`, readWritePaths `rwlk`. A denial wins over every
allowance, so a pattern that denies must not reach what another path needs. A path must match
`INSTALLABLE`, or the whole profile is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from recorder.model.access import Peer, PtraceRight, SignalRight
from recorder.model.errors import InvalidProfile
from recorder.profiles.apparmor_rules import AppArmorRules
from recorder.profiles.glob import DEEP, ONE, PID, STAR, Glob, Token, Wild, literal
from recorder.profiles.path_tree import PathRule, Permission
from recorder.profiles.profile_object import check_name

__all__ = ["INSTALLABLE", "AppArmorProfile", "abstract_profile", "plain_glob", "plain_text", "shown"]
__all__ += ["unsayable"]

INSTALLABLE: Final = re.compile(r"^(?:/[a-zA-Z0-9_./*?+@{} -]*)$")
"""What an installer takes as a path, less its exception for ptrace."""

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+@-")
_READS: Final = Permission.READ
_WRITES: Final = Permission.WRITE | Permission.APPEND | Permission.LOCK | Permission.LINK
# Rules of every profile that an installer makes: writing below /proc what is not a process's, and efivars
_NEVER_WRITTEN: Final = re.compile(rb"/proc/(?:[^/]*|sys/(?!kernel/shm).*)", re.DOTALL)
_NEVER_USED: Final = re.compile(
    rb"/proc/(?:sysrq-trigger|mem|kmem|kcore)|/sys/firmware/efi/efivars/.+", re.DOTALL
)
MAX_EXPANDED: Final = 200
"""Paths that a pattern is taken apart into, where it would deny what another path needs."""


@dataclass(frozen=True, slots=True)
class AppArmorProfile:
    """An AppArmorProfile object's fields; lists are sorted.

    warnings: where it differs from what was used, as sentences; lacks: those of them that say what it
    does not allow.
    """

    name: str
    executables: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    write_only: tuple[str, ...] = ()
    read_write: tuple[str, ...] = ()
    raw: bool = False
    tcp: bool = False
    udp: bool = False
    capabilities: tuple[str, ...] = ()
    complain: bool = False
    state: str = "Enabled"
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for each in ("annotations", "labels"):
            object.__setattr__(self, each, MappingProxyType(dict(sorted(getattr(self, each).items()))))


def abstract_profile(rules: AppArmorRules, name: str) -> AppArmorProfile:
    """Return the abstract form; InvalidProfile if it would allow nothing, or cannot have that name."""
    check_name(name)
    if rules.empty:
        raise InvalidProfile(
            f"profile {name} would allow nothing: the record has no access of the workload; record it with"
            " --kind accesses, and begin before the workload starts"
        )
    warnings, lacks = set[str](), unsayable(rules)
    paths = _linked(rules, warnings)
    paths = _apart(paths, warnings)
    lists: dict[str, set[str]] = {each: set() for each in _LISTS}
    for rule in paths:
        if any(_always_denied(path, rule.permissions) for path in rule.paths):
            lacks.add(f"{shown(rule.glob)}: the installer denies this in every profile")
        text = plain_text(rule.glob)
        if text is None:
            lacks.add(f"{shown(rule.glob)}: the installer takes no such path")
            continue
        if _refused(rule.glob):
            warnings.add(f"{text}: stands for a name with characters that the installer refuses")
        if rule.permissions & _WRITES and not rule.permissions & Permission.WRITE:
            warnings.add(
                f"{text}: may be written, since the abstract form cannot allow to append, to lock or to link"
                " alone"
            )
        for each in _lists_of(rule.permissions):
            lists[each].add(text)
    networks = {(each.family, each.type) for each in rules.networks}
    inet = {kind for family, kind in networks if family in ("inet", "inet6")}
    return AppArmorProfile(
        name=name,
        executables=tuple(sorted(lists["executables"])),
        libraries=tuple(sorted(lists["libraries"])),
        read_only=tuple(sorted(lists["read_only"])),
        write_only=tuple(sorted(lists["write_only"])),
        read_write=tuple(sorted(lists["read_write"])),
        raw=any(kind == "raw" for _, kind in networks),
        tcp="stream" in inet,
        udp="dgram" in inet,
        capabilities=rules.capabilities,
        warnings=tuple(sorted(warnings | lacks)),
        lacks=tuple(sorted(lacks)),
    )


_LISTS: Final = ("executables", "libraries", "read_only", "write_only", "read_write")


def _lists_of(permissions: Permission) -> Iterable[str]:
    if permissions & Permission.EXECUTE:
        yield "executables"
    if permissions & Permission.MAP and not permissions & Permission.EXECUTE:
        yield "libraries"
    reads, writes = permissions & _READS, permissions & _WRITES
    if reads and writes:
        yield "read_write"
    elif writes:
        # a program is read by `ixr`, a library by `mr`: denying it would take that away
        executable = permissions & (Permission.EXECUTE | Permission.MAP)
        yield "read_write" if executable or permissions & Permission.LOCK else "write_only"
    elif reads and not permissions & (Permission.EXECUTE | Permission.MAP):
        yield "read_only"


def plain_text(glob: Glob) -> str | None:
    """Return a pattern with letters that an installer takes; others become `?`. None: there is none."""
    text = "".join(_plain(each) for each in glob.tokens)
    return text if INSTALLABLE.fullmatch(text) and "/../" not in text else None


def plain_glob(text: str) -> Glob:
    """Return what a path of an object stands for: `*`, `**`, `?` and `@{pid}` are its wildcards."""
    tokens: list[Token] = []
    for each in _WILD.split(text):
        wild = _WILDS.get(each)
        tokens += [wild] if wild else list(each.encode("utf-8", "surrogateescape"))
    return Glob(tuple(tokens))


_WILD: Final = re.compile(r"(\*\*|\*|\?|@\{pid\})")
_WILDS: Final[Mapping[str, Wild]] = {each.text: each for each in (DEEP, STAR, ONE, PID)}


def _plain(token: Token) -> str:
    if isinstance(token, Wild):
        return token.plain
    return chr(token) if token in _PLAIN else ONE.plain


def _refused(glob: Glob) -> bool:
    return any(isinstance(each, int) and each not in _PLAIN for each in glob.tokens)


def _widened(glob: Glob) -> Glob:
    """Return what plain_text's pattern matches: that is what is installed."""
    tokens: list[Token] = []
    for each in glob.tokens:
        if isinstance(each, Wild):
            tokens.append(ONE if each.plain == "?" else each)
        else:
            tokens.append(each if each in _PLAIN else ONE)
    return Glob(tuple(tokens))


def _always_denied(path: bytes, permissions: Permission) -> bool:
    if not path.startswith((b"/proc/", b"/sys/")):
        return False
    written = permissions & _WRITES and _NEVER_WRITTEN.fullmatch(path)
    return bool(written or _NEVER_USED.fullmatch(path))


def _linked(rules: AppArmorRules, warnings: set[str]) -> list[PathRule]:
    """A hard link needs on its old name all that its new name has (security/apparmor/file.c, subset test)."""
    by_glob = {(rule.glob): rule for rule in rules.paths}
    paths = list(rules.paths)
    for link in rules.links:
        name, target = by_glob[link.name], by_glob[link.target]
        needed = name.permissions | Permission.LINK | Permission.WRITE | Permission.READ
        if needed & ~target.permissions:
            n = next(n for n, rule in enumerate(paths) if rule.glob == link.target)
            paths[n] = replace(paths[n], permissions=paths[n].permissions | needed)
            warnings.add(
                f"{shown(link.target)}: may be read and written, since a hard link to it is made, which the"
                " abstract form can say in no other way"
            )
    return paths


def _apart(rules: Sequence[PathRule], warnings: set[str]) -> list[PathRule]:
    """Take patterns apart, or let them be written, that would deny what another rule allows."""
    kept = [rule for rule in rules if any(True for _ in _lists_of(rule.permissions))]
    settled: list[PathRule] = []
    others = [_other(rule) for rule in kept]
    for rule in kept:
        denied = _denied(rule.permissions)
        if not denied or not _clashes(rule, denied, others):
            settled.append(rule)
        elif len(rule.paths) <= MAX_EXPANDED and _known_by_name(rule):
            settled += [
                PathRule(literal(path), rule.permissions, (path,), rule.sources) for path in rule.paths
            ]
            warnings.add(
                f"{shown(rule.glob)}: is listed path by path, since the abstract form would deny"
                f" {_words(denied)} also where another path needs it"
            )
        else:
            settled.append(rule)
    others = [_other(rule) for rule in settled]
    for n, rule in enumerate(settled):
        denied = _denied(rule.permissions)
        if denied and _clashes(rule, denied, others):
            settled[n] = replace(rule, permissions=rule.permissions | Permission.READ | Permission.WRITE)
            others[n] = _other(settled[n])
            warnings.add(
                f"{shown(rule.glob)}: may be read and written, since the abstract form would deny"
                f" {_words(denied)} also where another path needs it"
            )
    return settled


def _known_by_name(rule: PathRule) -> bool:
    """Whether its paths have the same names each time: only their number made a pattern of them."""
    return bool(rule.collapses) and all(each.rule in ("threshold", "rules") for each in rule.collapses)


def _denied(permissions: Permission) -> Permission:
    """Return what the list that a rule goes into denies."""
    found = Permission(0)
    for each in _lists_of(permissions):
        if each == "read_only":
            found |= _WRITES
        elif each == "write_only":
            found |= _READS | Permission.EXECUTE | Permission.MAP
    return found


_Other = tuple[int, Glob, Glob]
"""Another rule: its permissions, its pattern, and what that becomes."""


def _other(rule: PathRule) -> _Other:
    return int(rule.permissions), rule.glob, _widened(rule.glob)


def _clashes(rule: PathRule, denied: Permission, others: Iterable[_Other]) -> bool:
    glob, own = _widened(rule.glob), rule.glob
    if not glob.wild:
        return False  # one path, whose permissions are all in this rule
    # thousands of rules are compared with each other: what is cheap, and mostly enough, comes first
    needed, prefix = int(denied), glob.prefix
    return any(
        permissions & needed
        and (widened.prefix.startswith(prefix) or prefix.startswith(widened.prefix))
        and other != own
        and glob.overlaps(widened)
        for permissions, other, widened in others
    )


def _words(permissions: Permission) -> str:
    return "writing" if permissions & Permission.WRITE else "reading"


def unsayable(rules: AppArmorRules) -> set[str]:
    """Return what the workload does and the abstract form has no field for."""
    found = set(rules.left_out)
    for there, what in (
        (rules.unix, "UNIX sockets"),
        (
            any(_unlike_base(signal.peer, rights & SignalRight.SEND) for signal, rights in rules.signals),
            "signals",
        ),
        (any(rights & _PTRACES for _, rights in rules.ptraces), "ptrace"),
        (rules.mounts, "mount, umount and pivot_root"),
        (rules.user_namespaces, "user namespaces"),
        (rules.io_uring, "io_uring"),
        (rules.queues, "message queues"),
    ):
        if there:
            found.add(f"{what}: used by the workload, and no part of the abstract form; the text form has it")
    for each in rules.networks:
        inet = each.family in ("inet", "inet6") and each.type in ("stream", "dgram")
        if not inet and each.type != "raw":
            found.add(
                f"network {each.family} {each.type}: no part of the abstract form; the text form has it"
            )
        elif each.type == "raw" and each.family not in ("inet", "inet6"):
            found.add(f"network {each.family} raw: allowed as raw sockets of every family")
    return found


# abstractions/base, which is in every installed profile, lets a process be looked at and traced
_PTRACES: Final = PtraceRight.READ | PtraceRight.TRACE


def _unlike_base(peer: Peer, sent: SignalRight) -> bool:
    """Whether a signal needs more than abstractions/base has: receiving from who is unconfined."""
    return bool(sent) or peer.label not in (b"", b"unconfined")


def shown(glob: Glob) -> str:
    """Return a pattern for a person: ASCII that prints, at most 200 characters."""
    text = "".join(each.text if isinstance(each, Wild) else chr(each) for each in glob.tokens)
    return text.encode("unicode_escape").decode()[:200]
