"""What an observation says, to be compared with what a program's source says."""

from collections.abc import Iterable

from recorder.model.abi import Abi
from recorder.model.record import Observation, Phase
from tests.truth.calls import Call, calls

OF_A_RUNTIME = calls(Abi.X86_64, "capset", "pivot_root", "mount")
"""What runc and crun call in a container's cgroup before the program: set-up."""


def of_phase(observation: Observation, phase: Phase) -> frozenset[Call]:
    """The calls of a phase."""
    return frozenset(
        Call(Abi(key.abi), number)
        for key, numbers in observation.calls.items()
        if key.phase == phase
        for number in numbers
    )


def workload(observation: Observation) -> frozenset[Call]:
    """The calls of the workload."""
    return of_phase(observation, Phase.WORKLOAD)


def problems(observation: Observation, expected: Iterable[Call], losses: Iterable[str] = ()) -> list[str]:
    """How it differs from these calls of the workload, and from these losses alone; empty: not at all."""
    wanted = frozenset(expected)
    seen = workload(observation)
    found = [f"not seen: {call}" for call in sorted(wanted - seen)]
    found += [f"seen, and never made: {call}" for call in sorted(seen - wanted)]
    if set(observation.ledger.losses()) != set(losses):
        found.append(f"verdict: {observation.ledger.verdict}")
    if not observation.ended:
        found.append("it has not ended")
    return [f"{observation.identity.name}: {each}" for each in found]
