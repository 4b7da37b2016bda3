"""Bounds: what is refused, what follows from them, and how much memory the kernel really takes."""

import contextlib
import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.kernel import layout
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.spec import (
    ENTRIES_PER_SLOT,
    MAX_SLOTS,
    PAGE,
    Bounds,
    TaskBounds,
    object_path,
    syscalls_spec,
    tasks_spec,
)
from recorder.model.errors import BpfLimit
from tests.kernel_objects import memlock

BOUNDS = st.builds(
    Bounds,
    slots=st.integers(1, MAX_SLOTS),
    children=st.integers(1, 1 << 16),
    joiners=st.integers(1, 1 << 16),
    roots=st.integers(1, 1 << 12),
    ring_bytes=st.integers(12, 24).map(lambda power: 1 << power),
)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slots": 0}, "slots: 0 is not between 1 and 65536"),
        ({"slots": -1}, "slots: -1"),
        ({"slots": MAX_SLOTS + 1}, "slots: 65537"),
        ({"children": 0}, "children: 0 is not at least 1"),
        ({"joiners": 0}, "joiners: 0"),
        ({"roots": 0}, "roots: 0"),
        ({"ring_bytes": 0}, "ring_bytes: 0 is not a power of 2 of at least 4096"),
        ({"ring_bytes": 2048}, "ring_bytes: 2048"),
        ({"ring_bytes": 4096 * 3}, "ring_bytes: 12288"),
        ({"table_sets": 3}, "table_sets: 3 is not a power of 2"),
        ({"table_sets": -4}, "table_sets: -4"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong, message):
    with pytest.raises(BpfLimit, match=message):
        Bounds(**wrong)


def test_the_least_bounds_are_accepted():
    bounds = Bounds(slots=1, children=1, joiners=1, roots=1, ring_bytes=PAGE, table_sets=1)
    assert (bounds.sets, bounds.overflow) == (1, 2)


@given(BOUNDS)
def test_the_table_is_as_large_as_its_entries_need(bounds):
    """Sets are a power of 2, and half as many would be too few."""
    entries = bounds.slots * ENTRIES_PER_SLOT + bounds.children
    assert bounds.sets & (bounds.sets - 1) == 0
    assert bounds.sets * layout.SET_WAYS >= entries
    assert bounds.sets == 1 or bounds.sets // 2 * layout.SET_WAYS < entries


@given(BOUNDS)
def test_a_table_that_is_given_is_taken(bounds):
    given_sets = Bounds(slots=bounds.slots, children=bounds.children, table_sets=2)
    assert given_sets.sets == 2
    assert given_sets.overflow >= max(given_sets.slots, given_sets.children)


@given(BOUNDS)
def test_the_spec_says_what_the_bounds_say(bounds):
    """The shift fits the sets, there is a slot 0 that nobody has, and the queue holds all others."""
    spec = syscalls_spec(bounds)
    assert spec.constants == {
        "set_shift": 33 - spec.max_entries["table"].bit_length(),
        "max_children": bounds.children,
    }
    assert spec.max_entries["slots"] == bounds.slots + 1
    assert spec.max_entries["free_slots"] == bounds.slots
    assert spec.max_entries["events"] == bounds.ring_bytes
    assert (spec.max_entries["joiners"], spec.max_entries["roots"]) == (bounds.joiners, bounds.roots)


def test_the_readers_of_state_are_attached_after_its_keepers():
    """sys_enter comes last: the first call that is seen has its phase already."""
    spec = syscalls_spec(Bounds())
    assert spec.attach[-1].removesuffix("_event") == "on_sys_enter"
    assert len(set(spec.attach)) == len(spec.attach)
    assert spec.control not in spec.attach
    assert spec.path == object_path("syscalls.bpf.o")


@pytest.mark.parametrize("preemptible", [False, True])
def test_each_event_has_one_program(preemptible):
    """Where programs can be preempted, three are those of classic tracepoints; the others are not loaded."""
    spec = syscalls_spec(Bounds(), preemptible=preemptible)
    classic = {f"{name}_event" for name in ("on_sys_enter", "on_exec", "on_exit")}
    assert set(spec.events) == (classic if preemptible else set())
    assert set(spec.attach) >= set(spec.events)
    assert not set(spec.attach) & set(spec.unused)
    assert {name.removesuffix("_event") for name in spec.unused} == {
        *("on_sys_enter", "on_exec", "on_exit"),
        "on_sys_exit",  # neither of its two
    }
    assert spec.attach[-1].removesuffix("_event") == "on_sys_enter"


@pytest.mark.parametrize("preemptible", [False, True])
@pytest.mark.parametrize(
    "spec",
    [
        lambda denials, preemptible: syscalls_spec(Bounds(denials=denials), preemptible=preemptible),
        lambda denials, preemptible: tasks_spec(TaskBounds(denials=denials), preemptible=preemptible),
    ],
)
def test_denied_calls_have_a_program_and_memory_of_their_own(spec, preemptible):
    """It is attached after all others; without them it is not loaded, and all else is the same."""
    without, found = spec(False, preemptible), spec(True, preemptible)
    last = "on_sys_exit_event" if preemptible else "on_sys_exit"
    assert found.attach == (*without.attach, last)
    assert set(without.unused) - set(found.unused) == {last}
    assert found.constants == {**without.constants, "with_denials": 1}
    changed = {name: size for name, size in found.max_entries.items() if without.max_entries[name] != size}
    assert changed == {"denials": found.bounds.slots + 1, "settled": 4096}


@given(st.integers(1, 1 << 16))
def test_a_table_of_processes_is_at_most_half_full(children):
    """Its sets are a power of 2, and half as many would be too few."""
    bounds = TaskBounds(children=children)
    assert bounds.sets & (bounds.sets - 1) == 0
    assert bounds.sets * layout.SET_WAYS >= 2 * children
    assert bounds.sets == 1 or bounds.sets // 2 * layout.SET_WAYS < 2 * children
    spec = tasks_spec(bounds)
    assert spec.constants == {
        "set_shift": 33 - spec.max_entries["table"].bit_length(),
        "max_children": children,
    }


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"children": 0}, {"ring_bytes": 4097}, {"table_sets": 3}])
def test_bounds_of_processes_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(BpfLimit, match=next(iter(wrong))):
        TaskBounds(**wrong)


@pytest.mark.parametrize("preemptible", [False, True])
def test_of_processes_each_event_has_one_program(preemptible):
    """Ends are seen before starts, and both before calls."""
    spec = tasks_spec(TaskBounds(), preemptible=preemptible)
    names = [name.removesuffix("_event") for name in spec.attach]
    assert names == ["on_exit", "on_new_task", "on_sys_enter"]
    assert set(spec.events) == ({"on_exit_event", "on_sys_enter_event"} if preemptible else set())
    assert not set(spec.attach) & set(spec.unused)
    assert spec.programs == (*spec.attach, "control", "walk_tasks")


@pytest.mark.root
@pytest.mark.parametrize(
    "bounds",
    [
        TaskBounds(),
        TaskBounds(slots=100, children=300, ring_bytes=PAGE),
        TaskBounds(denials=True),
        Bounds(slots=100, denials=True),
        Bounds(),
        Bounds(slots=1, children=1, joiners=1, roots=1, ring_bytes=PAGE),
        Bounds(slots=4096, children=1024, joiners=1024, ring_bytes=1 << 20),
        Bounds(slots=1000, children=3, joiners=5000, roots=500, table_sets=64),
    ],
)
def test_computed_memory_is_what_the_kernel_charges(bounds):
    """Map by map: within a page of the kernel's own figure (memlock in fdinfo), or within 5 %."""
    if isinstance(bounds, Bounds):
        backend = LibbpfBackend(syscalls_spec(bounds))
    else:
        backend = LibbpfTaskBackend(tasks_spec(bounds))
    with contextlib.closing(backend):
        charged = memlock(os.getpid())
        shown = subprocess.run(["bpftool", "-j", "map", "show"], capture_output=True, check=True).stdout
    names = {each["id"]: each.get("name", "") for each in json.loads(shown) if each["id"] in charged}
    by_name = {names[number]: size for number, size in charged.items()}
    computed = bounds.kernel_bytes()
    assert set(computed) <= set(by_name)
    wrong = {
        name: (size, by_name[name])
        for name, size in computed.items()
        if abs(size - by_name[name]) > max(PAGE, by_name[name] * 5 // 100)
    }
    assert wrong == {}
    total = sum(by_name.values())
    assert abs(sum(computed.values()) - total) <= max(len(by_name) * PAGE, total * 5 // 100)
