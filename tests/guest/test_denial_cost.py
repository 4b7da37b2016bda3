"""What a denial costs in the kernel, in instructions, whatever else this machine does."""

import json
from collections.abc import Callable

import pytest

from tests.guest.vm import Guest

# A few times what they are (docs/denials.md), for other kernels and compilers
MOST = {"watched first": 30_000, "watched again": 15_000, "elsewhere first": 2_000, "elsewhere again": 2_000}


@pytest.mark.timeout(1000)
def test_a_denial_costs_some_thousand_instructions(guest: Callable[..., Guest]) -> None:
    """The first of its kind, the same again, and one of a cgroup that nobody watches."""
    made = guest(counted=True)
    said = made.run("cd /root/checkout && python3 -m tests.guest.inside.denials.cost", timeout=900)
    found = json.loads(said.text)
    assert found.keys() == MOST.keys()
    assert all(0 < found[name] < most for name, most in MOST.items()), found
    print(found)  # for `pytest -rP`
