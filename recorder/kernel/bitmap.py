"""From the kernel side's bitmaps to sets of numbers by ABI and phase."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from recorder.kernel.layout import BITMAP_BITS, BitmapLayout
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase

_ABIS: Mapping[str, tuple[tuple[Abi, int, int], ...]] = {
    "x86_64": (
        (Abi.X86_64, BitmapLayout.NATIVE_FIRST, BitmapLayout.COMPAT_FIRST),
        (Abi.I386, BitmapLayout.COMPAT_FIRST, BitmapLayout.X32_FIRST),
        (Abi.X32, BitmapLayout.X32_FIRST, BITMAP_BITS),
    ),
    "aarch64": (
        (Abi.AARCH64, BitmapLayout.NATIVE_FIRST, BitmapLayout.COMPAT_FIRST),
        (Abi.ARM, BitmapLayout.COMPAT_FIRST, BitmapLayout.X32_FIRST),
    ),
}
"""By machine as `uname -m`: each ABI with its first bit and the bit after its last."""


def abis(machine: str | None = None) -> tuple[tuple[Abi, int, int], ...]:
    """The ABIs of a machine, this one by default, with their places in a bitmap."""
    return _ABIS[machine or os.uname().machine]


def call_of(bit: int, machine: str | None = None) -> tuple[Abi, int]:
    """ABI and number of a bit. ValueError if no ABI has it."""
    for abi, first, end in abis(machine):
        if first <= bit < end:
            return abi, bit - first
    raise ValueError(f"bit {bit} belongs to no ABI of this machine")


def bit_of(abi: int, number: int, machine: str | None = None) -> int:
    """The bit of a call. ValueError if this machine has none for it."""
    for each, first, end in abis(machine):
        if each == abi and 0 <= number < end - first:
            return first + number
    raise ValueError(f"ABI {abi} has no number {number} on this machine")


def denied_calls_of(
    workload: Sequence[int],
    setup: Sequence[int],
    allowed: Mapping[CallKey, Numbers],
    machine: str | None = None,
) -> Mapping[CallKey, Numbers]:
    """The same for calls that a filter denied, without those that were let through.

    Of the workload those that it made itself: a runtime calls much before it loads the filter.
    """
    denied: dict[CallKey, Numbers] = {}
    for key, numbers in calls_of(workload, setup, machine).items():
        passed = {
            number
            for phase in {key.phase, Phase.WORKLOAD}
            for number in allowed.get(CallKey(key.abi, phase, Outcome.ALLOWED), Numbers())
        }
        left = Numbers.of(number for number in numbers if number not in passed)
        if left:
            denied[CallKey(key.abi, key.phase, Outcome.DENIED)] = left
    return denied


def calls_of(
    workload: Sequence[int], setup: Sequence[int], machine: str | None = None
) -> Mapping[CallKey, Numbers]:
    """Non-empty sets by ABI and phase, from bitmaps in 64-bit words."""
    calls: dict[CallKey, Numbers] = {}
    for phase, words in ((Phase.SETUP, setup), (Phase.WORKLOAD, workload)):
        bits = sum(word << 64 * index for index, word in enumerate(words))
        for abi, first, end in abis(machine):
            numbers = bits >> first & (1 << end - first) - 1
            if numbers:
                calls[CallKey(abi, phase, Outcome.ALLOWED)] = Numbers(numbers)
    return calls
