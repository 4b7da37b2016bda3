"""What libseccomp makes of an emitted profile equals what the profile and its annotations say."""

import json

import pytest

from recorder.model.abi import Abi
from recorder.model.record import Phase, Record
from recorder.model.syscall import known_names, syscall_name
from recorder.profiles.always import always
from recorder.profiles.annotations import PREFIX
from recorder.profiles.base import NO_BASE, resolve_base
from recorder.profiles.refusal import ENOSYS, EPERM, MULTIPLEXERS
from recorder.profiles.seccomp import build
from recorder.profiles.seccomp_oci import to_oci
from recorder.profiles.seccomp_yaml import from_yaml, to_yaml
from tests.unit.profiles.cbpf import decode, run
from tests.unit.profiles.libseccomp import (
    ALLOW,
    AUDIT_ARCH,
    KILL,
    X32_BIT,
    compile_oci,
    errno_action,
    name_of,
)
from tests.unit.profiles.records import BOTH, NATIVE, observation, record

LAST = 600
SERVER = "accept4 bind listen socket epoll_wait epoll_ctl read write close clone3 rseq statx futex exit_group"
OLD_32 = "read write close socketcall ipc mmap2 fstat64 set_thread_area exit_group sigreturn"

CASES = {
    "one ABI": (NATIVE, NO_BASE),
    "a server with a base": (record({Abi.X86_64: SERVER}), resolve_base("auto")),
    "two ABIs": (BOTH, resolve_base("runc")),
    "32-bit with direct socket calls": (record({Abi.I386: "socket bind read"}), NO_BASE),
    "32-bit with socketcall": (record({Abi.X86_64: SERVER, Abi.I386: OLD_32}), resolve_base("crun")),
    "x32": (record({Abi.X86_64: "read", Abi.X32: "read execve readv preadv2"}), NO_BASE),
    "32-bit on an unknown machine": (record({Abi.I386: OLD_32}, machine=""), NO_BASE),
    "aarch64": (record({Abi.AARCH64: "read openat"}, machine="aarch64"), resolve_base("runc")),
    "aarch64 and arm": (
        record({Abi.AARCH64: "read", Abi.ARM: "read open socket"}, machine="aarch64"),
        NO_BASE,
    ),
    "nodes of two kinds": (
        Record(
            (
                observation({Abi.X86_64: "read open"}, node="a"),
                observation({Abi.AARCH64: "read openat"}, node="b", machine="aarch64"),
            )
        ),
        resolve_base("auto"),
    ),
}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.replace(" ", "-"))
def case(request):
    seen, base = CASES[request.param]
    profile = build(seen, name="x", base=base)
    return seen, base, profile, decode(compile_oci(to_oci(profile)))


def call(program, abi, number, args=(0,) * 6):
    bit = X32_BIT if abi is Abi.X32 else 0
    return run(program, AUDIT_ARCH[abi], number | bit, args)


def answers(program, abi):
    return {number: call(program, abi, number) for number in range(LAST + 1)}


def test_every_number_of_every_abi_is_answered_as_the_profile_says(case):
    """Allowed if named; else EPERM or ENOSYS by age; the end of the process in an unlisted architecture."""
    _, _, profile, program = case
    old = set(profile.rules[1].names)
    for abi in Abi:
        listed = abi.scmp_arch in profile.architectures
        for number, said in answers(program, abi).items():
            name = syscall_name(abi, number)
            if not listed:
                expected = KILL
            elif name is None or name_of(abi, number) != name:
                expected = errno_action(ENOSYS)
            elif name in profile.allowed:
                expected = ALLOW
            else:
                expected = errno_action(EPERM if name in old else ENOSYS)
            assert said == expected, (abi, number, name)


def test_what_each_abi_may_do_is_what_the_annotation_says(case):
    """The names an ABI needs, and those it has only because another needs them."""
    seen, base, profile, program = case
    if len(profile.abis) == 1:
        (abi,) = profile.abis
        recorded = profile.annotations[f"{PREFIX}/recorded"].replace(f"{abi.label}:", "").split(",")
        said = {abi.label: {*recorded, *always(abi), *base.names}}
        wider = {abi.label: set()}
    else:
        annotation = json.loads(profile.annotations[f"{PREFIX}/abi"])
        said = {label: set(names) for label, names in annotation["names"].items()}
        wider = {label: set(names) for label, names in annotation["wider"].items()}
    for abi in profile.abis:
        names = known_names(abi)
        allowed = {names[number] for number, each in answers(program, abi).items() if each == ALLOW}
        known = {name for number, name in names.items() if name_of(abi, number) == name}
        assert allowed == (said[abi.label] | wider[abi.label]) & known, abi
        assert not said[abi.label] & wider[abi.label]
    for abi, numbers in seen.calls(Phase.WORKLOAD).items():
        assert all(call(program, Abi(abi), number) == ALLOW for number in numbers)


def test_object_allows_and_refuses_the_same(case):
    """Both formats, for each number that has a name; without one the object can only say EPERM."""
    _, _, profile, program = case
    from_object = decode(compile_oci(to_oci(from_yaml(to_yaml(profile)))))
    for abi in Abi:
        theirs = answers(from_object, abi)
        for number, ours in answers(program, abi).items():
            name = syscall_name(abi, number)
            if ours in (ALLOW, KILL):
                assert theirs[number] == ours
            elif name is None or name_of(abi, number) != name:
                assert theirs[number] == errno_action(EPERM)
            elif name in MULTIPLEXERS:
                assert theirs[number] == errno_action(ENOSYS)
            else:
                assert theirs[number] == ours, (abi, name)


@pytest.mark.parametrize("abi", Abi)
def test_libseccomp_gives_no_number_another_name(abi):
    """It may be older and lack names; then a runtime skips them, and the default answers."""
    for number, name in known_names(abi).items():
        assert name_of(abi, number) in (name, None)


@pytest.mark.parametrize("form", ["oci", "object"])
def test_socketcall_is_shut_though_its_parts_are_allowed(form):
    """libseccomp alone would let a 32-bit program make any allowed socket call by socketcall."""
    profile = build(record({Abi.X86_64: "socket bind", Abi.I386: "socket"}), name="x", base=NO_BASE)
    if form == "object":
        profile = from_yaml(to_yaml(profile))
    program = decode(compile_oci(to_oci(profile)))
    assert call(program, Abi.I386, 359) == ALLOW
    for part in range(25):
        refused = errno_action(EPERM if form == "oci" else ENOSYS)
        assert call(program, Abi.I386, 102, (part, 0, 0, 0, 0, 0)) == refused


@pytest.mark.parametrize("form", ["oci", "object"])
def test_recorded_socketcall_stays_open_for_every_part(form):
    """The recorder sees the number, not which part was called."""
    profile = build(record({Abi.I386: "socketcall"}), name="x", base=NO_BASE)
    if form == "object":
        profile = from_yaml(to_yaml(profile))
    program = decode(compile_oci(to_oci(profile)))
    assert all(call(program, Abi.I386, 102, (part, 0, 0, 0, 0, 0)) == ALLOW for part in range(25))


def test_name_that_a_person_adds_to_the_allowed_ones_is_allowed():
    """Though the rule that refuses it still has it: the first rule decides."""
    profile = json.loads(to_oci(build(NATIVE, name="x", base=NO_BASE)))
    assert "mount" in profile["syscalls"][1]["names"]
    profile["syscalls"][0]["names"].append("mount")
    assert call(decode(compile_oci(json.dumps(profile))), Abi.X86_64, 165) == ALLOW
