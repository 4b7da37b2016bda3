"""Cgroups below watched ones, by level and by name: the tests of the other loader, with this one."""

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from tests.unit.kernel import test_watch as of_libbpf
from tests.unit.kernel.test_watch import (  # noqa: F401  collected here as well
    made,
    test_a_path_too_long_to_be_kept_is_none,
    test_a_prefix_of_15_bytes_and_none_longer,
    test_a_root_has_1_to_8_rules,
    test_a_watched_parent_that_is_removed_is_watched_no_more,
    test_all_8_rules_are_looked_at,
    test_at_the_second_level_and_below_new_parents,
    test_calls_in_flight_are_the_targets,
    test_names_that_begin_otherwise_are_left_alone,
    test_the_first_rule_that_fits_counts,
    test_watching_again_replaces_what_was_said,
)

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def mode(monkeypatch, headers):
    """Mode container, which the tests take, is refused with another kernel's headers."""
    if not headers.containers:
        monkeypatch.setattr(of_libbpf, "MODE", SlotMode.MODE_EXEC)


@pytest.fixture
def backend(bcc, unused):
    """As there; with nothing of what was before."""
    bcc.events()
    return bcc


def test_a_target_that_is_watched_as_well(backend, made):  # noqa: F811
    """Its children count for it; when it is recorded no more, each new one has its own slot."""
    root, make = made
    backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
    target = backend.add(root.stat().st_ino, SlotMode.MODE_EXEC)
    make("below")
    assert backend.targets() == [target]
    backend.drop(target)
    backend.release(target)
    child = make("alone")
    assert [each.cgroup_id for each in backend.targets()] == [child.stat().st_ino]
