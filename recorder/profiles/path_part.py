"""Parts of paths that are never the same twice, and the pattern that stands for each.

A rule sees one part (what is between two slashes), the parts before it, and what was done with
the path up to it. It replaces only what it names; all other bytes stay. The table of rules is in
docs/accesses.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from recorder.model.secret import PLACEHOLDER
from recorder.profiles.glob import DIGIT, HEX, PID, STAR, WORD, Token

__all__ = ["KEPT", "RULES", "TEMPORARY_FOLDERS", "Lifetime", "Part", "numbered", "part_of"]

TEMPORARY_FOLDERS: Final = (b"/tmp", b"/var/tmp", b"/dev/shm")

RULES: Final = {
    "pid": "a process or thread of /proc: @{pid}",
    "volume": "the timestamped folder of a projected volume: ..[0-9]..._[0-9]...",
    "secret": "what looks like a secret: any text in its place",
    "temporary": "the random part of a temporary name: as many letters, digits and _; its numbers: [0-9]*",
    "uuid": "a UUID: as many hexadecimal digits",
    "hash": "16 hexadecimal digits or more, of digits and letters: as many",
    "number": "six digits or more, or a number of /proc/PID/fd, /dev/pts and the like: [0-9]*",
}
"""The rules by name, in the order in which they are tried: what each replaces, and by what."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What was done with a path.

    made: it was created; gone: removed, or renamed to another; numbered: renamed to what it is
    without the number at its end (`state.17` to `state`).
    """

    made: bool = False
    gone: bool = False
    numbered: bool = False


KEPT: Final = Lifetime()
"""Neither, as far as is known."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part as tokens; rules: those that replaced something, by name."""

    tokens: tuple[Token, ...]
    rules: tuple[str, ...] = ()

    @property
    def literal(self) -> bytes | None:
        """Its bytes; None if it has a wildcard."""
        found = bytearray()
        for each in self.tokens:
            if not isinstance(each, int):
                return None
            found.append(each)
        return bytes(found)


_DIGITS: Final = re.compile(rb"[0-9]+")
_PID: Final = re.compile(rb"[1-9][0-9]{0,5}|[1-4][0-9]{6}")
_NUMBERED: Final = frozenset({b"fd", b"fdinfo", b"map_files"})
_VOLUME: Final = re.compile(rb"(\.\.)(\d{4})(_)(\d\d)(_)(\d\d)(_)(\d\d)(_)(\d\d)(_)(\d\d)(\.)\d+")
_EDGE: Final = rb"(?<![0-9A-Za-z])", rb"(?![0-9A-Za-z])"
_UUID: Final = re.compile(
    rb"%b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}%b" % _EDGE,
)
_HASH: Final = re.compile(
    rb"%b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{16,128}%b" % _EDGE,
)
_NUMBER: Final = re.compile(rb"%b[0-9]{6,}%b" % _EDGE)
# By mkstemp(3) and its users: mktemp(1), tempfile of Python and of node, sed -i, gcc, ar, sort(1), bash, pip
_KNOWN: Final = re.compile(
    rb"^(?:(?:tmp\.|npm-|node-)(?P<a>[0-9A-Za-z]{6,12})"
    rb"|tmp(?P<b>[a-z0-9_]{8})"
    rb"|(?:sed|cc|st|sort|sh-thd[.-]|pip-[a-z-]{1,20}-)(?P<c>[0-9A-Za-z_]{6}|[0-9a-z_]{8}))(?=$|\.)"
)
_WORD_RUN: Final = re.compile(rb"[0-9A-Za-z]{6,64}")
_WHOLE: Final = re.compile(rb"[0-9A-Za-z_]{10}(?=$|\.)")
# six or ten, as mkstemp(3) and File::Temp have them, at the end and behind a sign
_LAST: Final = re.compile(rb"(?<=[0-9A-Za-z])[._-](?P<random>[0-9A-Za-z]{6}|[0-9A-Za-z]{10})$")
# the same in a temporary folder, with an ending too, and tempfile's eight
_LAST_OF_TEMPORARY: Final = re.compile(
    rb"(?<=[0-9A-Za-z])[._-](?P<random>[0-9A-Za-z]{6}|[0-9a-z_]{8}|[0-9A-Za-z_]{10})(?=$|\.)"
)
# all of a name: the file by which tempfile tries a folder, and mkstemp(3) and File::Temp without a word
_NAMELESS: Final = re.compile(rb"[0-9a-z_]{8}|[0-9A-Za-z]{6}|[0-9A-Za-z_]{10}")
_SIGNED_NUMBER: Final = re.compile(rb"(?<=[._-])[0-9]+(?=$|\.)|[0-9]{6,}")
_LAST_NUMBER: Final = re.compile(rb"[._~#-](?P<number>[0-9]+)$")
_NO_WORD: Final = 10
"""Of so many random characters one in 200 changes but once: one that does is a word with capitals."""
_CALLED_TEMPORARY: Final = re.compile(rb"(?<![A-Za-z])te?mp|te?mp(?![A-Za-z])", re.IGNORECASE)
_LONG_NUMBER: Final = re.compile(rb"[0-9]{6,}")


def numbered(old: bytes, new: bytes) -> bool:
    """Whether a path is another with a number at its end, such as a pid, behind a sign, hidden or not."""
    folder, _, name = old.rstrip(b"/").rpartition(b"/")
    other, _, kept = new.rstrip(b"/").rpartition(b"/")
    last = _LAST_NUMBER.search(name)
    return last is not None and folder == other and name[: last.start()] in (kept, b"." + kept)


def part_of(part: bytes, above: Sequence[bytes], lifetime: Lifetime) -> Part:
    """Return a part as the rules leave it; `above`: the parts before it, as they were."""
    if above[:1] == [b"proc"] or tuple(above) == (b"dev", b"pts"):
        found = _of_kernel(part, above)
        if found:
            return found
    if _VOLUME.fullmatch(part):
        return Part(_volume(part), ("volume",))
    tokens: list[Token] = []
    rules: list[str] = []
    for n, piece in enumerate(part.split(PLACEHOLDER)):
        if n:
            tokens.append(STAR)
            rules.append("secret")
        new, by = _replaced(piece, above, lifetime)
        tokens += new
        rules += by
    return Part(tuple(tokens), tuple(dict.fromkeys(rules)))


def _of_kernel(part: bytes, above: Sequence[bytes]) -> Part | None:
    if above == [b"proc"] or (len(above) == 3 and above[2] == b"task"):
        return Part((PID,), ("pid",)) if _PID.fullmatch(part) else None
    numbered = above[-1] in _NUMBERED or above[-1] == b"pts"
    if numbered and _DIGITS.match(part):
        return Part((DIGIT, STAR), ("number",))
    if above[-1] == b"map_files":
        return Part((STAR,), ("number",))
    return None


def _volume(part: bytes) -> tuple[Token, ...]:
    stamp, _, _ = part[2:].partition(b".")
    digits = [DIGIT if chr(each).isdigit() else each for each in stamp]
    return (*b"..", *digits, *b".", DIGIT, STAR)


def _replaced(
    piece: bytes, above: Sequence[bytes], lifetime: Lifetime
) -> tuple[tuple[Token, ...], tuple[str, ...]]:
    """Return a piece without secrets as tokens, and the rules that replaced something of it."""
    temporary = lifetime.made and _in_temporary_folder(above)
    passing = temporary or (lifetime.made and lifetime.gone)
    directly = temporary and b"/" + b"/".join(above) in TEMPORARY_FOLDERS
    if directly and lifetime.gone and _NAMELESS.fullmatch(piece):
        return _worded(piece, (0, len(piece))), ("temporary",)
    known = _KNOWN.search(piece) if passing else None
    if known:
        return _worded(piece, known.span(known.lastgroup or 0)), ("temporary",)
    for name, pattern in (("uuid", _UUID), ("hash", _HASH), ("number", _NUMBER)):
        match = pattern.search(piece)
        if match:
            before, by = _replaced(piece[: match.start()], above, lifetime)
            after, then = _replaced(piece[match.end() :], above, lifetime)
            return (*before, *_tokens(name, match[0]), *after), (*by, name, *then)
    if passing:
        found = _temporary(piece, lifetime, inside=temporary)
        if found != tuple(piece):
            return found, ("temporary",)
    return tuple(piece), ()


def _tokens(rule: str, text: bytes) -> tuple[Token, ...]:
    if rule == "number":
        return (DIGIT, STAR)
    digit = HEX if text == text.lower() else WORD
    return tuple(each if each == ord("-") else digit for each in text)


def _in_temporary_folder(above: Sequence[bytes]) -> bool:
    folder = b"/" + b"/".join(above)
    return any(folder == each or folder.startswith(each + b"/") for each in TEMPORARY_FOLDERS)


def _temporary(piece: bytes, lifetime: Lifetime, *, inside: bool) -> tuple[Token, ...]:
    """Return a piece of a temporary name without its random part; inside: of a temporary folder."""
    last = _LAST_NUMBER.search(piece) if lifetime.numbered else None
    if last:
        return (*piece[: last.start("number")], DIGIT, STAR)
    span = _random(piece, gone=lifetime.gone, inside=inside)
    if span:
        return _worded(piece, span)
    # pids and counters: of temp-7.rdb, pgsql_tmp15233.8, /tmp/work.17, go-build2731821484
    numbers = _LONG_NUMBER
    if lifetime.gone:
        numbers = _DIGITS if _CALLED_TEMPORARY.search(piece) else _SIGNED_NUMBER if inside else numbers
    tokens: list[Token] = []
    at = 0
    for match in numbers.finditer(piece):
        tokens += [*piece[at : match.start()], DIGIT, STAR]
        at = match.end()
    return (*tokens, *piece[at:])


def _worded(piece: bytes, span: tuple[int, int]) -> tuple[Token, ...]:
    start, end = span
    return (*piece[:start], *((WORD,) * (end - start)), *piece[end:])


def _random(piece: bytes, *, gone: bool, inside: bool) -> tuple[int, int] | None:
    whole = _WHOLE.match(piece)
    if whole and _mixed(whole[0].replace(b"_", b"")):
        return whole.span()
    last = (_LAST_OF_TEMPORARY if inside else _LAST).search(piece)
    span = last.span("random") if last and (gone or _DIGITS.search(last[0])) else None
    runs = [match.span() for match in _WORD_RUN.finditer(piece) if _mixed(match[0])]
    if not runs or (span and span[0] <= runs[-1][0] and runs[-1][1] <= span[1]):
        return span
    return runs[-1]


def _mixed(run: bytes) -> bool:
    """Whether characters change as in no word: `aB3xYz`, `k3jd9a`, not `Server12` or `PostgreSQL`."""
    sorts = "".join("0" if 48 <= each < 58 else "A" if 65 <= each < 91 else "a" for each in run)
    words = sorts[:1].lower() + sorts[1:]
    changes = sum(one != other for one, other in pairwise(words))
    return changes >= 2 or ("A" in words and len(run) < _NO_WORD)
