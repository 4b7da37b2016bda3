"""The native ABI of a machine: the one its kernel, and so a container runtime, is built for."""

from __future__ import annotations

import re

from recorder.model.abi import Abi
from recorder.model.record import Record

__all__ = ["native_abi", "native_abis"]

# uname -m. "i686" and "armv7l" are 32-bit kernels; a 32-bit process on a 64-bit
# kernel may see them too (personality PER_LINUX32), and is native there.
_MACHINES = (
    (re.compile(r"x86_64|amd64"), Abi.X86_64),
    (re.compile(r"i[3-6]86"), Abi.I386),
    (re.compile(r"aarch64(_be)?|arm64"), Abi.AARCH64),
    (re.compile(r"arm(v\w+)?"), Abi.ARM),
)


def native_abi(machine: str) -> Abi | None:
    """Return the ABI of a `uname -m` value, or None if it is empty or not known here."""
    return next((abi for pattern, abi in _MACHINES if pattern.fullmatch(machine)), None)


def native_abis(record: Record) -> tuple[Abi, ...]:
    """Return the native ABIs of the machines that a record comes from, ascending.

    Empty if no observation says its machine: nothing is concluded from the calls.
    """
    found = {native_abi(each.provenance.machine) for each in record.observations}
    return tuple(sorted(abi for abi in found if abi is not None))
