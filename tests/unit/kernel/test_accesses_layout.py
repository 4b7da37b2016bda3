"""The structs and enums of accesses: equal to the object's, and all of the header are compared."""

import re
from pathlib import Path

from recorder.kernel import accesses_layout as layout
from recorder.kernel.accesses_spec import HASHED, SCRATCH_BYTES
from recorder.kernel.btf import Btf, check_layout
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.spec import object_path
from recorder.model import access

HEADER = (Path(__file__).parents[3] / "bpf/recorder_accesses.h").read_text()
# Of the model: numbers of the kernel side are its numbers
VALUES = {
    "file_right": ("FILE_", access.FileRight),
    "socket_right": ("SOCKET_", access.SocketRight),
    "signal_right": ("SIGNAL_", access.SignalRight),
    "ptrace_right": ("PTRACE_", access.PtraceRight),
    "capability_right": ("CAPABILITY_", access.CapabilityRight),
    "io_uring_right": ("IO_URING_", access.IoUringRight),
    "mount_step": ("STEP_", access.MountStep),
}


def _btf(check):
    """Opening an object needs no privilege."""
    library = Libbpf()
    handle = library.bpf_object__open_file(bytes(object_path("accesses.bpf.o")), None)
    assert handle, library.log()
    try:
        return check(Btf(library, library.bpf_object__btf(handle)))
    finally:
        library.bpf_object__close(handle)


def test_what_is_written_here_is_the_objects():
    """Sizes, places and numbers."""
    _btf(lambda btf: check_layout(btf, layout.STRUCTS, layout.ENUMS))


def test_what_memory_is_computed_from_is_the_objects():
    """Sizes of structs that only the kernel side uses."""
    structs = ("scratch", "place", "process", "execution")
    sizes = [_btf(lambda btf, name=name: btf.struct(name)[0]) for name in structs]
    number = 8  # an index or a process id, padded
    hashed = (HASHED["places"] - number, HASHED["undecided"] - number, HASHED["executions"] - number)
    assert sizes == [SCRATCH_BYTES, *hashed]


def test_every_shared_type_of_the_header_is_mirrored():
    """A struct or an enum that is new in the header must come into the check."""
    assert set(re.findall(r"^struct (\w+) \{", HEADER, re.MULTILINE)) <= set(layout.STRUCTS)
    assert set(re.findall(r"^enum (\w+) \{", HEADER, re.MULTILINE)) == (
        {name for name in layout.ENUMS if name.startswith("access_")} | set(VALUES)
    )


def test_rights_are_the_models():
    """A right of the kernel side needs no translation."""
    for name, (prefix, model) in VALUES.items():
        values = _btf(lambda btf, name=name: btf.enum(name))
        expected = {prefix + member: int(value) for member, value in model.__members__.items() if value}
        assert values == expected, name
