"""What one container was seen to use, in the order in which it was seen: so that only news is told.

A container has thousands of accesses, and each has its news once or twice. So who tells
somebody of them says up to where he has told, and takes what came since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recorder.model.access import Subject
    from recorder.model.accesses import AccessKey, Seen

__all__ = ["AccessLog", "Cleaned"]


class Cleaned:
    """Accesses without what looks like secrets in their paths, two that become one joined.

    raw_paths: they are left as they are. replaced: how many parts of paths were, of those that `of` had.
    """

    def __init__(self, *, raw_paths: bool = False) -> None:
        self.replaced = 0
        self._raw_paths = raw_paths
        self._counted: set[int] = set()  # hashes of those that had some

    def of(self, entries: Mapping[AccessKey, Seen]) -> dict[AccessKey, Seen]:
        """Return the same; what was had before is not counted again."""
        if self._raw_paths:
            return dict(entries)
        found: dict[AccessKey, Seen] = {}
        for raw, seen in entries.items():
            subject, count = _cleaned(raw.subject)
            if count and (digest := hash(raw)) not in self._counted:
                self._counted.add(digest)
                self.replaced += count
            key = raw._replace(subject=subject) if count else raw
            known = found.get(key)
            found[key] = known.join(seen) if known else seen
        return found


def _cleaned(subject: Subject) -> tuple[Subject, int]:
    """Also how many parts of names were replaced. What stands there may be longer than what stood there."""
    # Here and not above: who never asks for accesses does without.
    from recorder.model import access  # noqa: PLC0415
    from recorder.model.secret import generalised  # noqa: PLC0415

    match subject:
        case access.File():
            one, two, limit = generalised(subject.path), generalised(subject.target), access.MAX_PATH
            if one.count + two.count:
                cut = subject.cut or len(one.text) > limit
                subject = replace(subject, path=one.text[:limit], target=two.text[:limit], cut=cut)
        case access.UnixSocket():
            one, two, limit = (
                generalised(subject.address),
                generalised(subject.peer_address),
                access.MAX_ADDRESS,
            )
            if one.count + two.count:
                subject = replace(subject, address=one.text[:limit], peer_address=two.text[:limit])
        case access.Mount():
            one, two, limit = generalised(subject.source), generalised(subject.target), access.MAX_PATH
            if one.count + two.count:
                subject = replace(subject, source=one.text[:limit], target=two.text[:limit])
        case access.MessageQueue():
            one, two = generalised(subject.name), generalised(b"")
            if one.count:
                subject = replace(subject, name=one.text[: access.MAX_WORD])
        case _:
            return subject, 0
    return subject, one.count + two.count


class AccessLog:
    """Fed with what was read; whoever tells of it keeps the revision that he has told. For one thread.

    cleaned: what is taken goes through it first, which may be in another thread. changes, cursor: up to where
    it was read.
    """

    def __init__(self, *, raw_paths: bool = False) -> None:
        self.cleaned = Cleaned(raw_paths=raw_paths)
        self.changes = 0
        self.cursor = 0
        self.revision = 0
        """Of the last entry; 0: there is none."""
        # the oldest news first, each with its revision
        self._entries: dict[AccessKey, tuple[int, Seen]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, entries: Mapping[AccessKey, Seen]) -> list[AccessKey]:
        """Add what is new, or has rights that are; entries may be known already. Returns the new keys."""
        new = []
        for key, seen in entries.items():
            _, known = self._entries.get(key, (0, None))
            joined = known.join(seen) if known else seen
            if joined == known:
                continue
            if known is None:
                new.append(key)
            else:
                del self._entries[key]
            self.revision += 1
            self._entries[key] = self.revision, joined
        return new

    def since(self, revision: int) -> Iterator[tuple[int, AccessKey, Seen]]:
        """Yield what is newer than that, the oldest first, each with its revision."""
        newer = takewhile(lambda each: each[1][0] > revision, reversed(self._entries.items()))
        for key, (at, seen) in reversed(list(newer)):
            yield at, key, seen
