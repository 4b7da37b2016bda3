"""The numbers of tracepoints, with and without a mounted tracefs."""

import os
from pathlib import Path

import pytest

from recorder.kernel.tracefs import tracepoint_id
from recorder.model.errors import BpfLoadError

EVENT = "raw_syscalls/sys_enter"


def test_a_mounted_tracefs_is_read(tmp_path):
    event = tmp_path / "events" / EVENT
    event.mkdir(parents=True)
    (event / "id").write_text("4711\n")
    assert tracepoint_id(EVENT, (tmp_path / "missing", tmp_path)) == 4711


@pytest.mark.root
def test_without_a_mount_it_is_read_all_the_same_and_nothing_stays():
    """The kernel's own number: a mount made for comparison shows the same."""
    mounts, open_files = Path("/proc/self/mountinfo").read_text(), os.listdir("/proc/self/fd")
    numbers = {name: tracepoint_id(name, ()) for name in (EVENT, "sched/sched_process_exec")}
    assert len(set(numbers.values())) == 2
    assert numbers == {name: tracepoint_id(name) for name in numbers}
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert len(os.listdir("/proc/self/fd")) == len(open_files)


@pytest.mark.root
def test_an_unknown_event_is_named():
    with pytest.raises(BpfLoadError, match="no/such"):
        tracepoint_id("no/such", ())
