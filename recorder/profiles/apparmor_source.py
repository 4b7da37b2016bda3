"""The rules of a profile's text with all that it includes, and its variables.

Only what stands in the profile itself: rules in blocks within it (hats, conditions) are for other
profiles, or for cases that are not known here, and count as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from recorder.model.escape import escape
from recorder.profiles.apparmor_statements import Kind, Statement, statements, values

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_FILES",
    "MAX_STATEMENTS",
    "PolicyFiles",
    "ProfileSource",
    "profile_source",
]

MAX_FILES: Final = 500
MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 20
MAX_STATEMENTS: Final = 50_000
# Names in a folder that apparmor_parser leaves out: is_blacklisted() of libapparmor
_LEFT_OUT: Final = re.compile(
    r"\..*|README|.*(?:~|\.(?:dpkg-(?:new|old|dist|bak|remove)|pacsave|pacnew|rpmnew|rpmsave|orig|rej))",
    re.DOTALL,
)


class PolicyFiles(Protocol):
    """Where included files are read."""

    def read(self, name: str, *, below: bool, maximum: int) -> str | tuple[str, ...] | None:
        """Return a file's text, a folder's names, or None if there is neither.

        below: the name is one below the base folder, else an absolute path. maximum: bytes; a file
        that has more, or cannot be read, raises OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """rules: texts without their commas, as they stand; variables: values by names without `@{}`.

    problems: what was not read, as sentences: what it allows is not in here.
    """

    rules: tuple[str, ...] = ()
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def profile_source(text: str, files: PolicyFiles | None) -> ProfileSource:
    """Return what the one profile of a text has. files: None: nothing that it includes is read."""
    reader = _Reader(files)
    reader.take(text, 0, inside=False, main=True)
    return ProfileSource(
        tuple(dict.fromkeys(reader.rules)),
        {name: tuple(dict.fromkeys(given)) for name, given in reader.variables.items()},
        tuple(dict.fromkeys(reader.problems)),
    )


class _Reader:
    def __init__(self, files: PolicyFiles | None) -> None:
        self.rules: list[str] = []
        self.variables: dict[str, list[str]] = {}
        self.problems: list[str] = []
        self._files = files
        self._taken: set[tuple[str, bool, bool]] = set()  # once is enough, and ends a loop
        self._opened = 0
        self._bytes = MAX_BYTES
        self._statements = MAX_STATEMENTS

    def take(self, text: str, depth: int, *, inside: bool, main: bool) -> None:
        """inside: it stands in the profile; main: it is the text that has the profile."""
        blocks = 0
        for each in self._counted(text):
            if each.kind is Kind.OPEN:
                blocks += 1
            elif each.kind is Kind.CLOSE:
                blocks -= 1
                if blocks < 0:
                    return  # no file of its own: what it closes, and what follows, is not told from here
            elif blocks <= int(main):
                self._one(each, depth, inside=inside or (main and blocks == 1))

    def _counted(self, text: str) -> Iterator[Statement]:
        for each in statements(text):
            self._statements -= 1
            if self._statements < 0:
                self.problems.append(f"no more than {MAX_STATEMENTS} statements of it are read")
                return
            yield each

    def _one(self, each: Statement, depth: int, *, inside: bool) -> None:
        if each.kind is Kind.INCLUDE:
            self._include(each, depth, inside=inside)
        elif each.kind is Kind.VARIABLE and not inside and each.text.startswith("@{"):
            given = self.variables.setdefault(each.text[2:-1], [])
            if each.adds or not given:
                given += values(each.value)
        elif each.kind is Kind.RULE and inside and each.text:
            self.rules.append(each.text)

    def _include(self, each: Statement, depth: int, *, inside: bool, member: bool = False) -> None:
        """member: it is one of a folder that is included."""
        shown = _shown(each)
        key = (each.text, each.below, inside)
        if key in self._taken:
            return
        self._taken.add(key)
        if self._files is None:
            self.problems.append(f"include {shown}: nothing that is included is read here")
        elif depth >= MAX_DEPTH:
            self.problems.append(f"include {shown}: more than {MAX_DEPTH} includes within each other")
        elif not each.below and not each.text.startswith("/"):
            self.problems.append(f"include {shown}: neither in <> nor an absolute path")
        else:
            self._read(self._files, each, depth, inside=inside, member=member)

    def _read(self, files: PolicyFiles, each: Statement, depth: int, *, inside: bool, member: bool) -> None:
        shown = _shown(each)
        if self._opened >= MAX_FILES:
            self.problems.append(f"include {shown}: more than {MAX_FILES} files")
            return
        self._opened += 1
        try:
            found = files.read(each.text, below=each.below, maximum=self._bytes)
        except OSError as error:
            self.problems.append(f"include {shown}: {error.strerror or error}")
            return
        if found is None:
            if not each.optional:
                self.problems.append(f"include {shown}: there is no such file")
        elif isinstance(found, str):
            self._bytes -= len(found.encode("utf-8", "surrogateescape"))
            self.take(found, depth + 1, inside=inside, main=False)
        elif not member:  # apparmor_parser goes into no folder of a folder
            for name in sorted(found):
                if not _LEFT_OUT.fullmatch(name):
                    path = f"{each.text.rstrip('/')}/{name}"
                    part = Statement(Kind.INCLUDE, path, below=each.below, optional=True)
                    self._include(part, depth, inside=inside, member=True)


def _shown(each: Statement) -> str:
    return escape(f"<{each.text}>" if each.below else f'"{each.text}"')
