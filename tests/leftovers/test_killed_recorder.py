"""SIGKILL of the recorder: the kernel frees all, COMMAND goes on, and the next run tidies up."""

import os
import signal
import subprocess

import pytest

from tests.kernel_objects import left_of, new_unowned, unowned
from tests.leftovers.remains import NOTES, Watched, until

pytestmark = pytest.mark.root


def has_processes(procs, count):
    """Whether so many processes come to be there: `&` does not wait for its fork."""
    return until(lambda: len(procs.read_text().split()) == count)


def next_run(recorder_cli, tmp_path):
    done = recorder_cli.run("record", "-o", tmp_path / "next", "--", "true")
    assert done.returncode == 0, done.stderr


def test_command_goes_on_and_its_cgroup_stays_until_it_ends(waiting, recorder_cli, tmp_path):
    with waiting() as (recorder, command, remains):
        watched = Watched(command)
        empty = remains.cgroup / "empty"
        empty.mkdir()  # as COMMAND may have made it
        recorder.kill()
        recorder.wait(timeout=30)
        assert left_of(remains.objects) == frozenset()
        next_run(recorder_cli, tmp_path)
        assert empty.is_dir(), "the next run took a cgroup from a COMMAND that runs still"
        recorder.stdin.write(b"still here\n")
        recorder.stdin.flush()
        assert recorder.stdout.readline() == b"still here\n"
        recorder.stdin.close()
        assert watched.gone()
        watched.close()
        next_run(recorder_cli, tmp_path)
        assert remains.left() == []


def test_kill_on_exit_ends_command_and_all_that_it_started(waiting, recorder_cli, tmp_path):
    """Children, a grandchild without a parent, and one with a session of its own."""
    script = "sleep 1000 & (sleep 1000 &) ; setsid sleep 1000 & echo $$; exec cat"
    with waiting("--kill-on-exit", argv=("/bin/sh", "-c", script)) as (recorder, _, remains):
        procs = remains.cgroup / "cgroup.procs"
        assert has_processes(procs, 4)
        everybody = [Watched(int(pid)) for pid in procs.read_text().split()]
        recorder.kill()
        recorder.wait(timeout=30)
        assert all(process.gone() for process in everybody)
        for process in everybody:
            process.close()
        assert left_of(remains.objects) == frozenset()
        next_run(recorder_cli, tmp_path)
        assert remains.left() == []


def test_without_kill_on_exit_nobody_is_killed(waiting, recorder_cli, tmp_path):
    """The same kill, the option not given: all of them live."""
    script = "sleep 1000 & setsid sleep 1000 & echo $$; exec cat"
    with waiting(argv=("/bin/sh", "-c", script)) as (recorder, _, remains):
        procs = remains.cgroup / "cgroup.procs"
        assert has_processes(procs, 3)
        everybody = [Watched(int(pid)) for pid in procs.read_text().split()]
        recorder.kill()
        recorder.wait(timeout=30)
        assert left_of(remains.objects) == frozenset()
        assert not any(process.gone(0) for process in everybody)
        (remains.cgroup / "cgroup.kill").write_text("1")
        assert all(process.gone() for process in everybody)
        for process in everybody:
            process.close()
        next_run(recorder_cli, tmp_path)
        assert remains.left() == []


def test_a_kill_at_any_moment(scaled, recorder_cli, cgroup2, tmp_path):
    """From before the start of Python to after the end of COMMAND: the next run finds what is left."""
    before = unowned()
    kills = scaled(60, least=12)
    pids = []
    for number in range(kills):
        with recorder_cli.started("record", "-o", tmp_path / "result", "--", "sleep", "0.02") as recorder:
            pids.append(recorder.pid)
            try:
                recorder.wait(timeout=0.2 * (number + 1) / kills)
            except subprocess.TimeoutExpired:
                os.kill(recorder.pid, signal.SIGKILL)
            recorder.communicate()
    next_run(recorder_cli, tmp_path)
    left = [
        path
        for pid in pids
        for path in (*NOTES.glob(f"recorder-{pid}-*"), *cgroup2.rglob(f"recorder-{pid}-*"))
    ]
    assert left == []
    assert new_unowned(before) == frozenset()
