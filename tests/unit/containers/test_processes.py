"""Processes by the kernel's own files: the cgroup of a pid, and what is said of one that is gone."""

import os
import subprocess
from pathlib import Path

import pytest

from recorder.containers.container import Manager
from recorder.containers.processes import cgroup_of, plain_container, process_of
from recorder.model.errors import CgroupNotFound, ProcessNotFound
from tests.member import Guest

ID = "0123456789abcdef" * 4


def test_our_own_process():
    """As /proc says it, read by another program."""
    said = subprocess.run(
        ["ps", "-o", "comm=,ppid=", "-p", str(os.getpid())], capture_output=True, text=True, check=True
    )
    name, parent = said.stdout.split()
    found = process_of(os.getpid())
    assert (found.pid, found.name, found.parent) == (os.getpid(), name, int(parent))
    assert found.container().pid == os.getpid()
    assert f"0::{found.cgroup_path}\n" in Path("/proc/self/cgroup").read_text()


@pytest.mark.root
def test_a_process_in_a_cgroup(scratch_cgroup):
    """The path below the cgroup v2 mount."""
    folder = scratch_cgroup()
    with Guest(folder) as guest:
        assert cgroup_of(guest.pid) == f"/{folder.name}"


def test_a_process_that_is_gone():
    """Its pid may be another's by now; here it is nobody's."""
    with subprocess.Popen(["true"]) as child:
        pass
    for pid in (child.pid, 1 << 22, -1, 1 << 70):
        with pytest.raises(ProcessNotFound, match=str(pid)):
            process_of(pid)
    with pytest.raises(ProcessNotFound):
        cgroup_of(child.pid)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/\n", "/"),
        ("12:pids:/x\n1:name=systemd:/y\n0::/a/b\n", "/a/b"),
        ("0::/a (deleted)\n", "/a"),
        ("0::/a:b\n", "/a:b"),
    ],
)
def test_the_file_of_the_kernel(tmp_path, text, path):
    """cgroup-v2.rst, Processes: the entry 0::PATH."""
    (tmp_path / "5").mkdir()
    (tmp_path / "5/cgroup").write_text(text)
    assert cgroup_of(5, tmp_path) == path


@pytest.mark.parametrize(("text", "why"), [("1:name=systemd:/y\n", "cgroup v2"), ("0::/../x\n", "namespace")])
def test_no_path_below_our_mount(tmp_path, text, why):
    """A machine without cgroup v2, and a cgroup outside of our cgroup namespace."""
    (tmp_path / "5").mkdir()
    (tmp_path / "5/cgroup").write_text(text)
    with pytest.raises(CgroupNotFound, match=why):
        cgroup_of(5, tmp_path)


def test_cgroups_that_are_no_containers():
    """A unit has its unit's name, any other its directory's."""
    unit = plain_container("/system.slice/nginx.service")
    assert (unit.name, unit.manager, unit.id) == ("nginx.service", Manager.SYSTEMD, "")
    other = plain_container("/a/b")
    assert (other.name, other.manager, other.cgroup_path) == ("b", Manager.NONE, "/a/b")
    assert plain_container("/").name == "/"
