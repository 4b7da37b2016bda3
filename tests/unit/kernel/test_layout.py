"""The shared structs and enums: equal to the object's, and any difference is refused, naming the type."""

import ctypes
import os
import re
from enum import IntEnum
from pathlib import Path

import pytest

from recorder.kernel import layout
from recorder.kernel.btf import check_layout
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.spec import Bounds, TaskBounds, syscalls_spec, tasks_spec
from recorder.model.errors import LayoutMismatch
from recorder.model.record import Phase
from tests.kernel_objects import held_by

BPF = Path(__file__).parents[3] / "bpf"
HEADER = (BPF / "recorder.h").read_text()


def changed(mirror, fields):
    return type(mirror.__name__, (ctypes.Structure,), {"_fields_": fields})


def struct_changes(mirror):
    """Each way in which a mirror may be wrong."""
    fields = list(mirror._fields_)
    first, last = fields[0], fields[-1]
    yield [*fields, ("more", ctypes.c_uint64)]
    yield fields[:-1]
    yield [("renamed", first[1]), *fields[1:]]
    if len(fields) > 1:
        yield [fields[1], first, *fields[2:]]
    yield [*fields[:-1], (last[0], last[1] * 2)]


def test_what_is_written_here_is_the_objects(btf):
    check_layout(btf, layout.STRUCTS, layout.ENUMS)


@pytest.mark.parametrize("name", sorted(layout.STRUCTS))
def test_a_changed_struct_is_refused_by_its_name(name, btf):
    for fields in struct_changes(layout.STRUCTS[name]):
        wrong = {**layout.STRUCTS, name: changed(layout.STRUCTS[name], fields)}
        with pytest.raises(LayoutMismatch, match=rf"^struct {name} of the BPF object is not"):
            check_layout(btf, wrong, layout.ENUMS)


@pytest.mark.parametrize("name", sorted(layout.ENUMS))
def test_a_changed_enum_is_refused_by_its_name(name, btf):
    values = {value.name: value.value for value in layout.ENUMS[name]}
    first = next(iter(values))
    for wrong in (
        {**values, first: 77},
        {**values, "MORE": 78},
        {key: value for key, value in values.items() if key != first},
    ):
        with pytest.raises(LayoutMismatch, match=rf"^enum {name} of the BPF object is not"):
            check_layout(btf, layout.STRUCTS, {**layout.ENUMS, name: IntEnum("Wrong", wrong)})


@pytest.mark.root
def test_a_changed_mirror_is_refused_before_anything_is_loaded(monkeypatch):
    """The check is part of every load, and leaves nothing."""
    before = held_by(os.getpid())
    fields = [*layout.Slot._fields_, ("more", ctypes.c_uint64)]
    monkeypatch.setitem(layout.STRUCTS, "slot", changed(layout.Slot, fields))
    with pytest.raises(LayoutMismatch, match=r"^struct slot of the BPF object .* build the object anew"):
        LibbpfBackend(syscalls_spec(Bounds()))
    assert held_by(os.getpid()) == before


def test_every_shared_type_of_the_header_is_mirrored():
    """A struct or an enum that is new in bpf/recorder.h must come into the check."""
    structs = set(re.findall(r"^struct (\w+) \{", HEADER, re.M))
    enums = set(re.findall(r"^enum (\w+) \{", HEADER, re.M))
    assert structs == set(layout.STRUCTS)
    assert enums == set(layout.ENUMS)


def test_the_object_that_follows_processes_has_the_same_and_the_walk():
    """Loading checks what bpf/walk.h has, and all of bpf/recorder.h but what is about cgroups."""
    header = (BPF / "walk.h").read_text()
    structs = set(re.findall(r"^struct (\w+) \{", header, re.M))
    enums = set(re.findall(r"^enum (\w+) \{", header, re.M))
    assert set(layout.TASK_STRUCTS) == structs | set(layout.STRUCTS) - {"joiner", "rule", "root", "exchange"}
    assert set(layout.TASK_ENUMS) == enums | set(layout.ENUMS) - {"joiner_state"}


@pytest.mark.root
def test_a_changed_walk_is_refused(monkeypatch):
    fields = [*layout.Walk._fields_, ("more", ctypes.c_uint64)]
    monkeypatch.setitem(layout.TASK_STRUCTS, "walk", changed(layout.Walk, fields))
    with pytest.raises(LayoutMismatch, match=r"^struct walk of the BPF object"):
        LibbpfTaskBackend(tasks_spec(TaskBounds()))


def test_constants_that_btf_does_not_show_are_the_headers():
    """Macros leave no trace in BTF."""
    macros = dict(re.findall(r"^#define (\w+) \(?(\S+?)\)?$", HEADER, re.M))
    assert int(macros["SET_WAYS"]) == layout.SET_WAYS
    for name in ("COMM_LENGTH", "PATH_LENGTH", "PREFIX_LENGTH"):
        assert int(macros[name]) == getattr(layout, name)
    for name in ("ROOT_RULES", "EXCHANGE_JOINERS"):
        assert int(macros[name]) == getattr(layout, name)
    assert int(macros["RECORDER_LAYOUT"]) == layout.LAYOUT_VERSION
    assert layout.BITMAP_WORDS * 64 == layout.BITMAP_BITS


def test_phases_are_the_records():
    assert {phase.name.removeprefix("PHASE_"): phase.value for phase in layout.Phase} == {
        phase.name: phase.value for phase in Phase
    }
