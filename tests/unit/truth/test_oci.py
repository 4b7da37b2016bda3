"""The OCI bundle: cgroup mounts, configuration, root file system."""

from pathlib import Path

import pytest

from tests.truth.oci import Layout, OciError, configuration, copy_program, hook, make_rootfs

HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""


def test_a_hybrid_layout_is_known_by_its_v1_mounts():
    layout = Layout.detect(HYBRID)
    assert layout == Layout(Path("/sys/fs/cgroup/unified"), (Path("/sys/fs/cgroup/memory"),))
    assert layout.hybrid


def test_a_pure_layout_is_not_hybrid_and_a_space_in_a_path_is_decoded():
    layout = Layout.detect("none /mnt/cgroup\\040two cgroup2 rw 0 0\n")
    assert layout == Layout(Path("/mnt/cgroup two"), ())
    assert not layout.hybrid


def test_no_cgroup2_is_an_error_that_says_what_to_do():
    with pytest.raises(OciError, match="mount -t cgroup2"):
        Layout.detect("tmpfs /tmp tmpfs rw 0 0\n")


def test_the_configuration_carries_what_was_asked_and_nothing_that_needs_cap_sys_resource(tmp_path):
    config = configuration(
        ["/five"],
        cgroups_path="/a/b",
        rootfs=tmp_path,
        no_new_privileges=True,
        seccomp={"defaultAction": "SCMP_ACT_ALLOW"},
        hooks={"createContainer": [hook("/bin/true", "x")]},
    )
    assert config["process"]["args"] == ["/five"]
    assert config["process"]["noNewPrivileges"] is True
    assert config["linux"]["cgroupsPath"] == "/a/b"
    assert config["linux"]["seccomp"] == {"defaultAction": "SCMP_ACT_ALLOW"}
    assert config["hooks"]["createContainer"][0]["args"] == ["/bin/true", "x"]
    assert not {"rlimits", "oomScoreAdj"} & set(config["process"])


def test_without_seccomp_or_hooks_there_are_no_such_keys(tmp_path):
    config = configuration(["/five"], cgroups_path="/a", rootfs=tmp_path)
    assert "seccomp" not in config["linux"]
    assert "hooks" not in config


def test_a_root_file_system_holds_programs_with_their_libraries(tmp_path):
    rootfs = make_rootfs(tmp_path / "root", {"/bin/sh": Path("/bin/sh")})
    assert (rootfs / "bin/sh").stat().st_mode & 0o111
    assert list(rootfs.rglob("libc.so.6"))
    assert list(rootfs.rglob("ld-linux*"))


def test_a_static_program_needs_no_library(tmp_path, built_programs):
    copy_program(built_programs["five"], tmp_path, "/five")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["five"]
