"""What rules of a profile allow and deny of what was accessed, as far as it is certain.

A rule that cannot be judged counts as none: what it allows is taken for lacking, and is added once
more. These are rules for owners alone (a denial does not say who asked), with conditions, with an
access list for networks, and those of mounts, links, changes of profile and buses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from recorder.model.access import (
    Capability,
    File,
    FileRight,
    Peer,
    Ptrace,
    Signal,
    Socket,
    SocketRight,
    Subject,
    UnixSocket,
)
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.kernel_names import CAPABILITIES, FAMILIES, SIGNALS, SOCKET_TYPES
from recorder.profiles.apparmor_pattern import NotAPatternError, patterns
from recorder.profiles.apparmor_rules import apparmor_name, permissions_of
from recorder.profiles.apparmor_source import ProfileSource
from recorder.profiles.apparmor_statements import words
from recorder.profiles.apparmor_words import PTRACE_RIGHTS, SIGNAL_RIGHTS, SOCKET_RIGHTS
from recorder.profiles.glob import Glob
from recorder.profiles.path_tree import NOTHING, Permission, united

__all__ = ["MAX_GLOBS", "Allowance", "Judged", "judged"]

MAX_GLOBS: Final = 50_000
"""Patterns of all rules; those beyond count as none."""

_SELF: Final = "@{profile_name}"
_PERMISSIONS: Final = re.compile(r"[rwaklm]*(?:(?:[pPcC]?[iuU]|[pPcC])?x)?[rwaklm]*")
_LETTERS: Final = {
    "r": Permission.READ,
    "w": Permission.WRITE,
    "a": Permission.APPEND,
    "k": Permission.LOCK,
    "l": Permission.LINK,
    "m": Permission.MAP,
    "x": Permission.EXECUTE,
}
_CHANGING: Final = frozenset("pPcCuU")
_ALL_FILES: Final = "/{**,}"
# no right is kept of them
_IGNORED: Final = frozenset({"getattr", "setattr", "getopt", "setopt", "shutdown"})
_NUMBERS: Final[Mapping[str, int]] = {
    **{name: number for number, name in enumerate(SIGNALS) if name},
    "exists": 0,
}
_FILE_RIGHTS: Final = tuple(FileRight)


class _NotJudgedError(ValueError):
    """A rule of which nothing is certain."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """A signal, ptrace or unix rule. only: signals' numbers, or sockets' types; empty: all.

    peer: a label, _SELF, or empty: anybody.
    """

    rights: int
    only: frozenset[int | str] = frozenset()
    peer: str = ""

    def meets(self, what: int | str, peer: Peer) -> bool:
        if self.only and what not in self.only:
            return False
        if self.peer == _SELF:
            return peer.inside
        return not self.peer or (not peer.inside and peer.label == self.peer.encode())


class _Paths:
    """Patterns with what they have, by the bytes before the first wildcard."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, list[tuple[Glob, Permission]]] = {}

    def add(self, glob: Glob, permissions: Permission) -> None:
        self._by_prefix.setdefault(glob.prefix, []).append((glob, permissions))

    def of(self, path: bytes) -> Permission:
        found = NOTHING
        for length in range(len(path) + 1):
            for glob, permissions in self._by_prefix.get(path[:length], ()):
                if united(found, permissions) != found and glob.matches(path):
                    found = united(found, permissions)
        return found


@dataclass(slots=True)
class _Rules:
    """Those that allow, or those that deny. changes: what is executed with a change of profile."""

    files: _Paths = field(default_factory=_Paths)
    changes: _Paths = field(default_factory=_Paths)
    capabilities: set[str] = field(default_factory=set)
    networks: set[tuple[str, str]] = field(default_factory=set)  # empty: any
    unix: list[_Ends] = field(default_factory=list)
    signals: list[_Ends] = field(default_factory=list)
    ptraces: list[_Ends] = field(default_factory=list)

    def of(self, subject: Subject, rights: int) -> int:
        """Return which of the rights a rule has."""
        found = 0
        match subject:
            case File():
                there = self.files.of(apparmor_name(subject.path, subject.kind))
                for right in _FILE_RIGHTS:
                    needed = permissions_of(right)
                    # a link is of two names, of which a rule for one does not tell
                    if rights & right and right is not FileRight.LINK and united(there, needed) == there:
                        found |= right
            case Capability():
                name = CAPABILITIES[subject.number] if subject.number < len(CAPABILITIES) else ""
                found = rights if {"", name} & self.capabilities and name else 0
            case Socket():
                family = FAMILIES[subject.family] if subject.family < len(FAMILIES) else ""
                found = rights if self._network(family, SOCKET_TYPES.get(subject.type, "")) else 0
            case UnixSocket():
                kind = SOCKET_TYPES.get(subject.type, "")
                peer = subject.peer or Peer()
                found = rights if self._network("unix", kind) else _ends(self.unix, rights, kind, peer)
            case Signal():
                found = _ends(self.signals, rights, subject.number, subject.peer)
            case Ptrace():
                found = _ends(self.ptraces, rights, "", subject.peer)
        return found

    def _network(self, family: str, kind: str) -> bool:
        asked = {("", ""), (family, ""), ("", kind), (family, kind)}
        return bool(family and kind and asked & self.networks)


def _ends(rules: Iterable[_Ends], rights: int, what: int | str, peer: Peer) -> int:
    found = 0
    for each in rules:
        if each.meets(what, peer):
            found |= rights & each.rights
    return found


class Allowance:
    """name: the profile's; source: its rules. What both an allowing and a denying rule have is denied."""

    def __init__(self, name: str, source: ProfileSource) -> None:
        self._name = name
        self._variables = source.variables
        self._allowed, self._denied = _Rules(), _Rules()
        self._globs = MAX_GLOBS
        for rule in source.rules:
            try:
                self._add(words(rule))
            except (_NotJudgedError, NotAPatternError):
                continue

    def allows(self, subject: Subject, rights: int) -> int:
        """Return the rights that are allowed for certain, and that no rule denies."""
        return self._allowed.of(subject, rights) & ~self.denies(subject, rights)

    def denies(self, subject: Subject, rights: int) -> int:
        """Return the rights that a rule denies for certain, whatever others allow."""
        return self._denied.of(subject, rights)

    def changes(self, file: File) -> bool:
        """Return whether a rule has the file executed under another profile, or under none."""
        return bool(self._allowed.changes.of(apparmor_name(file.path, file.kind)))

    def _add(self, rule: tuple[str, ...]) -> None:
        rules = self._allowed
        while rule and rule[0] in ("audit", "deny", "allow"):
            rules = self._denied if rule[0] == "deny" else rules
            rule = rule[1:]
        add = self._of_kind.get(rule[0] if rule else "")
        if add is not None:
            add(self, rules, rule[1:])
        elif len(rule) > 1:
            self._file(rules, rule)

    def _file(self, rules: _Rules, rule: tuple[str, ...]) -> None:
        if not rule:
            self._put(rules, _ALL_FILES, Permission.EXECUTE, "rwklm")
            return
        if len(rule) not in (2, 4) or (len(rule) > 2 and rule[2] != "->"):
            raise _NotJudgedError
        first, second = rule[:2]
        path, letters = (first, second) if first[0] in '/@"' else (second, first)
        if path[0] not in '/@"' or not letters or not _PERMISSIONS.fullmatch(letters):
            raise _NotJudgedError
        if len(rule) > 2 and "x" not in letters:  # a link's
            raise _NotJudgedError
        # whatever it changes to, to execute it is allowed; `ix` has `m` (apparmor_parser's process_dfa_entry)
        inherits = "ix" in letters and rules is self._allowed
        self._put(rules, path, Permission.MAP if inherits else NOTHING, letters)

    def _put(self, rules: _Rules, path: str, permissions: Permission, letters: str) -> None:
        for each in letters:
            permissions |= _LETTERS.get(each, NOTHING)
        globs = patterns(path, self._variables)
        self._globs -= len(globs)
        if self._globs < 0:
            raise _NotJudgedError
        for glob in globs:
            rules.files.add(glob, united(permissions, NOTHING))
            if set(letters) & _CHANGING:
                rules.changes.add(glob, Permission.EXECUTE)

    def _capability(self, rules: _Rules, rule: tuple[str, ...]) -> None:
        rules.capabilities.update(rule or ("",))

    def _network(self, rules: _Rules, rule: tuple[str, ...]) -> None:
        kinds = set(SOCKET_TYPES.values())
        match rule:
            case ():
                rules.networks.add(("", ""))
            case (family,) if family in FAMILIES:
                rules.networks.add((family, ""))
            case (kind,) if kind in kinds:
                rules.networks.add(("", kind))
            case (family, kind) if family in FAMILIES and kind in kinds:
                rules.networks.add((family, kind))
            case _:
                raise _NotJudgedError

    def _unix(self, rules: _Rules, rule: tuple[str, ...]) -> None:
        table = {**SOCKET_RIGHTS, **dict.fromkeys(_IGNORED, SocketRight(0))}
        rules.unix.append(self._both(rule, table, "type"))

    def _signal(self, rules: _Rules, rule: tuple[str, ...]) -> None:
        rules.signals.append(self._both(rule, SIGNAL_RIGHTS, "set"))

    def _ptrace(self, rules: _Rules, rule: tuple[str, ...]) -> None:
        rules.ptraces.append(self._both(rule, PTRACE_RIGHTS, ""))

    def _both(self, rule: tuple[str, ...], table: Mapping[str, int], only: str) -> _Ends:
        """Read `[ACCESS] [ONLY=...] [peer=LABEL]`; anything else is not judged."""
        rights, among, peer = 0, frozenset[int | str](), ""
        said = False
        for each in rule:
            key, sign, value = each.partition("=")
            if not sign:
                named = each.strip("()").replace(",", " ").split()
                said = True
                for word in named:
                    if word not in table:
                        raise _NotJudgedError
                    rights |= table[word]
            elif key == "peer" and only != "type":
                peer = self._peer(value)
            elif key == only and only:
                among |= {_member(word, only) for word in value.strip("()").replace(",", " ").split()}
            else:
                raise _NotJudgedError
        if not said:
            for right in table.values():
                rights |= right
        return _Ends(rights, among, peer)

    def _peer(self, value: str) -> str:
        label = value.strip('"')
        if label in (_SELF, self._name):
            return _SELF
        if not re.fullmatch(r"[\w./+:-]+", label):
            raise _NotJudgedError
        return label

    _of_kind: Final[Mapping[str, Callable[[Allowance, _Rules, tuple[str, ...]], None]]] = {
        "file": _file,
        "capability": _capability,
        "network": _network,
        "unix": _unix,
        "signal": _signal,
        "ptrace": _ptrace,
    }


@dataclass(frozen=True, slots=True)
class Judged:
    """Accesses by what a profile says to them; one may be in several, with other rights."""

    lacking: Accesses
    allowed: Accesses
    refused: Accesses


def judged(accesses: Accesses, allowance: Allowance) -> Judged:
    """Return what a profile lacks, allows and denies of accesses; what it cannot judge is lacking."""
    parts: tuple[dict[AccessKey, Seen], ...] = ({}, {}, {})
    for key, seen in accesses.entries.items():
        refused = allowance.denies(key.subject, seen.rights)
        allowed = allowance.allows(key.subject, seen.rights)
        lacking = seen.rights & ~allowed & ~refused
        for part, rights in zip(parts, (lacking, allowed, refused), strict=True):
            if rights or (part is parts[0] and not seen.rights):
                part[key] = replace(seen, rights=rights)
    return Judged(*(Accesses(part) for part in parts))


def _member(word: str, only: str) -> int | str:
    """Return a signal's number, or a socket's type."""
    word = word.strip('"')
    if only == "type":
        return word
    if word not in _NUMBERS:
        raise _NotJudgedError
    return _NUMBERS[word]
