"""OCI JSON: written and read."""

import dataclasses
import json

import pytest
from hypothesis import given

from recorder.model.errors import InvalidProfile
from recorder.profiles.base import resolve_base
from recorder.profiles.seccomp import build
from recorder.profiles.seccomp_oci import from_oci, to_oci
from tests.unit.profiles.records import BOTH, NATIVE
from tests.unit.profiles.strategies import profiles


def test_fields_are_those_of_the_runtime_specification():
    """Ready to be `linux.seccomp` of a config.json."""
    written = json.loads(to_oci(build(BOTH, name="x", base=resolve_base("runc"))))
    assert list(written) == ["defaultAction", "defaultErrnoRet", "architectures", "syscalls"]
    assert (written["defaultAction"], written["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert written["architectures"] == ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
    allow, refuse = written["syscalls"]
    assert (list(allow), allow["action"]) == (["names", "action"], "SCMP_ACT_ALLOW")
    assert (refuse["action"], refuse["errnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert allow["names"] == sorted(allow["names"])
    assert refuse["names"] == sorted(refuse["names"])


def test_emitted_profile_reads_back():
    """All that the format can say."""
    profile = build(NATIVE, name="x", base=resolve_base("runc"))
    assert from_oci(to_oci(profile), "x") == dataclasses.replace(profile, annotations={})


@given(profiles)
def test_every_profile_reads_back(profile):
    """Less what only objects have: state, base profile, annotations and labels."""
    bare = dataclasses.replace(profile, base_profile="", state="Enabled", annotations={}, labels={})
    assert from_oci(to_oci(profile), profile.name) == bare
    assert to_oci(profile).isascii()


OK = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}


def rule(**values):
    return OK | {"syscalls": [OK["syscalls"][0] | values]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "the profile: expected an object"),
        ({}, "defaultAction: missing"),
        (OK | {"defaultAction": "ERRNO"}, "defaultAction: 'ERRNO' is none of SCMP_ACT_KILL"),
        (OK | {"defaultErrnoRet": 4096}, "defaultErrnoRet: expected a number from 0 to 4095"),
        (OK | {"defaultErrnoRet": 1.5}, "defaultErrnoRet: expected a number from 0 to 4095, got str '1.5'"),
        (OK | {"architectures": ["x86"]}, "architectures[0]: 'x86' is none of"),
        (OK | {"flags": ["LOG"]}, "flags[0]: 'LOG' is none of"),
        (OK | {"archMap": []}, "archMap: unknown field"),
        (rule(names=[]), "syscalls[0].names: must not be empty"),
        (rule(names=["a", 3]), "syscalls[0].names[1]: expected a string"),
        (rule(action="allow"), "syscalls[0].action: 'allow' is none of"),
        (rule(includes={}), "syscalls[0].includes: unknown field; a template of Docker's"),
        (rule(args=[{"index": 6, "op": "SCMP_CMP_EQ"}]), "syscalls[0].args[0].index: expected a number"),
        (rule(args=[{"index": 0}]), "syscalls[0].args[0].op: missing"),
        (rule(args=[{"index": 0, "op": "SCMP_CMP_EQ", "value": -1}]), "syscalls[0].args[0].value: expected"),
        (rule(args=[{"index": 0, "op": "SCMP_CMP_EQ", "x": 1}]), "syscalls[0].args[0].x: unknown field"),
    ],
)
def test_reading_errors_name_the_field(value, message):
    """A person can find the line."""
    with pytest.raises(InvalidProfile) as error:
        from_oci(json.dumps(value))
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "nul", "[" * 100_000])
def test_what_is_not_json(text):
    """Text that no parser takes is an invalid profile, not a crash."""
    with pytest.raises(InvalidProfile, match="not JSON"):
        from_oci(text)


def test_key_given_twice():
    """Which one counts would depend on the reader."""
    with pytest.raises(InvalidProfile, match="defaultAction: given twice"):
        from_oci('{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_ERRNO"}')
