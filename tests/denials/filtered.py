"""What tests/programs/filtered says of its own calls, and what a reading has of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from recorder.kernel.backend import Reading
from recorder.kernel.preemption import programs_are_preemptible
from recorder.model.abi import Abi
from recorder.model.record import Outcome, Phase
from tests.truth.calls import Call, call_number

PREEMPTIBLE = sorted({programs_are_preemptible(), True})
"""Which programs are tried: those of a kernel that preempts them work on any, the others miss runs on it."""

UNUSED = 400
"""A number that nobody calls: for a filter that denies nothing."""


def number(name: str, abi: Abi = Abi.X86_64) -> int:
    """By libseccomp."""
    found = call_number(abi, name)
    assert found is not None, name
    return found


def named(*names: str, abi: Abi = Abi.X86_64) -> frozenset[Call]:
    """The calls of these names."""
    return frozenset(Call(abi, number(name, abi)) for name in names)


@dataclass(frozen=True, slots=True)
class Seen:
    """denied: the workload's; denied_setup: the set-up's; allowed: the workload's."""

    denied: frozenset[Call]
    denied_setup: frozenset[Call]
    allowed: frozenset[Call]

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """From the sets of a reading."""

        def calls(phase: Phase, outcome: Outcome) -> frozenset[Call]:
            return frozenset(
                Call(Abi(key.abi), each)
                for key, numbers in reading.calls.items()
                if (key.phase, key.outcome) == (phase, outcome)
                for each in numbers
            )

        return cls(
            calls(Phase.WORKLOAD, Outcome.DENIED),
            calls(Phase.SETUP, Outcome.DENIED),
            calls(Phase.WORKLOAD, Outcome.ALLOWED),
        )


def results(lines: Iterable[str]) -> dict[str, int]:
    """By call as it was written on the command line: its result."""
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 2}
