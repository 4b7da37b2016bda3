"""What a profile is made of: the record's own calls, the `always` set and the base, by ABI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recorder.model.abi import Abi
from recorder.model.ledger import Ledger
from recorder.model.record import Phase, Record
from recorder.model.syscall import syscall_name
from recorder.profiles.always import always
from recorder.profiles.base import Base
from recorder.profiles.machine import native_abis
from recorder.profiles.refusal import all_names

__all__ = ["Composition", "compose"]


@dataclass(frozen=True, slots=True)
class Composition:
    """The parts of a profile, apart.

    `recorded` has an entry for each ABI with a named call of the workload;
    `unnamed` are pairs of ABI value and number that no profile can allow.
    `natives` are the native ABIs of the machines, where the runtime's calls and
    the exec that starts the workload are made, also if the workload makes none.
    """

    natives: tuple[Abi, ...]
    recorded: Mapping[Abi, frozenset[str]]
    unnamed: tuple[tuple[int, int], ...]
    base: Base
    ledger: Ledger
    """The record's, with `unnamed_number` for what is unnamed here: the recorder that made
    the record may have had a newer table, and lost nothing, but the profile does."""

    @property
    def abis(self) -> tuple[Abi, ...]:
        """The ABIs that the profile lists: those of the workload and the native ones."""
        return tuple(sorted({*self.recorded, *self.natives}))

    def intended(self, abi: Abi) -> frozenset[str]:
        """Return the names that the profile means to allow in an ABI."""
        names = self.recorded.get(abi, frozenset()) | always(abi)
        # With no machine known, whichever ABI the runtime has must find its calls.
        if abi in self.natives or not self.natives:
            names |= self.base.names & all_names((abi,))
        return names

    @property
    def allowed(self) -> frozenset[str]:
        """The names of all ABIs: what the profile's one list of allowed calls has."""
        return frozenset[str]().union(*(self.intended(abi) for abi in self.abis))

    def wider(self, abi: Abi) -> frozenset[str]:
        """Return what the profile allows in an ABI only because another ABI needs it.

        The format has no rule for one ABI: each rule holds for every listed one.
        """
        return (self.allowed & all_names((abi,))) - self.intended(abi)


def compose(record: Record, base: Base) -> Composition:
    """Take a record apart. Denied calls and those of the set-up are no part of it."""
    recorded: dict[Abi, set[str]] = {}
    unnamed: list[tuple[int, int]] = []
    for abi, numbers in record.calls(Phase.WORKLOAD).items():
        for number in numbers:
            name = syscall_name(abi, number)
            if name is None:
                unnamed.append((abi, number))
            else:
                recorded.setdefault(Abi(abi), set()).add(name)
    return Composition(
        natives=native_abis(record),
        recorded={abi: frozenset(names) for abi, names in sorted(recorded.items())},
        unnamed=tuple(unnamed),
        base=base,
        ledger=record.ledger.without_accesses().join(Ledger({"unnamed_number": len(unnamed)})),
    )
