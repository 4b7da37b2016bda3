"""From a path as AppArmor's text has it, with variables and alternatives, to patterns of whole paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from recorder.profiles.glob import DEEP, ONE, STAR, Atom, Glob, Token, Wild

__all__ = ["MAX_PATTERNS", "NotAPatternError", "patterns"]

MAX_PATTERNS: Final = 1_024
"""Patterns of one rule: with the variables of AppArmor's own abstractions it has at most some hundreds."""
_MAX_DEPTH: Final = 16
_MAX_TEXT: Final = 8_192
_SLASH: Final = 1 << ord("/")
_ANY: Final = ((1 << 256) - 1) & ~1
_VARIABLE: Final = re.compile(r"@\{([^{}]+)\}")
_OCTAL: Final = re.compile(r"\\([0-3][0-7]{2})")
_SET: Final = re.compile(r"\[(\^?)([^\[\]\\^]+)\]")

_Tokens = tuple[Token, ...]


class NotAPatternError(ValueError):
    """No path, or one that cannot be judged here: an unknown variable, too many patterns, other signs."""


def patterns(text: str, variables: Mapping[str, tuple[str, ...]]) -> tuple[Glob, ...]:
    """Return what a path stands for. variables: by their names without `@{}`. NotAPatternError."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    found: list[Glob] = []
    for each in _expanded(text, variables):
        # apparmor_parser's filter_slashes(); two at the front are the mark of a namespace
        plain = re.sub("//+", "/", each)
        if not plain.startswith("/") or each.startswith("//"):
            raise NotAPatternError(text)
        alternatives, end = _alternatives(plain, 0, 0)
        if end < len(plain):
            raise NotAPatternError(text)
        found += [Glob(tokens) for tokens in alternatives]
        if len(found) > MAX_PATTERNS:
            raise NotAPatternError(text)
    return tuple(found)


def _expanded(text: str, variables: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the text with each value of its variables, whose values may have others."""
    waiting, steps = [(text, 0)], 0
    while waiting:
        each, depth = waiting.pop()
        steps += 1
        found = _VARIABLE.search(each)
        if found is None:
            yield each
            continue
        given = variables.get(found[1])
        if given is None or depth > _MAX_DEPTH or steps > MAX_PATTERNS or len(each) > _MAX_TEXT:
            raise NotAPatternError(text)
        waiting += [(each[: found.start()] + value + each[found.end() :], depth + 1) for value in given]


def _alternatives(text: str, at: int, depth: int) -> tuple[list[_Tokens], int]:
    """Return what stands up to the end, or up to the sign that ends an alternative, and where that is."""
    found: list[_Tokens] = [()]
    while at < len(text):
        character = text[at]
        if depth and character in ",}":
            break
        if character == "{":
            group, at = _group(text, at + 1, depth + 1)
            found = [before + each for before in found for each in group]
            if len(found) > MAX_PATTERNS:
                raise NotAPatternError(text)
            continue
        tokens, at = _tokens(text, at)
        found = [before + tokens for before in found]
    return found, at


def _group(text: str, at: int, depth: int) -> tuple[list[_Tokens], int]:
    """Return the alternatives of a brace, and what is behind it."""
    if depth > _MAX_DEPTH:
        raise NotAPatternError(text)
    found: list[_Tokens] = []
    while True:
        some, at = _alternatives(text, at, depth)
        found += some
        if at >= len(text) or len(found) > MAX_PATTERNS:
            raise NotAPatternError(text)
        at += 1
        if text[at - 1] == "}":
            return found, at


def _tokens(text: str, at: int) -> tuple[_Tokens, int]:
    character = text[at]
    if character == "*":
        run = len(text[at:]) - len(text[at:].lstrip("*"))
        if run > 2:
            raise NotAPatternError(text)
        return (DEEP if run > 1 else STAR,), at + run
    if character == "?":
        return (ONE,), at + 1
    if character == "[":
        found = _SET.match(text, at)
        if found is None:
            raise NotAPatternError(text)
        return (_set(found[0], found[2], negated=bool(found[1])),), found.end()
    if character == "\\":
        return _escaped(text, at)
    if character in '}]^"\0':
        raise NotAPatternError(text)
    return tuple(character.encode("utf-8", "surrogateescape")), at + 1


def _escaped(text: str, at: int) -> tuple[_Tokens, int]:
    if octal := _OCTAL.match(text, at):
        byte = int(octal[1], 8)
        if byte in (0, ord("/")):
            raise NotAPatternError(text)
        return (byte,), octal.end()
    following = text[at + 1 : at + 2]
    if not following.isascii() or not following.isprintable() or following.isalnum() or not following:
        raise NotAPatternError(text)
    return (ord(following),), at + 2


def _set(text: str, members: str, *, negated: bool) -> Wild:
    """Return a set of bytes; a slash is in none, so that it is never wider than AppArmor's."""
    mask, n = 0, 0
    raw = members.encode("utf-8", "surrogateescape")
    if not raw.isascii():
        raise NotAPatternError(text)
    while n < len(raw):
        last = n + 2 if raw[n + 1 : n + 2] == b"-" and n + 2 < len(raw) else n
        if raw[last] < raw[n]:
            raise NotAPatternError(text)
        for each in range(raw[n], raw[last] + 1):
            mask |= 1 << each
        n = last + 1
    return Wild(text, "?", (Atom((_ANY & ~mask if negated else mask & _ANY) & ~_SLASH),))
