"""What targets used, as the kernel side keeps it in shared memory: entries, texts, and what was lost."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from recorder.kernel.accesses_layout import (
    CHUNK_LINES,
    LINE_LENGTH,
    AccessCounters,
    AccessMark,
    AccessOutcome,
    AccessState,
    Entry,
    Owner,
    Process,
)
from recorder.kernel.accesses_reading import WITHOUT_RIGHTS, subject_of
from recorder.kernel.accesses_spec import AccessesSpec
from recorder.kernel.arrays import SharedArray
from recorder.kernel.backend import Target
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.first_sight import FirstSight
from recorder.model.record import Phase


@dataclass(frozen=True, slots=True)
class AccessLosses:
    """What is missing of one target.

    refused: accesses without an entry (one file counts each time); executions_full: files of the exec
    that started the workload, which stand in set-up alone; undecided_full: accesses of processes whose
    phase was open and that count as workload for want of a place. Where programs are attached twice (see
    accesses_spec) all three may count twice.
    """

    refused: int = 0
    executions_full: int = 0
    undecided_full: int = 0


@dataclass(frozen=True, slots=True)
class AccessReading:
    """What a target has used. cursor: for the next reading that wants only what is new since this one."""

    accesses: Accesses = field(default_factory=Accesses)
    cursor: int = 0
    losses: AccessLosses = AccessLosses()


class _Texts:
    """The lines of all texts."""

    def __init__(self, fd: int, lines: int) -> None:
        length = -(-lines * LINE_LENGTH // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ)

    def text(self, line: int, length: int) -> bytes:
        start = line * LINE_LENGTH
        return self._map[start : start + length]

    def close(self) -> None:
        self._map.close()


class AccessEntries:
    """All entries of an object, by target; maps: its descriptors. Nothing here waits or changes anything."""

    def __init__(self, maps: Mapping[str, int], spec: AccessesSpec) -> None:
        entries = spec.max_entries
        with contextlib.ExitStack() as undo:
            self._entries = SharedArray(maps["accesses"], Entry, entries["accesses"])
            undo.callback(self._entries.close)
            self._texts = _Texts(maps["lines"], entries["lines"])
            undo.callback(self._texts.close)
            self._processes = SharedArray(maps["outcomes"], Process, entries["outcomes"])
            undo.callback(self._processes.close)
            self._owners = SharedArray(maps["owners"], Owner, entries["owners"])
            undo.callback(self._owners.close)
            self._counters = SharedArray(maps["counters"], AccessCounters, 1)
            undo.callback(self._counters.close)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Unmaps; may be repeated."""
        self._undo.close()

    def read(self, target: Target, after: int, *, final: bool) -> AccessReading:
        """As AccessWatch.read."""
        cursor = self._cursor(target, after)
        accesses = Accesses(self._joined(target, after, final=final))
        return AccessReading(accesses, cursor, self.losses(target))

    def _cursor(self, target: Target, after: int) -> int:
        """Behind what has its stamp; while an entry is being stamped nothing is."""
        stamped = self._owners[target.slot].stamped
        changes = self._owners[target.slot].changes
        return changes if changes == stamped else after

    def _joined(self, target: Target, after: int, *, final: bool) -> dict[AccessKey, Seen]:
        found: dict[AccessKey, Seen] = {}
        for index in self._indexes(target, after):
            entry = self._entries[index]
            if entry.state != AccessState.ACCESS_READY or entry.generation != target.generation:
                continue
            path, other, word = (
                self._texts.text(line, length) for line, length in zip(entry.line, entry.length, strict=True)
            )
            subject = subject_of(entry, (path, other, word))
            first = FirstSight(entry.first_ns, entry.comm)
            for phase, rights in self._rights(entry, final=final):
                key = AccessKey(phase, subject)
                seen = Seen(0 if isinstance(subject, WITHOUT_RIGHTS) else rights, first)
                found[key] = found[key].join(seen) if key in found else seen
        return found

    def _indexes(self, target: Target, after: int) -> list[int]:
        """Of what is new; what a process has whose phase was open may be, without a stamp."""
        used = min(self._counters.word(0, "used"), len(self._entries))
        generations = self._entries.column("generation", used)
        if not after:
            return [index for index, each in enumerate(generations) if each == target.generation]
        stamps = self._entries.column("stamp", used)
        processes = self._entries.column("what.tgid", used)
        return [
            index
            for index, each in enumerate(generations)
            if each == target.generation and (stamps[index] > after or processes[index])
        ]

    def _rights(self, entry: Entry, *, final: bool) -> Iterator[tuple[Phase, int]]:
        if entry.workload:
            yield Phase.WORKLOAD, entry.workload
        if not entry.setup:
            return
        outcome = self._processes[entry.outcome].outcome if entry.what.tgid else AccessOutcome.OUTCOME_SETUP
        if outcome == AccessOutcome.OUTCOME_SETUP:
            yield Phase.SETUP, entry.setup
        elif outcome == AccessOutcome.OUTCOME_WORKLOAD or final:
            yield Phase.WORKLOAD, entry.setup

    def losses(self, target: Target) -> AccessLosses:
        """As AccessWatch.losses."""
        owner = self._owners[target.slot]
        if owner.generation != target.generation:
            owner = Owner()
        return AccessLosses(
            refused=owner.refused,
            executions_full=owner.executions_full,
            undecided_full=owner.undecided_full,
        )

    def changes(self, target: Target) -> int:
        """As AccessWatch.changes."""
        return int(self._owners[target.slot].changes)

    def any_open(self, target: Target) -> bool:
        """Whether it has a process whose phase is open."""
        return bool(self._owners[target.slot].open)

    def dropped(self, target: Target) -> bool:
        """Whether it was dropped, and is not watched again."""
        return self._owners.word(target.slot, "dropped") == target.generation

    def decided(self, target: Target) -> float:
        """The part of the places for processes whose phase was open, that of those whose is known by now."""
        used = min(self._counters.word(0, "outcomes") + 1, len(self._processes))
        columns = (self._processes.column(field, used) for field in ("generation", "outcome", "mark"))
        number = sum(
            generation == target.generation
            and outcome != AccessOutcome.OUTCOME_OPEN
            and mark == AccessMark.MARK_NONE
            for generation, outcome, mark in zip(*columns, strict=True)
        )
        return float(number / len(self._processes))

    def owners(self) -> set[tuple[int, int]]:
        """Slots and generations of all that have something."""
        used = min(self._counters.word(0, "used"), len(self._entries))
        slots, generations = (self._entries.column(name, used) for name in ("slot", "generation"))
        owners = enumerate(self._owners.column("generation", len(self._owners)))
        return {each for each in (*zip(slots, generations, strict=True), *owners) if each[1]}

    def use(self) -> Mapping[str, tuple[int, int]]:
        """As AccessWatch.use."""
        counters = self._counters[0]
        return {
            "accesses": (counters.entries_taken, counters.refused),
            "lines": (counters.chunks_taken * CHUNK_LINES, counters.lines_full),
        }

    def unseen(self) -> tuple[int, int]:
        """Runs that found no place to work in, and such that stood in for one that was skipped."""
        counters = self._counters[0]
        return int(counters.busy), int(counters.substituted)
