"""32-bit programs in containers: under their own profiles they run, under a 64-bit one they do not."""

import errno
import json
import signal

import pytest

from recorder.model.abi import Abi
from tests.enforcement.emitted import allowed
from tests.enforcement.test_refusal import HOLES, LAST_OLD, ask, outside
from tests.enforcement.workload import PROGRAMS
from tests.truth.calls import call_name, call_number

pytestmark = pytest.mark.root

BOTH = ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_a_32_bit_program_needs_the_profile_that_was_recorded_of_it(oci_runtime, no_new_privileges, trials):
    """The runtime starts it by calls of its own ABI, so both are listed."""
    own, other = trials.program_profile("five32"), trials.program_profile("five")
    assert own["architectures"] == BOTH
    assert other["architectures"] == ["SCMP_ARCH_X86_64"]
    # the names are the same, so it is the architecture that decides
    assert allowed(own) - {"sigreturn", "clock_gettime64", "clock_getres_time64"} == allowed(other)
    result = trials.stage.run(oci_runtime, ["five32"], own, no_new_privileges)
    assert result.status == 0, result
    assert trials.stage.run(oci_runtime, ["five32"], other, no_new_privileges).status == 128 + signal.SIGSYS
    assert trials.stage.run(oci_runtime, ["five"], other, no_new_privileges).status == 0


def test_threads_locks_forks_and_execs_of_32_bit_code_with_a_c_library(oci_runtime, trials):
    """`threads` as 32-bit code, under a profile recorded of it."""
    programs = trials.stage.programs
    command = [str(programs["threads32"]), "20", str(programs["five32"])]
    profile = json.loads(trials.recorder.emit_command(command))
    words = ["threads32", "20", f"{PROGRAMS}/five32"]
    result = trials.stage.run(oci_runtime, words, profile, True)
    assert result == trials.stage.run(oci_runtime, words, None, True)
    assert result.status == 0, result


def test_64_bit_code_that_uses_int_80_needs_both_architectures(oci_runtime, trials):
    """Its process is 64-bit from the beginning to the end."""
    profile = trials.program_profile("int80")
    assert profile["architectures"] == BOTH
    assert trials.stage.run(oci_runtime, ["int80"], profile, True).status == 0
    only = {**profile, "architectures": ["SCMP_ARCH_X86_64"]}
    assert trials.stage.run(oci_runtime, ["int80"], only, True).status == 128 + signal.SIGSYS


def test_a_32_bit_call_outside_is_refused_with_the_documented_errno(oci_runtime, trials):
    """EPERM if Linux 3.2 had the call in either ABI of the profile, else ENOSYS."""
    profile = trials.program_profile("errnos32")
    numbers = outside(profile, Abi.I386, 512)
    status, answers, errors = ask(trials.stage, oci_runtime, ["errnos32", *map(str, numbers)], profile)
    assert (status, len(answers)) == (0, len(numbers)), errors

    def is_old(number):
        name = call_name(Abi.I386, number)
        native = call_number(Abi.X86_64, name) if name else None
        if number in HOLES[Abi.I386]:
            return False
        return number <= LAST_OLD[Abi.I386] or (native is not None and native <= LAST_OLD[Abi.X86_64])

    expected = {str(number): errno.EPERM if is_old(number) else errno.ENOSYS for number in numbers}
    assert {word: answer for word, answer in answers.items() if answer != expected[word]} == {}
