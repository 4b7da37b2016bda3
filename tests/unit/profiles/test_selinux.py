"""SELinux: from denials to objects and CIL, which secilc compiles."""

import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from recorder.model.denial import (
    AppArmorDenial,
    DenialCount,
    DenialKey,
    SelinuxDenial,
    Sighting,
    Text,
)
from recorder.model.errors import InvalidProfile
from recorder.model.record import Observation, Record, Source
from recorder.profiles.annotations import PREFIX
from recorder.profiles.selinux_cil import block_name, to_cil
from recorder.profiles.selinux_rules import selinux_rules
from recorder.profiles.selinux_yaml import build, from_yaml, needs_a_human, to_object, to_yaml

HERE = Path(__file__).parent
CRD = yaml.safe_load((HERE.parents[2] / "deploy/crds/selinuxprofile.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
ONCE = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))


def context(name):
    content = f"system_u:system_r:{name}:s0:c1,c2".encode()
    return Text(content, len(content))


def avc(source, target, object_class, permissions, *, permissive=True):
    return SelinuxDenial(
        context(source), context(target), object_class, tuple(permissions.split()), permissive, Text()
    )


def record(*denials):
    entries = {DenialKey("allowed", each): ONCE for each in denials}
    return Record((Observation(Source("n", "b", 1, 1), denials=entries),))


WEB = (
    avc("web_t", "etc_t", "file", "read open"),
    avc("web_t", "etc_t", "file", "getattr"),
    avc("web_t", "web_t", "process", "signal fork"),
    avc("web_t", "http_port_t", "tcp_socket", "name_bind"),
)
HARD = (
    avc("web_t", "web_t", "capability", "setuid"),
    avc("web_t", "etc_t", "file", "relabelto write"),
    avc("web_t", "shadow_t", "file", "read"),
)


def compiled(text, tmp_path):
    """Whether secilc takes it, with a policy that has what it names."""
    path = tmp_path / "emitted.cil"
    path.write_text(text)
    output = ["-o", tmp_path / "policy", "-f", tmp_path / "contexts"]
    command = ["secilc", "-c", "31", *output, HERE / "container.cil", path]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return done.returncode == 0, done.stderr.decode()


def test_permissions_by_type_and_class():
    """Sorted and united; the process's own type is @self."""
    rules = selinux_rules(record(*WEB))
    assert rules.domain == "web_t"
    assert dict(rules.allowed) == {
        ("@self", "process"): ("fork", "signal"),
        ("etc_t", "file"): ("getattr", "open", "read"),
        ("http_port_t", "tcp_socket"): ("name_bind",),
    }
    assert rules.ledger.verdict.complete
    assert rules.refused == {}


def test_the_object_is_the_apis():
    """It has the CRD's fields, inherits from the node's container policy, and reads back."""
    seen = record(*WEB)
    profile = build(selinux_rules(seen), seen, "web")
    written = to_object(profile)
    jsonschema.validate(written, SCHEMA)
    assert written["spec"] == {
        "state": "Enabled",
        "mode": "Enforcing",
        "inherit": [{"kind": "System", "name": "container"}],
        "allow": {
            "@self": {"process": ["fork", "signal"]},
            "etc_t": {"file": ["getattr", "open", "read"]},
            "http_port_t": {"tcp_socket": ["name_bind"]},
        },
    }
    assert from_yaml(to_yaml(profile)) == profile


def test_what_an_installer_refuses_is_left_out_and_listed():
    """By type, class or permission; the rest of a class stays; what fails is named."""
    seen = record(*WEB, *HARD)
    rules = selinux_rules(seen)
    profile = build(rules, seen, "web")
    assert ("shadow_t", "file") not in profile.allow
    assert ("@self", "capability") not in profile.allow
    assert profile.allow["etc_t", "file"] == ("getattr", "open", "read", "write")
    assert [each.split(":")[0] for each in needs_a_human(rules)] == [
        "@self capability { setuid }",
        "etc_t file { relabelto }",
        "shadow_t file { read }",
    ]
    assert profile.annotations[f"{PREFIX}/needs-a-human"].count("\n") == 2


@pytest.mark.parametrize("inherit", ["container", ""])
def test_cil_compiles(tmp_path, inherit):
    """All of it, what an installer of objects refuses too, with a template and without."""
    text = to_cil(selinux_rules(record(*WEB, *HARD)), "web-1.nginx", inherit=inherit)
    assert compiled(text, tmp_path) == (True, "")
    assert re.findall(r"\(allow process (\S+) \((\S+) \(([^)]*)\)\)\)", text) == [
        ("process", "process", "fork signal"),
        ("etc_t", "file", "getattr open read write"),
        ("http_port_t", "tcp_socket", "name_bind"),
        ("process", "capability", "setuid"),
        ("etc_t", "file", "relabelto"),
        ("shadow_t", "file", "read"),
    ]


def test_how_it_came_to_be_stands_above_it(tmp_path):
    """As comments, which the compiler skips."""
    text = to_cil(selinux_rules(record(*WEB)), "web", about={"verdict": "complete", "kernel": "6\n)"})
    assert text.splitlines()[:2] == ["; kernel: 6\\012)", "; verdict: complete"]
    assert compiled(text, tmp_path) == (True, "")


def test_the_compiler_is_asked(tmp_path):
    """A type that the policy lacks is an error of secilc: the test above would see one."""
    text = to_cil(selinux_rules(record(avc("web_t", "nowhere_t", "file", "read"))), "web")
    assert not compiled(text, tmp_path)[0]


def test_an_enforcing_domain_makes_it_lossy():
    """By the denial's own flag; the annotation says it."""
    seen = record(*WEB, avc("web_t", "etc_t", "file", "write", permissive=False))
    rules = selinux_rules(seen)
    assert rules.enforced == 1
    annotations = build(rules, seen, "web").annotations
    assert annotations[f"{PREFIX}/verdict"] == "lossy: domain_enforcing 1"


def test_what_was_granted_is_no_denial():
    """A rule that reports what it allows (auditallow) neither adds to the profile nor makes it lossy."""
    granted = avc("web_t", "etc_t", "file", "write", permissive=False)
    seen = record(*WEB)
    entries = {**seen.observations[0].denials, DenialKey("audited", granted): ONCE}
    rules = selinux_rules(Record((Observation(Source("n", "b", 1, 1), denials=entries),)))
    assert rules == selinux_rules(seen)
    alone = Record((Observation(Source("n", "b", 1, 1), denials={DenialKey("audited", granted): ONCE}),))
    with pytest.raises(InvalidProfile, match="no denial by SELinux"):
        selinux_rules(alone)


def test_other_processes_are_not_the_profiles():
    """The permissive type is the container's; what others were denied is named, and not allowed."""
    runtime = avc("runtime_t", "etc_t", "file", "write", permissive=False)
    rules = selinux_rules(record(*WEB, runtime))
    assert (rules.domain, rules.enforced) == ("web_t", 0)
    assert "write" not in rules.allowed["etc_t", "file"]
    assert rules.left_out == ("denials of processes of type runtime_t: this profile is for web_t",)
    assert selinux_rules(record(*WEB, runtime), "runtime_t").allowed == {("etc_t", "file"): ("write",)}


def test_several_domains_must_be_chosen_from():
    """Nobody guesses which one is meant."""
    with pytest.raises(InvalidProfile, match=r"a_t, b_t\): say with --domain"):
        selinux_rules(record(avc("a_t", "etc_t", "file", "read"), avc("b_t", "etc_t", "file", "read")))


def test_nothing_is_refused_with_a_reason():
    """No denials, or only such as no installer takes."""
    with pytest.raises(InvalidProfile, match="permissive domain"):
        selinux_rules(record())
    other = AppArmorDenial("open", "file", Text(), Text(), True, ("read",), ("read",), *[Text()] * 4, 0)
    with pytest.raises(InvalidProfile, match="permissive domain"):
        selinux_rules(record(other))
    seen = record(avc("web_t", "web_t", "capability", "setuid"))
    with pytest.raises(InvalidProfile, match="nothing that an installer takes"):
        build(selinux_rules(seen), seen, "web")


def test_what_is_not_whole_is_left_out_and_named():
    """A cut context, a context that is none, a permission without a name: no guess."""
    cut = SelinuxDenial(Text(b"u:r:web", 40), context("etc_t"), "file", ("read",), True, Text())
    hostile = SelinuxDenial(context("web_t"), Text(b"u:r:x) (allow:s0"), "file", ("read",), True, Text())
    numbered = avc("web_t", "etc_t", "file", "0x400000")
    rules = selinux_rules(record(*WEB, cut, hostile, numbered))
    assert dict(rules.allowed) == dict(selinux_rules(record(*WEB)).allowed)
    assert len(rules.left_out) == 2


@pytest.mark.parametrize(("name", "block"), [("web", "web"), ("web-1.x", "web_1_x"), ("1st", "p_1st")])
def test_names_of_blocks(name, block):
    """Letters, digits and _, a letter first."""
    assert block_name(name) == block


def test_the_permissive_type_compiles(tmp_path):
    """What deploy/selinux has is a type of the container template."""
    text = (HERE.parents[2] / "deploy/selinux/recording.cil").read_text()
    assert compiled(text, tmp_path) == (True, "")
