"""From a record to a profile: what is in it, what never is, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.abi import Abi
from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.record import Phase, Record
from recorder.model.syscall import syscall_name
from recorder.profiles.always import always
from recorder.profiles.base import NO_BASE, Base, resolve_base
from recorder.profiles.refusal import ENOSYS, EPERM
from recorder.profiles.seccomp import Rule, SeccompProfile, build, check
from recorder.profiles.seccomp_oci import to_oci
from recorder.profiles.seccomp_yaml import to_yaml
from tests.unit.model.strategies import records
from tests.unit.profiles.records import BOTH, NATIVE, observation, record


def test_allows_the_record_the_always_set_and_the_base():
    """One list of allowed names, sorted, and first."""
    profile = build(NATIVE, name="x", base=resolve_base("crun"))
    recorded = {"read", "write", "execve", "exit_group", "mmap", "openat"}
    names = recorded | always(Abi.X86_64) | resolve_base("crun").names
    assert profile.rules[0] == Rule(tuple(sorted(names)), "SCMP_ACT_ALLOW")
    assert [rule.action for rule in profile.rules].count("SCMP_ACT_ALLOW") == 1


def test_what_is_refused_says_eperm_if_old_and_enosys_if_new():
    """Old calls by a rule, all others (also those that have no name yet) by the default."""
    profile = build(NATIVE, name="x", base=NO_BASE)
    assert (profile.default_action, profile.default_errno) == ("SCMP_ACT_ERRNO", ENOSYS)
    (refused,) = profile.rules[1:]
    assert (refused.action, refused.errno) == ("SCMP_ACT_ERRNO", EPERM)
    assert {"mount", "ptrace"} <= set(refused.names)
    assert not {"clone3", "statx"} & set(refused.names)
    assert not profile.allowed & set(refused.names)


def test_what_was_lost_of_accesses_is_no_loss_of_calls():
    """They may have been asked for by somebody else, who records the same container."""
    seen = observation({Abi.X86_64: "read"})
    lost = Ledger({"accesses_late": 1, "program_missed": 2})
    text = to_yaml(build(Record((replace(seen, ledger=lost),)), name="n", base=NO_BASE))
    assert "recorder.x-k8s.io/verdict: 'lossy: program_missed 2'" in text


def test_denied_and_set_up_calls_never_enter():
    """Only what was done, and in the workload."""
    seen = record({Abi.X86_64: "read"}, setup={Abi.X86_64: "mount"}, denied={Abi.X86_64: "ptrace"})
    assert not {"mount", "ptrace"} & build(seen, name="x", base=NO_BASE).allowed


def test_architectures_are_those_seen():
    """A call of an unlisted architecture ends the process."""
    assert build(NATIVE, name="x", base=NO_BASE).architectures == ("SCMP_ARCH_X86_64",)
    assert build(BOTH, name="x", base=NO_BASE).architectures == ("SCMP_ARCH_X86", "SCMP_ARCH_X86_64")


def test_native_architecture_is_listed_for_the_runtime():
    """A 32-bit workload is started by a 64-bit runtime, under the filter already."""
    profile = build(record({Abi.I386: "read"}), name="x", base=NO_BASE)
    assert profile.architectures == ("SCMP_ARCH_X86", "SCMP_ARCH_X86_64")


def test_unknown_machine_adds_no_architecture():
    """No guess; the base is then in the list all the same."""
    profile = build(record({Abi.I386: "read"}, machine=""), name="x", base=resolve_base("crun"))
    assert profile.architectures == ("SCMP_ARCH_X86",)
    assert "execve" in profile.allowed


def test_number_without_a_name_is_left_out_and_the_rest_stays():
    """A profile can only name calls; the annotations tell of the loss."""
    profile = build(record({Abi.X86_64: "read #400"}), name="x", base=NO_BASE)
    assert profile.allowed == {"read"} | always(Abi.X86_64)


def test_state_and_labels():
    """A caller may emit a profile that is not yet to be installed."""
    profile = build(NATIVE, name="x", base=NO_BASE, enabled=False, labels={"b": "1", "a": "2"})
    assert profile.state == "Disabled"
    assert list(profile.labels) == ["a", "b"]
    assert build(NATIVE, name="x", base=NO_BASE).state == "Enabled"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Record(), "has no call of the workload; record again"),
        (record(denied={Abi.X86_64: "read"}), "has no call of the workload"),
        (record(setup={Abi.X86_64: "read"}), "only set-up was seen"),
        (record({Abi.X86_64: "#400 #401"}), r"no architecture.*x86_64:#400, x86_64:#401"),
    ],
)
def test_refuses_a_profile_that_allows_nothing(seen, reason):
    """Though the always set and the base alone are not empty."""
    with pytest.raises(InvalidProfile, match=reason):
        build(seen, name="x", base=resolve_base("runc"))


def test_refuses_an_unknown_name_in_a_base():
    """A runtime would skip it in silence."""
    with pytest.raises(InvalidProfile, match=r"base own has names.*clon3"):
        build(NATIVE, name="x", base=Base("own", frozenset(["read", "clon3"])))


@pytest.mark.parametrize("name", ["", "A", "a_b", "x" * 254])
def test_refuses_a_name_that_no_object_can_have(name):
    """The API server would refuse the whole object."""
    with pytest.raises(InvalidProfile, match="cannot name a profile"):
        build(NATIVE, name=name, base=NO_BASE)


def edited(**values):
    return SeccompProfile(
        **{
            "name": "mine",
            "default_action": "SCMP_ACT_ERRNO",
            "architectures": ("SCMP_ARCH_X86_64",),
            "rules": (Rule(("read",), "SCMP_ACT_ALLOW"),),
            **values,
        }
    )


def test_check_accepts_what_can_work():
    """An edited profile, and one that only logs."""
    check(edited())
    check(edited(rules=(), default_action="SCMP_ACT_LOG"))
    check(edited(rules=(), base_profile="runtime"))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"architectures": ()}, "mine lists no architecture"),
        ({"rules": ()}, "mine allows nothing"),
        ({"rules": (Rule(("read",), "SCMP_ACT_ERRNO"),)}, "mine allows nothing"),
        ({"rules": (Rule(("clon3",), "SCMP_ACT_ALLOW"),)}, r"clon3 \(did you mean clone3\?\)"),
        ({"rules": (Rule(("%%%",), "SCMP_ACT_ALLOW"),)}, "%%%"),
    ],
)
def test_check_refuses_what_cannot_work(values, reason):
    """With the reason, and for a mistyped name the likely one."""
    with pytest.raises(InvalidProfile, match=reason):
        check(edited(**values))


def test_check_does_not_judge_names_of_architectures_without_a_table():
    """s390x has calls of its own that no table here has."""
    rules = (Rule(("s390_pci_mmio_read",), "SCMP_ACT_ALLOW"),)
    check(edited(architectures=("SCMP_ARCH_S390X",), rules=rules))
    with pytest.raises(InvalidProfile, match="s390_pci_mmio_read"):
        check(edited(rules=rules))


def rendered(seen):
    try:
        profile = build(seen, name="x", base=resolve_base("auto"))
    except InvalidProfile as error:
        return str(error)
    return to_yaml(profile) + to_oci(profile)


@given(records, st.randoms(use_true_random=False))
def test_same_record_same_bytes(seen, random):
    """However the observations and their sets were ordered when they arrived."""
    shuffled = []
    for each in seen.observations:
        calls = list(each.calls.items())
        random.shuffle(calls)
        values = {name: getattr(each, name) for name in each.__slots__}
        shuffled.append(type(each)(**{**values, "calls": dict(calls)}))
    random.shuffle(shuffled)
    assert rendered(Record(tuple(shuffled))) == rendered(seen)


@given(records)
def test_every_named_call_is_allowed_in_its_architecture(seen):
    """Whatever was recorded: no named call is left out, no unknown ABI gets an architecture."""
    try:
        profile = build(seen, name="x", base=NO_BASE)
    except InvalidProfile:
        return
    check(profile)
    for abi, numbers in seen.calls(Phase.WORKLOAD).items():
        names = {syscall_name(abi, number) for number in numbers} - {None}
        assert names <= profile.allowed
        assert not names or Abi(abi).scmp_arch in profile.architectures
    assert set(profile.architectures) <= {abi.scmp_arch for abi in Abi}


def test_two_kinds_of_machines_share_one_profile():
    """A deployment on x86-64 and arm64 nodes: both architectures, and the calls of both."""
    a = observation({Abi.X86_64: "read open"}, node="a")
    b = observation({Abi.AARCH64: "read openat"}, node="b", machine="aarch64")
    profile = build(Record((a, b)), name="x", base=NO_BASE)
    assert profile.architectures == ("SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64")
    assert {"open", "openat"} <= profile.allowed
