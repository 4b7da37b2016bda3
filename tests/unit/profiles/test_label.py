"""Names of objects."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.profiles.label import MAX_LABEL, dns_label, is_object_name


@pytest.mark.parametrize(
    ("command", "label"),
    [
        ("Redis_Server.2", "redis-server-2"),
        ("/usr/sbin/nginx", "nginx"),
        ("./run/", "run"),
        ("--", "profile"),
        ("", "profile"),
        ("/", "profile"),
        ("été", "t"),
        ("a" * 62 + "--b", "a" * 62),
    ],
)
def test_label_of_a_command(command, label):
    """The base name, in lower case, with hyphens for what a label cannot have."""
    assert dns_label(command) == label


@given(st.text())
def test_label_is_always_valid(command):
    """Whatever the command is called, the label is one that Kubernetes takes."""
    label = dns_label(command)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", label)
    assert len(label) <= MAX_LABEL
    assert is_object_name(label)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a..b", "a.", "a" * 254, "a\n"])
def test_bad_object_names(name):
    """What an API server would refuse is no name."""
    assert not is_object_name(name)


@pytest.mark.parametrize("name", ["a", "0", "a.b-c", "a" * 253])
def test_good_object_names(name):
    """Subdomains with dots are names too."""
    assert is_object_name(name)
