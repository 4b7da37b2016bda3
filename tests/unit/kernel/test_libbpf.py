"""The library: what it says is kept, whoever asks, and its absence has a name."""

import ctypes
import errno
import gc
import subprocess
import sys

import pytest

from recorder.kernel import libbpf
from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import MissingLibrary


@pytest.fixture
def garbage(tmp_path):
    """A file that libbpf complains about."""
    path = tmp_path / "garbage.o"
    path.write_bytes(b"no ELF file")
    return path


def complain(library, garbage):
    assert not library.bpf_object__open_file(bytes(garbage), None)


def test_a_missing_library_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(libbpf, "SONAME", "libbpf-nothing.so.9")
    with pytest.raises(MissingLibrary, match=r"libbpf-nothing\.so\.9.*Debian: libbpf1"):
        Libbpf()


def test_its_words_are_kept_and_then_forgotten(garbage):
    """One complaint is told once."""
    library = Libbpf()
    library.log()
    complain(library, garbage)
    assert f"libbpf: elf: '{garbage}' is not a proper ELF object" in library.log()
    assert library.log() == ""


def test_only_the_last_lines_are_told(garbage):
    library = Libbpf()
    library.log()
    for _ in range(30):
        complain(library, garbage)
    assert len(library.log(last=5).splitlines()) == 5


def test_nothing_goes_to_stderr(garbage):
    """libbpf's own default is to print."""
    code = (
        "import sys; from recorder.kernel.libbpf import Libbpf; "
        "Libbpf().bpf_object__open_file(sys.argv[1].encode(), None)"
    )
    done = subprocess.run([sys.executable, "-c", code, garbage], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_each_of_several_users_gets_the_words(garbage):
    """The print function is the process's, not the last user's."""
    first, _second = Libbpf(), Libbpf()
    first.log()
    complain(first, garbage)
    assert "not a proper ELF object" in first.log()


def test_the_words_are_kept_after_another_user_is_gone(garbage):
    """libbpf must not call what was freed with the other one."""
    first, second = Libbpf(), Libbpf()
    first.log()
    del second
    gc.collect()
    complain(first, garbage)
    assert "not a proper ELF object" in first.log()


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (errno.EPERM, "Operation not permitted"),
        (-errno.EPERM, "Operation not permitted"),
        (4001, "BPF object"),
        (-4005, "elocation"),
        (4007, "verifier"),
        (-4008, "too big"),
    ],
)
def test_a_code_has_a_text_whatever_its_sign(code, word):
    assert word in reason(code)


def test_each_code_of_the_library_has_a_text():
    """Those that libbpf's own libbpf_strerror knows; some are unused there and have none."""
    library = ctypes.CDLL(libbpf.SONAME)
    buffer = ctypes.create_string_buffer(200)
    for code in range(4000, 4100):
        if library.libbpf_strerror(code, buffer, len(buffer)) == 0 and buffer.value != b"(null)":
            assert "nknown" not in reason(code), (code, buffer.value)
