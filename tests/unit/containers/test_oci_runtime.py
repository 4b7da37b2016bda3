"""Which program runs a container, its version by asking it, and what this kernel does not run."""

import asyncio
import os
import shutil
import socket
import subprocess

import pytest

from recorder.containers.oci_runtime import (
    UNRECORDABLE,
    RuntimeVersions,
    handler_name,
    listener_pid,
    runtime_name,
    version_in,
)


@pytest.mark.parametrize(
    ("runtime_type", "binary", "name"),
    [
        ("io.containerd.runc.v2", "", "runc"),
        ("io.containerd.runc.v2", "/usr/local/bin/crun", "crun"),
        ("io.containerd.kata-qemu.v2", "", "kata-qemu"),
        ("", "", ""),
        ("something else", "", ""),
    ],
)
def test_names(runtime_type, binary, name):
    """The program decides, else containerd's runtime type (its runtime v2 README: io.containerd.NAME.vN)."""
    assert runtime_name(runtime_type, binary) == name


@pytest.mark.parametrize(
    "name",
    [
        "kata",
        "kata-qemu",
        "kata-clh",
        "io.containerd.kata.v2",
        "runsc",
        "gvisor",
        "gVisor",
        "io.containerd.runsc.v1",
        "/usr/local/bin/runsc",
        "aws.firecracker",
        "krun",
        "crun-krun",
    ],
)
def test_virtual_machines_and_user_space_kernels(name):
    """Whatever case they are written in, and wherever the program lies."""
    assert handler_name(UNRECORDABLE, "", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "runc",
        "crun",
        "io.containerd.runc.v2",
        "nvidia",
        "youki",
        "sysbox-runc",
        "/opt/kata/bin/runc",
        "wasmtime",
    ],
)
def test_what_this_kernel_runs(name):
    """A folder's name says nothing."""
    assert handler_name(UNRECORDABLE, name) == ""


def test_the_patterns_can_be_others():
    """As they are configured."""
    assert handler_name(["own-*"], "kata", "own-vm") == "own-vm"


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+b1\nspec: 1.0.2-dev\n", "1.1.5+ds1"),
        ("crun version 1.8.1\ncommit: f8a096be\n", "1.8.1"),
        ("youki version 0.3.2\n", "0.3.2"),
        ("runsc version release-20240101.0\n", ""),
        ("usage: x\n", ""),
        ("", ""),
    ],
)
def test_versions_in_answers(answer, version):
    """As the programs print them; another form is no version."""
    assert version_in(answer) == version


@pytest.mark.root
@pytest.mark.parametrize("name", ["runc", "crun"])
def test_the_version_of_an_installed_runtime(name):
    """Of the program, by path and by name, as the package manager knows it."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed (make setup)")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    versions = RuntimeVersions()
    for asked in (program, name):
        found = asyncio.run(versions.version(os.getpid(), asked))
        assert found
        assert f"{name} version {found}\n" in said


@pytest.mark.root
def test_only_programs_of_root_are_run(tmp_path):
    """Never one that somebody else may write; a program that answers nothing, or never, has no version."""
    program = tmp_path / "runtime"
    program.write_text("#!/bin/sh\ntouch $0.ran\necho 'runtime version 1.0'\n")
    versions = RuntimeVersions()

    def version(mode, owner=0):
        program.chmod(mode)
        os.chown(program, owner, 0)
        return asyncio.run(versions.version(os.getpid(), str(program)))

    assert version(0o777) == version(0o775) == version(0o755, owner=65534) == ""
    assert not (tmp_path / "runtime.ran").exists()
    assert version(0o755) == "1.0"
    (tmp_path / "runtime.ran").unlink()
    assert version(0o755) == "1.0"
    assert not (tmp_path / "runtime.ran").exists()  # it is known
    program.write_text("#!/bin/sh\necho 'runtime version 2.0'\n")
    assert version(0o755) == "2.0"
    program.write_text("not a program")
    assert version(0o755) == ""
    assert asyncio.run(versions.version(os.getpid(), "/no/such")) == ""
    assert asyncio.run(versions.version(0, str(program))) == ""


def test_who_listens(tmp_path):
    """The kernel tells the pid of the process that listens."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert listener_pid(tmp_path / "s") == os.getpid()
    assert listener_pid(tmp_path / "s") == 0
    assert listener_pid(tmp_path / "none") == 0
