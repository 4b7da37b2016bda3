"""What a recorder of system calls can do, whichever loader made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from recorder.kernel.layout import SlotMode
from recorder.kernel.ring import RingEvent
from recorder.model.accesses import Accesses
from recorder.model.kind import Kind
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey


@dataclass(frozen=True, slots=True)
class Target:
    """A cgroup, or a process, that is being recorded: its slot, for as long as the generation is the same.

    cgroup_id: of a process, that of the cgroup that it was in when its recording began.
    path: below the cgroup v2 mount, as the kernel gave it when it made the cgroup; empty
    where the recording began later, or the path is too long to be kept.
    """

    slot: int
    generation: int
    cgroup_id: int
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class WatchRule:
    """Which new cgroups below a watched one get slots.

    levels: how far below; 2 for the children of its future children, which are watched as
    well from the moment they are made. prefix: of the names of its children, at most 15 bytes.
    """

    mode: SlotMode
    levels: int = 1
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class Reading:
    """A target's state at one moment; times are CLOCK_BOOTTIME in ns, 0 where there is none.

    epoch: when its counters began at 0. late: it may have had tasks before. kinds: what
    was looked for. accesses: of a final reading alone, if they were looked for.
    """

    target: Target
    epoch: int
    ended_ns: int
    ended: bool
    started: bool
    late: bool
    calls: Mapping[CallKey, Numbers]
    ledger: Ledger
    kinds: tuple[Kind, ...] = (Kind.SYSCALLS,)
    accesses: Accesses = field(default_factory=Accesses)


class SlotBackend(Protocol):
    """What recording by cgroup and by process have in common. Any method may raise BpfLoadError."""

    loader: str

    def see(self, target: Target, calls: Mapping[CallKey, Numbers]) -> None:
        """Calls of the workload that were in flight when the recording began count as well."""

    def look_for_denied(self, wanted: bool) -> None:
        """Whether the calls that seccomp filters deny are looked for, if it was loaded to be able to.

        A call that began before the return, in a target of that time, is no denial.
        """

    def targets(self) -> list[Target]:
        """All slots in use, ended ones that were not released yet included."""

    def target(self, slot: int) -> Target | None:
        """Whose slot it is now; None if it is free."""

    def read(self, target: Target, *, final: bool = False) -> Reading:
        """A cumulative snapshot; nothing is drained.

        final: calls of tasks whose phase is still open count as workload, and the ledger
        says so.
        """

    def drop(self, *targets: Target) -> None:
        """No call that begins after the return counts for them; their slots still hold the bits.

        It waits some milliseconds, for all of them at once, and may run in another thread.

        Neither this nor `release` does anything to a slot that is another target's by now.
        """

    def release(self, target: Target) -> None:
        """The slot may be used again. Only after drop, or after its end."""

    def events(self) -> list[RingEvent]:
        """What the kernel side reported since the last call: hints, never the truth."""

    def wait(self, seconds: float) -> bool:
        """Until a target begins or ends, or the time is over; True if woken."""

    def fileno(self) -> int:
        """To wait for it together with others."""

    def ledger(self) -> Ledger:
        """Losses and notes that belong to no single target."""

    def use(self) -> Mapping[str, tuple[int, int]]:
        """By bound: how much is in use, and how often something found no room since the load."""

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """By program: ns and number of its runs, as far as the kernel counts them."""

    def pin(self, folder: Path) -> None:
        """Lets all of it outlive this process, below a folder of a mounted bpffs."""

    def close(self) -> None:
        """Detaches and frees what is not pinned; may be repeated."""


class Backend(SlotBackend, Protocol):
    """Recording by cgroup."""

    def add(self, cgroup_id: int, mode: SlotMode, *, late: bool = False, mount_namespace: int = 0) -> Target:
        """Records a cgroup from now on; attaches with the first.

        late: it may have tasks already, so its workload has started; mount_namespace: of
        its tasks, 0 if not known. Raises BpfLimit when no slot or no place is free, or it
        is recorded already, and MissingHeaders for a mode whose phases the loader cannot tell here.
        """

    def adopt(self, target: Target, children: Iterable[int]) -> None:
        """Child cgroups that were there before the target was added count for it."""

    def watch(self, root_id: int, *rules: WatchRule) -> None:
        """Cgroups made below this one from now on get slots before their first tasks run.

        The first rule that fits a new child's name counts, one that none fits is left alone.
        Again for the same root: replaces what was said. At most 8 rules.
        """

    def watched(self) -> set[int]:
        """The ids of all watched cgroups that are there."""

    def unwatch(self, root_id: int) -> None:
        """No more new slots below it; those that are there stay."""


class TaskBackend(SlotBackend, Protocol):
    """Recording of processes, and of what they start; of one in whichever cgroups it is."""

    def follow(self, pid: int) -> Target:
        """Records a process, its threads, its descendants and what they start from now on.

        pid: as this process's pid namespace has it; attaches with the first. Descendants
        are those whose line of parents leads to it now: who was handed over to another
        parent before, as a daemon is, is none. The recording is late, and ends by itself
        when all of them have ended. Raises ProcessNotFound, NotRecordable, or BpfLimit when
        no slot or no place is free, or it belongs to another target of this backend.
        """

    def members(self, target: Target) -> list[int]:
        """The processes that are followed now and that this process's pid namespace has, ascending."""
