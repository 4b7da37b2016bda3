"""Where denials come from: the seam between who asks for them and what finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from recorder.model.denial import Denial


class Scope(Enum):
    """What a watched cgroup stands for. Of several that a task is in, the nearest counts."""

    WHOLE = "whole"
    """All that is below it has its denials there."""
    EACH = "each"
    """It and each cgroup below has denials of its own."""
    OWN = "own"
    """Nobody asked for it alone: it is below one whose cgroups are watched each."""


@dataclass(frozen=True, slots=True)
class DenialLosses:
    """What was not kept, in numbers of denials, but for ring_full and elsewhere.

    table_full: no entry was free; unreadable: the record could not be read; unnamed: SELinux gave no
    contexts (no audit record was written, as with audit=0 or a full backlog); stash_full: denials
    whose object is not known. Of all cgroups only, since it is not known whose: missed (runs of
    programs that the kernel skipped; 6.1 does not count those of kprobes), cgroups_full (no room for
    one more cgroup), between (of cgroups that were dropped, before they were released),
    ring_full (hints, whose entries are there), elsewhere (denials that nobody watches: no loss).
    Of sources that read the audit log: audit_lost (records that audit itself lost, of any kind), overruns
    (times when records came faster than they were read; how many went is not known), unattributed
    (denials of processes that had ended before it was looked whose they are). unflushed: times when
    SELinux's cache could not be emptied, so that what it had reported before is not seen again.
    """

    table_full: int = 0
    unreadable: int = 0
    unnamed: int = 0
    stash_full: int = 0
    missed: int = 0
    cgroups_full: int = 0
    between: int = 0
    ring_full: int = 0
    elsewhere: int = 0
    audit_lost: int = 0
    overruns: int = 0
    unattributed: int = 0
    unflushed: int = 0


@dataclass(frozen=True, slots=True)
class DenialCgroup:
    """A cgroup that is watched, or that has denials. epoch: when that began, in ns of CLOCK_BOOTTIME.

    dropped: nothing is taken any more, and release is to follow; removed: the cgroup is gone.
    """

    cgroup_id: int
    epoch: int
    scope: Scope
    dropped: bool
    removed: bool


@dataclass(frozen=True, slots=True)
class DenialReading:
    """What a cgroup was denied so far, in the order in which it was first seen, and what was lost of it."""

    cgroup: DenialCgroup
    denials: tuple[Denial, ...]
    losses: DenialLosses


Flush = Callable[[], bool]
"""Makes the module forget what it has reported; False if it did not.

Called when a cgroup is watched; and when one is dropped, for the next that is found by its first denial.
"""


def nothing_to_flush() -> bool:
    """Where the module does not remember."""
    return True


class DenialSource(Protocol):
    """Sees denials between attach and detach, of cgroups that are watched.

    One after the other for a cgroup: watch, read as often as wanted, drop, read, release.
    """

    @property
    def name(self) -> str:
        """How it finds them, for people and for a record's provenance: one of denial_sources.SOURCES."""

    @property
    def attached(self) -> bool:
        """Whether it sees any."""

    def attach(self) -> None:
        """From the return of this on, denials are seen. Raises BpfLoadError; may be repeated."""

    def detach(self) -> None:
        """What was seen can still be read; may be repeated."""

    def watch(self, cgroup_id: int, scope: Scope = Scope.WHOLE) -> None:
        """Also one that has entries already. Raises BpfLimit: no room, or it is dropped and not released."""

    def cgroups(self) -> Sequence[DenialCgroup]:
        """All that are watched or have denials; the removed ones are to be dropped and released."""

    def changed(self) -> frozenset[int]:
        """The cgroups of which there is something new since the last call: to be read, or removed ones."""

    def read(self, cgroup_id: int) -> DenialReading | None:
        """So far; None if it is not among cgroups()."""

    def drop(self, *cgroup_ids: int) -> None:
        """Take no more of them. What is read afterwards is final."""

    def release(self, cgroup_id: int) -> None:
        """Gives back what a dropped cgroup has; it may be watched anew then."""

    def losses(self) -> DenialLosses:
        """Of all cgroups, those that were released included."""

    def wait(self, seconds: float) -> bool:
        """Until there is a new denial, or a cgroup was removed, since changed(); True if so."""

    def fileno(self) -> int:
        """To wait for it together with others: readable when there is something new."""

    def pin(self, folder: Path) -> None:
        """Lets it outlive this process. Raises BpfLoadError; then nothing is pinned."""

    def close(self) -> None:
        """Ends it, but for what is pinned; may be repeated."""
