"""What is to be loaded to watch accesses."""

import pytest

from recorder.kernel.accesses_spec import (
    ACCESSES_DEFAULT,
    AGAIN,
    HOOKS,
    OPTIONAL,
    AccessBounds,
    accesses_spec,
    agent_bounds,
)
from recorder.model.errors import BpfLimit, UnsupportedKernel


def _spec(lacks=frozenset(), *, preemptible=False, bounds=None):
    return accesses_spec(
        bounds or AccessBounds(), 17, 26, lambda name: name not in lacks, preemptible=preemptible
    )


def test_each_hook_is_used_once():
    """Where programs are not preempted, their seconds are not loaded."""
    spec = _spec()
    assert set(spec.attach) == {"on_exec_end", *HOOKS}
    assert set(spec.unused) == {name + AGAIN for name in spec.attach}
    assert spec.missing == ()


def test_each_is_used_twice_where_programs_are_preempted():
    """And the seconds come after all of the first."""
    spec = _spec(preemptible=True)
    half = len(spec.attach) // 2
    assert [name + AGAIN for name in spec.attach[:half]] == list(spec.attach[half:])
    assert spec.unused == ()


def test_what_a_kernel_may_lack_is_left_out():
    """Its programs are not loaded, and it is told."""
    spec = _spec(OPTIONAL)
    assert set(spec.missing) == OPTIONAL
    assert not {name for name, function in HOOKS.items() if function in OPTIONAL} & set(spec.attach)


def test_what_a_record_needs_must_be_there():
    """A kernel that does not ask by paths is refused, by the names of what it lacks."""
    with pytest.raises(UnsupportedKernel, match="no security_path_rename, where accesses are seen"):
        _spec({"security_path_rename"})


def test_sizes_are_the_bounds():
    """Of maps, and as constants of the programs; lines are handed out by 64."""
    spec = _spec(bounds=AccessBounds(accesses=10, per_target=5, lines=200, outcomes=3, executions=2))
    assert spec.max_entries == {
        "accesses": 10,
        "places": 74,
        "free_accesses": 10,
        "lines": 256,
        "chunks": 4,
        "free_chunks": 4,
        "outcomes": 3,
        "free_outcomes": 3,
        "undecided": 3,
        "executions": 2,
        "owners": 17,
    }
    assert spec.constants.items() >= {
        "max_accesses": 10,
        "max_accesses_of_target": 5,
        "max_chunks": 4,
        "max_chunks_of_target": 2,
        "max_outcomes": 3,
        "set_shift": 26,
    }.items()  # fmt: skip


def test_a_target_may_have_two_of_the_longest_texts():
    """However small its part of the lines is; and never more than there are."""
    assert AccessBounds(accesses=8192, per_target=64, lines=16384).chunks_per_target == 2
    assert AccessBounds(accesses=8192, per_target=4096, lines=16384).chunks_per_target == 128
    assert AccessBounds(lines=1).chunks_per_target == 1


def test_one_number_says_all_bounds_of_an_agent():
    """Of many entries one target may have a quarter, of few all."""
    bounds = agent_bounds(ACCESSES_DEFAULT)
    assert bounds == AccessBounds(8192, per_target=2048, lines=16384, outcomes=1024, executions=256)
    assert agent_bounds(100) == AccessBounds(100, per_target=100, lines=200, outcomes=64, executions=64)


def test_memory_is_computed_for_each_map():
    """Of all maps of the object; what grows with processors is the scratch alone."""
    bounds = AccessBounds()
    few, many = bounds.kernel_bytes(17, 1), bounds.kernel_bytes(17, 101)
    assert few.keys() == {*bounds.max_entries(17), "counters", "scratch"}
    assert {name for name in few if few[name] != many[name]} == {"scratch"}
    assert few["lines"] == 16384 * 64 + 4096
    assert 3 << 20 < sum(few.values()) < 4 << 20


def test_the_hash_is_nobodys_to_guess():
    """Two loads have different seeds."""
    first, second = _spec().constants, _spec().constants
    assert (first["seed_low"], first["seed_high"]) != (second["seed_low"], second["seed_high"])


def test_a_bound_of_nothing_is_refused():
    """It says which one."""
    with pytest.raises(BpfLimit, match="lines: 0 is not at least 1"):
        AccessBounds(lines=0)
