"""With audit switched off at boot: AppArmor's denials are the same, SELinux's are counted."""

from collections.abc import Callable

import pytest

from tests.guest.suites import PYTEST
from tests.guest.vm import Guest

INSIDE = "tests/guest/inside/denials"
SECONDS = 900  # on a machine that does other things too
pytestmark = pytest.mark.timeout(2 * SECONDS)


def _tests(made: Guest, *tests: str) -> None:
    words = ["sh", "-c", 'cd /root/checkout && exec "$@"', "sh", *PYTEST]
    done = made.run([*words, *(f"{INSIDE}/{test}" for test in tests)], timeout=SECONDS, check=False)
    assert done.status == 0, f"{done.text[-8000:]}\n{done.stderr.decode(errors='replace')[-2000:]}"


def test_apparmor_says_the_same(guest: Callable[..., Guest]) -> None:
    """The same operations have the same denials; a flood of one is counted exactly."""
    said = {}
    for audit in (True, False):
        made = guest(audit=audit)
        command = "cd /root/checkout && python3 -m tests.guest.inside.denials.said"
        said[audit] = made.run(command, timeout=SECONDS).text.splitlines()
    assert said[True] == said[False]
    assert len(said[False]) >= 2 * 40
    _tests(made, "test_apparmor.py::test_a_flood_is_one_entry_and_hides_nothing")


def test_selinux_is_counted(guest: Callable[..., Guest]) -> None:
    """Without contexts there is no entry, and each denial is in the number of those that have none."""
    made = guest(lsm="selinux", audit=False)
    _tests(made, "test_selinux.py::test_denials_without_an_audit_record_are_counted")
