"""What a status line says of a result: small enough to be kept when its record is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from recorder.collector.results.denial_summary import NO_DENIALS, DenialSummary
from recorder.model.ledger import Ledger

__all__ = ["MAX_UNSAID", "ResultSummary"]

MAX_UNSAID: Final = 16
"""Sentences of `unsaid` that are kept."""
_MAX_TEXT: Final = 256


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """Figures of a result's record.

    syscalls: names that the workload was seen to call, in whichever ABI. denied: calls, by ABI and
    number, that a filter denied. coverage: merged records in which something of the workload was seen.
    ledger: counts by cause. denials: of filters, AppArmor and SELinux. rules: of a profile that is no
    list of calls. unsaid: what the workload does and an object of the kind has no field for, as
    sentences, in bounds. remedy: what a person can do about that, if it is not what accesses need.
    """

    syscalls: int
    denied: int
    coverage: int
    ledger: Mapping[str, int] = field(default_factory=dict, hash=False)
    denials: DenialSummary = NO_DENIALS
    rules: int = 0
    unsaid: tuple[str, ...] = ()
    remedy: str = ""

    def __post_init__(self) -> None:
        unsaid = tuple(each[:_MAX_TEXT] for each in self.unsaid[:MAX_UNSAID])
        object.__setattr__(self, "unsaid", unsaid)
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
            **({"rules": self.rules} if self.rules else {}),
            **({"unsaid": list(self.unsaid)} if self.unsaid else {}),
            **({"remedy": self.remedy} if self.remedy else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ResultSummary:
        """Read what `to_json` gave. KeyError, TypeError or ValueError for anything else."""
        ledger = Ledger({str(cause): int(count) for cause, count in value["ledger"].items()})
        denials = DenialSummary.from_json(value["denials"]) if "denials" in value else NO_DENIALS
        return cls(
            int(value["syscalls"]),
            int(value["denied"]),
            int(value["coverage"]),
            ledger.counts,
            denials,
            int(value.get("rules", 0)),
            tuple(map(str, value.get("unsaid", ()))),
            str(value.get("remedy", "")),
        )
