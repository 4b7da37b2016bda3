"""What containers use: a kernel side beside the one of calls, attached while somebody asks for it.

Methods that block: `prepare`, `attach` and `detach`; `drop` and `sweep` for milliseconds, `read` and `last`
for as long as there is to read; and these, `release` and `watch` while another of them is under way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.agent.access_log import AccessLog, Cleaned
from recorder.agent.pinned_side import PinnedSide
from recorder.kernel.backend import Target
from recorder.model.accesses import Accesses
from recorder.model.errors import RecorderError
from recorder.model.ledger import Ledger

if TYPE_CHECKING:
    # Who never asks for accesses does without: an agent's memory is counted.
    from recorder.kernel.accesses import AccessLosses, AccessWatch
    from recorder.model.accesses import AccessKey, Seen

    Opener = Callable[[Path | None], AccessWatch]

__all__ = ["FOLDER", "AccessReader", "Opener", "Used"]

FOLDER = "accesses"
"""Below the agent's pins."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one target used, as a part of its observation. watched: False if nobody could see it."""

    watched: bool = False
    accesses: Accesses = field(default_factory=Accesses)
    ledger: Ledger = field(default_factory=Ledger)


class AccessReader:
    """One watch at most, and what it says of targets.

    opener: makes it, or takes over the one that is pinned in a folder; None where nobody can look. pinned:
    the agent's folder of pins. raw_paths: names are left as they are; else what looks like a secret in
    them is replaced.
    """

    def __init__(self, opener: Opener | None, pinned: Path | None = None, *, raw_paths: bool = False) -> None:
        self._pinned: PinnedSide[AccessWatch] = PinnedSide(
            opener and functools.partial(_checked, opener), pinned, FOLDER, _missed
        )
        self._raw_paths = raw_paths
        self._problem = ""
        self.adopted = False
        """Whether it is the last agent's, with all that it had seen."""

    @property
    def _watch(self) -> AccessWatch | None:
        return self._pinned.side

    @property
    def attached(self) -> bool:
        """Whether what is used is seen now."""
        return self._watch is not None and self._watch.attached

    @property
    def problem(self) -> str:
        """Why nobody can look; empty: it can be done, or was not tried."""
        return self._problem

    def prepare(self) -> None:
        """Loads it, or takes it over from the last agent, so that `attach` needs no privileges."""
        try:
            self._pinned.prepare()
        except RecorderError as error:
            self._problem = str(error)
        self.adopted = self._pinned.adopted

    def attach(self) -> None:
        """From the return of this on what targets use is seen; or there is a problem."""
        if self._watch:
            try:
                self._watch.attach()
            except RecorderError as error:
                self._problem = str(error)
            else:
                self._problem = ""

    def detach(self, targets: Iterable[Target]) -> None:
        """Nothing is seen any more, and all is forgotten. targets: all that there are now."""
        if self._watch:
            found = list(targets)
            self._watch.detach()
            self.drop(found)
            self.release(found)
            self._watch.sweep()

    def close(self, *, keep: bool = False) -> None:
        """Ends it; keep: what is pinned goes on, for the next agent. May be repeated."""
        self._pinned.close(keep=keep)

    # --- of all

    def missed(self, *, now: bool = True) -> int:
        """Runs of programs that the kernel skipped so far; unless it has to be `now`, up to a moment ago."""
        return self._pinned.missed(now=now)

    def use(self) -> Mapping[str, tuple[int, int]]:
        """By bound, as Backend.use: `accesses`, whose refusals are those of its lines of text as well."""
        if self._watch is None:
            return {}
        found = self._watch.use()
        used, _ = found["accesses"]
        return {"accesses": (used, sum(refused for _, refused in found.values()))}

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """As Backend.runs."""
        return self._watch.runs() if self._watch else {}

    # --- of targets

    def changed(self, target: Target, log: AccessLog) -> bool:
        """Whether there is something to `read`."""
        return self._watch is not None and self._watch.changes(target) != log.changes

    def read(self, target: Target, log: AccessLog) -> Mapping[AccessKey, Seen]:
        """What is new of it, for its log to take; may have more."""
        if self._watch is None:
            return {}
        log.changes = self._watch.changes(target)  # first: what comes meanwhile is read again
        reading = self._watch.read(target, after=log.cursor)
        log.cursor = reading.cursor
        return log.cleaned.of(reading.accesses.entries)

    def so_far(self, target: Target, log: AccessLog, missed_before: int) -> Used:
        """What was lost of it so far; what it used is in its log. missed_before: `missed` at its begin."""
        if self._watch is None or not self._watch.attached:
            return Used()
        lost = _lost(self._watch.losses(target), self.missed(now=False) - missed_before)
        return Used(True, Accesses(), lost + Ledger({"secret_replaced": log.cleaned.replaced}))

    def last(self, target: Target, missed_before: int) -> Used:
        """All that it used: what is open counts as its workload."""
        if self._watch is None or not self._watch.attached:
            return Used()
        reading = self._watch.read(target, final=True)
        cleaned = Cleaned(raw_paths=self._raw_paths)
        accesses = Accesses(cleaned.of(reading.accesses.entries))
        lost = _lost(reading.losses, self.missed() - missed_before)
        return Used(True, accesses, lost + Ledger({"secret_replaced": cleaned.replaced}))

    def log(self) -> AccessLog:
        """An empty one, for a target."""
        return AccessLog(raw_paths=self._raw_paths)

    def drop(self, targets: Iterable[Target]) -> None:
        """Nothing more is taken of them; what is read then is final."""
        if self._watch and (found := tuple(targets)):
            self._watch.drop(*found)

    def release(self, targets: Iterable[Target]) -> None:
        """What was dropped is forgotten: before their slots are given back."""
        if self._watch:
            for each in targets:
                self._watch.release(each)

    def watch(self, target: Target) -> None:
        """One that was dropped and released is seen again from now on."""
        if self._watch:
            self._watch.watch(target)

    def sweep(self) -> None:
        """Forgets what is of no slot any more."""
        if self._watch:
            self._watch.sweep()


def _checked(opener: Opener, folder: Path | None) -> AccessWatch:
    """One that is not the last agent's is tried first."""
    watch = opener(folder)
    if folder is None:
        try:
            watch.check()
        except RecorderError:
            watch.close()
            raise
    return watch


def _missed(watch: AccessWatch) -> int:
    return watch.missed()


def _lost(losses: AccessLosses, missed: int) -> Ledger:
    """missed: runs of its programs that were skipped since its recording began."""
    return Ledger(
        {
            "accesses_full": losses.refused + losses.executions_full,
            "undecided": losses.undecided_full,
            "program_missed": max(0, missed),
        }
    )
