"""`recorder record --pid`: what it refuses, when it ends, and what its record says."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.kernel_objects import held_by, left_of
from tests.tasks.waiting import SECONDS, Waiting

pytestmark = pytest.mark.root


def last_line(done):
    return done.stderr.decode().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--pid", "1", "--", "true"],
            "give either --cgroup PATH, --pid PID or -- COMMAND, one of them alone",
        ),
        (["--pid", "1", "--cgroup", "/"], "one of them alone"),
        (["--pid", "1", "--phases", "container"], "--phases is not for --pid"),
        (["--pid", "1", "--kill-on-exit"], "--kill-on-exit is for a COMMAND"),
        (["--pid", "1", "--user", "nobody"], "--user is for a COMMAND"),
        (["--pid", "0"], "--pid: 0 is no process id"),
        (["--pid", "-5"], "--pid: -5 is no process id"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, words, recorder_cli):
    done = recorder_cli.run("record", *arguments)
    assert done.returncode == 125
    assert last_line(done).startswith("recorder: USAGE: ")
    assert words in last_line(done)


def test_who_is_not_there_is_named(recorder_cli):
    """None, a zombie, and a thread that is no process."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    zombie = recorder_cli.run("record", "--pid", str(pid))
    os.waitpid(pid, 0)
    gone = recorder_cli.run("record", "--pid", str(pid))
    with subprocess.Popen(
        ["python3", "-c", "import threading; threading.Thread(target=input).start(); print(flush=True)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        (thread,) = set(os.listdir(f"/proc/{process.pid}/task")) - {str(process.pid)}
        threads = recorder_cli.run("record", "--pid", thread)
        process.stdin.close()
    assert last_line(zombie).startswith(
        f"recorder: PROCESS_NOT_FOUND: process {pid} has ended: it only waits"
    )
    assert last_line(gone).startswith(f"recorder: PROCESS_NOT_FOUND: there is no process {pid}")
    assert last_line(threads).endswith(
        f"is a thread of process {process.pid}; record the process: --pid {process.pid}"
    )
    assert {zombie.returncode, gone.returncode, threads.returncode} == {125}


def test_who_cannot_be_recorded_is_named(recorder_cli):
    """Those above the recorder, and kernel threads."""
    above = recorder_cli.run("record", "--pid", str(os.getpid()))
    assert last_line(above).startswith(f"recorder: NOT_RECORDABLE: process {os.getpid()} is an ancestor of")
    kernel = recorder_cli.run("record", "--pid", "2")
    if Path("/proc/2/comm").exists() and Path("/proc/2/comm").read_text() == "kthreadd\n":
        assert last_line(kernel) == (
            "recorder: NOT_RECORDABLE: process 2 is a kernel thread: it makes no system calls"
        )
    else:
        assert last_line(kernel).startswith("recorder: PROCESS_NOT_FOUND: there is no process 2")


def test_a_record_says_what_it_is_of(built_programs, recorder_cli):
    """Its name is the program's, its cgroup the one at the beginning, its phases `task`; it is late."""
    with Waiting(built_programs["gate"], built_programs["five"]) as waiting:
        cgroup = _cgroup(waiting.pid)
        with recorder_cli.started("record", "--pid", str(waiting.pid), "-f", "record") as recorder:
            assert recorder.stderr.readline() == (
                f"recorder: recording process {waiting.pid} (gate); Ctrl-C ends it\n".encode()
            )
            waiting.release()
            out, said = recorder.communicate(timeout=SECONDS)
    assert recorder.returncode == 0
    assert b"recorder: verdict: lossy: attached_late 1\n" in said
    (observation,) = json.loads(out)["observations"]
    assert observation["identity"] == {"name": "gate", "cgroupPath": cgroup}
    assert observation["provenance"]["phases"] == "task"
    assert observation["ended"] is True
    assert {each["phase"] for each in observation["calls"]} == {"PHASE_WORKLOAD"}
    assert observation["ledger"] == [{"cause": "attached_late", "count": "1"}]


def _cgroup(pid):
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    raise AssertionError("no cgroup v2")


def test_strict_is_a_failure_for_what_ran_already(built_programs, recorder_cli, tmp_path):
    """The result is written all the same."""
    output = tmp_path / "names"
    with Waiting(built_programs["gate"]) as waiting:
        options = ["--strict", "--duration", "0.1", "-f", "names", "-o", output]
        done = recorder_cli.run("record", "--pid", str(waiting.pid), *options)
    assert done.returncode == 125
    assert last_line(done).startswith("recorder: INCOMPLETE: ")
    assert output.read_text() == "read\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_in_the_kernel(number, built_programs, recorder_cli, tmp_path):
    with (
        Waiting(built_programs["gate"]) as waiting,
        recorder_cli.started("record", "--pid", str(waiting.pid), "-o", tmp_path / "result") as recorder,
    ):
        assert b"recording process" in recorder.stderr.readline()
        objects = held_by(recorder.pid)
        assert sorted(each.kind for each in objects if each.kind != "map") == ["link"] * 3 + ["prog"] * 5
        recorder.send_signal(number)
        recorder.communicate(timeout=SECONDS)
        assert left_of(objects) == frozenset()
        assert Path(f"/proc/{waiting.pid}").exists()


IN_A_NAMESPACE = """
mount -t proc proc /proc
exec 3<&0
"$1" <&3 &
until grep -q "^0 " /proc/$!/syscall; do :; done
shift
exec "$@" --pid $!
"""


def test_a_pid_is_one_of_the_recorders_own_namespace(built_programs, recorder_cli):
    """In a pid namespace with its own /proc, where small numbers are other processes than on the machine."""
    recorder = [*recorder_cli.words, "record", "-f", "names", "--duration", "0.1"]
    namespace = ["unshare", "--pid", "--fork", "--mount", "--kill-child", "sh", "-c", IN_A_NAMESPACE, "sh"]
    with subprocess.Popen(
        [*namespace, str(built_programs["gate"]), *recorder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.wait(timeout=SECONDS)
        said = process.stderr.read()
        assert process.returncode == 0, said
        assert b"recording process 3 (gate)" in said or b"recording process 2 (gate)" in said
        assert process.stdout.read() == b"read\n"
