"""Denials that are told apart in this process: whose they are, bounds, and what is given back."""

import contextlib
import itertools

import pytest

from recorder.kernel.denial_source import DenialLosses, Scope
from recorder.kernel.denial_table import DenialTable
from recorder.kernel.denials_spec import DenialBounds
from recorder.model.denial import Lack, SelinuxDenial, Sighting, Text, Verdict
from recorder.model.errors import BpfLimit

ROOT, TOP, INNER, OTHER = 1, 10, 11, 20
BOUNDS = DenialBounds(denials=6, per_cgroup=2, cgroups=3)


@pytest.fixture
def table():
    with contextlib.closing(DenialTable(BOUNDS)) as made:
        yield made


_times = itertools.count(1)


def _enter(table, chain, name="a", lacks=frozenset()):
    details = SelinuxDenial(Text(b"s"), Text(b"t"), "file", ("read",), False, Text(name.encode()))
    sighting = Sighting(next(_times), 7, b"comm")
    table.enter(chain, Verdict.DENIED, details, sighting, lacks=lacks)
    return sighting


def _counts(table, cgroup_id):
    return [each.count for each in table.read(cgroup_id).denials]


def test_the_same_denial_again_is_counted(table):
    """First and last sight, and all that any of them lacked."""
    table.watch(TOP, Scope.WHOLE)
    first, last = _enter(table, [ROOT, TOP]), _enter(table, [ROOT, TOP], lacks=frozenset({Lack.FOUND_BY_PID}))
    (denial,) = table.read(TOP).denials
    assert (denial.cgroup_id, denial.count, denial.first, denial.last) == (TOP, 2, first, last)
    assert denial.lacks == {Lack.FOUND_BY_PID}


def test_two_that_differ_behind_a_cut_are_two(table):
    """Their details are equal."""
    table.watch(TOP, Scope.WHOLE)
    details = SelinuxDenial(Text(b"s"), Text(b"t"), "file", ("read",), False, Text(b"a", 4000))
    for behind in (b"1", b"2", b"1"):
        sighting = Sighting(1, 1, b"c")
        table.enter([ROOT, TOP], Verdict.DENIED, details, sighting, behind=behind)
    assert _counts(table, TOP) == [2, 1]


def test_the_nearest_cgroup_that_is_watched_has_it(table):
    """A whole tree, each of a tree, and nobody's."""
    table.watch(ROOT, Scope.EACH)
    table.watch(TOP, Scope.WHOLE)
    _enter(table, [ROOT, TOP, INNER])
    _enter(table, [ROOT, OTHER])
    _enter(table, [ROOT])
    assert {each.cgroup_id: each.scope for each in table.cgroups()} == {
        ROOT: Scope.EACH,
        TOP: Scope.WHOLE,
        OTHER: Scope.OWN,
    }
    assert [_counts(table, number) for number in (ROOT, TOP, OTHER)] == [[1], [1], [1]]
    _enter(table, [ROOT, 30])
    assert table.losses() == DenialLosses(cgroups_full=1)
    table.drop(ROOT)
    _enter(table, [ROOT, 30])
    assert table.losses() == DenialLosses(cgroups_full=1, elsewhere=1)


def test_bounds(table):
    """The rest of one cgroup is one number; no entry at all is a loss."""
    for cgroup in (TOP, OTHER):
        table.watch(cgroup, Scope.WHOLE)
        for name in "abcd":
            _enter(table, [ROOT, cgroup], name)
    assert _counts(table, TOP) == [1, 1, 2]
    assert table.read(TOP).denials[-1].verdict is Verdict.REST
    table.watch(INNER, Scope.WHOLE)
    _enter(table, [ROOT, INNER])
    assert table.read(INNER).losses == table.losses() == DenialLosses(table_full=1)
    with pytest.raises(BpfLimit):
        table.watch(30, Scope.WHOLE)


def test_what_is_dropped_and_released(table):
    """It is read once more, then it is gone, and its losses stay."""
    table.watch(ROOT, Scope.EACH)
    _enter(table, [ROOT, TOP])
    assert table.changed() == {TOP}
    assert not table.wait(0)
    table.release(TOP)  # not dropped: it stays
    table.drop(TOP)
    _enter(table, [ROOT, TOP])
    assert (_counts(table, TOP), table.losses()) == ([1], DenialLosses(between=1))
    with pytest.raises(BpfLimit):
        table.watch(TOP, Scope.WHOLE)
    table.release(TOP)
    assert table.read(TOP) is None
    _enter(table, [ROOT, TOP])
    assert _counts(table, TOP) == [1]
    assert table.wait(0)


def test_what_changed(table):
    """Repeats too, without a wake-up; and a cgroup that was removed, until it is released."""
    table.watch(TOP, Scope.WHOLE)
    _enter(table, [ROOT, TOP])
    assert table.wait(0)
    assert table.changed() == {TOP}
    _enter(table, [ROOT, TOP])
    assert not table.wait(0)
    assert table.changed() == {TOP}
    assert table.changed() == frozenset()
    table.removed(TOP)
    assert table.wait(0)
    assert table.changed() == table.changed() == {TOP}
