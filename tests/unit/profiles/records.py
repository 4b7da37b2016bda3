"""Records for the tests of profiles, from names or numbers."""

from recorder.model.abi import Abi
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Provenance, Record, Source
from recorder.model.syscall import syscall_number


def numbers(abi, names):
    """Return the numbers of space-separated names or #numbers in an ABI."""
    found = []
    for name in names.split():
        number = int(name[1:]) if name.startswith("#") else syscall_number(abi, name)
        assert number is not None, f"{name} is no call of {abi}"
        found.append(number)
    return Numbers.of(found)


def observation(
    workload=None, *, setup=None, denied=None, machine="x86_64", ledger=None, node="n1", **values
):
    """Return an observation; calls as {abi: "name name #number"}."""
    calls = {}
    for names_by_abi, phase, outcome in (
        (workload, Phase.WORKLOAD, Outcome.ALLOWED),
        (setup, Phase.SETUP, Outcome.ALLOWED),
        (denied, Phase.WORKLOAD, Outcome.DENIED),
    ):
        for abi, names in (names_by_abi or {}).items():
            calls[CallKey(int(abi), phase, outcome)] = numbers(abi, names)
    made_by = values.pop("provenance", Provenance(machine=machine))
    return Observation(
        Source(node, "boot", 7, 1), calls=calls, provenance=made_by, ledger=Ledger(ledger or {}), **values
    )


def record(workload=None, **values):
    """Return a record of one observation."""
    return Record((observation(workload, **values),))


NATIVE = record({Abi.X86_64: "read write execve exit_group mmap openat"})
BOTH = record(
    {
        Abi.X86_64: "read write execve exit_group clone3",
        Abi.I386: "write exit socket mmap2 clock_nanosleep_time64",
    }
)
"""A 64-bit program that starts a 32-bit one."""
