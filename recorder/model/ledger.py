"""The ledger: what was lost, by cause, and the verdict that follows from it.

Every place where something can be lost counts under a name of `CAUSES`, the one
table that code, metrics and docs/limits.md share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

__all__ = ["CAUSES", "OF_ACCESSES", "Cause", "Ledger", "Severity", "Verdict"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

OF_ACCESSES = "accesses_"
"""How causes begin that are about accesses alone."""


class Severity(Enum):
    """What a cause does to the verdict."""

    LOSS = "loss"
    """The record may lack calls, or have them in the wrong phase: lossy."""
    NOTE = "note"
    """Worth knowing; the sets of calls are whole: the verdict stays complete."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that can be lost: what happened, and what a person can do."""

    name: str
    severity: Severity
    meaning: str
    remedy: str


def _table(causes: Iterable[Cause]) -> Mapping[str, Cause]:
    return MappingProxyType({cause.name: cause for cause in causes})


CAUSES: Mapping[str, Cause] = _table(
    (
        Cause(
            "slots_full",
            Severity.LOSS,
            "a cgroup was made while no slot was free: its calls were not recorded",
            "raise the number of slots, or record fewer cgroups at once",
        ),
        Cause(
            "table_full",
            Severity.LOSS,
            "a cgroup had no place in the lookup table: its calls were not recorded",
            "raise the number of slots, which also makes the table larger",
        ),
        Cause(
            "roots_full",
            Severity.LOSS,
            "a new cgroup (a pod's) could not be watched: containers below it have no slot when they begin",
            "raise the number of watched cgroups (roots)",
        ),
        Cause(
            "slot_reused",
            Severity.LOSS,
            "a slot was given to another cgroup before its last state was read",
            "raise the number of slots, or give the recorder more CPU time",
        ),
        Cause(
            "attached_late",
            Severity.LOSS,
            "tasks ran before their recording began: what they called until then is missing",
            "begin the recording first, then start the workload",
        ),
        Cause(
            "unnamed_number",
            Severity.LOSS,
            "a call has a number below its ABI's limit that the table has no name for: no profile allows it",
            "use a recorder with a newer table of names; the record keeps the number",
        ),
        Cause(
            "joiners_full",
            Severity.LOSS,
            "the table of joining tasks was full: calls of set-up may count as workload, or the reverse",
            "raise the number of joining tasks, or start fewer containers at once",
        ),
        Cause(
            "children_full",
            Severity.LOSS,
            "the cgroup made more cgroups below itself than are followed: their calls were not recorded",
            "raise the bound of children, or record the children by themselves",
        ),
        Cause(
            "processes_full",
            Severity.LOSS,
            "the process started more processes than are followed at a time: their calls were not recorded",
            "record the cgroup that they are in instead",
        ),
        Cause(
            "followed_elsewhere",
            Severity.LOSS,
            "a child of the process is followed by another recording: its calls were not recorded here",
            "end the other recording first, or record the two together",
        ),
        Cause(
            "no_boundary",
            Severity.LOSS,
            "no exec that starts the workload was seen, so set-up and workload cannot be told apart",
            "record with --phases exec if no container runtime fills the cgroup",
        ),
        Cause(
            "program_missed",
            Severity.LOSS,
            "the kernel skipped a run of a BPF program, because one was running on that CPU already",
            "record again; if it stays, look for other tracing programs on the machine",
        ),
        Cause(
            "abi_unknown",
            Severity.LOSS,
            "the instruction that made a call could not be read, so its ABI is not known, and the call is not"
            " recorded (loader bcc, with another kernel's headers)",
            "install the kernel's own headers, or record again",
        ),
        Cause(
            "identity_unknown",
            Severity.LOSS,
            "no runtime knew the container any more when it was asked: its record is whole, without a name",
            "find the record by the container's id; see whether the runtime was down, or very slow",
        ),
        Cause(
            "record_refused",
            Severity.LOSS,
            "the collector would not store a container's record: its recording lacks what was seen of it",
            "see the agent's log, or the collector's, for the reason, and record again without it",
        ),
        Cause(
            "agent_lost",
            Severity.LOSS,
            "a capture lost its agent, or the agent forgot it: calls after its last word are missing",
            "capture again; see the agent's log for why it went, and wait longer with --reconnect-for",
        ),
        Cause(
            "restart_without_state",
            Severity.LOSS,
            "an agent took over slots, and the state that says whose they are was missing or damaged",
            "record again; see the agent's log for what became of its folder of state",
        ),
        Cause(
            "accesses_full",
            Severity.LOSS,
            "a container used more different files and the like than are kept: its profile lacks some",
            "see whether the patterns for folders cover the rest, or record parts of its work by themselves",
        ),
        Cause(
            "accesses_late",
            Severity.LOSS,
            "accesses were asked for after the recording had begun: what was used until then is missing",
            "ask for accesses from the beginning: before the workload starts",
        ),
        Cause(
            "accesses_missed",
            Severity.LOSS,
            "some of the denials of which a profile is made were not seen: it may lack permissions",
            "see the notes on denials in the record for why; ask for denials from the beginning, and record"
            " again",
        ),
        Cause(
            "accesses_unwatched",
            Severity.LOSS,
            "accesses were asked for, and nobody could see them: the record has none",
            "see recorder status on that node for the reason, or the agent's log",
        ),
        Cause(
            "domain_enforcing",
            Severity.LOSS,
            "SELinux or AppArmor refused something: what would have come after it is missing",
            "set seLinuxOptions.type: recording.process (deploy/selinux/recording.cil) in the pod, or the"
            " profile's mode to Complain",
        ),
        Cause(
            "ring_full",
            Severity.NOTE,
            "an event found no room in the ring: only the time and the task of a first sight are missing",
            "none is needed: the calls themselves are read from memory",
        ),
        Cause(
            "unknown_number",
            Severity.NOTE,
            "a call has a negative number, or one beyond its ABI's limit: no kernel has it as a system call"
            " (on arm also the private calls: breakpoint, cacheflush, usr26, usr32, set_tls, get_tls)",
            "none is needed: the kernel answers ENOSYS; on arm, allow the private calls by name",
        ),
        Cause(
            "joiner_without_exec",
            Severity.NOTE,
            "a task joined the cgroup and never called exec: all its calls count as workload",
            "none is needed, if that task is part of the workload",
        ),
        Cause(
            "undecided",
            Severity.NOTE,
            "calls of a task whose joining was not settled when they were read count as workload",
            "none is needed: the workload may hold some calls of the set-up",
        ),
        Cause(
            "denials_unwatched",
            Severity.NOTE,
            "denials were asked for, and a part of them was not looked for: of seccomp filters, or of"
            " AppArmor and SELinux; provenance.denials says whose were",
            "see recorder check, or the agent's log, for the reason",
        ),
        Cause(
            "denials_late",
            Severity.NOTE,
            "denials were asked for after the recording had begun: earlier ones are missing",
            "ask for denials from the beginning",
        ),
        Cause(
            "denials_full",
            Severity.NOTE,
            "there were more different denials than are kept: the further ones are missing, or only counted",
            "correct those that are known, and look again",
        ),
        Cause(
            "denials_missed",
            Severity.NOTE,
            "the kernel said of a denial only that there was one, skipped the program that sees it, or its"
            " record could not be read; or SELinux's cache, which hides what was reported before, was not"
            " emptied",
            "see docs/denials.md for when that is; the audit log may have it",
        ),
        Cause(
            "secret_replaced",
            Severity.NOTE,
            "parts of paths looked like secrets, and stand as {secret} in the record",
            "none is needed; --raw-paths keeps them",
        ),
    )
)
"""All causes by name: losses first, then notes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a ledger means: `complete` exactly if nothing of it is a loss.

    `losses` and `notes` are pairs of cause and count, sorted by cause.
    """

    complete: bool
    losses: tuple[tuple[str, int], ...] = ()
    notes: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        if self.complete:
            return "complete"
        return "lossy: " + ", ".join(f"{cause} {count}" for cause, count in self.losses)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts by cause: above 0 only, sorted by cause.

    A cause that `CAUSES` lacks (a newer recorder's) is kept, and counts as a loss. A
    name has 1 to 64 lower-case letters, digits and underscores, a letter first.
    ValueError for another name, or for a negative count.
    """

    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for cause, count in self.counts.items():
            if not _NAME.fullmatch(cause):
                raise ValueError(
                    f"ledger: {cause!r} is no cause; a cause has 1 to 64 lower-case letters, digits and"
                    " underscores, a letter first"
                )
            if count < 0:
                raise ValueError(f"ledger: {cause} has a count of {count}; counts are never negative")
        kept = {cause: count for cause, count in sorted(self.counts.items()) if count}
        object.__setattr__(self, "counts", MappingProxyType(kept))

    def join(self, other: Ledger) -> Ledger:
        """Return what two states of one source say together: the maximum of each count."""
        joined = dict(self.counts)
        for cause, count in other.counts.items():
            joined[cause] = max(joined.get(cause, 0), count)
        return Ledger(joined)

    def __add__(self, other: Ledger) -> Ledger:
        """Return the total over different sources: the sum of each count."""
        total = dict(self.counts)
        for cause, count in other.counts.items():
            total[cause] = total.get(cause, 0) + count
        return Ledger(total)

    def without_accesses(self) -> Ledger:
        """Return the same without what was lost of accesses: no loss of a profile of something else."""
        others = {cause: count for cause, count in self.counts.items() if not cause.startswith(OF_ACCESSES)}
        return Ledger(others)

    def losses(self) -> dict[str, int]:
        """Return the counts of losses, those of unknown causes among them."""
        return {cause: count for cause, count in self.counts.items() if _severity(cause) is Severity.LOSS}

    def notes(self) -> dict[str, int]:
        """Return the counts of notes."""
        return {cause: count for cause, count in self.counts.items() if _severity(cause) is Severity.NOTE}

    @property
    def verdict(self) -> Verdict:
        """Whether anything was lost, and what."""
        losses = tuple(self.losses().items())
        return Verdict(complete=not losses, losses=losses, notes=tuple(self.notes().items()))


def _severity(cause: str) -> Severity:
    known = CAUSES.get(cause)
    return known.severity if known else Severity.LOSS
