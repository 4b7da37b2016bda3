"""A process that strace watches from before the recording on: both see the same."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.exactness.same_run import Seen, differences, until_certain, wait_until
from tests.tasks.waiting import SECONDS, Waiting
from tests.truth import strace
from tests.truth.calls import calls

pytestmark = pytest.mark.root

LATE = {"attached_late": 1}
READ = calls(Abi.X86_64, "read")
SHELL = """
cat /etc/hostname | tr a-z A-Z >/dev/null
for i in 1 2 3; do ( ls / >/dev/null; sleep 0.01 & ) done
exec id
"""
# A daemon, threads of an interpreter, and a child that outlives its parent.
PYTHON = """
import os, subprocess, threading
threads = [threading.Thread(target=os.sched_getaffinity, args=(0,)) for _ in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0)
    os.execv("/bin/true", ["true"])
subprocess.run(["/bin/true"], check=True)
"""


@contextlib.contextmanager
def traced(pid, log):
    """strace of a process, from the start of the `with` on; at the end all that it traced has ended."""
    command = [*strace.TRACER, "-o", str(log), "-p", str(pid)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
        status = Path(f"/proc/{pid}/status")
        wait_until(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), f"strace attaches to {pid}")
        yield
        tracer.wait(timeout=SECONDS)


def compare(recorder_cli, gate, words, folder):
    """What the command recorded of the gate that becomes a program, and what strace saw."""
    output, log = folder / "record.json", folder / "log"
    with Waiting(gate, *words) as waiting, traced(waiting.pid, log):
        arguments = ["record", "--pid", str(waiting.pid), "-f", "record", "-o", output]
        with recorder_cli.started(*arguments) as recorder:
            assert b"recording process" in recorder.stderr.readline()
            waiting.release()
            waiting.wait()
            _, said = recorder.communicate(timeout=SECONDS)
            assert recorder.returncode == 0, said
    with log.open(encoding="utf-8", errors="replace") as lines:
        truth = strace.parse(lines)
    return Seen.of(output.read_text()), truth


@pytest.mark.parametrize(
    ("words", "pending"),
    [
        (["/bin/sh", "-c", SHELL], ()),
        ([sys.executable, "-c", PYTHON], ()),
        (["threads", "50", "five"], ("futex", "pause")),
        (["threads32", "50", "five32"], ("i386:futex", "i386:pause")),
    ],
    ids=["shell", "python", "threads", "threads of 32 bit"],
)
def test_a_record_holds_exactly_what_strace_saw(words, pending, built_programs, recorder_cli, tmp_path):
    words = [str(built_programs.get(word, word)) for word in words]

    def once():
        return compare(recorder_cli, built_programs["gate"], words, tmp_path)

    for seen, truth in until_certain(once, pending):
        assert seen.setup == frozenset()
        assert seen.ledger == LATE
        assert differences(Seen(seen.workload, seen.setup), truth) == []


def test_a_signal_ends_the_recording_and_not_the_process(built_programs, recorder_cli, tmp_path):
    output = tmp_path / "names"
    with Waiting(built_programs["gate"]) as waiting:
        arguments = ["record", "--pid", str(waiting.pid), "-f", "names", "-o", output]
        with recorder_cli.started(*arguments) as recorder:
            assert b"recording process" in recorder.stderr.readline()
            recorder.send_signal(signal.SIGINT)
            _, said = recorder.communicate(timeout=SECONDS)
        assert recorder.returncode == 0, said
        assert output.read_text().split() == ["read"]
        assert Path(f"/proc/{waiting.pid}").exists()
