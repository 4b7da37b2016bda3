"""AppArmor's globs: what a path pattern matches, and how patterns cover and overlap each other.

Semantics are apparmor_parser's: `*` is any run of bytes but `/`, `**` any run, `?` one byte but
`/`, `[...]` one byte of a set; none matches NUL. A `*` or `**` that is all of a path's part
matches at least one byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, takewhile

__all__ = ["DEEP", "DIGIT", "HEX", "ONE", "PID", "STAR", "WORD", "Atom", "Glob", "Token", "Wild", "literal"]

_SLASH = 1 << ord("/")
_ANY = ((1 << 256) - 1) & ~1


def _mask(characters: bytes) -> int:
    mask = 0
    for each in characters:
        mask |= 1 << each
    return mask


@dataclass(frozen=True, slots=True)
class Atom:
    """A step of a match. mask: the bytes that it takes, bit n for byte n; it may be left out, or repeated.

    jump: instead of it, a match may go on so many steps further.
    """

    mask: int
    optional: bool = False
    repeated: bool = False
    jump: int = 0


@dataclass(frozen=True, slots=True)
class Wild:
    """What stands for several texts. text: as AppArmor has it; plain: with `*`, `?` and `@{}` alone."""

    text: str
    plain: str
    atoms: tuple[Atom, ...]


_DIGITS = _mask(b"0123456789")
STAR = Wild("*", "*", (Atom(_ANY & ~_SLASH, optional=True, repeated=True),))
DEEP = Wild("**", "**", (Atom(_ANY, optional=True, repeated=True),))
ONE = Wild("?", "?", (Atom(_ANY & ~_SLASH),))
DIGIT = Wild("[0-9]", "?", (Atom(_DIGITS),))
HEX = Wild("[0-9a-f]", "?", (Atom(_DIGITS | _mask(b"abcdef")),))
WORD = Wild(
    "[0-9A-Za-z_]", "?", (Atom(_DIGITS | _mask(bytes([*range(65, 91), *range(97, 123)]) + b"_")),)
)  # fmt: skip
# tunables/kernelvars of AppArmor 3: up to six digits, the first not 0; or seven, the first 1 to 4
PID = Wild(
    "@{pid}",
    "@{pid}",
    (
        *(Atom(0, optional=True, jump=9), Atom(_mask(b"1234")), *[Atom(_DIGITS)] * 6, Atom(0, jump=7)),
        *(Atom(_DIGITS & ~_mask(b"0")), *[Atom(_DIGITS, optional=True)] * 5),
    ),
)

_RUNS = (STAR, DEEP)

Token = int | Wild
"""A byte, or a wildcard."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern of whole paths. Runs that touch become one: two `*` side by side would read as `**`.

    prefix: the bytes before the first wildcard; wild: whether it has one.
    """

    tokens: tuple[Token, ...]
    prefix: bytes = field(init=False, compare=False, repr=False)
    wild: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        kept: list[Token] = []
        for each in self.tokens:
            if each in _RUNS and kept and kept[-1] in _RUNS:
                kept[-1] = DEEP if DEEP in (each, kept[-1]) else STAR
            else:
                kept.append(each)
        literal = list(takewhile(lambda each: isinstance(each, int), kept))
        object.__setattr__(self, "tokens", tuple(kept))
        object.__setattr__(self, "prefix", bytes(literal))  # type: ignore[arg-type]
        object.__setattr__(self, "wild", len(literal) < len(kept))

    @property
    def literal(self) -> bytes | None:
        """The one path that it matches; None if it has a wildcard."""
        return None if self.wild else self.prefix

    def matches(self, path: bytes) -> bool:
        """Whether it stands for a path."""
        atoms = _atoms(self)
        at = _closure(atoms, frozenset((0,)))
        for byte in path:
            at = _step(atoms, at, 1 << byte)
            if not at:
                return False
        return len(atoms) in at

    def covers(self, other: Glob) -> bool:
        """Whether every path of the other is one of this."""
        if not other.prefix.startswith(self.prefix):
            return False
        path = other.literal
        return self.matches(path) if path is not None else _covers(self, other)

    def overlaps(self, other: Glob) -> bool:
        """Whether there is a path that both stand for."""
        ours, theirs = self.prefix, other.prefix
        if not (ours.startswith(theirs) or theirs.startswith(ours)):
            return False
        return _overlaps(self, other)


def literal(path: bytes) -> Glob:
    """Return the pattern of one path."""
    return Glob(tuple(path))


@lru_cache(maxsize=4096)
def _atoms(glob: Glob) -> tuple[Atom, ...]:
    """Return the steps of a match; a run that is all of a path's part has a first byte of its own."""
    slash = ord("/")
    tokens = glob.tokens
    found: list[Atom] = []
    for n, token in enumerate(tokens):
        if isinstance(token, int):
            found.append(Atom(1 << token))
            continue
        alone = (n > 0 and tokens[n - 1] == slash) and (n + 1 == len(tokens) or tokens[n + 1] == slash)
        if alone and token in (STAR, DEEP):
            found.append(Atom(_ANY & ~_SLASH))
        found.extend(token.atoms)
    return tuple(found)


def _closure(atoms: tuple[Atom, ...], at: Iterable[int]) -> frozenset[int]:
    waiting = list(at)
    found: set[int] = set()
    while waiting:
        n = waiting.pop()
        if n in found:
            continue
        found.add(n)
        if n < len(atoms):
            atom = atoms[n]
            waiting += [n + 1] * atom.optional + [n + atom.jump] * (atom.jump > 0)
    return frozenset(found)


def _step(atoms: tuple[Atom, ...], at: frozenset[int], mask: int) -> frozenset[int]:
    """Return where a match stands after any byte of a mask, whose bytes no atom tells apart."""
    after: set[int] = set()
    for n in at:
        if n < len(atoms) and atoms[n].mask & mask:
            after.add(n if atoms[n].repeated else n + 1)
    return _closure(atoms, after)


def _kinds(first: tuple[Atom, ...], second: tuple[Atom, ...]) -> tuple[int, ...]:
    """Return sets of bytes that no atom of the two tells apart."""
    parts = [_ANY]
    for mask in {each.mask for each in chain(first, second)}:
        parts = [piece for part in parts for piece in (part & mask, part & ~mask) if piece]
    return tuple(parts)


def _covers(wide: Glob, narrow: Glob) -> bool:
    """Walk both together: the narrow one must never end, or go on, where the wide one cannot."""
    theirs, ours = _atoms(narrow), _atoms(wide)
    start = (_closure(theirs, (0,)), _closure(ours, (0,)))
    kinds = _kinds(theirs, ours)
    seen, waiting = {start}, [start]
    while waiting:
        at, within = waiting.pop()
        if len(theirs) in at and len(ours) not in within:
            return False
        for state in _next(theirs, ours, at, within, kinds):
            if state[0] and state not in seen:
                seen.add(state)
                waiting.append(state)
    return True


def _overlaps(first: Glob, second: Glob) -> bool:
    ones, others = _atoms(first), _atoms(second)
    start = (_closure(ones, (0,)), _closure(others, (0,)))
    kinds = _kinds(ones, others)
    seen, waiting = {start}, [start]
    while waiting:
        at, within = waiting.pop()
        if len(ones) in at and len(others) in within:
            return True
        for state in _next(ones, others, at, within, kinds):
            if all(state) and state not in seen:
                seen.add(state)
                waiting.append(state)
    return False


def _next(
    ones: tuple[Atom, ...],
    others: tuple[Atom, ...],
    at: frozenset[int],
    within: frozenset[int],
    kinds: tuple[int, ...],
) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
    for kind in kinds:
        yield _step(ones, at, kind), _step(others, within, kind)
