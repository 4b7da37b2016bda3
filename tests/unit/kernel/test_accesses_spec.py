"""What is to be loaded to watch accesses."""

import pytest

from recorder.kernel.accesses_spec import AGAIN, HOOKS, OPTIONAL, AccessBounds, accesses_spec
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
    """Of maps, and as constants of the programs."""
    spec = _spec(bounds=AccessBounds(accesses=10, per_target=5, lines=20, outcomes=3, executions=2))
    assert spec.max_entries == {
        "accesses": 10,
        "places": 10,
        "lines": 20,
        "outcomes": 3,
        "undecided": 3,
        "executions": 2,
        "owners": 17,
    }
    sizes = ("max_accesses", "max_accesses_of_target", "max_lines", "max_outcomes", "set_shift")
    assert [spec.constants[name] for name in sizes] == [10, 5, 20, 3, 26]


def test_the_hash_is_nobodys_to_guess():
    """Two loads have different seeds."""
    first, second = _spec().constants, _spec().constants
    assert (first["seed_low"], first["seed_high"]) != (second["seed_low"], second["seed_high"])


def test_a_bound_of_nothing_is_refused():
    """It says which one."""
    with pytest.raises(BpfLimit, match="lines: 0 is not at least 1"):
        AccessBounds(lines=0)
