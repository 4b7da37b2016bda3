"""The statements of AppArmor policy text, as apparmor_parser's lexer tells them apart.

A rule ends with a comma that is not within a name, braces or parentheses; an assignment and an
include end with their line. What is not understood gives a rule that nothing is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Kind", "Statement", "statements", "values", "words"]


class Kind(Enum):
    """What a statement is."""

    RULE = "rule"
    """text: all of it but its comma."""
    OPEN = "open"
    """A block begins; text: what stands before its brace."""
    CLOSE = "close"
    VARIABLE = "variable"
    """text: the name with its braces; value: what is right of the sign; adds: the sign is `+=`."""
    INCLUDE = "include"
    """text: the file or folder; below: of the base folder; optional: it need not be there."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One of a text; see Kind."""

    kind: Kind
    text: str = ""
    value: str = ""
    adds: bool = False
    below: bool = False
    optional: bool = False


_SKIPPED: Final = re.compile(r'(?:\s+|#(?!include[\s<"])[^\n]*)*')
_INCLUDE: Final = re.compile(
    r"#?include(?=[\s<\"])[ \t]*(?P<optional>if[ \t]+exists[ \t]*)?"
    r'(?:<(?P<below>[^<>"\n]+)>|"(?P<quoted>[^"\n]+)"|(?P<bare>[^\s<>",]+))'
)
_VARIABLE: Final = re.compile(
    r"(?P<name>@\{[^{}\n]+\}|\$\{?[\w]+\}?)[ \t]*(?P<sign>\+?=)(?P<value>(?:\\\n|[^\n])*)"
)
_PIECE: Final = re.compile(r'"(?:\\.|[^"\\])*"|\\.|[^\s"\\{}(),#]+|\s+|.', re.DOTALL)
_WORD: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"|\\.|\([^()]*\)|[^\s"\\()]+)+', re.DOTALL)
_VALUE: Final = re.compile(r'"((?:\\.|[^"\\])*)"|((?:\\.|[^\s"\\])+)')


def statements(text: str) -> Iterator[Statement]:
    """Yield what a text says, in its order."""
    at = 0
    while True:
        skipped = _SKIPPED.match(text, at)
        at = skipped.end() if skipped else at
        if at >= len(text):
            return
        if text[at] == "}":
            yield Statement(Kind.CLOSE)
            at += 1
        elif found := _INCLUDE.match(text, at):
            name = found["below"] or found["quoted"] or found["bare"]
            optional = found["optional"] is not None
            yield Statement(Kind.INCLUDE, name, below=found["below"] is not None, optional=optional)
            at = found.end()
        elif found := _VARIABLE.match(text, at):
            yield Statement(Kind.VARIABLE, found["name"], found["value"], found["sign"] == "+=")
            at = found.end()
        else:
            statement, at = _rule(text, at)
            yield statement


def _rule(text: str, at: int) -> tuple[Statement, int]:
    pieces: list[str] = []
    braces = parentheses = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        piece = found[0] if found else text[at]
        at += len(piece)
        whole = not braces and not parentheses
        before = pieces[-1][-1:] if pieces else ""
        ends = at >= len(text) or text[at].isspace() or text[at] in "#}"
        if piece == "#" and before.isspace():
            at = _line_end(text, at)
            continue
        if piece == "," and whole and ends:
            return Statement(Kind.RULE, "".join(pieces).strip()), at
        if piece == "{" and whole and ends and (before.isspace() or before == ")"):
            return Statement(Kind.OPEN, "".join(pieces).strip()), at
        if piece == "}" and not braces:  # the rule has no comma, which apparmor_parser refuses
            return Statement(Kind.RULE), at - 1
        braces += (piece == "{") - (piece == "}")
        parentheses += (piece == "(") - (piece == ")" and parentheses > 0)
        pieces.append(piece)
    return Statement(Kind.RULE), at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def words(rule: str) -> tuple[str, ...]:
    """Return a rule's words, with their quotes and parentheses; empty if it is not made of such."""
    found = _WORD.findall(rule)
    return tuple(found) if "".join("".join(found).split()) == "".join(rule.split()) else ()


def values(text: str) -> tuple[str, ...]:
    """Return what an assignment gives: its texts, without quotes."""
    return tuple(
        quoted or bare
        for quoted, bare in _VALUE.findall(re.sub(r"(?:^|\s)#.*", "", text.replace("\\\n", " ")))
    )
