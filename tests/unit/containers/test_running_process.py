"""Processes as /proc shows them: found by pid, named, and those that make no sense refused with a reason."""

import os
from pathlib import Path

import pytest

from recorder.containers.running_process import RunningProcess, find_process
from recorder.model.errors import NotRecordable, ProcessNotFound


def make(proc: Path, pid: int, **fields: object) -> Path:
    """A folder of a process; fields are those of /proc/PID/status."""
    folder = proc / str(pid)
    folder.mkdir()
    lines = {"Name": "name", "State": "S (sleeping)", "Tgid": pid, "PPid": 0, "Threads": 1, **fields}
    (folder / "status").write_text("".join(f"{key}:\t{value}\n" for key, value in lines.items()))
    return folder


@pytest.fixture
def proc(tmp_path):
    """A /proc in which this process is a child of 2, and 2 of 1."""
    make(tmp_path, 1)
    make(tmp_path, 2, PPid=1)
    make(tmp_path, os.getpid(), PPid=2)
    return tmp_path


def test_it_has_the_name_of_its_program_and_its_place_on_cgroup_v2(proc):
    folder = make(proc, 77, Name="comm")
    (folder / "exe").symlink_to("/usr/bin/redis server")
    (folder / "cgroup").write_text("5:cpu:/else\n0::/a/b\n")
    assert find_process(77, proc) == RunningProcess(77, "redis server", "/a/b")


def test_a_program_that_was_removed_keeps_its_name(proc):
    (make(proc, 77) / "exe").symlink_to("/tmp/built (deleted)")
    assert find_process(77, proc).name == "built"


def test_without_a_program_or_a_cgroup_there_is_the_comm(proc):
    """A kernel thread has no program; on cgroup v1 alone there is no place."""
    (make(proc, 77, Name="comm") / "cgroup").write_text("1:cpu:/else\n")
    assert find_process(77, proc) == RunningProcess(77, "comm", "")


def test_what_is_not_there_is_not_found(proc):
    with pytest.raises(ProcessNotFound, match="no process 77"):
        find_process(77, proc)


def test_a_thread_leads_to_its_process(proc):
    make(proc, 77, Tgid=70)
    with pytest.raises(ProcessNotFound, match="77 is a thread of process 70; record the process: --pid 70"):
        find_process(77, proc)


@pytest.mark.parametrize("state", ["Z (zombie)", "X (dead)"])
def test_one_that_has_ended_is_not_found(state, proc):
    make(proc, 77, State=state, PPid=2)
    with pytest.raises(ProcessNotFound, match="process 77 has ended: it only waits for process 2"):
        find_process(77, proc)


def test_one_whose_first_thread_has_ended_is_found(proc):
    make(proc, 77, State="Z (zombie)", Threads=2)
    assert find_process(77, proc).pid == 77


@pytest.mark.parametrize(
    ("pid", "who"), [(None, "the recorder itself"), (2, "an ancestor"), (1, "an ancestor")]
)
def test_the_recorder_and_those_above_it_are_refused(pid, who, proc):
    pid = pid or os.getpid()
    with pytest.raises(NotRecordable, match=f"process {pid} is {who}.*start the recorder from elsewhere"):
        find_process(pid, proc)


def test_this_machines_own(proc):
    """The real /proc has what is read here."""
    pid = os.fork()
    if pid == 0:
        os.read(os.pipe()[0], 1)
    try:
        found = find_process(pid)
        assert found.name == os.path.basename(os.readlink(f"/proc/{os.getpid()}/exe"))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
