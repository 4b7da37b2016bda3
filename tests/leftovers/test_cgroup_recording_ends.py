"""After `record --cgroup` nothing is left but the cgroup, which is not the recorder's."""

import signal

import pytest

from tests.kernel_objects import left_of
from tests.leftovers.remains import NOTES, objects_of
from tests.member import Guest

pytestmark = pytest.mark.root


@pytest.fixture
def recording(recorder_cli, scratch_cgroup, tmp_path):
    """A cgroup with a task, a recorder of it, and what that holds in the kernel."""
    cgroup = scratch_cgroup()
    result = tmp_path / "result"
    with Guest(cgroup), recorder_cli.started("record", "-o", result, "--cgroup", cgroup) as recorder:
        assert b"recording" in recorder.stderr.readline()
        yield recorder, cgroup, objects_of(recorder.pid)
        assert (cgroup / "cgroup.procs").read_text().split(), "the task of the cgroup was touched"
        assert not list(NOTES.glob(f"recorder-{recorder.pid}-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(number, recording, tmp_path):
    recorder, _, objects = recording
    recorder.send_signal(number)
    assert recorder.wait(timeout=30) == 0
    assert (tmp_path / "result").exists()
    assert left_of(objects) == frozenset()


def test_a_kill(recording, tmp_path):
    recorder, _, objects = recording
    recorder.kill()
    recorder.wait(timeout=30)
    assert not (tmp_path / "result").exists()
    assert left_of(objects) == frozenset()


def test_the_end_of_the_cgroup(recorder_cli, scratch_cgroup, tmp_path):
    cgroup = scratch_cgroup()
    with recorder_cli.started(
        "record", "-f", "record", "-o", tmp_path / "result", "--cgroup", cgroup
    ) as recorder:
        assert b"recording" in recorder.stderr.readline()
        objects = objects_of(recorder.pid)
        cgroup.rmdir()
        assert recorder.wait(timeout=30) == 0
        assert left_of(objects) == frozenset()
