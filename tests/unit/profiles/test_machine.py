"""The native ABI of a machine."""

import pytest

from recorder.model.abi import Abi
from recorder.model.record import Record
from recorder.profiles.machine import native_abi, native_abis
from tests.unit.profiles.records import observation


@pytest.mark.parametrize(
    ("machine", "abi"),
    [
        ("x86_64", Abi.X86_64),
        ("amd64", Abi.X86_64),
        ("i686", Abi.I386),
        ("aarch64", Abi.AARCH64),
        ("arm64", Abi.AARCH64),
        ("armv7l", Abi.ARM),
        ("riscv64", None),
        ("", None),
    ],
)
def test_native_abi(machine, abi):
    """As uname -m says it; no guess for another machine."""
    assert native_abi(machine) is abi


def test_native_abis_of_several_machines():
    """A record from machines of two kinds has two native ABIs, and an unknown one adds none."""
    machines = ["aarch64", "x86_64", "x86_64", ""]
    each = [observation(machine=machine, node=str(n)) for n, machine in enumerate(machines)]
    assert native_abis(Record(tuple(each))) == (Abi.X86_64, Abi.AARCH64)
