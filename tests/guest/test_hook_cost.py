"""What a denial or an access costs in the kernel, in instructions, whatever else this machine does."""

import json
from collections.abc import Callable

import pytest

from tests.guest.vm import Guest

# A few times what they are (docs/denials.md, docs/access-hooks.md), for other kernels and compilers
DENIALS = {
    "watched first": 30_000,
    "watched again": 15_000,
    "elsewhere first": 2_000,
    "elsewhere again": 2_000,
}
ACCESSES = {
    "plain first": 12_000,
    "plain again": 8_000,
    "40 folders first": 35_000,
    "40 folders again": 30_000,
    "3,500 bytes first": 75_000,
    "3,500 bytes again": 45_000,
    "elsewhere": 500,
}


@pytest.mark.timeout(1000)
def test_hooks_cost_some_thousand_instructions(guest: Callable[..., Guest]) -> None:
    """The first of its kind, the same again, and what nobody watches; by what is special about its path."""
    made = guest(counted=True)
    for name, bounds in (("denials", DENIALS), ("accesses", ACCESSES)):
        said = made.run(f"cd /root/checkout && python3 -m tests.guest.inside.{name}.cost", timeout=900)
        found = json.loads(said.text)
        print(name, found)  # for `pytest -rP`
        assert found.keys() == bounds.keys()
        assert all(0 < found[each] < bounds[each] for each in bounds), found
