"""The structs and enums of denials: equal to the object's, and all of the header are compared."""

import re
from pathlib import Path

from recorder.kernel import denials_layout as layout
from recorder.kernel.btf import Btf, check_layout
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.spec import object_path

HEADER = (Path(__file__).parents[3] / "bpf/recorder_denials.h").read_text()


def test_what_is_written_here_is_the_objects():
    """Opening an object needs no privilege."""
    library = Libbpf()
    handle = library.bpf_object__open_file(bytes(object_path("denials.bpf.o")), None)
    assert handle, library.log()
    try:
        check_layout(Btf(library, library.bpf_object__btf(handle)), layout.STRUCTS, layout.ENUMS)
    finally:
        library.bpf_object__close(handle)


def test_every_shared_type_of_the_header_is_mirrored():
    """A struct or an enum that is new in the header must come into the check."""
    assert set(re.findall(r"^struct (\w+) \{", HEADER, re.MULTILINE)) == set(layout.STRUCTS)
    assert set(re.findall(r"^enum (\w+) \{", HEADER, re.MULTILINE)) == set(layout.ENUMS)
