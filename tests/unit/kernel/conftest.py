"""The built object, opened: that needs no privilege."""

from collections.abc import Iterator

import pytest

from recorder.kernel.btf import Btf
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.spec import object_path


@pytest.fixture(scope="module")
def btf() -> Iterator[Btf]:
    """The types of recorder/kernel/objects/syscalls.bpf.o."""
    library = Libbpf()
    handle = library.bpf_object__open_file(bytes(object_path("syscalls.bpf.o")), None)
    assert handle, library.log()
    yield Btf(library, library.bpf_object__btf(handle))
    library.bpf_object__close(handle)
