"""Loading: each way in which it fails has its own error, with libbpf's words, and leaves nothing."""

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from recorder.kernel import loaded
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.loaded import LoadedObject, load_error
from recorder.kernel.spec import Bounds, object_path, syscalls_spec
from recorder.model.errors import (
    BpfLoadError,
    LayoutMismatch,
    MissingObject,
    NoBtf,
    NotPermitted,
    RecorderError,
    UnsupportedKernel,
)
from tests.kernel_objects import held_by

NOBODY = 65534

# The recorder's object with one program more, which the verifier refuses.
REFUSED = """
#include "{source}"
SEC("tp_btf/sys_enter")
int BPF_PROG(wild, struct pt_regs *regs, long number)
{{
	return *(volatile int *)number;
}}
"""

WITHOUT_MAPS = """
__attribute__((section("raw_tp/sys_enter"), used)) int nothing(void *context) { return 0; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


@pytest.fixture
def compiled(tmp_path):
    """`compiled(source, *flags)`: a BPF object made by clang."""

    def compile_(source: str, *flags: str) -> Path:
        if shutil.which("clang") is None:
            pytest.skip("clang is not installed (make setup)")
        path = tmp_path / "made.bpf.c"
        path.write_text(source)
        target = tmp_path / "made.bpf.o"
        machine = ["-D__TARGET_ARCH_x86", "-I/usr/include/x86_64-linux-gnu"]
        command = ["clang", "-O2", "-target", "bpf", "-mcpu=v3", *machine, *flags, "-c", path, "-o", target]
        subprocess.run(command, check=True, timeout=120)
        return target

    return compile_


def load(path: Path) -> None:
    LibbpfBackend(syscalls_spec(Bounds(), path)).close()


def test_a_missing_object_says_how_to_build_it(tmp_path):
    with pytest.raises(MissingObject, match=r"nothing\.o is missing; build it with: make bpf"):
        load(tmp_path / "nothing.o")


@pytest.mark.parametrize("what", ["empty", "garbage", "truncated", "folder", "program"])
def test_a_file_that_is_no_bpf_object_is_refused_in_libbpfs_words(what, tmp_path):
    path = tmp_path / "wrong.o"
    if what == "folder":
        path.mkdir()
    else:
        whole = object_path("syscalls.bpf.o").read_bytes()
        contents = {"empty": b"", "garbage": b"no ELF file", "truncated": whole[: len(whole) // 2]}
        path.write_bytes(contents.get(what) or (Path("/bin/true").read_bytes() if what == "program" else b""))
    with pytest.raises(BpfLoadError, match=r"^cannot open the BPF object .*wrong\.o: ") as caught:
        load(path)
    first, *words = str(caught.value).splitlines()
    assert "nknown" not in first
    assert any(line.startswith("libbpf: ") and "wrong.o" in line for line in words), words


def test_an_object_without_type_information_is_refused(compiled):
    """Compiled without -g; the library would crash on it."""
    with pytest.raises(LayoutMismatch, match=r"has no type information \(BTF\); build it anew"):
        load(compiled(WITHOUT_MAPS))


def test_an_object_of_other_sources_is_refused_by_the_first_type(compiled):
    with pytest.raises(LayoutMismatch, match="has no type slot: it was built from other sources"):
        load(compiled(WITHOUT_MAPS, "-g"))


@pytest.mark.root
def test_what_the_verifier_refuses_is_told_in_its_words_and_leaves_nothing(compiled):
    source = Path(loaded.__file__).parents[2] / "bpf" / "syscalls.bpf.c"
    before = held_by(os.getpid())
    path = compiled(REFUSED.format(source=source), "-g", f"-I{source.parent}")
    with pytest.raises(RecorderError) as caught:
        load(path)
    assert isinstance(caught.value, BpfLoadError | UnsupportedKernel)
    assert "invalid mem access" in str(caught.value), "the verifier's reason is not among the lines"
    assert "wild" in str(caught.value), "the program is not named"
    assert held_by(os.getpid()) == before


@pytest.mark.root
def test_without_privileges_it_says_what_is_needed(open_folder):
    """A child that gives up root: refused, in one sentence, with nothing left."""
    # The checkout may lie where nobody else can read.
    copy = shutil.copy(object_path("syscalls.bpf.o"), open_folder)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                load(Path(copy))
                os.write(writer, b"it was loaded")
            except RecorderError as error:
                os.write(writer, f"{error.code} {error} {len(held_by(os.getpid()))}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    assert said.startswith("NOT_PERMITTED loading BPF programs needs root (or CAP_BPF"), said
    assert said.endswith(" 0")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("release", "error"),
    [
        ("5.10.0-28-amd64", UnsupportedKernel),
        ("5.14.21", UnsupportedKernel),
        ("5.15.0", BpfLoadError),
        ("6.1.0-56-cloud-amd64", BpfLoadError),
    ],
)
def test_the_kernels_refusal_names_the_kernel_and_keeps_the_log(monkeypatch, release, error):
    """An old kernel lacks features; a new one that refuses is the recorder's fault, and says so."""
    monkeypatch.setattr(loaded.os, "uname", lambda: SimpleNamespace(release=release))
    made = load_error(errno.EINVAL, "libbpf: prog 'x': failed")
    assert isinstance(made, error)
    assert release in str(made)
    assert str(made).endswith("\nlibbpf: prog 'x': failed")


def test_a_missing_feature_is_named_with_its_version(monkeypatch):
    """What an old kernel lacks."""
    monkeypatch.setattr(loaded.os, "uname", lambda: SimpleNamespace(release="5.10.0"))
    text = str(load_error(errno.EINVAL, ""))
    assert "5.15" in text
    assert "tp_btf" in text
    assert not text.endswith("\n")


@pytest.mark.parametrize(("euid", "words"), [(0, "lockdown"), (1000, "needs root")])
def test_a_refused_permission_depends_on_who_asks(euid, words, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    made = load_error(errno.EPERM, "libbpf: line")
    assert isinstance(made, NotPermitted)
    assert words in str(made)


def test_a_kernel_without_btf_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(loaded, "KERNEL_BTF", tmp_path / "vmlinux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = load_error(errno.ESRCH, "libbpf: line")
    assert isinstance(made, NoBtf)
    assert "CONFIG_DEBUG_INFO_BTF" in str(made)


@pytest.mark.root
def test_maps_and_programs_are_found_by_their_names():
    """All that the spec names, and the counters; closing may be repeated."""
    spec = syscalls_spec(Bounds())
    with contextlib.closing(LoadedObject(Libbpf(), spec)) as made:
        assert set(made.map_fds()) == {*spec.max_entries, "counters"}
        assert set(made.program_fds()) == {*spec.attach, spec.control}
        assert all(fd >= 0 for fd in (*made.map_fds().values(), *made.program_fds().values()))
        made.close()
