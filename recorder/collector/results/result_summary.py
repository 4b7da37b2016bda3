"""What a status line says of a result: small enough to be kept when its record is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from recorder.collector.results.denial_summary import NO_DENIALS, DenialSummary, summarized
from recorder.collector.results.drafts import Draft
from recorder.model.ledger import Ledger
from recorder.model.record import Outcome, Phase, Record
from recorder.profiles.base import NO_BASE
from recorder.profiles.composition import compose

__all__ = ["ResultSummary", "summary"]


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """Figures of a result's record.

    syscalls: names that the workload was seen to call, in whichever ABI. denied: calls, by ABI and
    number, that a filter denied. coverage: merged records. ledger: counts by cause. denials: of
    filters, AppArmor and SELinux.
    """

    syscalls: int
    denied: int
    coverage: int
    ledger: Mapping[str, int] = field(default_factory=dict, hash=False)
    denials: DenialSummary = NO_DENIALS

    def __post_init__(self) -> None:
        object.__setattr__(self, "ledger", MappingProxyType(dict(sorted(self.ledger.items()))))

    @property
    def verdict(self) -> str:
        """complete, or lossy with the causes."""
        return str(Ledger(self.ledger).verdict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "syscalls": self.syscalls,
            "denied": self.denied,
            "coverage": self.coverage,
            "ledger": dict(self.ledger),
            **({"denials": self.denials.to_json()} if self.denials else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ResultSummary:
        """Read what `to_json` gave. KeyError, TypeError or ValueError for anything else."""
        ledger = Ledger({str(cause): int(count) for cause, count in value["ledger"].items()})
        denials = DenialSummary.from_json(value["denials"]) if "denials" in value else NO_DENIALS
        return cls(
            int(value["syscalls"]), int(value["denied"]), int(value["coverage"]), ledger.counts, denials
        )


def summary(draft: Draft, *, denials: bool = False) -> ResultSummary:
    """Return a draft's figures. Its ledger is that of the profile: numbers without a name are a loss.

    denials: whether the recording asks for them; a container's record has them also if another one does.
    """
    return ResultSummary(
        syscalls=len(draft.names_seen),
        denied=_denied(draft.record),
        coverage=draft.coverage,
        ledger=compose(draft.record, NO_BASE).ledger.counts,
        denials=summarized(draft.record) if denials else NO_DENIALS,
    )


def _denied(record: Record) -> int:
    return sum(map(len, record.calls(Phase.WORKLOAD, Outcome.DENIED).values()))
