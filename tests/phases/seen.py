"""What a recording saw of one cgroup, compared with what its programs' sources say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from recorder.model.abi import Abi
from recorder.model.ledger import Ledger
from recorder.model.record import CallKey, Phase, Record
from tests.truth.calls import Call


@dataclass(frozen=True, slots=True)
class Seen:
    """The calls by phase, and the ledger; from a reading of the kernel room or from a record."""

    workload: frozenset[Call]
    setup: frozenset[Call]
    ledger: Ledger

    @classmethod
    def of(cls, calls: Mapping[CallKey, Iterable[int]], ledger: Ledger) -> Self:
        """From sets of numbers by ABI, phase and outcome."""
        phases: dict[int, set[Call]] = {Phase.SETUP: set(), Phase.WORKLOAD: set()}
        for key, numbers in calls.items():
            phases[key.phase].update(Call(Abi(key.abi), number) for number in numbers)
        return cls(frozenset(phases[Phase.WORKLOAD]), frozenset(phases[Phase.SETUP]), ledger)

    @classmethod
    def of_record(cls, record: Record) -> Self:
        """From a record with one observation."""
        (observation,) = record.observations
        return cls.of(observation.calls, observation.ledger)

    def problems(self, workload: Iterable[Call], **ledger: int) -> list[str]:
        """One line for each call of the workload that is missing or too many, and for each count.

        `ledger` is all that it may hold: nothing, for a complete record.
        """
        expected = frozenset(workload)
        lines = [f"missing {call}" for call in sorted(expected - self.workload)]
        lines += [f"extra {call}" for call in sorted(self.workload - expected)]
        if dict(self.ledger.counts) != ledger:
            lines.append(f"ledger {dict(self.ledger.counts)}, not {ledger}")
        return lines
