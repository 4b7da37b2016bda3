"""Watching what targets use: loads bpf/accesses.bpf.c beside a recorder of calls, and reads its entries.

All is read from shared memory, and nothing is drained: see SharedValue.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass

from recorder.kernel.accesses_layout import (
    LINE_LENGTH,
    AccessCounters,
    AccessOutcome,
    AccessState,
    Entry,
    Outcome,
    Owner,
)
from recorder.kernel.accesses_reading import WITHOUT_RIGHTS, subject_of
from recorder.kernel.accesses_spec import AGAIN, AccessBounds, AccessesSpec, accesses_spec
from recorder.kernel.arrays import SharedArray
from recorder.kernel.backend import Target
from recorder.kernel.functions import KernelFunctions
from recorder.kernel.info import program_info
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.links import Links
from recorder.kernel.loaded import LoadedObject
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.errors import BpfLoadError, UnsupportedKernel
from recorder.model.first_sight import FirstSight
from recorder.model.record import Phase


@dataclass(frozen=True, slots=True)
class AccessLosses:
    """What is missing of one target.

    refused: accesses without an entry (one file counts each time); executions_full: files of the exec
    that started the workload, which stand in set-up alone; undecided_full: accesses of processes whose
    phase stayed open, which count as workload. Where programs are attached twice (see accesses_spec)
    all three may count twice.
    """

    refused: int = 0
    executions_full: int = 0
    undecided_full: int = 0


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


class AccessWatch:
    """Sees what the targets of a recorder of calls use, between attach and detach.

    To be attached after that recorder has its first target, and closed before it: its programs tell
    which phase a task is in, and run first on an exec because they were attached first.

    Raises what LoadedObject, KernelFunctions and accesses_spec raise.
    """

    def __init__(self, backend: LibbpfBackend, bounds: AccessBounds | None = None) -> None:
        self._libbpf = Libbpf()
        functions = KernelFunctions(self._libbpf)
        try:
            self.spec: AccessesSpec = accesses_spec(
                bounds or AccessBounds(), backend.slot_count, backend.set_shift, functions.has
            )
        finally:
            functions.close()
        bounds = self.spec.bounds
        with contextlib.ExitStack() as undo:
            self._object = LoadedObject(self._libbpf, self.spec, backend.shared_maps())
            undo.callback(self._object.close)
            maps = self._object.map_fds()
            self._programs = self._object.program_fds()
            self._links = Links(self._libbpf, self._programs, self.spec.attach)
            self._entries = SharedArray(maps["accesses"], Entry, bounds.accesses)
            undo.callback(self._entries.close)
            self._texts = _Texts(maps["lines"], bounds.lines)
            undo.callback(self._texts.close)
            self._outcomes = SharedArray(maps["outcomes"], Outcome, bounds.outcomes)
            undo.callback(self._outcomes.close)
            self._owners = SharedArray(maps["owners"], Owner, backend.slot_count)
            undo.callback(self._owners.close)
            self._counters = SharedArray(maps["counters"], AccessCounters, 1)
            undo.callback(self._counters.close)
            self._undo = undo.pop_all()

    def attach(self) -> None:
        """From the return of this on, accesses are seen. Raises UnsupportedKernel; then none is."""
        try:
            self._links.attach()
        except BpfLoadError as error:
            raise UnsupportedKernel(
                "the kernel cannot attach programs to its security functions, by which accesses are seen: "
                "boot one that was built with CONFIG_FUNCTION_TRACER, CONFIG_DYNAMIC_FTRACE and "
                f"CONFIG_DEBUG_INFO_BTF, on x86-64 or arm64\n{error}"
            ) from error

    def detach(self) -> None:
        """What was seen can still be read; may be repeated."""
        self._links.detach()

    @property
    def changes(self) -> int:
        """Grows with each new entry and each new right of an old one, of any target."""
        return int(self._counters[0].changes)

    @property
    def used(self) -> tuple[int, int]:
        """Entries and lines of text that are taken."""
        counters = self._counters[0]
        return min(counters.used, len(self._entries)), min(counters.lines, self.spec.bounds.lines)

    def read(self, target: Target) -> Accesses:
        """All so far; rights of a process whose phase is open still count as workload."""
        entries: dict[AccessKey, Seen] = {}
        for entry in self._of(target):
            texts = tuple(
                self._texts.text(line, length) for line, length in zip(entry.line, entry.length, strict=True)
            )
            path, other, word = texts
            subject = subject_of(entry, (path, other, word))
            first = FirstSight(entry.first_ns, entry.comm)
            for phase, rights in self._rights(entry):
                key = AccessKey(phase, subject)
                seen = Seen(0 if isinstance(subject, WITHOUT_RIGHTS) else rights, first)
                entries[key] = entries[key].join(seen) if key in entries else seen
        return Accesses(entries)

    def _of(self, target: Target) -> Iterator[Entry]:
        for index in range(self.used[0]):
            if self._entries.word(index, "generation") != target.generation:
                continue
            entry = self._entries[index]
            if entry.state == AccessState.ACCESS_READY and entry.slot == target.slot:
                yield entry

    def _rights(self, entry: Entry) -> Iterator[tuple[Phase, int]]:
        first = Phase.SETUP
        if entry.what.tgid:
            outcome = self._outcomes[entry.outcome].value if entry.outcome else AccessOutcome.OUTCOME_OPEN
            first = Phase.WORKLOAD if outcome == AccessOutcome.OUTCOME_OPEN else Phase.SETUP
        if entry.setup:
            yield first, entry.setup
        if entry.workload:
            yield Phase.WORKLOAD, entry.workload

    def losses(self, target: Target) -> AccessLosses:
        """So far."""
        owner = self._owners[target.slot]
        if owner.generation != target.generation:
            owner = Owner()
        return AccessLosses(
            refused=owner.refused,
            executions_full=owner.executions_full,
            undecided_full=owner.undecided_full,
        )

    def missed(self) -> int:
        """Runs, for any target or none, that found no place to work in, or that the kernel skipped.

        Where programs are attached twice, those that both skipped: what the first skipped, less what
        the second did meanwhile.
        """
        skipped: int = sum(
            program_info(self._libbpf, fd).missed
            for name, fd in self._programs.items()
            if not name.endswith(AGAIN)
        )
        counters = self._counters[0]
        return int(counters.busy) + max(0, skipped - int(counters.substituted))

    def close(self) -> None:
        """Detaches and frees all; may be repeated."""
        self._links.close()
        self._undo.close()
