"""`recorder record`'s exit status and its last line on stderr."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode().strip().splitlines()[-1]


@pytest.mark.parametrize("status", [0, 1, 7, 125, 255])
def test_the_status_is_the_commands_own(recorder_cli, tmp_path, status):
    """Also one that the recorder itself uses."""
    done = recorder_cli.run("record", "-o", tmp_path / "out", "--", "sh", "-c", f"exit {status}")
    assert done.returncode == status, done.stderr
    assert b"kind: SeccompProfile" in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_128_and_the_number_if_a_signal_ended_it(recorder_cli, tmp_path, number):
    done = recorder_cli.run("record", "-o", tmp_path / "out", "--", "sh", "-c", f"kill -{int(number)} $$")
    assert done.returncode == 128 + number


def test_127_if_the_command_is_not_found(recorder_cli):
    done = recorder_cli.run("record", "--", "no-such-command-of-anybody")
    assert done.returncode == 127
    assert last_line(done).startswith("recorder: COMMAND_NOT_FOUND: no-such-command-of-anybody")


@pytest.mark.parametrize("what", ["a file that may not be executed", "a folder"])
def test_126_if_it_cannot_be_run(recorder_cli, tmp_path, what):
    target = tmp_path / "target"
    target.mkdir() if what == "a folder" else target.write_text("not a program")
    done = recorder_cli.run("record", "--", target)
    assert done.returncode == 126
    assert last_line(done).startswith("recorder: COMMAND_NOT_EXECUTABLE: ")


def test_a_script_without_an_interpreter_line_is_the_shells(recorder_cli, tmp_path):
    """As env(1) does it."""
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 9\n')
    script.chmod(0o755)
    done = recorder_cli.run("record", "-o", tmp_path / "out", "--", script, "word")
    assert (done.returncode, done.stdout) == (9, b"word\n")


WRONG = {
    "neither": ([], "USAGE", "give either --cgroup PATH, --pid PID or -- COMMAND"),
    "both": (["--cgroup", "/", "--", "true"], "USAGE", "one of them alone"),
    "format": (["-f", "toml", "--", "true"], "USAGE", "there is no format 'toml'; one of seccomp, oci"),
    "option": (["--nosuch", "--", "true"], "USAGE", "--nosuch"),
    "base": (["--base", "docker", "--", "true"], "USAGE", "no base 'docker'"),
    "user": (["--user", "no-such-user", "--", "true"], "USAGE", "there is no user no-such-user"),
    "name": (["--name", "Not A Name", "--", "true"], "USAGE", "is no object name"),
    "duration": (["--duration", "-1", "--", "true"], "USAGE", "not a number of seconds above 0"),
    "nan": (["--duration", "nan", "--", "true"], "USAGE", "not a number of seconds above 0"),
    "user without command": (["--cgroup", "/", "--user", "root"], "USAGE", "--user is for a COMMAND"),
    "phases": (["--phases", "container", "--", "true"], "USAGE", "not for a COMMAND"),
    "cgroup": (["--cgroup", "/no/such/cgroup"], "CGROUP_NOT_FOUND", "no cgroup /no/such/cgroup"),
    "folder": (["-o", "/no/such/folder/out", "--", "true"], "OUTPUT", "no folder /no/such/folder"),
    "a folder": (["-o", "/tmp", "--", "true"], "OUTPUT", "it is a folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_gets_its_own_message(recorder_cli, case):
    """125, one line that names the thing, no traceback, nothing started."""
    arguments, code, text = WRONG[case]
    done = recorder_cli.run("record", *arguments)
    assert done.returncode == 125
    assert re.fullmatch(rf"recorder: {code}: .*{re.escape(text)}.*", last_line(done)), done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_cgroup_on_v1_is_refused_with_what_is_needed(recorder_cli, layout):
    """Where the machine has one."""
    if not layout.v1:
        done = recorder_cli.run("record", "--cgroup", "/proc")
        assert last_line(done).startswith("recorder: CGROUP_NOT_FOUND: ")
        return
    done = recorder_cli.run("record", "--cgroup", layout.v1[0])
    assert done.returncode == 125
    assert "is on cgroup v1; the recorder needs cgroup v2" in last_line(done)


_AS_NOBODY = """
import os, sys
from recorder.cli.main import main
os.setgid(65534); os.setuid(65534)
sys.exit(main(["record", "--", "true"]))
"""


def test_not_root_is_told_to_use_sudo():
    """Privileges go after the imports: the checkout may lie where nobody else can read."""
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY], capture_output=True, check=False, timeout=60)
    assert done.returncode == 125
    assert last_line(done).startswith("recorder: NOT_PERMITTED: recording needs root")


def test_a_result_that_cannot_be_written_wins_over_the_commands_status(recorder_cli, tmp_path):
    """125, and COMMAND's status is named."""
    folder = tmp_path / "folder"
    folder.mkdir()
    done = recorder_cli.run("record", "-o", folder / "out", "--", "sh", "-c", f"rmdir {folder}; exit 3")
    assert done.returncode == 125
    lines = done.stderr.decode().strip().splitlines()
    assert lines[-1].startswith("recorder: OUTPUT: ")
    assert "recorder: COMMAND ended with status 3" in lines


def test_other_commands_have_their_own_statuses(recorder_cli):
    """2 for a usage error; 0 where the answer of `check` is yes."""
    assert recorder_cli.run("no-such-command").returncode == 2
    assert recorder_cli.run().returncode == 2
    assert recorder_cli.run("check", "--nosuch").returncode == 2
    assert recorder_cli.run("check").returncode == 0
    assert recorder_cli.run("--version").stdout.startswith(b"recorder ")


def test_duration_ends_a_command_with_sigterm(recorder_cli, tmp_path):
    """It may end itself in its own way; what it does then is recorded too."""
    script = "trap 'mkdir -p /; exit 5' TERM; while :; do sleep 0.1; done"
    done = recorder_cli.run(
        "record", "-f", "names", "-o", tmp_path / "out", "--duration", "1", "--", "bash", "-c", script
    )
    assert done.returncode == 5
    assert "mkdir" in (tmp_path / "out").read_text().split()


def test_duration_ends_the_recording_of_a_cgroup(recorder_cli, scratch_cgroup, tmp_path):
    done = recorder_cli.run(
        *("record", "-f", "record", "-o", tmp_path / "out", "--duration", "0.5"),
        *("--cgroup", scratch_cgroup()),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_recording_of_a_cgroup_with_its_result(
    recorder_cli, scratch_cgroup, tmp_path, number
):
    """0, and what was seen is written."""
    cgroup = scratch_cgroup()
    with recorder_cli.started("record", "-f", "names", "-o", tmp_path / "out", "--cgroup", cgroup) as running:
        assert b"recording" in running.stderr.readline()
        join = f"echo $$ > {cgroup}/cgroup.procs; exec true"
        subprocess.run(["sh", "-c", join], check=True, timeout=30)
        running.send_signal(number)
        assert running.wait(30) == 0
    assert "execve" in (tmp_path / "out").read_text().split()


def test_a_signal_sent_to_the_recorder_reaches_the_command(recorder_cli, tmp_path):
    """Like timeout(1): COMMAND decides what it means."""
    ready = tmp_path / "ready"
    script = f"trap 'exit 11' USR1; echo > {ready}; while :; do sleep 0.05; done"
    with recorder_cli.started("record", "-o", tmp_path / "out", "--", "bash", "-c", script) as running:
        _wait_for(ready)
        running.send_signal(signal.SIGUSR1)
        assert running.wait(30) == 11


def _wait_for(path: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


def test_processes_that_the_command_leaves_are_recorded_until_they_end(recorder_cli, tmp_path):
    """A daemon's calls are the workload's; the status is COMMAND's."""
    script = "(sleep 0.5; mkdir -p /) & exit 4"
    done = recorder_cli.run("record", "-f", "names", "-o", tmp_path / "out", "--", "sh", "-c", script)
    assert done.returncode == 4
    assert "mkdir" in (tmp_path / "out").read_text().split()
    assert b"run on and are recorded" in done.stderr
