"""What a recording's status says: conditions, results, losses; and the events on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recorder.model.recording import ProfileKind

__all__ = ["Condition", "DenialStatus", "RecordingEvent", "RecordingStatus", "ResultStatus"]


@dataclass(frozen=True, slots=True)
class Condition:
    """As metav1.Condition, without its time of transition, which is the platform's to keep."""

    type: str  # Ready, Complete, Edited
    status: bool
    reason: str  # CamelCase
    message: str


@dataclass(frozen=True, slots=True)
class ResultStatus:
    """One result in the status. `state`: recording, final. `coverage`: records that were merged.

    syscalls: names of a SeccompProfile, else None; rules: the same of the others.
    """

    kind: ProfileKind
    name: str
    container: str
    state: str
    syscalls: int | None
    denied: int
    coverage: int
    verdict: str
    rules: int | None = None


@dataclass(frozen=True, slots=True)
class DenialStatus:
    """What a container was denied, whatever the object was.

    kind: seccomp, apparmor, selinux; or rest. what: a call's name, or an operation with its permissions.
    count: how often; 0 for calls, which nobody counts. records: in how many records it was seen.
    """

    container: str
    kind: str
    verdict: str
    what: str
    count: int
    records: int


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """All of it. `active_workloads`: pods (else containers) that are recorded now, sorted, bounded.

    denials: by container, the most frequent first, bounded; denials_omitted: how many more there are.
    """

    observed_generation: int
    conditions: tuple[Condition, ...]
    active_workloads: tuple[str, ...] = ()
    results: tuple[ResultStatus, ...] = ()
    ledger: Mapping[str, int] = field(default_factory=dict, hash=False)
    denials: tuple[DenialStatus, ...] = ()
    denials_omitted: int = 0


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """A Kubernetes Event on the recording; `warning`: else of type Normal."""

    reason: str  # CamelCase: Started, FirstResult, Loss, NotRecordable, NameTaken, ...
    message: str
    warning: bool = False
