"""Programs whose calls are known from their source: both entrances give these, and need no observer."""

import subprocess

import pytest

from recorder.model.abi import Abi
from tests.exactness.same_run import JOIN, Seen, differences, recorded, watch
from tests.truth import audit, programs, strace
from tests.truth.calls import Call, calls, safe_calls

pytestmark = pytest.mark.root


def _names(calls):
    return sorted(map(str, calls))


@pytest.mark.parametrize("name", sorted(programs.EXPECTED))
def test_the_names_are_those_of_the_source(name, built_programs, recorder_cli, scaled):
    expected = programs.EXPECTED[name] | programs.EXEC
    for _ in range(scaled(20, least=2)):
        done = recorder_cli.run("record", "-f", "names", "--", built_programs[name])
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode().splitlines() == _names(expected)


@pytest.mark.parametrize("name", sorted(programs.EXPECTED))
def test_a_record_of_a_cgroup_is_that_of_the_source(
    name, built_programs, recorder_cli, scratch_cgroup, tmp_path
):
    expected = programs.EXPECTED[name] | programs.EXEC
    cgroup, output = scratch_cgroup(), tmp_path / "record"
    with recorded(recorder_cli, cgroup, output):
        subprocess.run(["sh", "-c", JOIN, cgroup, built_programs[name]], check=True, timeout=30)
    seen = Seen.of(output.read_text())
    assert (seen.workload, seen.ledger) == (expected, {})


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386, Abi.X32])
def test_more_than_200_calls_of_an_abi_and_none_of_another(
    abi, built_programs, recorder_cli, scratch_cgroup, tmp_path
):
    made = safe_calls(abi)
    words = [str(built_programs["rawsys"]), *map(programs.word, made)]
    seen, truth = watch(recorder_cli, strace.run, words, scratch_cgroup(), tmp_path)
    assert truth.calls == seen.workload == programs.rawsys_calls(made) | programs.EXEC
    assert seen.ledger == {}


def test_a_32_bit_program_makes_its_calls_as_its_own(built_programs, recorder_cli, scratch_cgroup, tmp_path):
    made = safe_calls(Abi.I386)
    words = [str(built_programs["rawsys32"]), *(str(call.number) for call in made)]
    seen, truth = watch(recorder_cli, strace.run, words, scratch_cgroup(), tmp_path)
    expected = frozenset(made) | calls(Abi.I386, "exit_group") | programs.EXEC
    assert truth.calls == seen.workload == expected


def test_numbers_next_to_each_other_and_at_the_edges_are_told_apart(
    built_programs, recorder_cli, scratch_cgroup, tmp_path
):
    """A number at a bitmap's edge gives no neighbour and no other ABI; one without a name is a loss."""
    edges = {
        "511": (Call(Abi.X86_64, 511), {"unnamed_number": 1}),
        "i:0": (Call(Abi.I386, 0), {}),
        "i:511": (Call(Abi.I386, 511), {"unnamed_number": 1}),
        "x:0": (Call(Abi.X32, 0), {}),
        "x:512": (Call(Abi.X32, 512), {}),
        "x:575": (Call(Abi.X32, 575), {"unnamed_number": 1}),
    }
    for word, (call, ledger) in edges.items():
        cgroup, output = scratch_cgroup(), tmp_path / word.replace(":", "")
        with recorded(recorder_cli, cgroup, output):
            subprocess.run(["sh", "-c", JOIN, cgroup, built_programs["rawsys"], word], check=True, timeout=30)
        seen = Seen.of(output.read_text())
        assert (seen.workload, seen.ledger) == (programs.rawsys_calls([call]) | programs.EXEC, ledger)


@pytest.mark.parametrize(
    "word", ["-1", "-4096", "512", "600", "2147483647", "i:-1", "i:512", "i:1000", "x:576", "x:-1"]
)
def test_a_number_that_no_kernel_has_is_noted_and_becomes_no_call(
    word, built_programs, recorder_cli, scratch_cgroup, tmp_path
):
    if reason := audit.why_not():
        pytest.skip(reason)
    words = [str(built_programs["rawsys"]), "3x", word]
    seen, truth = watch(recorder_cli, audit.run, words, scratch_cgroup(), tmp_path)
    assert len(truth.unknown) == 1
    assert differences(seen, truth) == []
    assert seen.ledger == {"unknown_number": 3}
    assert seen.workload == programs.rawsys_calls([]) | programs.EXEC
