"""Names that are patterns, rules, or no text stay names in every format; their readers are the judges."""

import argparse
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.cli.result import check_options
from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileRight,
    MessageQueue,
    Mount,
    Peer,
    Ptrace,
    Signal,
    Socket,
    UnixSocket,
)
from recorder.model.denial import AppArmorDenial, DenialCount, DenialKey, Sighting, Text
from recorder.model.errors import InvalidRecord, UsageError
from recorder.model.record import Observation, Record, Source
from recorder.profiles.apparmor_annotations import explanation
from recorder.profiles.apparmor_profile import abstract_profile
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.apparmor_yaml import from_yaml, to_object, to_yaml
from recorder.profiles.completion import completed_text
from recorder.profiles.path_tree import Thresholds
from tests.truth.compiled_policy import Policy
from tests.truth.installed import installed
from tests.truth.stated_paths import HOSTILE
from tests.unit.profiles.accessed import did

NEVER = Thresholds({b"/": 0})
# what is special for who reads a pattern, a quoted text, a rule or a comment, and some that are not
BYTES = b'"\\*?[]{}^,#@$!-/.; \t\n\r\x01\x7f\xff\xc3\xa9aZ09nx012'
names = st.binary(min_size=1, max_size=5).map(lambda each: bytes(BYTES[n % len(BYTES)] for n in each))
paths = st.lists(names.map(lambda each: each.replace(b"/", b"_")), min_size=1, max_size=3).map(
    lambda parts: b"/" + b"/".join(parts)
)


def text_of(*subjects):
    return to_text(apparmor_rules([did(*subjects)], NEVER), "hostile", base=False)


def names_of(text):
    """The profiles that apparmor_parser finds in a text."""
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--quiet", "--names"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1") + text
    return done.stdout.decode().split()


@given(st.sets(paths, min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_path_is_that_path_alone(recorded, chance):
    """As compiled: what was recorded may be read, and nothing that differs in a byte."""
    policy = Policy(text_of(*((File(each), FileRight.READ) for each in recorded)))
    for path in recorded:
        assert policy.allows(path) == {"r"}, path
        for _ in range(30):
            at = chance.randrange(1, len(path) + 1)
            end = at + chance.randrange(3)
            other = path[:at] + bytes(chance.choice(BYTES) for _ in range(chance.randrange(3))) + path[end:]
            assert policy.allows(other) == ({"r"} if other in recorded else set()), (other, path)


def test_names_that_are_patterns_and_rules_by_themselves():
    """Alone, as a folder, and in the middle of a name."""
    seen = [b"/" + name for name in HOSTILE]
    seen += [b"/in/" + name + b"/file" for name in HOSTILE]
    seen += [b"/mid/a" + name + b"z" for name in HOSTILE]
    policy = Policy(text_of(*((File(each), FileRight.READ) for each in seen)))
    assert {each for each in seen if policy.allows(each) != {"r"}} == set()
    others = [
        b"/x",
        b"/xx",
        b"/in/x/file",
        b"/in/file",
        b"/mid/abz",
        b"/mid/az",
        b"/etc/passwd",
        b"/in/a/b/file",
    ]
    others += [path + tail for path in seen for tail in (b"/", b"x", b" ", b"\\")]
    assert [each for each in others if each not in seen and policy.allows(each)] == []


@pytest.mark.parametrize("byte", [b"a", b"*", b'"', b"\n", b"\xff", b"\\"])
def test_the_longest_path(byte):
    """4,095 bytes, each of which is written as up to four."""
    part = byte * 254
    path = (b"/" + part) * 16 + b"/" + byte * 14
    assert len(path) == 4095
    policy = Policy(text_of((File(path), FileRight.READ)))
    assert policy.allows(path) == {"r"}
    assert policy.allows(path[:-1]) == policy.allows(path + b"x") == policy.allows(b"/" + part) == set()


any_bytes = st.one_of(st.just(b""), names, paths, st.sampled_from(HOSTILE))
addresses = st.one_of(any_bytes, any_bytes.map(lambda each: b"\0" + each))
numbers = st.one_of(st.integers(-3, 70), st.sampled_from([-(2**31), 2**31 - 1]))
flags = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 25).map(lambda bit: 1 << bit))
peers = st.builds(Peer, st.booleans(), any_bytes)
others = st.one_of(
    st.builds(UnixSocket, numbers, addresses, addresses, st.none() | peers),
    st.builds(Mount, st.integers(-1, 8), any_bytes, any_bytes, any_bytes, flags),
    st.builds(MessageQueue, any_bytes),
    st.builds(Signal, numbers, peers),
    st.builds(Ptrace, peers),
    st.builds(Socket, numbers, numbers, numbers),
    st.builds(Capability, numbers),
    st.builds(File, any_bytes, any_bytes, st.sampled_from([0, 1, 2, 8]), st.booleans()),
)


@given(st.lists(st.tuples(others, st.integers(0, 2**14 - 1)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_a_record_says_the_text_is_one_profile(subjects):
    """apparmor_parser takes it, finds one profile, and no path is allowed that no subject names."""
    text = text_of(*subjects)
    assert text.isascii()
    assert names_of(text) == ["hostile"]
    allowed = Policy(text).allows
    named = {value for subject, _ in subjects for value in vars_of(subject)}
    for path in (b"/", b"/etc/shadow", b"/a", b"/n", b"/**", b"/Z0"):
        assert not allowed(path) or {path, path.rstrip(b"/")} & named, path


def vars_of(subject):
    return [getattr(subject, name, None) for name in ("path", "target", "address", "peer_address")]


@given(st.lists(st.tuples(others, st.integers(0, 2**14 - 1)), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_an_object_is_read_back_and_installed_as_it_is(subjects):
    """Strict YAML has the value that was written, and loads; what a person reads is ASCII that prints."""
    rules = apparmor_rules([did((Capability(0), CapabilityRight.GRANTED), *subjects)], NEVER)
    profile = abstract_profile(rules, "hostile")
    text = to_yaml(profile)
    assert text.isascii()
    read = from_yaml(text)
    assert to_object(read) == to_object(profile)
    assert names_of(installed(to_object(read))) == ["hostile"]
    for line in (*profile.warnings, *explanation(rules)):
        assert line.isascii(), line
        assert line.isprintable(), line


WORDS = (
    "file",
    "net",
    "mount",
    "signal",
    "ptrace",
    "capability",
    "read",
    "exec",
    "open",
    "link",
    "send",
    "\x1b[2J",
)
texts = any_bytes.map(lambda each: Text(each, len(each)))
denials = st.builds(
    AppArmorDenial,
    operation=st.sampled_from((*WORDS, "umount", "pivotroot", "a\nb")),
    object_class=st.sampled_from(WORDS),
    profile=st.sampled_from((Text(b"x", 1), Text(b"x//null-/bin/sh", 15), Text(b"\x1b[2J", 4))),
    namespace=texts,
    complain=st.booleans(),
    requested=st.lists(st.sampled_from(WORDS), max_size=2).map(tuple),
    denied=st.lists(st.sampled_from(WORDS), max_size=2).map(tuple),
    name=texts,
    target=texts,
    peer=texts,
    info=texts,
    error=st.just(-13),
    capability=st.sampled_from((None, "chown", "x\ny")),
    family=st.sampled_from((None, "inet", "unix", "x,\n/** rwix")),
    socket_type=st.sampled_from((None, "stream", "dccp", "x\ny")),
    signal=numbers,
    file_system=texts,
    mount_flags=flags,
)


@given(st.sets(denials, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_whatever_a_denial_says_the_completed_text_is_one_profile(seen):
    """apparmor_parser takes what is added; it, and the reasons for what is not, print in a line each."""
    once = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))
    entries = {DenialKey("allowed", each): once for each in seen}
    record = Record((Observation(Source("n", "b", 1, 1), denials=entries),))
    try:
        done = completed_text("profile x {\n}\n", record)
    except InvalidRecord as error:
        said = (str(error),)
    else:
        said = (*done.added, *done.left_out)
        assert names_of(done.profile) == ["x"]
    for line in said:
        assert line.isprintable(), line


KEYWORDS = (
    "profile",
    "hat",
    "flags",
    "if",
    "else",
    "deny",
    "allow",
    "owner",
    "include",
    "file",
    "network",
    "set",
)
KEYWORDS += (
    "capability",
    "mount",
    "unix",
    "signal",
    "ptrace",
    "change-profile",
    "rlimit",
    "alias",
    "abi",
    "link",
)
KEYWORDS += (
    "0",
    "1.2.3",
    "a-b",
    "x.y",
    "unconfined",
    "r",
    "rw",
    "ix",
    "true",
    "all",
    "userns",
    "dbus",
    "audit",
)


@pytest.mark.parametrize("name", KEYWORDS)
def test_a_name_that_is_a_word_of_the_language(name):
    """Any name that an object may have names the profile."""
    seen = did((File(b"/etc/hosts"), FileRight.READ))
    assert names_of(to_text(apparmor_rules([seen]), name, base=False)) == [name]


@pytest.mark.parametrize(
    "name", ["a b", 'a"', "a{", "a\n", "@{x}", "a*", "A", "", "a/b", "x" * 254, "\u00e9", "a,"]
)
def test_a_name_that_no_object_may_have_is_refused(name):
    """Before anything is done, whatever the format."""
    options = argparse.Namespace(format="apparmor-text", threshold=[], name=name, output="-")
    with pytest.raises(UsageError, match="is no object name"):
        check_options(options)
