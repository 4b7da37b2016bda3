"""One run, recorded by both loaders at once: their records are equal, in both phases and in the ledger."""

import subprocess
import sys

import pytest

from recorder.model.abi import Abi
from tests.truth.calls import calls, safe_calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

JOIN = 'echo 0 >"$0/cgroup.procs"; exec "$@"'


def joined(cgroup, *words):
    """A shell joins and becomes the program."""
    return subprocess.run(["sh", "-c", JOIN, cgroup, *words], check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_programs_whose_calls_are_known(name, pair, scratch_cgroup, built_programs):
    """i386 by its code segment, int $0x80 from 64-bit code by its instruction, x32 by its numbers."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    joined(cgroup, built_programs[name])
    seen = recordings.finish()
    assert seen.workload == EXPECTED[name] | EXEC
    assert seen.ledger == {}


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386, Abi.X32])
def test_all_calls_of_an_abi(abi, pair, scratch_cgroup, built_programs):
    """From 64-bit code: no number is lost, and none becomes another ABI's."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    made = safe_calls(abi)
    joined(cgroup, built_programs["rawsys"], *map(word, made))
    assert recordings.finish().workload == rawsys_calls(made) | EXEC


def test_all_calls_of_a_32_bit_program(pair, scratch_cgroup, built_programs):
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    made = safe_calls(Abi.I386)
    joined(cgroup, built_programs["rawsys32"], *(str(call.number) for call in made))
    assert recordings.finish().workload == frozenset(made) | calls(Abi.I386, "exit_group") | EXEC


def test_numbers_that_no_kernel_has(pair, scratch_cgroup, built_programs):
    """Counted, and never folded onto another number."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    joined(cgroup, built_programs["rawsys"], "-1", "512", "2147483647", "i:512", "x:576")
    seen = recordings.finish()
    assert seen.workload == rawsys_calls([]) | EXEC
    assert seen.ledger == {"unknown_number": 5}


@pytest.mark.parametrize(
    "words",
    [
        ("sh", "-c", "ls -l / | sort | uniq | wc -l; (id -u) & wait"),
        (sys.executable, "-c", "import subprocess, threading; subprocess.run(['true']); print(1)"),
        ("{threads}", "20", "{five}"),
        ("{nested}", "s", "{cgroup}", "{five}"),
        ("{nested}", "u", "{cgroup}", "{five}"),
        ("{nested}", "b", "{cgroup}", "{five}"),
        ("{nested}", "c", "{cgroup}"),
    ],
    ids=[
        "pipelines",
        "python",
        "threads",
        "into a child",
        "after unshare",
        "there and back",
        "a child is moved",
    ],
)
def test_programs_that_do_more(words, pair, scratch_cgroup, built_programs):
    """Processes, threads, cgroups below: whatever they called, both saw the same."""
    cgroup = scratch_cgroup()
    recordings = pair(cgroup)
    places = {name: str(path) for name, path in built_programs.items()}
    joined(cgroup, *(each.format(cgroup=cgroup, **places) for each in words))
    seen = recordings.finish()
    assert seen.workload > EXEC
    assert seen.ledger == {}


def test_recordings_one_after_the_other_are_apart(pair, scratch_cgroup, built_programs):
    """A slot is used again, and holds nothing of what was before."""
    for name in ("five", "int80", "x32call", "five32") * 2:
        cgroup = scratch_cgroup()
        recordings = pair(cgroup)
        joined(cgroup, built_programs[name])
        assert recordings.finish().workload == EXPECTED[name] | EXEC
