"""Paths of cgroups by id."""

import pytest

from recorder.kernel.hierarchy import path_of, root_mount
from recorder.model.errors import CgroupNotFound, NoCgroup2


@pytest.mark.root
def test_a_cgroup_is_found_by_its_id(scratch_cgroup, cgroup2):
    made = scratch_cgroup()
    below = made / "below a b"
    below.mkdir()
    assert path_of(made.stat().st_ino) == f"/{made.relative_to(cgroup2)}"
    assert path_of(below.stat().st_ino) == f"/{below.relative_to(cgroup2)}"
    assert path_of(cgroup2.stat().st_ino) == "/"


@pytest.mark.root
def test_one_that_is_gone_is_not(scratch_cgroup):
    made = scratch_cgroup()
    identity = made.stat().st_ino
    made.rmdir()
    with pytest.raises(CgroupNotFound, match=f"no cgroup with id {identity}"):
        path_of(identity)


def test_without_a_mount_of_the_whole_hierarchy(tmp_path):
    """A mount made in a cgroup namespace begins further down: its inode number is not the root's."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"cgroup2 {tmp_path} cgroup2 rw 0 0\ncgroup /sys/fs/cgroup cgroup rw 0 0\n")
    with pytest.raises(NoCgroup2, match="cgroup namespace"):
        root_mount(mounts)


def test_escapes_of_the_mount_table(tmp_path, monkeypatch):
    """A space is `\\040` there."""
    folder = tmp_path / "with space"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    escaped = str(folder).replace(" ", "\\040")
    mounts.write_text(f"cgroup2 {escaped} cgroup2 rw 0 0\n")
    monkeypatch.setattr("recorder.kernel.hierarchy._ROOT_ID", folder.stat().st_ino)
    assert root_mount(mounts) == folder
