"""Paths as a tree, in which a folder with too many names becomes a pattern.

What is in a path that is never the same twice is replaced first (`path_part`). Then, from the
root on: a folder with more subfolders than its threshold (of those that have no program) gets one,
`*`, that has what all of them had; a folder with more files of the same permissions than its
threshold gets one for them, `*` or `*.EXTENSION` where all have the same. Programs are never united,
nor are names of the root. Nothing else is widened; each time is kept with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from recorder.profiles.glob import DEEP, STAR, Glob, Token
from recorder.profiles.path_part import KEPT, Lifetime, Part, part_of

__all__ = ["MAX_RULES", "THRESHOLDS", "Collapse", "PathRule", "Permission", "Thresholds", "UsedPath"]
__all__ += ["path_rules", "united"]

MAX_RULES: Final = 2_000
"""Rules for paths in a profile; beyond it thresholds are halved, and then whole folders become `**`."""
MAX_EXAMPLES: Final = 3
_LIBRARY: Final = re.compile(rb"\.so(?:\.[0-9]+)*$")


class Permission(IntFlag):
    """What AppArmor's rules allow for a path. NAMED: nothing; the path is part of another rule."""

    READ = 0x1
    WRITE = 0x2
    APPEND = 0x4
    LOCK = 0x8
    MAP = 0x10
    EXECUTE = 0x20
    LINK = 0x40
    NAMED = 0x80


NOTHING: Final = Permission(0)


@lru_cache(maxsize=65_536)  # of 256 and 256; a flag's operations are slow
def united(one: Permission, other: Permission) -> Permission:
    """Return both. A write has the right to append; apparmor_parser refuses a rule that says so."""
    both = one | other
    return both & ~Permission.APPEND if both & Permission.WRITE else both


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many names a folder may have before they become a pattern, by the folder they are below.

    0: never. The longest prefix counts. The names of `/` itself never become one.
    """

    limits: Mapping[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = {key.rstrip(b"/") or b"/": value for key, value in sorted(self.limits.items())}
        object.__setattr__(self, "limits", MappingProxyType(limits))

    def of(self, folder: bytes) -> int:
        """Return the threshold of a folder, in which wildcards are written as in a rule."""
        if folder == b"/":
            return 0
        while folder and folder != b"/":
            if folder in self.limits:
                return self.limits[folder]
            folder = folder.rpartition(b"/")[0]
        return self.limits.get(b"/", 0)

    def halved(self) -> Thresholds:
        """Return half of each, and at least 1; never stays never."""
        return Thresholds({key: max(1, value // 2) if value else 0 for key, value in self.limits.items()})


THRESHOLDS: Final = Thresholds(
    {
        b"/": 10,
        b"/dev": 0,
        b"/etc": 16,
        b"/home": 16,
        b"/proc": 0,
        b"/root": 16,
        b"/sys": 8,
        b"/tmp": 3,
        b"/usr": 16,
        b"/var/tmp": 3,
    }
)
"""Those that hold unless others are given."""


@dataclass(frozen=True, slots=True)
class UsedPath:
    """A path and what is to be allowed for it. sources: bit n for the n-th of what was seen."""

    path: bytes
    permissions: Permission
    lifetime: Lifetime = KEPT
    sources: int = 1


@dataclass(frozen=True, slots=True)
class Collapse:
    """Why a pattern stands for several paths.

    rule: `threshold`, `rules` (MAX_RULES) or one of path_part.RULES; count: how many different names
    it replaced; threshold: the one that they were more than, or 0.
    """

    rule: str
    pattern: str
    count: int = 1
    threshold: int = 0
    examples: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class PathRule:
    """A pattern and what it allows. paths: those that were seen of it; sources: as in UsedPath."""

    glob: Glob
    permissions: Permission
    paths: tuple[bytes, ...]
    sources: int
    collapses: tuple[Collapse, ...] = ()


_Name = tuple[Token, ...]
_Planned = tuple[tuple[_Name, ...], UsedPath, tuple[Collapse, ...]]


@dataclass(slots=True)
class _Leaf:
    permissions: Permission = NOTHING
    sources: int = 0
    paths: list[bytes] = field(default_factory=list)
    collapses: list[Collapse] = field(default_factory=list)

    def add(self, other: _Leaf) -> None:
        self.permissions = united(self.permissions, other.permissions)
        self.sources |= other.sources
        self.paths += other.paths
        self.collapses += other.collapses


@dataclass(slots=True)
class _Node:
    """A folder.

    leaves: by name; `()` is the folder itself. Names of two sorts of permissions that become the same
    pattern are one, with both. folders: those below it.
    """

    leaves: dict[_Name, _Leaf] = field(default_factory=dict)
    folders: dict[_Name, _Node] = field(default_factory=dict)

    def put(self, name: _Name, leaf: _Leaf) -> None:
        self.leaves.setdefault(name, _Leaf()).add(leaf)

    def add(self, other: _Node) -> None:
        for name, leaf in other.leaves.items():
            self.put(name, leaf)
        for name, node in other.folders.items():
            self.folders.setdefault(name, _Node()).add(node)


def path_rules(
    used: Iterable[UsedPath], thresholds: Thresholds = THRESHOLDS, maximum: int = MAX_RULES
) -> tuple[PathRule, ...]:
    """Return rules that allow each path what was done with it, sorted by pattern; none is in another.

    Not more than `maximum`, if folders that have a threshold can be united so far.
    """
    planned = _planned(sorted(used, key=lambda each: each.path))
    while True:
        root = _planted(planned)
        _thin(root, (), thresholds)
        count = sum(1 for _ in _leaves(root))
        lower = thresholds.halved()
        if count <= maximum or lower == thresholds:
            break
        thresholds = lower
    if count > maximum:
        _deepen(root, maximum, count, thresholds)
    return _rules(root)


def _planned(used: Iterable[UsedPath]) -> list[_Planned]:
    """Return each path's names as the rules of path_part leave them, and what these did."""
    used = tuple(used)
    lives = {each.path.rstrip(b"/"): each.lifetime for each in used}
    planned = []
    known: dict[bytes, Part] = {}
    for each in used:
        parts = each.path.split(b"/")[1:]
        names: list[_Name] = []
        whys = []
        path = b""
        for n, part in enumerate(parts):
            path += b"/" + part
            found = known.get(path)
            if found is None:
                found = known[path] = part_of(part, parts[:n], lives.get(path, KEPT))
            names.append(found.tokens)
            whys += [Collapse(rule, _written(names), examples=(part,)) for rule in found.rules]
        planned.append((tuple(names), each, tuple(whys)))
    return planned


def _planted(planned: Iterable[_Planned]) -> _Node:
    root = _Node()
    for names, each, whys in planned:
        node = root
        for name in names[:-1]:
            node = node.folders.setdefault(name, _Node())
        node.put(names[-1], _Leaf(each.permissions, each.sources, [each.path], list(whys)))
    return root


def _thin(node: _Node, above: tuple[_Name, ...], thresholds: Thresholds) -> None:
    limit = thresholds.of(_written(above).encode("latin-1"))
    names = sorted((name for name, each in node.folders.items() if not _has_program(each)), key=_order)
    if limit and len(names) > limit:
        united = _Node()
        for name in names:
            united.add(node.folders.pop(name))
        why = Collapse("threshold", _written((*above, (STAR,), ())), len(names), limit, _examples(names))
        for leaf in _leaves(united):
            leaf.collapses.append(why)
        node.folders.setdefault((STAR,), _Node()).add(united)
    if limit:
        _thin_leaves(node, above, limit)
    for name, child in node.folders.items():
        _thin(child, (*above, name), thresholds)


def _thin_leaves(node: _Node, above: tuple[_Name, ...], limit: int) -> None:
    groups: dict[Permission, list[_Name]] = {}
    for name, leaf in node.leaves.items():
        if name and not leaf.permissions & Permission.EXECUTE:
            groups.setdefault(leaf.permissions, []).append(name)
    for permissions, names in groups.items():
        if len(names) <= limit:
            continue
        names.sort(key=_order)
        pattern = _pattern(names)
        united = _Leaf(permissions)
        for name in names:
            united.add(node.leaves.pop(name))
        united.collapses.append(
            Collapse("threshold", _written((*above, pattern)), len(names), limit, _examples(names))
        )
        node.put(pattern, united)


def _deepen(root: _Node, maximum: int, count: int, thresholds: Thresholds) -> None:
    """Make `**` of whole folders, the lowest and of these the fullest first, until rules are few enough."""
    depths: dict[int, list[tuple[int, tuple[_Name, ...], _Node]]] = {}
    for above, node in _folders(root, ()):
        leaves = list(_leaves(node))
        free = thresholds.of(_written(above).encode("latin-1"))
        if free and not _has_program(node):
            depths.setdefault(len(above), []).append((-len(leaves), above, node))
    for depth in sorted(depths, reverse=True):
        for _, above, node in sorted(depths[depth], key=lambda each: (each[0], _written(each[1]))):
            if count <= maximum or depth < 2:
                return
            itself = node.leaves.pop((), None)  # the pattern does not stand for the folder
            leaves = list(_leaves(node))
            if not leaves:
                node.leaves = {(): itself} if itself else {}
                continue
            deep = _Leaf()
            for leaf in leaves:
                deep.add(leaf)
            paths = sorted(set(deep.paths))
            deep.collapses.append(
                Collapse("rules", _written((*above, (DEEP,))), len(paths), maximum, tuple(paths[:3]))
            )
            node.leaves, node.folders = {(DEEP,): deep, **({(): itself} if itself else {})}, {}
            count -= len(leaves) - 1


def _folders(node: _Node, above: tuple[_Name, ...]) -> Iterator[tuple[tuple[_Name, ...], _Node]]:
    for name, child in node.folders.items():
        yield (*above, name), child
        yield from _folders(child, (*above, name))


def _has_program(node: _Node) -> bool:
    return any(leaf.permissions & Permission.EXECUTE for leaf in _leaves(node))


def _leaves(node: _Node) -> Iterator[_Leaf]:
    yield from node.leaves.values()
    for child in node.folders.values():
        yield from _leaves(child)


def _rules(root: _Node) -> tuple[PathRule, ...]:
    found = [
        PathRule(
            Glob((ord("/"), *_joined(names))),
            leaf.permissions,
            tuple(sorted(set(leaf.paths))),
            leaf.sources,
            _summed(leaf.collapses),
        )
        for names, leaf in _walk(root, ())
    ]
    found.sort(key=lambda each: _order(each.glob.tokens))
    return tuple(_without_covered(found))


def _without_covered(rules: list[PathRule]) -> list[PathRule]:
    """Leave out a rule of which another's pattern has every path and every permission."""
    wide = [n for n, rule in enumerate(rules) if rule.glob.wild]
    kept = dict(enumerate(rules))
    for n, rule in enumerate(rules):
        by = next(
            (
                other
                for other in wide
                if other != n
                and other in kept
                and not rule.permissions & ~rules[other].permissions
                and rules[other].glob.covers(rule.glob)
            ),
            None,
        )
        if by is not None:
            gone = kept.pop(n)
            kept[by] = replace(
                kept[by],
                paths=tuple(sorted({*kept[by].paths, *gone.paths})),
                sources=kept[by].sources | gone.sources,
            )
    return list(kept.values())


def _walk(node: _Node, above: tuple[_Name, ...]) -> Iterator[tuple[tuple[_Name, ...], _Leaf]]:
    for name, leaf in node.leaves.items():
        yield (*above, name), leaf
    for name, child in node.folders.items():
        yield from _walk(child, (*above, name))


def _summed(collapses: Iterable[Collapse]) -> tuple[Collapse, ...]:
    """Return one for each rule and pattern; of a rule for parts it counts the names that it replaced."""
    examples: dict[tuple[str, str, int], set[bytes]] = {}
    counts: dict[tuple[str, str, int], int] = {}
    for each in collapses:
        key = (each.rule, each.pattern, each.threshold)
        examples.setdefault(key, set()).update(each.examples)
        counts[key] = max(counts.get(key, 0), each.count, 0 if each.threshold else len(examples[key]))
    return tuple(
        Collapse(*key[:2], counts[key], key[2], tuple(sorted(examples[key])[:MAX_EXAMPLES]))
        for key in sorted(counts)
    )


def _pattern(names: Iterable[_Name]) -> _Name:
    """Return `*`, with the extension that all have, or `.so` where all are libraries."""
    texts = []
    for name in names:
        texts.append(bytes(each for each in name if isinstance(each, int)))
        if len(texts[-1]) != len(name):
            return (STAR,)
    if all(_LIBRARY.search(text) for text in texts):
        return (STAR, *b".so", STAR)
    stems = {text.rpartition(b".")[0::2] for text in texts}
    extensions = {extension for stem, extension in stems if stem}
    if len(extensions) == 1 and all(stem for stem, _ in stems):
        return (STAR, *b".", *extensions.pop())
    return (STAR,)


def _joined(names: Iterable[_Name]) -> tuple[Token, ...]:
    joined: list[Token] = []
    for n, name in enumerate(names):
        if n:
            joined.append(ord("/"))
        joined += name
    return tuple(joined)


def _text(name: _Name) -> str:
    return "".join(chr(each) if isinstance(each, int) else each.text for each in name)


def _written(names: Iterable[_Name]) -> str:
    """Return a pattern as it is shown and compared: bytes as Latin-1, wildcards as in a rule."""
    return "/" + _text(_joined(names))


def _order(name: _Name) -> tuple[str, int]:
    """Return what names are sorted by: a `*` that is a byte comes before one that is a wildcard."""
    return (_text(name), sum(not isinstance(each, int) for each in name))


def _examples(names: Iterable[_Name]) -> tuple[bytes, ...]:
    return tuple(_text(name).encode("latin-1") for name in list(names)[:MAX_EXAMPLES])
