"""ProfileRecordings as people write them: what they mean, and where they are wrong."""

import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.errors import InvalidRecording
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RecordingName
from recorder.model.selector import LabelSelector, Requirement
from recorder.profiles.recording_object import recording_of, recording_yaml

V1 = """\
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: ProfileRecording
metadata:
  name: test-recording
  namespace: my-namespace
spec:
  kind: SeccompProfile
  recorder: Bpf
  mergeStrategy: Containers
  podSelector:
    matchLabels:
      app: my-app
    matchExpressions:
    - {key: tier, operator: In, values: [web, api]}
    - {key: canary, operator: DoesNotExist}
  containers: [sidecar, app]
  disableProfileAfterRecording: true
"""
V1ALPHA1 = """\
apiVersion: security-profiles-operator.x-k8s.io/v1alpha1
kind: ProfileRecording
metadata:
  name: test-recording
spec:
  kind: SeccompProfile
  recorder: logs
  mergeStrategy: none
  podSelector: {}
"""


def test_all_fields_of_v1():
    """As they stand in the object; containers are a set."""
    assert recording_yaml(V1, uid="u") == Recording(
        name=RecordingName("my-namespace", "test-recording", "u"),
        kind=ProfileKind.SECCOMP,
        means=Means.BPF,
        merge=MergeStrategy.CONTAINERS,
        selector=LabelSelector(
            {"app": "my-app"},
            (Requirement("tier", "In", ("web", "api")), Requirement("canary", "DoesNotExist")),
        ),
        containers=("app", "sidecar"),
        disable=True,
    )


def test_old_spelling_and_defaults():
    """v1alpha1: small letters. Nothing is merged, all containers, enabled; no namespace: not Kubernetes."""
    assert recording_yaml(V1ALPHA1) == Recording(
        name=RecordingName("", "test-recording", ""),
        kind=ProfileKind.SECCOMP,
        means=Means.LOGS,
        merge=MergeStrategy.NONE,
        selector=LabelSelector(),
    )


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
@pytest.mark.parametrize(
    ("recorder", "means"), [("Bpf", "Bpf"), ("bpf", "Bpf"), ("Logs", "Logs"), ("logs", "Logs")]
)
@pytest.mark.parametrize(
    ("written", "merge"),
    [("None", "None"), ("none", "None"), ("Containers", "Containers"), ("containers", "Containers")],
)
def test_both_spellings_mean_the_same_under_both_versions(version, recorder, means, written, merge):
    """An object is stored as it was written, and may be read under the other version."""
    value = changed(
        ("apiVersion", f"security-profiles-operator.x-k8s.io/{version}"),
        ("spec.recorder", recorder),
        ("spec.mergeStrategy", written),
    )
    found = recording_of(value)
    assert (found.means.value, found.merge.value) == (means, merge)


@pytest.mark.parametrize("kind", ["SeccompProfile", "AppArmorProfile", "SelinuxProfile"])
@pytest.mark.parametrize("recorder", ["Bpf", "Logs"])
def test_every_kind_with_every_recorder_is_a_recording(kind, recorder):
    """What is served of it is another question."""
    found = recording_of(changed(("spec.kind", kind), ("spec.recorder", recorder)))
    assert found.kind.value == kind


def test_object_of_an_api_server():
    """With all that such a server adds; its uid and its generation are kept."""
    value = changed(
        ("metadata.uid", "8d7e"),
        ("metadata.generation", 7),
        ("metadata.managedFields", [{"manager": "kubectl"}]),
        ("metadata.annotations", {"a": "b"}),
        ("status", {"activeWorkloads": ["x"]}),
        ("spec.podSelector", {}),
        ("spec.fieldOfANewerVersion", {"x": 1}),
    )
    found = recording_of(value, beside=True)
    assert (found.name.uid, found.id, found.generation, found.beside) == ("8d7e", "8d7e", 7, True)
    assert found.selector == LabelSelector()
    assert recording_of(value, uid="other").id == "other"


def test_items_of_a_list_need_no_version_and_no_kind():
    """An API server leaves them out there."""
    value = changed()
    del value["apiVersion"], value["kind"]
    assert recording_of(value).name.name == "test-recording"


def test_null_is_absent():
    """As the API server has it."""
    value = changed(
        ("spec.mergeStrategy", None),
        ("spec.containers", None),
        ("spec.disableProfileAfterRecording", None),
        ("spec.podSelector.matchExpressions", None),
    )
    found = recording_of(value)
    assert (found.merge, found.containers, found.disable) == (MergeStrategy.NONE, (), False)
    assert found.selector.match_labels == {"app": "my-app"}


def test_no_containers_are_all():
    """An empty set is not kept by the API, so it must mean what its absence means."""
    assert recording_of(changed(("spec.containers", []))).containers == ()
    assert recording_of(changed(("spec.containers", ["b", "a", "b"]))).containers == ("a", "b")


MISSING = object()


def changed(*changes):
    """The v1 object with fields set or, with MISSING, taken out."""
    value = copy.deepcopy(yaml.safe_load(V1))
    for path, new in changes:
        *above, last = path.split(".")
        at = value
        for name in above:
            at = at[name]
        if new is MISSING:
            del at[last]
        else:
            at[last] = new
    return value


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("apiVersion", "v1", "apiVersion: 'v1' is none of security-profiles-operator.x-k8s.io/v1, "),
        ("kind", "Pod", "kind: 'Pod' is none of ProfileRecording"),
        ("metadata", MISSING, "metadata: missing"),
        ("metadata.name", MISSING, "metadata.name: missing"),
        ("metadata.name", "A_b", "metadata.name: 'A_b' is no name of an object"),
        ("metadata.name", "x" * 254, "metadata.name: 'xxx"),
        ("metadata.namespace", "a.b", "metadata.namespace: 'a.b' is no namespace"),
        ("metadata.namespace", "n" * 64, "metadata.namespace: 'nnn"),
        ("metadata.generation", -1, "metadata.generation: expected a number from 0"),
        ("spec", MISSING, "spec: missing"),
        ("spec", [], "spec: expected an object, got a list"),
        ("spec.kind", MISSING, "spec.kind: missing"),
        ("spec.kind", "seccomp", "spec.kind: 'seccomp' is none of SeccompProfile, AppArmorProfile, Selinux"),
        ("spec.recorder", MISSING, "spec.recorder: missing"),
        ("spec.recorder", "ebpf", "spec.recorder: 'ebpf' is none of Bpf, Logs"),
        (
            "spec.mergeStrategy",
            "containers ",
            "spec.mergeStrategy: 'containers ' is none of None, Containers",
        ),
        ("spec.mergeStrategy", False, "spec.mergeStrategy: expected a string, got bool 'False'; quote it"),
        ("spec.podSelector", MISSING, "spec.podSelector: missing"),
        ("spec.podSelector", None, "spec.podSelector: missing"),
        ("spec.podSelector.matchLabels", {"app": 1}, "spec.podSelector.matchLabels[app]: expected a string"),
        (
            "spec.podSelector.matchLabels",
            {"-a": "b"},
            "spec.podSelector.matchLabels['-a']: has the name '-a'",
        ),
        (
            "spec.podSelector.matchLabels",
            {"a": "b c"},
            "spec.podSelector.matchLabels['a']: has the value 'b c'",
        ),
        (
            "spec.podSelector.matchExpressions",
            [{"key": "a", "operator": "Like"}],
            "spec.podSelector.matchExpressions[0].operator: is 'Like'; it must be one of In, NotIn",
        ),
        (
            "spec.podSelector.matchExpressions",
            [{"key": "a", "operator": "In"}],
            "spec.podSelector.matchExpressions[0].values: must not be empty with the operator In",
        ),
        (
            "spec.podSelector.matchExpressions",
            [{"operator": "In"}],
            "spec.podSelector.matchExpressions[0].key: missing",
        ),
        ("spec.containers", "app", "spec.containers: expected a list, got str 'app'"),
        ("spec.containers", ["a", 7], "spec.containers[1]: expected a string, got int '7'"),
        ("spec.containers", ["a", ""], "spec.containers[1]: is empty; leave `containers` out to record all"),
        (
            "spec.disableProfileAfterRecording",
            "yes",
            "spec.disableProfileAfterRecording: 'yes' is neither true nor false",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(path, new, message):
    """With what is there, and what could be."""
    with pytest.raises(InvalidRecording) as error:
        recording_of(changed((path, new)))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("containers:", "contaners:", "spec.contaners: unknown field"),
        ("matchLabels:", "matchLabel:", "spec.podSelector.matchLabel: unknown field"),
        ("{key: tier,", "{key: tier, value: x,", "spec.podSelector.matchExpressions[0].value: unknown field"),
        ("metadata:", "more: 1\nmetadata:", "more: unknown field"),
        ("apiVersion: security-profiles-operator.x-k8s.io/v1\n", "", "apiVersion: missing"),
    ],
)
def test_file_with_an_unknown_field_is_refused(old, new, message):
    """A field that is mistyped would be passed over in silence, and more recorded than was meant."""
    assert old in V1
    with pytest.raises(InvalidRecording) as error:
        recording_yaml(V1.replace(old, new))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file holds no object; a recording begins with"),
        ("- a", "the file holds no object"),
        ("a: [", "not YAML: "),
        ("a: 1\na: 2\n", "a: given twice in one object"),
        (V1 + "---\n" + V1, "expected a single document"),
        ("a: !!python/object:os.system {}", "not YAML: "),
        ("[" * 3000, "not YAML: "),
    ],
)
def test_file_that_holds_no_single_object(text, message):
    """In one line, with the place."""
    with pytest.raises(InvalidRecording) as error:
        recording_yaml(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=6,
)
paths = st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "spec"),
        *(f"metadata.{each}" for each in ("name", "namespace", "uid", "generation")),
        *(f"spec.{each}" for each in ("kind", "recorder", "mergeStrategy", "podSelector", "containers")),
        "spec.disableProfileAfterRecording",
        *(f"spec.podSelector.{each}" for each in ("matchLabels", "matchExpressions")),
    ]
)


@given(paths, values)
def test_any_object_is_a_recording_or_is_refused(path, new):
    """Nothing but InvalidRecording, whatever is in it."""
    value = changed((path, new))
    try:
        found = recording_of(value)
    except InvalidRecording:
        return
    assert found.selector.problems() == ()


@pytest.mark.parametrize("value", [None, [], "x", 7])
def test_what_is_no_object_is_refused(value):
    """Said in words that name what is expected."""
    with pytest.raises(InvalidRecording, match="a ProfileRecording is an object with apiVersion"):
        recording_of(value)


def with_kinds(text):
    value = yaml.safe_load(V1ALPHA1)
    value["metadata"]["annotations"] = {"other": "x", "recorder.x-k8s.io/kinds": text}
    return value


@pytest.mark.parametrize(
    ("text", "denials"),
    {
        "denials": True,
        "syscalls,denials": True,
        " denials , syscalls ": True,
        "syscalls": False,
        "": False,
    }.items(),
)
def test_an_annotation_asks_for_denials(text, denials):
    """Also in a file; calls are recorded in any case."""
    assert recording_of(with_kinds(text)).denials is denials
    assert recording_yaml(yaml.safe_dump(with_kinds(text))).denials is denials


def test_without_the_annotation_nobody_looks_for_denials():
    """As with every recording that was written for another recorder."""
    assert not recording_yaml(V1).denials


@pytest.mark.parametrize("text", ["denial", "syscalls denials", "syscalls;denials", "Denials", "all"])
def test_other_kinds_are_refused(text):
    """With the annotation's name, and what it may say."""
    expected = r"metadata.annotations\[recorder.x-k8s.io/kinds\]: '.*' is none of syscalls, denials"
    with pytest.raises(InvalidRecording, match=expected):
        recording_of(with_kinds(text))


def test_the_profile_that_is_to_be_changed_where_it_stands():
    """By an annotation, of recordings that complete a profile; another kind's, or no name, is refused."""
    key = "recorder.x-k8s.io/update"
    completes = (("spec.kind", "AppArmorProfile"), ("spec.recorder", "Logs"))
    named = changed(*completes, ("metadata.annotations", {key: "web-app"}))
    assert recording_of(named).update == "web-app"
    assert recording_of(changed(*completes)).update == ""
    with pytest.raises(InvalidRecording, match=r"metadata.annotations\[recorder.x-k8s.io/update\]: only"):
        recording_of(changed(("metadata.annotations", {key: "web-app"})))
    with pytest.raises(InvalidRecording, match="no name of an AppArmorProfile"):
        recording_of(changed(*completes, ("metadata.annotations", {key: "Web App"})))
