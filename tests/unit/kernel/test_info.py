"""What the kernel says of a map or a program, against bpftool's reading of the same."""

import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from recorder.kernel.info import map_info, program_info
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.loaded import LoadedObject
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.errors import BpfLoadError

pytestmark = pytest.mark.root

SPEC = syscalls_spec(Bounds(slots=5, joiners=7))


@pytest.fixture(scope="module")
def loaded():
    """The library, and an object loaded by it."""
    library = Libbpf()
    with contextlib.closing(LoadedObject(library, SPEC)) as made:
        yield library, made


def shown(kind, fd):
    """bpftool's words on one object, by the id in the descriptor's fdinfo."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    (number,) = (line.split("\t")[1] for line in lines if line.startswith(f"{kind}_id:"))
    done = subprocess.run(["bpftool", "-j", kind, "show", "id", number], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_each_map_is_as_bpftool_shows_it(loaded):
    library, made = loaded
    for name, fd in made.map_fds().items():
        truth = shown("map", fd)
        info = map_info(library, fd)
        assert truth["name"] == name
        assert (info.key_size, info.value_size) == (truth.get("bytes_key", 0), truth["bytes_value"])
        assert info.max_entries == truth["max_entries"]
        if name in SPEC.max_entries:
            assert info.max_entries == SPEC.max_entries[name]


def test_each_program_has_the_tag_that_bpftool_shows(loaded):
    library, made = loaded
    for name, fd in made.program_fds().items():
        truth = shown("prog", fd)
        info = program_info(library, fd)
        assert truth["name"] == name  # bpftool has it whole from BTF, the kernel to 15 characters
        assert info.tag == truth["tag"]
        assert (info.missed, truth.get("recursion_misses", 0)) == (0, 0)


def test_what_is_no_bpf_object_is_refused(loaded, tmp_path):
    library, _ = loaded
    with (tmp_path / "file").open("w") as file, pytest.raises(BpfLoadError, match="no information"):
        program_info(library, file.fileno())
