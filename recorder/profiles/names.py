"""The `names` format: the calls of the workload, one a line, sorted as bytes (LC_ALL=C sort).

A call of the machine's native ABI is its name alone. One of another ABI has the
ABI's label in front, `i386:socketcall`; so has every call of a record whose
machine is not known, or that comes from machines of several native ABIs. A
number that the table has no name for is written raw and always with its ABI,
`x86_64:#399`, or `abi9:#399` if the ABI is not known either: it cannot go into a
profile, but nobody shall overlook it.
"""

from __future__ import annotations

from collections.abc import Iterable

from recorder.model.abi import Abi
from recorder.model.record import Outcome, Phase, Record
from recorder.model.syscall import syscall_name
from recorder.profiles.machine import native_abis

__all__ = ["abi_label", "spell", "spelled_calls", "to_names"]


def abi_label(abi: int) -> str:
    """Return an ABI's label; `abi<value>` for a value that is not known."""
    return Abi(abi).label if abi in Abi.__members__.values() else f"abi{abi}"


def spell(abi: int, number: int, natives: Iterable[Abi] = ()) -> str:
    """Return a call as the format writes it; `natives` are the native ABIs of the record."""
    name = syscall_name(abi, number)
    if name is None:
        return f"{abi_label(abi)}:#{number}"
    return name if tuple(natives) == (abi,) else f"{abi_label(abi)}:{name}"


def spelled_calls(record: Record, outcome: int = Outcome.ALLOWED) -> tuple[str, ...]:
    """Return the workload's calls of one outcome, sorted."""
    natives = native_abis(record)
    calls = record.calls(Phase.WORKLOAD, outcome)
    return tuple(sorted(spell(abi, number, natives) for abi, numbers in calls.items() for number in numbers))


def to_names(record: Record) -> str:
    """Return the workload's allowed calls, one a line; empty text if there is none."""
    return "".join(f"{each}\n" for each in spelled_calls(record))
