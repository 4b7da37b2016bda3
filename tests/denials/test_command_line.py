"""`recorder record --kind`: what is attached, what the record and the profile say."""

import json
import os
import subprocess

import pytest
import yaml

from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.denials.filtered import number
from tests.kernel_objects import held_by

pytestmark = pytest.mark.root


@pytest.fixture
def words(built_programs):
    """A command that mkdir is denied to."""
    return ["--", built_programs["filtered"], f"{number('mkdir')}=errno:1", "--", str(number("mkdir"))]


def test_a_denied_call_is_told_and_not_allowed(recorder_cli, words, tmp_path):
    """In the summary and in two annotations; the profile does not have it."""
    done = recorder_cli.run("record", "--kind", "denials", "-o", tmp_path / "profile", *words)
    assert done.returncode == 0, done.stderr
    assert b"recorder: denied: 1 (x86_64), not in the result: mkdir\n" in done.stderr
    profile = yaml.safe_load((tmp_path / "profile").read_text())
    marks = profile["metadata"]["annotations"]
    assert marks["recorder.x-k8s.io/denied"] == "mkdir"
    assert marks["recorder.x-k8s.io/kinds"] == "syscalls,denials"
    names = {name for rule in profile["spec"]["syscalls"] for name in rule["names"]}
    assert "mkdir" not in names
    assert "seccomp" in names


def test_the_record_has_it_with_its_first_sight(recorder_cli, words, tmp_path):
    """Decoded by the format's description; a profile of the record says the same."""
    file = tmp_path / "record"
    done = recorder_cli.run(
        "record", "--kind", "syscalls", "--kind", "denials", "-f", "record", "-o", file, *words
    )
    assert done.returncode == 0, done.stderr
    (seen,) = json.loads(file.read_text())["observations"]
    assert seen["provenance"]["kinds"] == "syscalls,denials"
    (denied,) = (each for each in seen["calls"] if each["outcome"] == "OUTCOME_DENIED")
    assert (denied["abi"], denied["phase"]) == ("ABI_X86_64", "PHASE_WORKLOAD")
    (sight,) = (each for each in seen["firstSights"] if each["outcome"] == "OUTCOME_DENIED")
    assert sight["number"] == number("mkdir")
    made = recorder_cli.run("profile", file)
    assert b"recorder.x-k8s.io/denied: mkdir" in made.stdout


def test_none_was_denied(recorder_cli, tmp_path):
    """That they were looked for is said all the same."""
    done = recorder_cli.run("record", "--kind", "denials", "-o", tmp_path / "profile", "--", "true")
    assert b"recorder: denied: 0\n" in done.stderr
    marks = yaml.safe_load((tmp_path / "profile").read_text())["metadata"]["annotations"]
    assert marks["recorder.x-k8s.io/kinds"] == "syscalls,denials"
    assert "recorder.x-k8s.io/denied" not in marks


def test_by_default_nothing_is_said_of_denied_calls(recorder_cli, words, tmp_path):
    """Nobody looked."""
    for kinds in ((), ("--kind", "syscalls")):
        done = recorder_cli.run("record", *kinds, "-f", "record", "-o", tmp_path / "record", *words)
        assert done.returncode == 0, done.stderr
        assert b"denied" not in done.stderr
        assert b"DENIED" not in (tmp_path / "record").read_bytes()


def test_loader_bcc_is_refused(recorder_cli, words):
    done = recorder_cli.run("record", "--kind", "denials", "--loader", "bcc", *words)
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1] == (
        b"recorder: USAGE: --loader bcc is not for --kind denials: denied calls are found by libbpf alone"
    )


@pytest.mark.parametrize("denials", [False, True])
def test_the_program_at_sys_exit_is_loaded_for_denied_calls_alone(scratch_cgroup, denials):
    """The kernel's own list of what this process holds, while something is recorded."""
    before = held_by(os.getpid())
    backend = LibbpfBackend(syscalls_spec(Bounds(denials=denials)))
    try:
        target = backend.add(scratch_cgroup().stat().st_ino, SlotMode.MODE_EXEC)
        held = held_by(os.getpid()) - before
        shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout
        programs = {each.id for each in held if each.kind == "prog"}
        names = {each["name"] for each in json.loads(shown) if each["id"] in programs}
        links = sum(each.kind == "link" for each in held)
        backend.drop(target)
        backend.release(target)
    finally:
        backend.close()
    assert any(name.startswith("on_sys_enter") for name in names)
    assert any(name.startswith("on_sys_exit") for name in names) == denials
    assert links == (8 if denials else 7)
