"""Bits to calls: each ABI's numbers lie one after the other."""

import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.kernel.bitmap import abis, call_of, calls_of, denied_calls_of
from recorder.kernel.layout import BITMAP_BITS, BITMAP_WORDS
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase


def words(*bits):
    found = [0] * BITMAP_WORDS
    for bit in bits:
        found[bit // 64] |= 1 << bit % 64
    return found


@pytest.mark.parametrize(
    ("machine", "bit", "call"),
    [
        ("x86_64", 0, (Abi.X86_64, 0)),
        ("x86_64", 511, (Abi.X86_64, 511)),
        ("x86_64", 512, (Abi.I386, 0)),
        ("x86_64", 1023, (Abi.I386, 511)),
        ("x86_64", 1024, (Abi.X32, 0)),
        ("x86_64", 1024 + 547, (Abi.X32, 547)),
        ("x86_64", 1599, (Abi.X32, 575)),
        ("aarch64", 221, (Abi.AARCH64, 221)),
        ("aarch64", 512 + 11, (Abi.ARM, 11)),
        ("aarch64", 1023, (Abi.ARM, 511)),
    ],
)
def test_a_bit_is_one_call(machine, bit, call):
    assert call_of(bit, machine) == call


@pytest.mark.parametrize(("machine", "bit"), [("x86_64", -1), ("x86_64", 1600), ("aarch64", 1024)])
def test_a_bit_of_no_abi_is_refused(machine, bit):
    with pytest.raises(ValueError, match=f"bit {bit} belongs to no ABI"):
        call_of(bit, machine)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_places_are_as_long_as_the_abis_limits_and_do_not_overlap(machine):
    end_before = 0
    for abi, first, end in abis(machine):
        assert (first, end - first) == (end_before, abi.limit)
        end_before = end
    assert end_before <= BITMAP_BITS


def test_this_machine_is_the_default():
    assert abis() == abis(platform.machine())


def test_phases_and_abis_are_kept_apart():
    workload = words(39, 512 + 20, 1024 + 520)
    setup = words(59, 1599)
    assert calls_of(workload, setup, "x86_64") == {
        CallKey(Abi.X86_64, Phase.SETUP, Outcome.ALLOWED): Numbers.of([59]),
        CallKey(Abi.X32, Phase.SETUP, Outcome.ALLOWED): Numbers.of([575]),
        CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of([39]),
        CallKey(Abi.I386, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of([20]),
        CallKey(Abi.X32, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of([520]),
    }


def test_what_was_let_through_is_not_denied():
    """By that ABI, and of the workload in its own phase; a set of which nothing is left is none."""
    allowed = calls_of(words(39, 512 + 20), words(59), "x86_64")
    denied = denied_calls_of(words(39, 59, 83, 512 + 39), words(39, 512 + 20, 512 + 59), allowed, "x86_64")
    assert denied == {
        CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.DENIED): Numbers.of([59, 83]),
        CallKey(Abi.I386, Phase.WORKLOAD, Outcome.DENIED): Numbers.of([39]),
        CallKey(Abi.I386, Phase.SETUP, Outcome.DENIED): Numbers.of([59]),
    }


def test_nothing_seen_is_no_set():
    assert calls_of(words(), words(), "x86_64") == {}


@given(st.sets(st.integers(0, BITMAP_BITS - 1)))
def test_every_bit_is_found_again(bits):
    found = calls_of(words(*bits), words(), "x86_64")
    assert {(key.abi, number) for key, numbers in found.items() for number in numbers} == {
        call_of(bit, "x86_64") for bit in bits
    }
