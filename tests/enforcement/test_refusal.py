"""A call outside the profile is refused with the documented errno, in real containers of both runtimes.

`errnos` prints what each call returned. What is expected is Linux's own history: system calls
of x86_64 and i386 have numbers in the order in which they came, and process_vm_writev was the last of 3.2.
"""

import errno
import json
import signal

import pytest
import yaml

from recorder.model.abi import Abi
from recorder.profiles.seccomp_yaml import from_yaml
from tests.enforcement.emitted import allowed
from tests.truth.calls import call_name, call_number

pytestmark = pytest.mark.root

LAST_OLD = {Abi.X86_64: 311, Abi.I386: 348}  # arch/x86/entry/syscalls of Linux 3.2: process_vm_writev
HOLES = {Abi.X86_64: frozenset[int](), Abi.I386: frozenset((222, 223, 251, 285))}  # never used: never had
# uretprobe (since Linux 6.14) and uprobe pass every filter unseen, and end a program that
# calls them by itself with SIGILL (kernel/seccomp.c, seccomp_is_const_allow and __secure_computing)
UNFILTERED = {Abi.X86_64: frozenset((335, 336)), Abi.I386: frozenset[int]()}
BEYOND = 1000  # a number that nobody has named yet
KILLED = 128 + signal.SIGSYS


@pytest.fixture(scope="module")
def profiles(trials):
    """The profile of `errnos` that makes no call but write, in both formats; the object as an OCI object."""
    program = str(trials.stage.programs["errnos"])
    spec = yaml.safe_load(trials.recorder.emit_command([program], "seccomp"))["spec"]
    # as the kubelet's operator writes it for a runtime: the fields have the same names
    as_oci = {key: spec[key] for key in ("defaultAction", "architectures", "syscalls")}
    return {"oci": json.loads(trials.recorder.emit_command([program])), "object": as_oci}


def ask(stage, runtime, command, profile, *, no_new_privileges=False):
    """Make the calls that are the arguments of `errnos`; the status, argument -> result, and stderr."""
    result = stage.run(runtime, command, profile, no_new_privileges)
    answers = dict(line.split() for line in result.stdout.decode().splitlines())
    return result.status, {word: -int(answer) for word, answer in answers.items()}, result.stderr


def outside(profile, abi, limit):
    """The numbers of an ABI that the profile does not allow, and that a filter sees."""
    inside = {call_number(abi, name) for name in allowed(profile)} | UNFILTERED[abi]
    return [number for number in (*range(limit), BEYOND) if number not in inside]


def greatest_known(profile, abi):
    """The greatest number that the runtime's libseccomp finds in the profile."""
    names = {name for rule in profile["syscalls"] for name in rule["names"]}
    return max(number for name in names if (number := call_number(abi, name)) is not None)


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("form", ["oci", "object"])
def test_every_call_outside_is_refused_with_the_documented_errno(
    form, no_new_privileges, oci_runtime, profiles, trials
):
    """EPERM for what Linux 3.2 had; ENOSYS for what is newer, as far as the format can say it."""
    profile = profiles[form]
    numbers = outside(profile, Abi.X86_64, 512)
    command = ["errnos", *map(str, numbers)]
    status, answers, errors = ask(
        trials.stage, oci_runtime, command, profile, no_new_privileges=no_new_privileges
    )
    assert (status, len(answers)) == (0, len(numbers)), errors

    def expected(number):
        if number <= LAST_OLD[Abi.X86_64]:
            return errno.EPERM
        if form == "oci" or call_name(Abi.X86_64, number):
            return errno.ENOSYS
        # an object has no field for the default's errno: numbers without a name stay at EPERM, but
        # runc answers ENOSYS beyond the greatest number of the profile
        beyond = number > greatest_known(profile, Abi.X86_64)
        return errno.ENOSYS if oci_runtime == "runc" and beyond else errno.EPERM

    wrong = {number: answers[str(number)] for number in numbers if answers[str(number)] != expected(number)}
    assert not wrong


def test_both_formats_allow_the_same_and_the_object_is_read_back_as_it_was_written(profiles, trials):
    """By a plain YAML reader, and by the recorder's own."""
    assert allowed(profiles["object"]) == allowed(profiles["oci"])
    assert profiles["object"]["architectures"] == profiles["oci"]["architectures"] == ["SCMP_ARCH_X86_64"]
    text = trials.recorder.emit_command([str(trials.stage.programs["errnos"])], "seccomp")
    assert from_yaml(text).allowed == allowed(yaml.safe_load(text)["spec"]) == allowed(profiles["oci"])


@pytest.mark.parametrize("word", ["i:20", "x:39"])
def test_a_call_of_another_abi_ends_a_program_whose_profile_lacks_it(word, oci_runtime, profiles, trials):
    """By int $0x80, and with the bit of x32: also getpid is refused, with SIGSYS."""
    status, answers, errors = ask(trials.stage, oci_runtime, ["errnos", "39", word, "39"], profiles["oci"])
    assert (status, answers) == (KILLED, {"39": errno.EPERM}), errors


def test_without_a_profile_the_calls_answer_otherwise(trials, oci_runtime):
    """So that the errnos above are the filter's: what is refused is answered by the kernel."""
    getpid, close, statx = (call_number(Abi.X86_64, name) for name in ("getpid", "close", "statx"))
    status, answers, _ = ask(trials.stage, oci_runtime, ["errnos", *map(str, (getpid, close, statx))], None)
    assert status == 0
    assert answers == {str(getpid): -1, str(close): errno.EBADF, str(statx): errno.EINVAL}
