"""After COMMAND has ended, however it did, nothing of the recording is left."""

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import termios

import pytest

from tests.kernel_objects import new_unowned, unowned
from tests.leftovers.conftest import WAITS
from tests.leftovers.remains import Remains, Watched

pytestmark = pytest.mark.root


def test_a_normal_end(waiting):
    with waiting() as (recorder, _, remains):
        recorder.stdin.close()
        assert recorder.wait(timeout=30) == 0
        assert remains.left() == []


def test_a_failing_command(waiting):
    with waiting(argv=("/bin/sh", "-c", "echo $$; read line; exit 3")) as (recorder, _, remains):
        recorder.stdin.close()
        assert recorder.wait(timeout=30) == 3
        assert remains.left() == []


def test_a_command_that_dies_of_a_signal(waiting):
    with waiting() as (recorder, command, remains):
        os.kill(command, signal.SIGSEGV)
        assert recorder.wait(timeout=30) == 128 + signal.SIGSEGV
        assert remains.left() == []


@pytest.mark.parametrize(("argv", "status"), [(["/does/not/exist"], 127), (["/etc/passwd"], 126)])
def test_a_command_that_does_not_start(argv, status, recorder_cli, tmp_path):
    """Too short to be seen while it runs: nothing new is in the kernel that no process holds."""
    before = unowned()
    done = recorder_cli.run("record", "-o", tmp_path / "result", "--", *argv)
    assert done.returncode == status
    assert new_unowned(before) == frozenset()
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_recorder(number, waiting):
    """It is COMMAND's; the recorder ends after it, with its result."""
    with waiting() as (recorder, _, remains):
        recorder.send_signal(number)
        assert recorder.wait(timeout=30) == 128 + number
        assert remains.left() == []


def test_ctrl_c_on_a_terminal(recorder_cli, cgroup2, tmp_path):
    """The terminal sends SIGINT to the whole foreground group: COMMAND dies of it, the recorder does not."""
    terminal, end = pty.openpty()

    def lead() -> None:
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)

    arguments = [*recorder_cli.words, "record", "-o", tmp_path / "result", "--", *WAITS]
    with subprocess.Popen(
        arguments,
        stdin=end,
        stdout=end,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lead,  # noqa: PLW1509  there is one thread
    ) as recorder:
        os.close(end)
        try:
            command = int(os.read(terminal, 100))
            remains = Remains.of(recorder.pid, command, cgroup2)
            os.write(terminal, b"\x03")
            _, stderr = recorder.communicate(timeout=30)
        finally:
            recorder.kill()
            os.close(terminal)
    assert recorder.returncode == 128 + signal.SIGINT, stderr
    assert (tmp_path / "result").exists()
    assert remains.left() == []


def test_a_result_that_cannot_be_written(recorder_cli, cgroup2, tmp_path):
    """The folder of the result goes while COMMAND runs."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with recorder_cli.started("record", "-o", folder / "result", "--", *WAITS) as recorder:
        remains = Remains.of(recorder.pid, int(recorder.stdout.readline()), cgroup2)
        shutil.rmtree(folder)
        recorder.stdin.close()
        assert recorder.wait(timeout=30) == 125
        assert remains.left() == []


def test_processes_that_outlive_command_keep_their_cgroup_until_the_next_run(waiting, recorder_cli, tmp_path):
    """SIGTERM then ends the recording; what runs on is left alone, with the cgroups that it made."""
    child = 'mkdir "$0/below"; exec sleep 1000 >&- 2>&-'
    argv = ("/bin/sh", "-c", 'echo $$; read path; sh -c "$0" "$path" & echo $!; exit 5', child)
    with waiting(argv=argv) as (recorder, _, remains):
        recorder.stdin.write(bytes(remains.cgroup) + b"\n")
        recorder.stdin.flush()
        sleeper = Watched(int(recorder.stdout.readline()))
        for line in recorder.stderr:
            if b"run on" in line:
                break
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(timeout=30) == 5
        assert set(remains.left()) == {remains.cgroup, remains.note}
    try:
        assert recorder_cli.run("record", "-o", tmp_path / "other", "--", "true").returncode == 0
        assert not sleeper.gone(0)
        assert (remains.cgroup / "below").is_dir()
        assert remains.note.exists()
        os.kill(sleeper.pid, signal.SIGKILL)
        assert sleeper.gone()
        assert recorder_cli.run("record", "-o", tmp_path / "other", "--", "true").returncode == 0
        assert remains.left() == []
    finally:
        sleeper.close()
