"""What a record says, as the truth names it."""

from dataclasses import dataclass

from recorder.model.abi import Abi
from recorder.model.record import Phase, Record
from tests.truth.calls import Call


@dataclass(frozen=True, slots=True)
class Seen:
    """The calls of each phase, and the ledger: two of one run are equal, or a loader is wrong."""

    workload: frozenset[Call]
    setup: frozenset[Call]
    ledger: dict[str, int]

    @classmethod
    def of(cls, record: Record) -> "Seen":
        """Of a record of one source."""
        return cls(_calls(record, Phase.WORKLOAD), _calls(record, Phase.SETUP), dict(record.ledger.counts))


def _calls(record: Record, phase: Phase) -> frozenset[Call]:
    return frozenset(Call(Abi(abi), number) for abi, found in record.calls(phase).items() for number in found)
