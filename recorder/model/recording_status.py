"""What a recording's status says: conditions, results, losses; and the events on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recorder.model.recording import ProfileKind

__all__ = ["Condition", "RecordingEvent", "RecordingStatus", "ResultStatus"]


@dataclass(frozen=True, slots=True)
class Condition:
    """As metav1.Condition, without its time of transition, which is the platform's to keep."""

    type: str  # Ready, Complete, Edited
    status: bool
    reason: str  # CamelCase
    message: str


@dataclass(frozen=True, slots=True)
class ResultStatus:
    """One result in the status. `state`: recording, final. `coverage`: records that were merged."""

    kind: ProfileKind
    name: str
    container: str
    state: str
    syscalls: int
    denied: int
    coverage: int
    verdict: str


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """All of it. `active_workloads`: pods (else containers) that are recorded now, sorted, bounded."""

    observed_generation: int
    conditions: tuple[Condition, ...]
    active_workloads: tuple[str, ...] = ()
    results: tuple[ResultStatus, ...] = ()
    ledger: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """A Kubernetes Event on the recording; `warning`: else of type Normal."""

    reason: str  # CamelCase: Started, FirstResult, Loss, NotRecordable, NameTaken, ...
    message: str
    warning: bool = False
