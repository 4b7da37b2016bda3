"""Sets of numbers: they behave as Python's sets, and as the kernel side's bitmaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.errors import InvalidRecord
from recorder.model.numbers import Numbers

sets = st.sets(st.integers(0, 1023))


@given(sets)
def test_is_the_set_of_its_numbers(values):
    """Iteration ascends; length, truth and membership are those of the set."""
    numbers = Numbers.of(values)
    assert list(numbers) == sorted(values)
    assert len(numbers) == len(values)
    assert bool(numbers) is bool(values)
    assert all((n in numbers) is (n in values) for n in range(-2, 1100))


@given(sets, sets)
def test_operators_are_those_of_sets(a, b):
    """Union, intersection and difference."""
    x, y = Numbers.of(a), Numbers.of(b)
    assert (set(x | y), set(x & y), set(x - y)) == (a | b, a & b, a - b)


@given(sets)
def test_bytes_are_the_kernels_bitmap(values):
    """Bit n % 8 of byte n / 8, without trailing zero bytes; reading it back gives the set."""
    bitmap = Numbers.of(values).to_bytes()
    assert {8 * i + bit for i, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1} == values
    assert not bitmap.endswith(b"\0")
    assert Numbers.from_bytes(bitmap) == Numbers.from_bytes(bitmap.ljust(128, b"\0")) == Numbers.of(values)


@given(st.binary(max_size=128))
def test_any_bitmap_up_to_128_bytes_is_accepted(bitmap):
    """All but trailing zero bytes comes back."""
    assert Numbers.from_bytes(bitmap).to_bytes() == bitmap.rstrip(b"\0")


@pytest.mark.parametrize("bitmap", [bytes(129), b"\xff" * 129, bytes(4096)])
def test_a_longer_bitmap_is_refused(bitmap):
    """More than 128 bytes are refused, zeros too: the length is the bound."""
    with pytest.raises(InvalidRecord, match=f"{len(bitmap)} bytes; at most 128"):
        Numbers.from_bytes(bitmap)


@pytest.mark.parametrize("number", [-1, 1024, 0x40000000])
def test_a_number_out_of_range_is_refused(number):
    """No set holds what no bitmap can."""
    with pytest.raises(ValueError, match="0 to 1023"):
        Numbers.of([number])


@pytest.mark.parametrize("bits", [-1, 1 << 1024])
def test_bits_out_of_range_are_refused(bits):
    """The constructor has the same bound."""
    with pytest.raises(ValueError, match="0 to 1023"):
        Numbers(bits)


def test_equal_sets_are_equal_and_hash_alike():
    """Sets are values."""
    assert Numbers.of([1, 2]) == Numbers.of([2, 1]) == Numbers(6)
    assert len({Numbers.of([1, 2]), Numbers(6)}) == 1
    assert repr(Numbers(6)) == "Numbers.of([1, 2])"
