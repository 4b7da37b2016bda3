"""The reader of BTF, against bpftool's."""

import json
import subprocess

import pytest

from recorder.kernel import layout
from recorder.kernel.spec import Bounds, object_path, syscalls_spec
from recorder.model.errors import LayoutMismatch

OBJECT = object_path("syscalls.bpf.o")


@pytest.fixture(scope="module")
def dumped():
    """All types of the object, as bpftool dumps them, by id."""
    shown = subprocess.run(["bpftool", "-j", "btf", "dump", "file", OBJECT], capture_output=True, check=True)
    return {each["id"]: each for each in json.loads(shown.stdout)["types"]}


def named(dumped, kind, name):
    (found,) = (each for each in dumped.values() if (each["kind"], each["name"]) == (kind, name))
    return found


def size_of(dumped, number):
    """Bytes of a type, through typedefs and arrays."""
    found = dumped[number]
    if found["kind"] == "ARRAY":
        return found["nr_elems"] * size_of(dumped, found["type_id"])
    if found["kind"] == "PTR":
        return 8
    return found["size"] if "size" in found else size_of(dumped, found["type_id"])


@pytest.mark.parametrize("name", sorted(layout.STRUCTS))
def test_a_struct_has_the_members_that_bpftool_shows(name, btf, dumped):
    truth = named(dumped, "STRUCT", name)
    members = {
        each["name"]: (each["bits_offset"] // 8, size_of(dumped, each["type_id"]))
        for each in truth["members"]
    }
    assert btf.struct(name) == (truth["size"], members)


@pytest.mark.parametrize("name", sorted(layout.ENUMS))
def test_an_enum_has_the_values_that_bpftool_shows(name, btf, dumped):
    truth = named(dumped, "ENUM", name)
    assert btf.enum(name) == {each["name"]: each["val"] for each in truth["values"]}


@pytest.mark.parametrize("name", sorted(syscalls_spec(Bounds()).constants))
def test_a_constant_lies_where_the_elf_symbol_says(name, btf):
    """BTF in a file has no offsets yet; libbpf takes them from the symbols when it opens it."""
    shown = subprocess.run(["readelf", "-sW", OBJECT], capture_output=True, text=True, check=True).stdout
    (symbol,) = (line.split() for line in shown.splitlines() if line.endswith(f" {name}"))
    assert btf.variable(".rodata", name) == int(symbol[1], 16)


def test_what_is_not_there_is_named(btf):
    with pytest.raises(LayoutMismatch, match="no type nothing"):
        btf.struct("nothing")
    with pytest.raises(LayoutMismatch, match="no type slot"):
        btf.enum("slot")
    with pytest.raises(LayoutMismatch, match="no constant nothing"):
        btf.variable(".rodata", "nothing")
    with pytest.raises(LayoutMismatch, match=r"no type \.nothing"):
        btf.variable(".nothing", "set_shift")
