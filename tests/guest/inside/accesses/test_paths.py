"""Paths are whole, and those that the task's mount namespace has; needs a kernel that can attach."""

import contextlib
import ctypes
import os
import sys

from recorder.model.access import File, FileKind, FileRight
from recorder.model.record import Phase
from tests.guest.inside.accesses.watched import Watched, shell

LIBC = ctypes.CDLL(None, use_errno=True)
MS_BIND, MNT_DETACH = 4096, 2


@contextlib.contextmanager
def _mounted(source, place, kind, flags=0, data=""):
    place.mkdir(exist_ok=True)
    words = (os.fsencode(source), os.fsencode(place), kind and kind.encode(), flags, data.encode())
    assert LIBC.mount(*words) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        LIBC.umount2(os.fsencode(place), MNT_DETACH)


def _seen(recorder: Watched, text: str) -> dict[File, int]:
    with recorder.recording() as (cgroup, target):
        ended = shell(cgroup, text)
        assert ended.returncode == 0, ended.stderr
        seen = recorder.watch.read(target, final=True).accesses
    files = [each for each in seen.of(Phase.WORKLOAD) if isinstance(each[0], File)]
    return {subject: access.rights for subject, access in files}


def test_mounts_have_the_names_that_the_task_sees(tmp_path, recorder):
    """Below an overlay and a bind mount a file has the path that was used, and the layers have none."""
    for name in ("lower", "upper", "work", "bound"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "low").write_text("x\n")
    (tmp_path / "bound" / "file").write_text("x\n")
    layers = ",".join(
        f"{option}={tmp_path}/{name}"
        for option, name in (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work"))
    )
    merged, there = tmp_path / "merged", tmp_path / "there"
    with (
        _mounted("overlay", merged, "overlay", 0, layers),
        _mounted(tmp_path / "bound", there, None, MS_BIND),
    ):
        seen = _seen(
            recorder,
            f"read line <{merged}/low; echo y >>{merged}/low; mkdir {merged}/new; read line <{there}/file",
        )
    here = bytes(tmp_path)
    mine = {f.path[len(here) :]: rights for f, rights in seen.items() if f.path.startswith(here)}
    assert mine == {
        b"/merged/low": FileRight.READ | FileRight.APPEND | FileRight.CREATE,
        b"/merged/new": FileRight.CREATE,
        b"/there/file": FileRight.READ,
    }


def test_files_without_a_name(tmp_path, recorder):
    """A deleted file has its last path, a memfd and a pipe what they are; huge pages are / as in AppArmor."""
    program = (
        "import contextlib, mmap, os\n"
        f"fd = os.open('{tmp_path}/gone', os.O_RDWR | os.O_CREAT)\n"
        f"os.unlink('{tmp_path}/gone')\n"
        "os.close(os.open(f'/proc/self/fd/{fd}', os.O_RDONLY))\n"
        "memory = os.memfd_create('some memory')\n"
        "os.close(os.open(f'/proc/self/fd/{memory}', os.O_RDWR))\n"
        "first, second = os.pipe()\n"
        "os.close(os.open(f'/proc/self/fd/{first}', os.O_RDONLY))\n"
        "with contextlib.suppress(OSError):  # no memory: asked for it is all the same\n"
        "    mmap.mmap(-1, 2 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x40000)\n"
    )
    (tmp_path / "program.py").write_text(program)
    seen = _seen(recorder, f"exec {sys.executable} -SE {tmp_path}/program.py")
    whole = FileRight.READ | FileRight.WRITE | FileRight.CREATE | FileRight.REMOVE
    assert seen[File(bytes(tmp_path / "gone"), b"", FileKind.REGULAR)] & ~whole == 0
    anonymous = {file.path: rights for file, rights in seen.items() if file.kind == FileKind.ANONYMOUS}
    assert anonymous[b"memfd:some memory"] == FileRight.READ | FileRight.WRITE
    assert anonymous[b"pipefs"] == FileRight.READ
    assert seen[File(b"/", b"", FileKind.REGULAR)] == FileRight.READ | FileRight.WRITE


def test_long_paths_are_whole_and_longer_ones_say_that_they_are_not(tmp_path, recorder):
    """4,000 bytes, and 300 folders in each other, are all there; of more than a path may have the end is."""
    base = bytes(tmp_path)
    names = {b"d" * 250: (3990 - len(base)) // 251, b"n": 300, b"l" * 250: 20}
    program = "import os\n"
    for name, depth in names.items():
        program += f"os.chdir({os.fsdecode(base)!r})\n"
        program += f"for _ in range({depth}):\n    os.mkdir({name!r})\n    os.chdir({name!r})\n"
    (tmp_path / "program.py").write_text(program)
    seen = _seen(recorder, f"exec {sys.executable} -SE {tmp_path}/program.py")
    made = {file.path: file for file, rights in seen.items() if rights & FileRight.CREATE}
    long, deep, longer = (base + (b"/" + name) * depth for name, depth in names.items())
    assert made[long] == File(long, b"", FileKind.FOLDER)
    assert made[deep] == File(deep, b"", FileKind.FOLDER)
    cut = [file for file in made.values() if file.cut]
    assert {longer.endswith(file.path) for file in cut} >= {True}
    assert all(3800 < len(file.path) < 4096 for file in cut)


def test_a_new_root_does_not_shorten_paths(tmp_path, recorder):
    """In a chroot a path is that of the mount namespace, by which profiles name files."""
    (tmp_path / "inside").mkdir()
    program = f"import os\nos.chroot('{tmp_path}')\nos.mkdir('/inside/made')\n"
    (tmp_path / "program.py").write_text(program)
    seen = _seen(recorder, f"exec {sys.executable} -SE {tmp_path}/program.py")
    assert seen[File(bytes(tmp_path / "inside" / "made"), b"", FileKind.FOLDER)] == FileRight.CREATE
