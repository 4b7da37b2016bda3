"""The cgroup v2 tree: found by its type, named as the kernel names it, removed only when nobody is in it."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.containers.cgroup import Cgroup, cgroup2_mount, find_cgroup, make_cgroup, own_cgroup
from recorder.model.errors import CgroupNotFound, NoCgroup2, NotPermitted
from tests.member import Guest, Process

V1_LINE = "cgroup {0}/v1 cgroup rw,memory 0 0\n"


@pytest.fixture
def tree(tmp_path):
    """A v2 and a v1 hierarchy as folders, and the mounts file that names them: v1 comes first."""
    for path in ("v2/system/web", "v2/.hidden", "v1/system/web"):
        folder = tmp_path / path
        folder.mkdir(parents=True)
        for each in (folder, *folder.parents):
            if each == tmp_path:
                break
            (each / "cgroup.procs").touch()
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "proc /proc proc rw 0 0\n" + V1_LINE.format(tmp_path) + f"cgroup2 {tmp_path}/v2 cgroup2 rw 0 0\n"
    )
    return tmp_path


def found(tree, path):
    return find_cgroup(str(path), tree / "mounts")


def test_the_mount_is_found_by_its_type(tree):
    assert cgroup2_mount(tree / "mounts") == tree / "v2"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (rb"/a\040b", b"/a b"),
        (rb"/a\011b\012c\134d", b"/a\tb\nc\\d"),
        (rb"/a\134040b", rb"/a\040b"),
        ("/größe".encode(), "/größe".encode()),
        (b"/raw\xff\\040x", b"/raw\xff x"),
    ],
)
def test_escapes_in_the_mounts_file_are_read(written, meant, tmp_path):
    """proc(5): space, tab, newline and backslash are octal; other bytes stand as they are."""
    mounts = tmp_path / "mounts"
    mounts.write_bytes(b"none " + written + b" cgroup2 rw 0 0\n")
    assert os.fsencode(cgroup2_mount(mounts)) == meant


def test_the_first_of_several_mounts_is_taken(tmp_path):
    (tmp_path / "mounts").write_text("none /one cgroup2 rw 0 0\nnone /two cgroup2 rw 0 0\n")
    assert cgroup2_mount(tmp_path / "mounts") == Path("/one")


@pytest.mark.parametrize("text", ["", "\n", "cgroup2 /x tmpfs rw 0 0\n", "none cgroup2\n"])
def test_a_machine_without_cgroup2_is_told_what_to_do(text, tmp_path):
    (tmp_path / "mounts").write_text(text)
    with pytest.raises(NoCgroup2, match="mount -t cgroup2 none DIR"):
        cgroup2_mount(tmp_path / "mounts")


@pytest.mark.parametrize(
    "path", ["system/web", "/system/web", "{0}/v2/system/web", "{0}/v2/system/../system/web"]
)
def test_a_cgroup_is_found_below_the_mount_or_with_it(path, tree):
    cgroup = found(tree, path.format(tree))
    assert (cgroup.name, cgroup.path) == ("/system/web", tree / "v2" / "system" / "web")
    assert cgroup.id == (tree / "v2/system/web").stat().st_ino


def test_a_cgroup_is_found_through_a_link(tree):
    """The link's target is on the v2 mount."""
    (tree / "link").symlink_to(tree / "v2" / "system")
    assert found(tree, tree / "link" / "web").name == "/system/web"


@pytest.mark.parametrize(
    ("path", "name"), [("/", "/"), ("{0}/v2", "/"), (".hidden", "/.hidden"), ("/.hidden/", "/.hidden")]
)
def test_the_name_is_as_in_proc(path, name, tree):
    """Only the root's is a slash alone."""
    assert found(tree, path.format(tree)).name == name


def test_a_path_on_cgroup_v1_is_refused_as_such(tree):
    with pytest.raises(CgroupNotFound, match=r"v1/system/web is on cgroup v1; .*mounted at .*v2\)"):
        found(tree, tree / "v1" / "system" / "web")


@pytest.mark.parametrize("path", ["nothing", "/nothing", "{0}/v2/nothing", "{0}/nowhere/at/all", ""])
def test_a_cgroup_that_is_not_there_is_refused_with_where_it_was_sought(path, tree):
    if path == "":
        assert found(tree, path).name == "/"  # the mount itself
        return
    with pytest.raises(CgroupNotFound, match=r"no cgroup .*neither as a path nor below .*v2; see: find "):
        found(tree, path.format(tree))


@pytest.mark.parametrize("path", ["../v1/system/web", "system/../../v1/system", "..", "/../v1"])
def test_a_path_that_leaves_the_mount_is_refused(path, tree):
    with pytest.raises(CgroupNotFound):
        found(tree, path)


def test_a_folder_that_is_no_cgroup_is_refused(tree):
    (tree / "v2" / "plain").mkdir()
    with pytest.raises(CgroupNotFound):
        found(tree, "plain")


@pytest.mark.parametrize(
    ("membership", "name"),
    [
        ("0::/system/web\n", "/system/web"),
        ("3:memory:/elsewhere\n0::/system\n", "/system"),
        ("0::/\n", "/"),
        ("0::/../../outside\n", "/"),
        ("0::/gone\n", "/"),
        ("3:memory:/system\n", "/"),
        ("0::/.hidden\n", "/.hidden"),
    ],
)
def test_our_own_cgroup_is_read_from_proc(membership, name, tree):
    """What is not below the mount, as seen from a cgroup namespace, is taken for the root."""
    (tree / "membership").write_text(membership)
    assert own_cgroup(tree / "mounts", tree / "membership").name == name


def test_a_cgroup_that_is_gone_has_no_id(tree):
    cgroup = found(tree, "system/web")
    (cgroup.path / "cgroup.procs").unlink()
    cgroup.path.rmdir()
    with pytest.raises(CgroupNotFound, match="cgroup /system/web is gone"):
        _ = cgroup.id
    assert list(cgroup.descendants()) == []
    assert cgroup.pids() == []
    assert not cgroup.populated()


def test_descendants_come_after_their_parents(tree):
    (tree / "v2/system/web/worker").mkdir()
    (tree / "v2/system/link").symlink_to(tree / "v1")
    names = [each.name for each in found(tree, "/").descendants()]
    assert names == ["/.hidden", "/system", "/system/web", "/system/web/worker"]


@pytest.mark.root
class TestKernel:
    """On the kernel's own tree."""

    @pytest.fixture
    def cgroup(self, scratch_cgroup, cgroup2):
        return Cgroup(scratch_cgroup(), cgroup2)

    @pytest.fixture
    def root(self, cgroup2):
        return Cgroup(cgroup2, cgroup2)

    def test_the_id_is_the_kernels(self, cgroup):
        """As in a handle of the folder (name_to_handle_at(2)): what BPF sees as kn->id."""

        class Handle(ctypes.Structure):
            _fields_ = (("size", ctypes.c_uint), ("type", ctypes.c_int), ("id", ctypes.c_uint64))

        handle, mount = Handle(size=8), ctypes.c_int()
        library = ctypes.CDLL(None, use_errno=True)
        path = os.fsencode(cgroup.path)
        assert library.name_to_handle_at(-100, path, ctypes.byref(handle), ctypes.byref(mount), 0) == 0
        assert cgroup.id == handle.id

    def test_processes_in_it_and_below_are_listed(self, cgroup, scratch_cgroup):
        below = scratch_cgroup("below", parent=cgroup.path)
        with Guest(cgroup.path) as one, Guest(below) as two:
            assert cgroup.pids() == sorted([one.pid, two.pid])
            assert cgroup.populated()
        assert cgroup.pids() == []
        assert not cgroup.populated()

    def test_a_threaded_cgroup_below_lists_its_processes_at_its_root(self, cgroup):
        """cgroup.procs of a threaded cgroup gives EOPNOTSUPP: the process is at the domain's root."""
        below = cgroup.path / "threads"
        below.mkdir()
        (below / "cgroup.type").write_text("threaded")
        with Guest(cgroup.path) as guest:
            (below / "cgroup.threads").write_text(str(guest.pid))
            with pytest.raises(OSError, match="not supported"):
                (below / "cgroup.procs").read_text()
            assert cgroup.pids() == [guest.pid]
            assert cgroup.populated()
        assert cgroup.remove()

    def test_kill_ends_all_in_it_and_below(self, cgroup, scratch_cgroup):
        below = scratch_cgroup("below", parent=cgroup.path)
        with Guest(cgroup.path) as one, Guest(below) as two:
            cgroup.kill()
            assert (one.wait(), two.wait()) == (137, 137)

    def test_kill_before_5_14_ends_them_one_by_one(self, cgroup, scratch_cgroup):
        """Those that they fork meanwhile too."""
        below = scratch_cgroup("below", cgroup.path)
        words = ["sh", "-c", 'echo 0 >"$0/cgroup.procs"; while :; do sleep 0.1; done', below]
        with Guest(cgroup.path) as guest, subprocess.Popen(words) as forking:
            cgroup._kill_each()
            assert (guest.wait(), forking.wait(10)) == (128 + 9, -9)
        assert not cgroup.populated()

    def test_an_empty_tree_is_removed_as_a_whole(self, cgroup):
        (cgroup.path / "a" / "b").mkdir(parents=True)
        (cgroup.path / "c").mkdir()
        assert cgroup.remove()
        assert not cgroup.path.exists()
        assert cgroup.remove(), "what is gone already is as good as removed"

    def test_a_tree_with_a_task_is_not_touched(self, cgroup):
        """Not even its empty parts: who is in it may be about to use them."""
        (cgroup.path / "empty" / "deep").mkdir(parents=True)
        (cgroup.path / "used").mkdir()
        with Guest(cgroup.path / "used"):
            assert not cgroup.remove()
            assert sorted(each.name.rpartition("/")[2] for each in cgroup.descendants()) == [
                "deep",
                "empty",
                "used",
            ]
        assert cgroup.remove()

    def test_a_tree_with_a_dead_child_that_nobody_reaped_is_removed(self, cgroup):
        """A zombie is in no cgroup.procs that counts: the kernel lets the folder go."""
        guest = Guest(cgroup.path)
        os.kill(guest.pid, 9)
        os.waitid(os.P_PID, guest.pid, os.WEXITED | os.WNOWAIT)
        assert not cgroup.populated()
        assert cgroup.remove()
        guest.end()

    def test_a_new_cgroup_is_made_once(self, cgroup):
        child = make_cgroup(cgroup, "child")
        assert (child.name, child.path.is_dir()) == (f"{cgroup.name}/child", True)
        with pytest.raises(NotPermitted, match=r"cannot make a cgroup below .*: File exists; it needs root"):
            make_cgroup(cgroup, "child")

    def test_a_bound_of_the_tree_is_named(self, cgroup):
        """The kernel's EAGAIN alone would say nothing."""
        (cgroup.path / "cgroup.max.descendants").write_text("0")
        with pytest.raises(NotPermitted, match=r"room below cgroup\.max\.descendants"):
            make_cgroup(cgroup, "child")

    def test_a_cgroup_that_goes_while_it_is_looked_at_is_not_populated(self, cgroup, monkeypatch):
        """The kernel gives ENODEV for a file that was opened before the folder went."""

        def read_text(path, **_):
            with path.open() as file:
                path.parent.rmdir()
                return file.read()

        monkeypatch.setattr(Path, "read_text", read_text)
        assert not cgroup.populated()
        assert not cgroup.path.exists()

    def test_the_root_is_never_empty(self, root):
        assert root.populated()
        assert root.name == "/"

    def test_our_own_cgroup_is_where_we_are(self, cgroup, root):
        """Asked by a process that has joined it."""
        reader, writer = os.pipe()

        def ask():
            (cgroup.path / "cgroup.procs").write_text("0")
            os.write(writer, own_cgroup().name.encode())
            os._exit(0)

        with Process(ask) as process:
            assert process.wait() == 0
        assert os.read(reader, 1000).decode() == cgroup.name
        os.close(reader)
        os.close(writer)

    def test_a_mount_with_a_space_is_found_in_a_namespace_of_its_own(self, tmp_path):
        """cgroup v2 mounted at `a b`, the other mounts gone: the kernel's own escape is read."""
        where = tmp_path / "a b"
        where.mkdir()
        script = (
            'for at in $(awk \'$3 == "cgroup2" { print $2 }\' /proc/self/mounts); do umount -l "$at"; done; '
            'mount -t cgroup2 none "$1"; shift; exec "$@"'
        )
        code = "from recorder.containers.cgroup import cgroup2_mount; print(cgroup2_mount())"
        command = ["unshare", "-m", "sh", "-c", script, "sh", where, sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == f"{where}\n"
