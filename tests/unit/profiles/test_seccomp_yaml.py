"""SeccompProfile objects: written, read, and as strict as the JSON of the same profile."""

import dataclasses

import pytest
import yaml
from hypothesis import given

from recorder.model.abi import Abi
from recorder.model.errors import InvalidProfile
from recorder.profiles.base import NO_BASE, resolve_base
from recorder.profiles.refusal import EPERM, MULTIPLEXERS, all_names
from recorder.profiles.seccomp import Rule, SeccompProfile, build
from recorder.profiles.seccomp_yaml import from_yaml, object_rules, to_object, to_yaml
from tests.unit.profiles.records import BOTH, NATIVE, record
from tests.unit.profiles.strategies import plain_profiles, profiles


def test_fields_are_those_of_the_api():
    """Cluster-scoped, version v1, and nothing beside it."""
    written = yaml.safe_load(to_yaml(build(BOTH, name="web", base=resolve_base("runc"))))
    assert list(written) == ["apiVersion", "kind", "metadata", "spec"]
    assert written["apiVersion"] == "security-profiles-operator.x-k8s.io/v1"
    assert written["kind"] == "SeccompProfile"
    assert list(written["metadata"]) == ["name", "annotations"]
    assert list(written["spec"]) == ["state", "defaultAction", "architectures", "syscalls"]
    assert (written["spec"]["state"], written["spec"]["defaultAction"]) == ("Enabled", "SCMP_ACT_ERRNO")
    allow, refuse = written["spec"]["syscalls"]
    assert (list(allow), allow["action"]) == (["names", "action"], "SCMP_ACT_ALLOW")
    assert allow["names"] == sorted(allow["names"])
    assert (refuse["action"], refuse["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_newer_calls_are_listed_since_the_default_cannot_say_enosys():
    """clone3 with EPERM ends thread creation; what was recorded is not in the list."""
    rules = object_rules(build(record({Abi.X86_64: "read statx"}), name="x", base=NO_BASE))
    assert [rule.action for rule in rules] == ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]
    assert {"clone3", "faccessat2", "openat2", "rseq"} <= set(rules[1].names)
    assert not {"statx", "read", "mount"} & set(rules[1].names)


def test_multiplexers_are_shut_by_a_rule_of_their_own():
    """libseccomp opens socketcall for the sake of socket, unless a rule says what it returns."""
    shut, opened = (
        object_rules(build(record({Abi.I386: names}), name="x", base=NO_BASE))
        for names in ("socket", "socketcall")
    )
    assert set(shut[1].names) >= MULTIPLEXERS
    assert "socketcall" not in opened[1].names
    native = object_rules(build(NATIVE, name="x", base=NO_BASE))
    assert not set(native[1].names) & MULTIPLEXERS


def answer(default_action, default_errno, rules, name):
    rule = next((rule for rule in rules if name in rule.names), None)
    action, errno = (rule.action, rule.errno) if rule else (default_action, default_errno)
    return (action, (EPERM if errno is None else errno) if action == "SCMP_ACT_ERRNO" else None)


@given(plain_profiles)
def test_object_answers_each_named_call_as_the_profile_does(profile):
    """Only ipc and socketcall differ in errno, for the sake of being shut."""
    rules = object_rules(profile)
    for name in all_names(profile.abis):
        said = answer(profile.default_action, profile.default_errno, profile.rules, name)
        written = answer("SCMP_ACT_ERRNO", None, rules, name)
        if name in MULTIPLEXERS and said == ("SCMP_ACT_ERRNO", EPERM):
            assert written[0] == "SCMP_ACT_ERRNO"
        else:
            assert written == said, name
    assert all(rule.names for rule in rules)


def test_emitted_profile_reads_back():
    """As the object has it: EPERM by default, other answers by rules."""
    profile = build(BOTH, name="x", base=resolve_base("runc"))
    as_object = dataclasses.replace(profile, default_errno=None, rules=object_rules(profile))
    assert from_yaml(to_yaml(profile)) == as_object
    assert to_yaml(from_yaml(to_yaml(profile))) == to_yaml(profile)


@given(profiles)
def test_every_profile_reads_back(profile):
    """Any name, label and annotation, in ASCII."""
    read = from_yaml(to_yaml(profile))
    assert read == dataclasses.replace(profile, default_errno=None, rules=object_rules(profile))
    assert to_yaml(profile).isascii()


@pytest.mark.parametrize(
    "word", ["n", "Y", "on", "no", "1e3", "0o7", "0x1", "null", "~", "", "1_0", ".inf", "-"]
)
def test_words_that_a_reader_could_take_for_something_else_are_quoted(word):
    """YAML 1.1 and 1.2 readers differ in what is a boolean or a number."""
    text = to_yaml(SeccompProfile(word or "x", "SCMP_ACT_LOG", labels={"k": word}))
    assert f"k: '{word}'" in text


def test_aliases_are_not_written():
    """Not every reader of manifests takes them."""
    rules = tuple(Rule(names, "SCMP_ACT_ALLOW") for names in [("read",)] * 2)
    text = to_yaml(SeccompProfile("x", "SCMP_ACT_ERRNO", rules=rules))
    assert "&" not in text
    assert "*" not in text


def test_object_from_an_api_server_is_read():
    """With what the server adds, and the former version of the API."""
    value = to_object(build(NATIVE, name="x", base=NO_BASE))
    value["apiVersion"] = "security-profiles-operator.x-k8s.io/v1beta1"
    value["metadata"] |= {"uid": "1", "resourceVersion": "2", "managedFields": [], "creationTimestamp": None}
    value["status"] = {"status": "Installed"}
    del value["spec"]["state"]
    read = from_yaml(yaml.safe_dump(value))
    assert (read.name, read.state) == ("x", "Enabled")


def changed(**values):
    value = to_object(build(NATIVE, name="x", base=NO_BASE))
    for path, each in values.items():
        *parents, last = path.split("__")
        target = value
        for parent in parents:
            target = target[parent]
        target[last] = each
    return yaml.safe_dump(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the profile: expected an object, got nothing"),
        ("- a", "the profile: expected an object, got a list"),
        ("a: [", "not YAML: while parsing"),
        ("a: 1\na: 2", "a: given twice in one object"),
        ("a: 1\n---\na: 2", "not YAML: expected a single document"),
        ("a: !!python/object:os.system x", "not YAML: could not determine a constructor"),
        ("a: 2024-13-45", "not YAML"),
        ("&a [*a]", "expected an object"),
        (changed(apiVersion="v1"), "apiVersion: 'v1' is none of"),
        (changed(kind="AppArmorProfile"), "kind: 'AppArmorProfile' is none of SeccompProfile"),
        (changed(metadata={}), "metadata.name: missing"),
        (changed(metadata__labels={"a": 1}), "metadata.labels[a]: expected a string, got int '1'; quote it"),
        (changed(spec__state="On"), "spec.state: 'On' is none of Enabled, Disabled"),
        (changed(spec__defaultAction=None), "spec.defaultAction: missing"),
        (changed(spec__defaultErrnoRet=38), "spec.defaultErrnoRet: unknown field"),
        (changed(spec__architectures=["amd64"]), "spec.architectures[0]: 'amd64' is none of"),
        (
            changed(spec__syscalls=[{"names": [True], "action": "SCMP_ACT_ALLOW"}]),
            "spec.syscalls[0].names[0]:",
        ),
        (changed(extra=1), "extra: unknown field"),
    ],
)
def test_reading_errors_name_the_field(text, message):
    """A person can find the line."""
    with pytest.raises(InvalidProfile) as error:
        from_yaml(text)
    assert message in str(error.value)
