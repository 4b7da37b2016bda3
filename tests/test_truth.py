"""The truths themselves, on this kernel: they agree with known programs' sources, and with each other."""

import os
import signal
import subprocess
import time

import pytest

from recorder.model.abi import Abi
from tests.truth import audit, oci, programs, strace
from tests.truth.calls import Call, safe_calls
from tests.truth.podman import Podman

pytestmark = pytest.mark.root


@pytest.fixture(scope="session", autouse=True)
def _audit_works():
    if reason := audit.why_not():
        pytest.skip(reason)


@pytest.mark.parametrize("name", sorted(set(programs.EXPECTED) - {"untraced"}))
def test_strace_sees_exactly_the_calls_of_a_known_program(name, built_programs, scratch_cgroup):
    truth = strace.run([str(built_programs[name])], scratch_cgroup())
    assert (truth.calls, truth.uncertain) == (programs.EXPECTED[name] | programs.EXEC, frozenset())


@pytest.mark.parametrize("name", sorted(programs.EXPECTED))
def test_the_audit_log_holds_exactly_the_calls_of_a_known_program(name, built_programs, scratch_cgroup):
    truth = audit.run([str(built_programs[name])], scratch_cgroup())
    assert truth.calls == programs.EXPECTED[name] | programs.EXEC


def test_strace_misses_an_untraced_child(built_programs):
    truth = strace.run([str(built_programs["untraced"])])
    missing = programs.EXPECTED["untraced"] - truth.calls
    assert [str(call) for call in missing] == ["getpgrp"]


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386, Abi.X32])
def test_rawsys_makes_every_safe_call_and_returns_from_it(abi, built_programs):
    made = safe_calls(abi)
    words = [str(built_programs["rawsys"]), *map(programs.word, made)]
    expected = programs.rawsys_calls(made) | programs.EXEC
    assert strace.run(words, timeout=30).calls == expected
    assert audit.run(words, timeout=30).calls == expected


def test_numbers_that_no_kernel_has_are_seen_by_both(built_programs):
    words = [str(built_programs["rawsys"]), "-1", "-5", "600", "2147483647", "i:-1", "i:1000"]
    unknown = {-1, -5, 600, 1000, 0x7FFFFFFF}
    assert strace.run(words).unknown == unknown
    # x32's bit is in 0x7fffffff: what the log shows is the number as it was given
    assert audit.run(words).unknown == unknown


def test_status_and_output_are_the_programs(built_programs, scratch_cgroup):
    for run in (strace.run, audit.run):
        truth = run(["sh", "-c", "echo out; exit 7"], scratch_cgroup())
        assert (truth.status, truth.stdout) == (7, b"out\n")
        assert run(["sh", "-c", "kill -9 $$"]).status == 128 + signal.SIGKILL


def test_a_program_that_does_not_end_is_an_error_and_is_killed(scratch_cgroup):
    cgroup = scratch_cgroup()
    with pytest.raises(strace.StraceError, match="did not end"):
        strace.run(["sleep", "60"], cgroup, timeout=0.5)
    with pytest.raises(audit.AuditError, match="did not end"):
        audit.run(["sleep", "60"], cgroup, timeout=0.5)
    deadline = time.monotonic() + 5
    while (cgroup / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (cgroup / "cgroup.procs").read_text() == ""


def test_a_busy_program_overflows_nothing(built_programs, scaled):
    times = f"{scaled(200_000, least=20_000)}x"
    truth = audit.run([str(built_programs["rawsys"]), times, "39", "24"])
    made = [Call(Abi.X86_64, 39), Call(Abi.X86_64, 24)]
    assert truth.calls == programs.rawsys_calls(made) | programs.EXEC


def test_a_child_born_in_a_cgroup_runs_its_program_there(built_programs, scratch_cgroup, tmp_path):
    cgroup = scratch_cgroup()
    root = oci.make_rootfs(tmp_path / "root", {"/signals": built_programs["signals"]})
    words = [str(built_programs["into_cgroup"]), str(cgroup), str(root), "/signals", "100"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (pid,) = map(int, (cgroup / "cgroup.procs").read_text().split())
        assert pid != process.pid
        assert os.readlink(f"/proc/{pid}/exe") == "/signals"
        os.kill(pid, signal.SIGUSR1)
        assert process.stdout.read() == b"signal\ndone\n"
    assert process.returncode == 0


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_a_container_runs_is_entered_paused_and_signalled(
    oci_runtime, no_new_privileges, built_programs, tmp_path
):
    inside = {f"/{name}": built_programs[name] for name in ("five", "signals", "rawsys", "hook")}
    root = oci.make_rootfs(tmp_path / "root", inside)
    hooks = {
        "createContainer": [oci.hook(str(built_programs["hook"]), "39")],
        "startContainer": [oci.hook("/hook", "39")],
    }
    more = {"no_new_privileges": no_new_privileges, "hooks": hooks}
    with oci.Container.prepare(oci_runtime, tmp_path, root, ["/five"], **more) as container:
        assert container.run().good().stdout == ""
    with oci.Container.prepare(oci_runtime, tmp_path, root, ["/signals", "50"], **more) as container:
        container.create()
        assert container.state()["status"] == "created"
        container.start()
        container.wait_for_output("ready")
        assert int((container.cgroup / "cgroup.procs").read_text()) == container.pid()
        assert container.exec("/five").status == 0
        assert container.exec("/rawsys", "?").status == 2
        container.pause()
        assert container.state()["status"] == "paused"
        container.resume()
        container.kill("USR1")
        container.wait()
        assert container.output.read_text().split() == ["ready", "signal", "done"]
    assert not container.cgroup.exists()


def test_podman_runs_a_program_and_enters_a_container(oci_runtime, layout, built_programs, tmp_path):
    inside = {f"/{name}": built_programs[name] for name in ("five", "signals")}
    root = oci.make_rootfs(tmp_path / "root", inside)
    with Podman(oci_runtime, layout) as podman:
        assert podman.run(root, ["/five"]).good().stdout == ""
        podman.run(root, ["/signals", "500"], "--detach", "--name", "it").good()
        assert len(list(podman.cgroup.glob("libpod-*"))) == 1
        podman.call("exec", "it", "/five").good()
    assert not podman.cgroup.exists()
