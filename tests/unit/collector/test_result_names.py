"""Names and labels of results: by the rule, and possible whatever the texts are."""

import re
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recorder.collector.results.drafts import ResultKey
from recorder.collector.results.result_names import candidate_names, label_value, result_labels, same_subject
from recorder.model.recording import ProfileKind, RecordingName

# RFC 1123 subdomain, and Kubernetes' "Labels and Selectors".
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def named(namespace, name, container, suffix="", **options):
    return candidate_names(RecordingName(namespace, name, "uid"), container, suffix, **options)


def digits(text):
    return sha256(text.encode()).hexdigest()[:8]


def test_names_in_their_order():
    """Plain; with the namespace in front; with eight digits of a hash behind."""
    assert named("ns", "rec", "app") == ("rec-app", "ns-rec-app", "ns-rec-app-" + digits("ns/rec/app/"))
    assert named("ns", "rec", "app", "x2x1z") == (
        "rec-app-x2x1z",
        "ns-rec-app-x2x1z",
        "ns-rec-app-x2x1z-" + digits("ns/rec/app/x2x1z"),
    )


def test_hash_is_that_of_sha256sum():
    """printf 'ns/rec/app/' | sha256sum."""
    assert named("ns", "rec", "app")[-1] == "ns-rec-app-f91de551"


def test_names_that_collide_have_others_that_do_not():
    """`a-b` + `c` and `a` + `b-c`: the last name tells them apart, and the first does not."""
    one, other = named("ns", "a-b", "c"), named("ns", "a", "b-c")
    assert one[:2] == other[:2] == ("a-b-c", "ns-a-b-c")
    assert one[2] == "ns-a-b-c-" + digits("ns/a-b/c/")
    assert other[2] == "ns-a-b-c-" + digits("ns/a/b-c/")
    assert one[2] != other[2]


def test_one_name_in_two_namespaces():
    """The namespace in front tells them apart."""
    assert named("x", "rec", "app")[0] == named("y", "rec", "app")[0]
    assert named("x", "rec", "app")[1:] == ("x-rec-app", "x-rec-app-" + digits("x/rec/app/"))
    assert named("y", "rec", "app")[1:] == ("y-rec-app", "y-rec-app-" + digits("y/rec/app/"))


def test_namespace_always_in_front():
    """Where anybody may make profiles, so that nobody takes the plain name first."""
    assert named("ns", "rec", "app", namespace_always=True) == (
        "ns-rec-app",
        "ns-rec-app-" + digits("ns/rec/app/"),
    )


def test_outside_of_kubernetes_there_is_no_namespace():
    """And containers may be called what no object can be."""
    assert named("", "rec", "db") == ("rec-db", "rec-db-" + digits("/rec/db/"))
    assert named("", "rec", "My_DB.1")[0] == "rec-my-db-1"
    assert named("", "rec", "db", namespace_always=True) == named("", "rec", "db")


def test_valid_names_are_left_as_they_are():
    """Dots of a recording, hyphens side by side, a suffix that begins with one."""
    assert named("ns", "v1.2--rc", "app", "-1")[0] == "v1.2--rc-app--1"


def test_too_long_is_cut_and_hashed():
    """253 is the longest; what has to be cut leaves room for a file's ending."""
    longest = "r" * 249
    assert named("ns", longest, "app")[0] == f"{longest}-app"
    assert len(f"{longest}-app") == 253
    cut = "r" * 231 + "-" + digits(f"ns/{longest}r/app/")
    assert named("ns", longest + "r", "app")[0] == cut
    assert named("ns", longest + "r", "app")[1] == "ns-" + "r" * 228 + "-" + digits(f"ns/{longest}r/app/")
    dotted = "r" * 230 + "." + "r" * 22
    assert named("ns", dotted, "app")[0] == "r" * 230 + "-" + digits(f"ns/{dotted}/app/")
    one, other = named("ns", "r" * 253, "app", "x"), named("ns", "r" * 253, "app", "y")
    assert not set(one) & set(other)


texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=300),
    st.text("abc.-_A/", max_size=300),
    st.sampled_from(["a" * 253, "a." * 126 + "a", "-" * 300, "a" * 230 + "-.-" * 20, ""]),
)


@given(texts, texts, texts, texts, st.booleans())
@example("", "", "", "", False)
def test_every_candidate_is_a_name_that_an_object_can_have(namespace, name, container, suffix, always):
    """Whatever an agent says a container or a pod is called."""
    found = named(namespace, name, container, suffix, namespace_always=always)
    assert found
    assert len(set(found)) == len(found)
    for each in found:
        assert len(each.encode()) <= 253
        assert OBJECT_NAME.fullmatch(each)


@given(texts)
def test_label_values_are_values_that_a_label_can_have(text):
    """Whatever the text; itself if it can be one."""
    value = label_value(text)
    assert len(value) <= 63
    assert LABEL_VALUE.fullmatch(value)
    if len(text) <= 63 and LABEL_VALUE.fullmatch(text):
        assert value == text


@given(texts, texts)
def test_different_texts_have_different_labels(one, other):
    """So that an object is never taken for another container's."""
    assert (label_value(one) == label_value(other)) == (one == other)


def test_long_label_keeps_its_beginning():
    """A recording's name may have 253 characters, a label's value 63."""
    assert label_value("r" * 64) == "r" * 54 + "-" + digits("r" * 64)


def key(suffix="", partial=False, container="app"):
    return ResultKey("uid", ProfileKind.SECCOMP, container, suffix, partial)


def test_labels_are_exactly_these():
    """Dashboards and the other recorder find results by them."""
    where = RecordingName("ns", "rec", "uid")
    assert result_labels(where, key()) == {
        "spo.x-k8s.io/recording-id": "rec",
        "spo.x-k8s.io/container-id": "app",
        "spo.x-k8s.io/recording-namespace": "ns",
    }
    assert result_labels(where, key("x2x1z")) == result_labels(where, key())
    assert result_labels(where, key("x2x1z", partial=True)) == {
        "spo.x-k8s.io/recording-id": "rec",
        "spo.x-k8s.io/container-id": "app",
        "spo.x-k8s.io/recording-namespace": "ns",
        "spo.x-k8s.io/partial": "true",
    }
    assert result_labels(RecordingName("", "rec", "uid"), key()) == {
        "spo.x-k8s.io/recording-id": "rec",
        "spo.x-k8s.io/container-id": "app",
    }


@pytest.mark.parametrize(
    ("namespace", "name", "container", "same"),
    [
        ("ns", "a-b", "c", True),
        ("ns", "a", "b-c", False),
        ("other", "a-b", "c", False),
        ("", "a-b", "c", False),
    ],
)
def test_object_of_the_same_subject_is_told_by_its_labels(namespace, name, container, same):
    """A recording that was deleted and made anew goes on with its results; nobody else does."""
    labels = {
        "spo.x-k8s.io/recording-id": "a-b",
        "spo.x-k8s.io/container-id": "c",
        "spo.x-k8s.io/recording-namespace": "ns",
        "team": "blue",
    }
    assert same_subject(labels, RecordingName(namespace, name, "another uid"), container) is same
