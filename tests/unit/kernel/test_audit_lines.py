"""The struct of lines is the object's, and all of the header are compared."""

import re
from pathlib import Path

from recorder.kernel.audit_lines import STRUCTS, AuditLogSpec
from recorder.kernel.btf import Btf, check_layout
from recorder.kernel.libbpf import Libbpf

HEADER = (Path(__file__).parents[3] / "bpf/recorder_audit.h").read_text()


def test_what_is_written_here_is_the_objects():
    """Opening an object needs no privilege."""
    library = Libbpf()
    handle = library.bpf_object__open_file(bytes(AuditLogSpec().path), None)
    assert handle, library.log()
    try:
        check_layout(Btf(library, library.bpf_object__btf(handle)), STRUCTS, {})
    finally:
        library.bpf_object__close(handle)


def test_every_shared_type_of_the_header_is_mirrored():
    """A struct that is new in the header must come into the check."""
    assert set(re.findall(r"^struct (\w+) \{", HEADER, re.MULTILINE)) == set(STRUCTS)
