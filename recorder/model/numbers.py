"""Sets of system call numbers, as the bitmaps that the kernel side fills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recorder.model.errors import InvalidRecord

__all__ = ["MAX_BYTES", "Numbers"]

MAX_BYTES = 128
"""The longest bitmap that is accepted: numbers 0 to 1023, above every ABI's limit."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """An immutable set of numbers from 0 to 1023; bit n of `bits` stands for number n."""

    bits: int = 0

    def __post_init__(self) -> None:
        if self.bits < 0 or self.bits.bit_length() > MAX_BYTES * 8:
            raise ValueError(f"a set of numbers holds 0 to {MAX_BYTES * 8 - 1}, not {self.bits:#x}")

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Numbers:
        """Return the set of these numbers; ValueError for one that is not in 0 to 1023."""
        bits = 0
        for number in numbers:
            if not 0 <= number < MAX_BYTES * 8:
                raise ValueError(f"a set of numbers holds 0 to {MAX_BYTES * 8 - 1}, not {number}")
            bits |= 1 << number
        return cls(bits)

    @classmethod
    def from_bytes(cls, bitmap: bytes | bytearray | memoryview) -> Numbers:
        """Read a bitmap: bit n % 8 of byte n / 8 stands for number n.

        Trailing zero bytes may be missing. InvalidRecord above 128 bytes.
        """
        if len(bitmap) > MAX_BYTES:
            raise InvalidRecord(
                f"a bitmap of numbers has {len(bitmap)} bytes; at most {MAX_BYTES} are allowed"
            )
        return cls(int.from_bytes(bitmap, "little"))

    def to_bytes(self) -> bytes:
        """Return the bitmap without its trailing zero bytes."""
        return self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little")

    def __iter__(self) -> Iterator[int]:
        bits = self.bits
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1
            bits ^= lowest

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number >= 0 and bool(self.bits >> number & 1)

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __bool__(self) -> bool:
        return self.bits != 0

    def __or__(self, other: Numbers) -> Numbers:
        return Numbers(self.bits | other.bits)

    def __and__(self, other: Numbers) -> Numbers:
        return Numbers(self.bits & other.bits)

    def __sub__(self, other: Numbers) -> Numbers:
        return Numbers(self.bits & ~other.bits)

    def __repr__(self) -> str:
        return f"Numbers.of({list(self)})"
