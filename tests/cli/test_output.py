"""Where a result goes, and what goes beside it."""

import json
import os
import pwd
import shutil
import stat
import subprocess

import pytest
import yaml

from recorder.model.wire import from_json

pytestmark = pytest.mark.root


def test_stdout_holds_the_result_alone(recorder_cli):
    """COMMAND's own stdout goes to stderr then."""
    done = recorder_cli.run("record", "--", "echo", "said by the command")
    profile = yaml.safe_load(done.stdout)
    assert profile["kind"] == "SeccompProfile"
    assert b"said by the command" in done.stderr


def test_with_a_file_stdout_is_the_commands(recorder_cli, tmp_path):
    done = recorder_cli.run("record", "-o", tmp_path / "out", "--", "echo", "said by the command")
    assert done.stdout == b"said by the command\n"


def test_stdin_is_the_commands(recorder_cli, tmp_path):
    done = recorder_cli.run("record", "-o", tmp_path / "out", "--", "cat", stdin=b"given")
    assert done.stdout == b"given"


@pytest.mark.parametrize("output_format", ["seccomp", "oci", "record", "names"])
def test_each_format_is_what_it_says(recorder_cli, output_format):
    """All of one and the same program."""
    done = recorder_cli.run("record", "-f", output_format, "--name", "a-name", "--", "true")
    text = done.stdout.decode()
    if output_format == "seccomp":
        profile = yaml.safe_load(text)
        assert profile["metadata"]["name"] == "a-name"
        assert "execve" in profile["spec"]["syscalls"][0]["names"]
    elif output_format == "oci":
        assert "execve" in json.loads(text)["syscalls"][0]["names"]
    elif output_format == "record":
        (observation,) = from_json(text).observations
        assert observation.identity.name == "a-name"
        assert observation.ended
        assert observation.first_sights
    else:
        lines = text.splitlines()
        assert lines == sorted(lines)
        assert "execve" in lines


def test_the_name_comes_from_the_command(recorder_cli, tmp_path):
    """As a DNS label."""
    program = tmp_path / "Some_Program.2"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    done = recorder_cli.run("record", "--", program)
    assert yaml.safe_load(done.stdout)["metadata"]["name"] == "some-program-2"


def test_a_file_is_replaced_whole_and_keeps_its_mode(recorder_cli, tmp_path):
    out = tmp_path / "out"
    out.write_text("before")
    out.chmod(0o640)
    recorder_cli.run("record", "-f", "names", "-o", out, "--", "true")
    assert "execve" in out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out"]


def test_a_failed_recording_leaves_the_old_result(recorder_cli, tmp_path):
    out = tmp_path / "out"
    out.write_text("before")
    assert recorder_cli.run("record", "-o", out, "--", "no-such-command").returncode == 127
    assert out.read_text() == "before"
    assert os.listdir(tmp_path) == ["out"]


def test_a_pipe_is_written_through(recorder_cli, tmp_path):
    """A name that is no ordinary file is not replaced by one."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        recorder_cli.run("record", "-f", "names", "-o", fifo, "--", "true")
        assert b"execve" in reader.communicate(timeout=30)[0]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_the_summary_says_what_was_seen_added_and_where_it_is(recorder_cli, tmp_path):
    done = recorder_cli.run("record", "--base", "crun", "-o", tmp_path / "out", "--", "true")
    text = done.stderr.decode()
    for part in ("calls: workload", "set-up", "the kernel's own calls", "base crun", "verdict: complete"):
        assert part in text
    assert f"result: {tmp_path / 'out'}" in text


def test_the_user_is_the_one_that_was_asked_for(recorder_cli, tmp_path):
    """With the groups and the home that belong to it."""
    done = recorder_cli.run(
        "record", "-o", tmp_path / "out", "--user", "nobody", "--", "sh", "-c", "id -un; id -Gn; echo $HOME"
    )
    assert done.stdout.decode().split() == ["nobody", "nogroup", pwd.getpwnam("nobody").pw_dir]


def test_under_sudo_the_user_is_the_caller(recorder_cli, tmp_path):
    """sudo says who it is in SUDO_UID."""
    nobody = pwd.getpwnam("nobody")
    environment = {"SUDO_UID": str(nobody.pw_uid), "SUDO_GID": str(nobody.pw_gid)}
    done = recorder_cli.run("record", "-o", tmp_path / "out", "--", "id", "-un", env=environment)
    assert done.stdout == b"nobody\n"
    done = recorder_cli.run(
        "record", "-o", tmp_path / "out", "--user", "root", "--", "id", "-un", env=environment
    )
    assert done.stdout == b"root\n"


def test_what_the_recorder_does_to_start_a_command_is_not_in_the_result(
    recorder_cli, built_programs, open_folder
):
    """Joining, dropping to a user, redirecting: set-up. The exec that starts it: workload."""
    five = shutil.copy(built_programs["five"], open_folder)
    done = recorder_cli.run("record", "-f", "names", "--user", "nobody", "--", five)
    assert done.stdout.decode().split() == sorted(
        ["execve", "exit_group", "getpid", "getppid", "getuid", "sched_yield"]
    )
