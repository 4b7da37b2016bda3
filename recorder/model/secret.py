"""Secrets in names: parts of a path that look like one are replaced before anybody else sees the path.

Programs put tokens into names of files: caches that are named after a request, sockets of a session,
URLs. That something is one is a guess, made of each component of a path by itself:

- `token=VALUE`, `password: VALUE` and the like: the value goes. Behind `key`, `auth`, `code` and other
  words that mean many things, only a value of at least 8 bytes with a digit in it;
- a JSON Web Token (RFC 7519), also one whose end is cut off;
- what begins as tokens of GitHub, GitLab, Slack, AWS and others do;
- the password in a URL (`https:/user:password@host`);
- base64 (RFC 4648, either alphabet) of at least 24 characters, mixed as random bytes are: capitals,
  small letters and digits that change all the time, and hardly a word in it;
- 32 or more hexadecimal digits that are no digest: of another length than MD5, SHA-1 and SHA-2 have, or
  behind a word such as `token`, or in a folder of such a name.

So ids of containers, UUIDs, hashes in stores, versions and the folders of a service account stay. A
password that stands in a path without any of this is not found; a random name of capitals, small letters
and digits that is no secret is taken for one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["PLACEHOLDER", "Generalised", "generalised"]

PLACEHOLDER: Final = b"{secret}"
"""What stands in the place of a secret."""


@dataclass(frozen=True, slots=True)
class Generalised:
    """A name without what looks like secrets; count: how many were replaced."""

    text: bytes
    count: int = 0


Span = tuple[int, int]

_SHORTEST: Final = 7
"""Bytes of a component below which there is nothing to be found: `pwd=123`."""

_SAYS_SECRET: Final = (
    rb"(?:token|secret|passw(?:or)?d|pwd|passphrase|passcode|credential|bearer|jwt"
    rb"|(?:api|access|private|secret|session|signing|encryption|auth)[-_. ]?key)s?"
)
_MAY_SAY_SECRET: Final = (
    rb"(?<![A-Za-z])(?P<vague>key|auth|authorization|sig|signature|sas|otp|session(?:[-_.]?id)?|sid|code)"
)
_SECRET_WORD: Final = re.compile(_SAYS_SECRET, re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    rb"(?:" + _SAYS_SECRET + rb"|" + _MAY_SAY_SECRET + rb")[\"']?\s?(?:=|:|%3D)\s?[\"']?"
    rb"(?P<value>.+?)(?=[&;,][\w.-]{1,64}=|[\"']|$)",
    re.IGNORECASE | re.DOTALL,
)
_VAGUE_VALUE: Final = 8

_WEB_TOKEN: Final = re.compile(
    rb"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?|\.?$)"
)
_ISSUED: Final = re.compile(
    rb"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|[sr]k_live_|npm_|pypi-|hvs\."
    rb"|dop_v1_|AKIA|ASIA|AIza)[A-Za-z0-9_-]{16,}"
)
_OF_URL: Final = re.compile(rb"[^:@]*:(?P<value>[^@]+)@", re.DOTALL)

_RUN: Final = re.compile(rb"[A-Za-z0-9+_-]{24,}={0,2}")
_PIECE: Final = re.compile(rb"[A-Za-z0-9+]{24,}={0,2}")
_LEAST_CHANGES: Final = 0.4
"""How often a character is of another sort than the one before; of random ones 0.64 of all."""
_WORD: Final = re.compile(rb"[a-z]{4,}")
_MOST_IN_WORDS: Final = 0.34
_MOST_SEPARATORS: Final = 0.1
"""Of a random text of the alphabet for URLs 0.03 are - or _."""

_HEX: Final = re.compile(rb"(?<![A-Za-z0-9])(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![A-Za-z0-9])")
_FAN_OUT: Final = re.compile(rb"[0-9a-f]{2}")
"""A folder that has the first digits of a digest, as those of Git's objects."""
_DIGESTS: Final = frozenset({32, 40, 48, 56, 64, 96, 128})
"""Hexadecimal digits of MD5 and of UUIDs, of SHA-1, Tiger, SHA-224, SHA-256, SHA-384 and SHA-512."""
_LEAST_ENTROPY: Final = 3.0
"""Bits of a digit; 32 random ones have 3.5 or more."""


def generalised(name: bytes) -> Generalised:
    """Return a path, or another name, with PLACEHOLDER for what looks like a secret; it may be any bytes."""
    parts = name.split(b"/")
    count = 0
    after: list[bytes] = []
    for index, part in enumerate(parts):
        spans = _spans(part, parts[:index]) if len(part) >= _SHORTEST else []
        after.append(_replaced(part, spans))
        count += len(spans)
    return Generalised(b"/".join(after), count)


def _replaced(part: bytes, spans: Sequence[Span]) -> bytes:
    pieces, at = [], 0
    for start, end in spans:
        pieces += [part[at:start], PLACEHOLDER]
        at = end
    return b"".join([*pieces, part[at:]])


def _spans(part: bytes, above: Sequence[bytes]) -> list[Span]:
    """Where the secrets of a component are, those that overlap as one; `above`: the components before it."""
    united: list[Span] = []
    for start, end in sorted(_found(part, above)):
        if part[start:end] == PLACEHOLDER:
            continue
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _found(part: bytes, above: Sequence[bytes]) -> Iterator[Span]:
    for match in _ASSIGNED.finditer(part):
        value = match["value"]
        if match["vague"] is None or (len(value) >= _VAGUE_VALUE and re.search(rb"\d", value)):
            yield match.span("value")
    for pattern in (_WEB_TOKEN, _ISSUED):
        yield from (match.span() for match in pattern.finditer(part))
    scheme = next((each for each in reversed(above) if each), b"")
    of_url = _OF_URL.match(part) if scheme.endswith(b":") else None
    if of_url:
        yield of_url.span("value")
    yield from _random(part)
    yield from _digits(part, above)


def _random(part: bytes) -> Iterator[Span]:
    """Base64; within a longer name only the piece that is."""
    for run in _RUN.finditer(part):
        pieces = [each for each in _PIECE.finditer(part, *run.span()) if _is_random(each[0])]
        yield from (each.span() for each in pieces)
        if not pieces and _is_random(run[0]):
            yield run.span()


def _is_random(text: bytes) -> bool:
    sorts = bytes(map(_sort, text.rstrip(b"=")))
    size = len(sorts)
    changes = sum(one != other for one, other in pairwise(sorts))
    return (
        {*b"aA0"} <= {*sorts}
        and changes >= _LEAST_CHANGES * (size - 1)
        and sorts.count(b"-") <= _MOST_SEPARATORS * size
        and sum(len(word[0]) for word in _WORD.finditer(text)) <= _MOST_IN_WORDS * size
    )


def _sort(character: int) -> int:
    """One character for all of its sort: a small letter, a capital, a digit, a separator."""
    byte = bytes((character,))
    if byte.islower():
        return ord("a")
    if byte.isupper():
        return ord("A")
    return ord("0") if byte.isdigit() or byte == b"+" else ord("-")


def _digits(part: bytes, above: Sequence[bytes]) -> Iterator[Span]:
    for match in _HEX.finditer(part):
        said = _SECRET_WORD.search(part, 0, match.start()) or (above and _SECRET_WORD.search(above[-1]))
        if (said or not _is_digest(len(match[0]), above)) and _entropy(match[0]) >= _LEAST_ENTROPY:
            yield match.span()


def _is_digest(digits: int, above: Sequence[bytes]) -> bool:
    """Also one whose first digits are the names of folders."""
    for folder in reversed(above):
        if digits in _DIGESTS:
            return True
        if not _FAN_OUT.fullmatch(folder):
            return False
        digits += 2
    return digits in _DIGESTS


def _entropy(text: bytes) -> float:
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())
