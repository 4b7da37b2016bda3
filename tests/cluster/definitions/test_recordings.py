"""The kinds of deploy/crds in a real API server, and ProfileRecording: what it takes, keeps and shows."""

import copy
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP, Object
from tests.cluster.conftest import CRDS
from tests.cluster.crds import read_crds
from tests.cluster.errors import AnswerError
from tests.cluster.objects import profile, recording, seccomp

NamespaceMaker = Callable[..., str]
KINDS = ("AppArmorProfile", "ProfileRecording", "SeccompProfile", "SelinuxProfile")
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Recording",
    "message": "2 containers are recorded",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-02T03:04:05Z",
}
STATUS: Mapping[str, Any] = {
    "activeWorkloads": ["pod-a", "pod-b"],
    "conditions": [CONDITION],
    "denials": [
        {
            "container": "main",
            "kind": "apparmor",
            "verdict": "denied",
            "what": "open(read)",
            "count": 2,
            "records": 1,
        },
        {"container": "main", "kind": "seccomp", "verdict": "denied", "what": "mount", "records": 1},
    ],
    "denialsOmitted": 3,
    "ledger": [{"cause": "attached_late", "count": 2}],
    "observedGeneration": 1,
    "resultCount": 1,
    "results": [
        {
            "kind": "SeccompProfile",
            "name": "r-main",
            "container": "main",
            "state": "recording",
            "syscalls": 41,
            "denied": 1,
            "coverage": 3,
            "verdict": "lossy: attached_late 2",
        }
    ],
}


def refusal(server: ApiServer, thing: Object) -> str:
    """Why an object is not taken (422)."""
    with pytest.raises(AnswerError) as refused:
        server.client.create(thing, dry=True)
    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    return refused.value.message


# --- the definitions


@pytest.mark.parametrize("kind", KINDS)
def test_definition_is_taken_as_it_is_written(api_server: ApiServer, kind: str) -> None:
    """The names are accepted, the schema is structural, and no field of the file was dropped."""
    plural = f"{kind.lower()}s"
    stored = api_server.client.get("CustomResourceDefinition", f"{plural}.{GROUP}")
    status = {one["type"]: one["status"] for one in stored["status"]["conditions"]}
    assert status["NamesAccepted"] == status["Established"] == "True"
    assert status.get("NonStructuralSchema", "False") == "False"
    written = next(crd for crd in read_crds(CRDS) if crd["spec"]["names"]["kind"] == kind)
    assert stored["spec"] == written["spec"]


def test_kubectl_applies_the_folder(new_bare_server: ApiServer) -> None:
    """`kubectl apply -k deploy/crds`, validated by the server's schema; a second time nothing changes."""
    for word in ("created", "unchanged"):
        said = subprocess.run(
            ["kubectl", "--kubeconfig", new_bare_server.kubeconfig, "apply", "-k", CRDS],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert [line.rsplit(" ", 1)[1] for line in said.stdout.splitlines()] == [word] * 4


@pytest.fixture
def new_bare_server(new_api_server: Callable[[], ApiServer]) -> Iterator[ApiServer]:
    server = new_api_server()
    yield server
    server.close()


# --- recordings


@pytest.mark.parametrize(
    ("version", "recorder", "merge"),
    [
        *(
            (version, *pair)
            for version in ("v1", "v1alpha1")
            for pair in (("Bpf", "None"), ("Logs", "Containers"))
        ),
        *(
            (version, *pair)
            for version in ("v1", "v1alpha1")
            for pair in (("bpf", "none"), ("logs", "containers"))
        ),
    ],
)
def test_either_spelling_is_stored_and_shown_as_written(
    api_server: ApiServer, namespace: NamespaceMaker, version: str, recorder: str, merge: str
) -> None:
    """In either version; and a status can be written through either, which SPO's enums would refuse."""
    client = api_server.client
    made = client.create(recording(namespace(), version, recorder=recorder, mergeStrategy=merge))
    metadata = made["metadata"]
    for asked in ("v1", "v1alpha1"):
        shown = client.get(
            "ProfileRecording", metadata["name"], metadata["namespace"], version=f"{GROUP}/{asked}"
        )
        assert (shown["spec"]["recorder"], shown["spec"]["mergeStrategy"]) == (recorder, merge)
        shown["status"] = {**STATUS, "resultCount": 7 if asked == "v1" else 8}
        assert client.replace(shown, subresource="status")["status"] == shown["status"]


def test_defaults_of_a_recording(server: ApiServer, namespace: NamespaceMaker) -> None:
    """mergeStrategy None, enabled after recording; `containers` stays absent: all."""
    made = server.client.create(recording(namespace(server=server)))
    assert made["spec"] == {
        "kind": "SeccompProfile",
        "recorder": "Bpf",
        "podSelector": {},
        "mergeStrategy": "None",
        "disableProfileAfterRecording": False,
    }


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"kind": "Pod"}, "spec.kind: Unsupported value"),
        ({"recorder": "BPF"}, "spec.recorder: Unsupported value"),
        ({"mergeStrategy": "containerS"}, "spec.mergeStrategy: Unsupported value"),
        ({"kind": None}, "spec.kind"),
        ({"recorder": None}, "spec.recorder"),
        ({"podSelector": None}, "spec.podSelector"),
        ({"podSelector": {"matchExpressions": [{"key": "a"}]}}, "operator: Required value"),
        ({"containers": ["a", "b", "a"]}, "spec.containers[2]: Duplicate value"),
        ({"disableProfileAfterRecording": "yes"}, "disableProfileAfterRecording: Invalid value"),
    ],
)
def test_wrong_recordings_are_refused(
    server: ApiServer, namespace: NamespaceMaker, spec: Object, reason: str
) -> None:
    """By field, and why; the same with SPO's definition."""
    assert reason in refusal(server, recording(namespace(server=server), **spec))


def test_a_recording_needs_a_spec(server: ApiServer, namespace: NamespaceMaker) -> None:
    """Without one it is refused."""
    thing = recording(namespace(server=server))
    del thing["spec"]
    assert "spec: Required value" in refusal(server, thing)


def test_old_spelling_is_wrong_in_spos_v1(spo_api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """The fixture is as strict as SPO: each version takes its own spelling alone."""
    where = namespace(server=spo_api_server)
    for version, good, bad in (("v1", "Bpf", "bpf"), ("v1alpha1", "bpf", "Bpf")):
        merge = "None" if version == "v1" else "none"
        made = spo_api_server.client.create(recording(where, version, recorder=good, mergeStrategy=merge))
        assert made["spec"]["recorder"] == good
        reason = refusal(spo_api_server, recording(where, version, recorder=bad, mergeStrategy=merge))
        assert "spec.recorder: Unsupported value" in reason


# --- status


def test_status_is_a_subresource(server: ApiServer, namespace: NamespaceMaker) -> None:
    """Writing the object leaves its status alone; writing the status leaves the rest, and the generation."""
    client = server.client
    made = client.create({**recording(namespace(server=server)), "status": {"activeWorkloads": ["a"]}})
    assert "status" not in made
    changed = copy.deepcopy(made)
    changed["status"] = {"activeWorkloads": ["a"]}
    changed["spec"]["recorder"] = "Logs"
    after = client.replace(changed, subresource="status")
    assert (after["status"], after["spec"]) == ({"activeWorkloads": ["a"]}, made["spec"])
    assert after["metadata"]["generation"] == made["metadata"]["generation"] == 1


def test_our_status_is_kept_by_ours_and_pruned_by_spos(
    server: ApiServer, api_server: ApiServer, namespace: NamespaceMaker
) -> None:
    """Beside SPO's definitions a status of ours comes to activeWorkloads alone, without an error."""
    client = server.client
    made = client.create(recording(namespace(server=server)))
    metadata = made["metadata"]
    after = client.patch(
        "ProfileRecording", metadata["name"], {"status": STATUS}, metadata["namespace"], subresource="status"
    )
    kept = STATUS if server is api_server else {"activeWorkloads": STATUS["activeWorkloads"]}
    assert after["status"] == kept


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conditions": [{**CONDITION, "status": "Yes"}]}, "status.conditions.status: "),
        ({"conditions": [{**CONDITION, "reason": "two words"}]}, "status.conditions.reason: "),
        ({"conditions": [{**CONDITION, "reason": ""}]}, "status.conditions.reason: "),
        ({"conditions": [{**CONDITION, "message": "x" * 32769}]}, "status.conditions.message: "),
        ({"conditions": [{**CONDITION, "lastTransitionTime": "now"}]}, "lastTransitionTime"),
        ({"results": [{"kind": "SeccompProfile"}]}, "status.results.name"),
        ({"results": [{"kind": "SeccompProfile", "name": "a", "denied": -1}]}, "denied"),
        ({"ledger": [{"cause": "ring_full"}]}, "status.ledger.count"),
        ({"denials": [{"container": "main", "kind": "seccomp"}]}, "status.denials.what"),
        ({"denialsOmitted": -1}, "status.denialsOmitted"),
    ],
)
def test_wrong_statuses_are_refused(
    api_server: ApiServer, namespace: NamespaceMaker, change: Object, reason: str
) -> None:
    """A condition is as in every Kubernetes API, with its limits; counts are not negative."""
    made = api_server.client.create(recording(namespace()))
    with pytest.raises(AnswerError) as refused:
        api_server.client.replace({**made, "status": {**STATUS, **change}}, subresource="status")
    assert refused.value.status == 422
    assert reason in refused.value.message


def test_conditions_are_merged_by_type(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """Two managers' conditions stand side by side; of one type there is one."""
    client = api_server.client
    made = client.create(recording(namespace()))
    names = {key: made["metadata"][key] for key in ("name", "namespace")}
    base = {"apiVersion": made["apiVersion"], "kind": made["kind"], "metadata": names}
    client.apply({**base, "status": {"conditions": [CONDITION]}}, "one", subresource="status")
    other = {**CONDITION, "type": "Complete", "status": "False"}
    client.apply({**base, "status": {"conditions": [other]}}, "two", subresource="status")
    newer = {**CONDITION, "reason": "Degraded"}
    last = client.apply({**base, "status": {"conditions": [newer]}}, "one", subresource="status")
    assert sorted(last["status"]["conditions"], key=lambda one: str(one["type"])) == [other, newer]
    for twice in ({"conditions": [newer, newer]}, {"activeWorkloads": ["a", "a"]}):
        with pytest.raises(AnswerError, match="duplicate entries"):
            client.apply({**base, "status": twice}, "one", subresource="status")


# --- what people see


def test_columns_of_recordings(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """Kind, Ready, Results and Age in the plain list; the selector in the wide one."""
    client, where = api_server.client, namespace()
    made = client.create(recording(where, podSelector={"matchLabels": {"app": "a"}}))
    client.patch(
        "ProfileRecording", made["metadata"]["name"], {"status": STATUS}, where, subresource="status"
    )
    columns, rows = client.table("ProfileRecording", where)
    assert [(one["name"], one["priority"]) for one in columns] == [
        ("Name", 0),
        ("PodSelector", 10),
        ("Kind", 0),
        ("Ready", 0),
        ("Results", 0),
        ("Age", 0),
    ]
    [[name, selector, kind, ready, results, _]] = rows
    assert (name, kind, ready, results) == (made["metadata"]["name"], "SeccompProfile", "Recording", 1)
    assert '"app":"a"' in selector or "app:a" in selector


def test_columns_of_a_recording_that_nobody_has_seen(
    api_server: ApiServer, namespace: NamespaceMaker
) -> None:
    """Without a status the cells are empty, and no error."""
    where = namespace()
    api_server.client.create(recording(where))
    _, [[_, _, kind, ready, results, _]] = api_server.client.table("ProfileRecording", where)
    assert (kind, ready, results) == ("SeccompProfile", None, None)


def test_kubectl_shows_a_useful_line(api_server: ApiServer, namespace: NamespaceMaker) -> None:
    """`kubectl get profilerecordings`, and the short names of profiles."""
    client, where = api_server.client, namespace()
    made = client.create(recording(where))
    client.patch(
        "ProfileRecording", made["metadata"]["name"], {"status": STATUS}, where, subresource="status"
    )

    def kubectl(*words: str) -> list[list[str]]:
        said = subprocess.run(
            ["kubectl", "--kubeconfig", api_server.kubeconfig, "-n", where, "get", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [line.split() for line in said.stdout.splitlines()]

    header, line = kubectl("profilerecordings")
    assert header == ["NAME", "KIND", "READY", "RESULTS", "AGE"]
    assert line[:4] == [made["metadata"]["name"], "SeccompProfile", "Recording", "1"]
    thing = client.create(seccomp())
    assert kubectl("sp", thing["metadata"]["name"])[1][0] == thing["metadata"]["name"]
    thing = client.create(profile("AppArmorProfile"))
    assert kubectl("aa", thing["metadata"]["name"])[1][0] == thing["metadata"]["name"]


def test_kubectl_explains(api_server: ApiServer) -> None:
    """Each field has a word for who asks."""
    said = subprocess.run(
        ["kubectl", "--kubeconfig", api_server.kubeconfig, "explain", "profilerecordings.spec.podSelector"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "an empty selector means all of them" in " ".join(said.stdout.split())
