"""Profiles on a real API server: created, applied without force, edited by people, given back."""

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest

from recorder.model.errors import PlatformUnreachable
from recorder.model.recording import ProfileKind
from recorder.model.result import Application, Outcome
from recorder.profiles.result_marks import CONTAINER_LABEL, OWNER, STATE
from tests.cluster.api_server import ApiServer
from tests.cluster.client import Object
from tests.cluster.kube import Kube, kube, result

EDITED = "recorder.x-k8s.io/edited"
SECCOMP = ProfileKind.SECCOMP
X86_64 = "SCMP_ARCH_X86_64"
LABEL = f"metadata.labels[{CONTAINER_LABEL}]"
Namespace = Callable[..., str]


@pytest.fixture
def platform(api_server: ApiServer) -> Iterator[Kube]:
    with kube(api_server.kubeconfig) as made:
        yield made


@pytest.fixture
def place(namespace: Namespace) -> str:
    return namespace()


def edit(server: ApiServer, name: str, patch: Object) -> None:
    """As `kubectl edit` does: a merge patch by the manager kubectl-edit."""
    server.client.patch("SeccompProfile", name, patch, manager="kubectl-edit")


def calls(*names: str) -> list[Object]:
    """A profile's list that allows these."""
    return [{"names": list(names), "action": "SCMP_ACT_ALLOW"}]


def made(platform: Kube, place: str, name: str) -> str:
    """The uid of a result that was just created."""
    answer = platform.do(platform.platform.apply(result(place, name), ""))
    assert answer.outcome == Outcome.CREATED
    return answer.uid


def names(live: Object) -> list[str]:
    return live["spec"]["syscalls"][0]["names"]


def test_a_result_is_created_as_it_shall_be(api_server, platform, place):
    """Spec, labels and annotations are on the object, all owned by our field manager, and nothing else is."""
    wanted = result(place, f"{place}-a")
    answer = platform.do(platform.platform.apply(wanted, ""))
    live = api_server.client.get("SeccompProfile", wanted.name)
    assert (answer.outcome, answer.uid, answer.edits) == (Outcome.CREATED, live["metadata"]["uid"], ())
    assert live["spec"] == wanted.spec
    assert live["metadata"]["labels"] == wanted.labels
    assert wanted.annotations.items() <= live["metadata"]["annotations"].items()
    assert {(each["manager"], each["operation"]) for each in live["metadata"]["managedFields"]} == {
        (OWNER, "Apply")
    }
    assert "finalizers" not in live["metadata"]
    assert "ownerReferences" not in live["metadata"]


def test_a_result_grows_and_becomes_final(api_server, platform, place):
    """Later applications change what changed, and take away what is no longer said."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    wanted = result(place, name, ("close", "read", "write"), annotations={"recorder.x-k8s.io/notes": "x"})
    assert platform.do(platform.platform.apply(wanted, uid)).outcome == Outcome.UPDATED
    wanted = result(place, name, ("close", "read", "write"), state="final")
    assert platform.do(platform.platform.apply(wanted, uid)).outcome == Outcome.UPDATED
    live = api_server.client.get("SeccompProfile", name)
    assert (names(live), live["spec"]["state"]) == (["close", "read", "write"], "Enabled")
    assert live["metadata"]["annotations"][STATE] == "final"
    assert "recorder.x-k8s.io/notes" not in live["metadata"]["annotations"]


def test_applying_the_same_again_changes_nothing(api_server, platform, place):
    """The version of the object stays as it is."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    before = api_server.client.get("SeccompProfile", name)
    platform.do(platform.platform.apply(result(place, name), uid))
    after = api_server.client.get("SeccompProfile", name)
    assert before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def test_an_object_that_is_there_is_never_taken(api_server, platform, place):
    """Somebody's object of that name stays as it is, whether it has our labels or not."""
    name = f"{place}-a"
    foreign = {
        "apiVersion": "security-profiles-operator.x-k8s.io/v1",
        "kind": "SeccompProfile",
        "metadata": {"name": name, "labels": dict(result(place, name).labels)},
        "spec": {"defaultAction": "SCMP_ACT_LOG"},
    }
    before = api_server.client.create(foreign)
    answer = platform.do(platform.platform.apply(result(place, name), ""))
    assert (answer.outcome, answer.uid) == (Outcome.TAKEN, before["metadata"]["uid"])
    assert api_server.client.get("SeccompProfile", name) == before
    seen = platform.do(platform.platform.result(SECCOMP, name))
    assert seen is not None
    assert not seen.ours


def test_two_of_ours_that_want_one_name_at_the_same_moment(api_server, platform, place):
    """One has it; the other is told that it is taken, though both are of one manager."""
    name = f"{place}-a"
    wanted = [result(place, name, (call,)) for call in ("read", "write")]

    async def both() -> list[Application]:
        return await asyncio.gather(*(platform.platform.apply(each, "") for each in wanted))

    outcomes = [each.outcome for each in platform.do(both())]
    assert sorted(outcomes) == sorted([Outcome.CREATED, Outcome.TAKEN])
    won = wanted[outcomes.index(Outcome.CREATED)]
    assert names(api_server.client.get("SeccompProfile", name)) == names({"spec": won.spec})


def test_an_object_that_was_made_anew_by_somebody_is_left_alone(api_server, platform, place):
    """Deleted and created again between two of our writes: another uid, so not ours."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    api_server.client.delete("SeccompProfile", name)
    foreign = {
        "apiVersion": "security-profiles-operator.x-k8s.io/v1",
        "kind": "SeccompProfile",
        "metadata": {"name": name, "labels": dict(result(place, name).labels)},
        "spec": {"defaultAction": "SCMP_ACT_LOG"},
    }
    before = api_server.client.create(foreign)
    answer = platform.do(platform.platform.apply(result(place, name, ("open",)), uid))
    assert (answer.outcome, answer.uid) == (Outcome.TAKEN, before["metadata"]["uid"])
    assert api_server.client.get("SeccompProfile", name) == before


def test_an_object_that_somebody_deleted_is_made_again(api_server, platform, place):
    """The next write has something to say, so the object is there again."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    platform.wait(lambda each: each.ready)
    api_server.client.delete("SeccompProfile", name)
    platform.wait(lambda each: (SECCOMP, name) in each.touched())
    answer = platform.do(platform.platform.apply(result(place, name, ("open",)), uid))
    assert answer.outcome == Outcome.CREATED
    assert answer.uid == api_server.client.get("SeccompProfile", name)["metadata"]["uid"] != uid


@pytest.mark.parametrize(
    ("patch", "field", "who"),
    [
        ({"spec": {"syscalls": calls("read", "uname", "write")}}, "spec.syscalls", "kubectl-edit"),
        ({"spec": {"syscalls": calls("write")}}, "spec.syscalls", "kubectl-edit"),
        ({"spec": {"syscalls": None}}, "spec.syscalls", "unknown"),
        ({"spec": {"defaultAction": "SCMP_ACT_LOG"}}, "spec.defaultAction", "kubectl-edit"),
        ({"metadata": {"labels": {CONTAINER_LABEL: "mine"}}}, LABEL, "kubectl-edit"),
        ({"metadata": {"labels": {CONTAINER_LABEL: None}}}, LABEL, "unknown"),
        ({"spec": {"architectures": ["SCMP_ARCH_X86", X86_64]}}, "spec.architectures", "kubectl-edit"),
        ({"spec": {"architectures": None}}, "spec.architectures", "unknown"),
    ],
    ids=[
        "name-added", "name-removed", "calls-removed", "action", "label-changed", "label-removed",
        "architecture-added", "architectures-removed",
    ],
)  # fmt: skip
def test_what_a_person_edited_stays_theirs_until_they_give_it_back(
    api_server, platform, place, patch, field, who
):
    """Nothing is reverted, the rest goes on, the edit is told with who did it, and the way back works.

    Who removed a field is not known: the API server keeps owners of what is there.
    """
    name = f"{place}-a"
    uid = made(platform, place, name)
    edit(api_server, name, patch)
    edited = api_server.client.get("SeccompProfile", name)

    def theirs(live: Object) -> object:
        if field.startswith("spec."):
            return live["spec"].get(field.removeprefix("spec."))
        return live["metadata"]["labels"].get(CONTAINER_LABEL)

    for wanted in (
        result(place, name, ("close", "read", "write"), architectures=("SCMP_ARCH_X32", X86_64)),
        result(place, name, ("close", "open", "read"), state="final"),
    ):
        answer = platform.do(platform.platform.apply(wanted, uid))
        assert answer.outcome == Outcome.UPDATED
        assert [(each.field, each.manager) for each in answer.edits] == [(field, who)]
        live = api_server.client.get("SeccompProfile", name)
        assert theirs(live) == theirs(edited)
        assert field in live["metadata"]["annotations"][EDITED]
        if field != "spec.syscalls":
            assert names(live) == wanted.spec["syscalls"][0]["names"]
        assert live["spec"]["state"] == wanted.spec["state"]
        assert live["metadata"]["annotations"][STATE] == wanted.annotations[STATE]

    edit(api_server, name, {"metadata": {"annotations": {EDITED: None}}})
    wanted = result(place, name, ("close", "open", "read"), state="final")
    for _ in range(2):  # and it stays so
        answer = platform.do(platform.platform.apply(wanted, uid))
        assert (answer.outcome, answer.edits) == (Outcome.UPDATED, ())
        live = api_server.client.get("SeccompProfile", name)
        live["spec"]["architectures"].sort()  # a set: in the order in which its items came
        assert live["spec"] == wanted.spec
        assert live["metadata"]["labels"] == wanted.labels
        assert EDITED not in live["metadata"]["annotations"]


def test_what_a_person_adds_beside_is_none_of_our_business(api_server, platform, place):
    """Fields, labels and annotations that we do not write are kept, and are no edit."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    metadata = {"labels": {"team": "a"}, "annotations": {"note": "x"}}
    edit(api_server, name, {"metadata": metadata, "spec": {"flags": ["SECCOMP_FILTER_FLAG_LOG"]}})
    answer = platform.do(platform.platform.apply(result(place, name, ("open",)), uid))
    live = api_server.client.get("SeccompProfile", name)
    assert answer.edits == ()
    assert (live["metadata"]["labels"]["team"], live["metadata"]["annotations"]["note"]) == ("a", "x")
    assert live["spec"]["flags"] == ["SECCOMP_FILTER_FLAG_LOG"]
    assert names(live) == ["open"]


def test_an_edit_is_noticed_when_it_happens(api_server, platform, place):
    """The collector need not wait for something new to write."""
    name = f"{place}-a"
    made(platform, place, name)
    platform.wait(lambda each: each.ready)
    edit(api_server, name, {"spec": {"defaultAction": "SCMP_ACT_LOG"}})
    platform.wait(lambda each: (SECCOMP, name) in each.touched())
    assert platform.platform.touched() == frozenset()


def test_our_own_writes_are_no_edits(api_server, platform, place):
    """Nothing is touched by applying."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    platform.do(platform.platform.apply(result(place, name, ("open",)), uid))
    other = f"{place}-b"
    made(platform, place, other)
    edit(api_server, other, {"spec": {"defaultAction": "SCMP_ACT_LOG"}})
    seen: set[str] = set()

    def touched(each: object) -> bool:
        seen.update(name for _, name in each.touched())
        return other in seen

    platform.wait(touched)
    assert seen == {other}


def test_a_result_that_the_schema_refuses_is_refused_with_the_reason(platform, place):
    """A value outside an enum: what the API server says is handed on."""
    wanted = result(place, f"{place}-a", architectures=("SCMP_ARCH_Z80",))
    answer = platform.do(platform.platform.apply(wanted, ""))
    assert answer.outcome == Outcome.REFUSED
    assert "SCMP_ARCH_Z80" in answer.message


def test_only_our_own_object_is_removed(api_server, platform, place):
    """Ours is; one with another uid is not, nor one that a person edited."""
    first, second, third = (f"{place}-{each}" for each in "abc")
    uid = made(platform, place, first)
    platform.do(platform.platform.remove(SECCOMP, first, uid))
    assert api_server.client.find("SeccompProfile", first) is None
    platform.do(platform.platform.remove(SECCOMP, first, uid))
    made(platform, place, second)
    platform.do(platform.platform.remove(SECCOMP, second, uid))
    assert api_server.client.find("SeccompProfile", second) is not None
    uid = made(platform, place, third)
    edit(api_server, third, {"spec": {"defaultAction": "SCMP_ACT_LOG"}})
    platform.do(platform.platform.remove(SECCOMP, third, uid))
    assert api_server.client.find("SeccompProfile", third) is not None


def test_without_rights_the_platform_cannot_be_asked(api_server, place):
    """What is missing is named."""
    nobody = api_server.service_account(place)
    with kube(api_server.kubeconfig_of(nobody.token(), nobody.name)) as platform:
        with pytest.raises(PlatformUnreachable, match=r"seccompprofiles.*forbidden"):
            platform.do(platform.platform.apply(result(place, f"{place}-a"), ""))
        assert not platform.platform.ready


def test_annotations_stay_below_64_kib_whoever_takes_what(api_server, platform, place):
    """Every field of a result with as many annotations as there can be, by the longest name."""
    name, much = f"{place}-a", {f"recorder.x-k8s.io/a{number}": "x" * 2048 for number in range(27)}
    wanted = result(place, name, annotations=much)
    uid = platform.do(platform.platform.apply(wanted, "")).uid
    theirs = api_server.client.get("SeccompProfile", name)
    theirs["metadata"]["labels"] = dict.fromkeys(wanted.labels, "mine")
    theirs["metadata"]["annotations"] = dict.fromkeys(wanted.annotations, "mine") | {
        "recorder.x-k8s.io/recorded-by": OWNER
    }
    theirs["spec"] = {"state": "Disabled", "defaultAction": "SCMP_ACT_LOG", "syscalls": calls("uname")}
    api_server.client.patch("SeccompProfile", name, theirs, manager="m" * 128)
    answer = platform.do(platform.platform.apply(wanted, uid))
    assert len(answer.edits) >= len(wanted.labels) + 2
    live = api_server.client.get("SeccompProfile", name)["metadata"]["annotations"]
    assert sum(len(key) + len(value) for key, value in (live | much).items()) <= 64 << 10


@pytest.mark.parametrize(
    "junk", [json.dumps({f"spec.{each}": "me" for each in range(5000)}), "{", "[1]", "1"]
)
def test_an_annotation_of_ours_that_somebody_wrote_to_stops_nothing(api_server, platform, place, junk):
    """What it says of no field of ours is dropped; what was edited stays edited, and the rest goes on."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    edit(api_server, name, {"spec": {"syscalls": None, "defaultAction": "SCMP_ACT_LOG"}})
    platform.do(platform.platform.apply(result(place, name), uid))
    for key in (EDITED, "recorder.x-k8s.io/applied"):
        edit(api_server, name, {"metadata": {"annotations": {key: junk}}})
    edit(api_server, name, {"metadata": {"annotations": {EDITED: junk}}})
    wanted = result(place, name, ("open",), state="final")
    for _ in range(2):
        answer = platform.do(platform.platform.apply(wanted, uid))
        assert "spec.defaultAction" in {each.field for each in answer.edits}
        live = api_server.client.get("SeccompProfile", name)
        assert live["spec"]["defaultAction"] == "SCMP_ACT_LOG"
        assert live["spec"]["state"] == "Enabled"
        assert live["metadata"]["annotations"][STATE] == "final"
        said = json.loads(live["metadata"]["annotations"][EDITED])
        assert set(said) == {each.field for each in answer.edits}


def test_one_field_of_several_is_given_back(api_server, platform, place):
    """By taking it out of the annotation; the other one stays a person's."""
    name = f"{place}-a"
    uid = made(platform, place, name)
    edit(
        api_server,
        name,
        {"spec": {"syscalls": calls("uname"), "defaultAction": "SCMP_ACT_LOG"}},
    )
    wanted = result(place, name, ("open", "read"))
    platform.do(platform.platform.apply(wanted, uid))
    left = json.dumps({"spec.defaultAction": "kubectl-edit"})
    edit(api_server, name, {"metadata": {"annotations": {EDITED: left}}})
    for _ in range(2):
        answer = platform.do(platform.platform.apply(wanted, uid))
        assert [each.field for each in answer.edits] == ["spec.defaultAction"]
        live = api_server.client.get("SeccompProfile", name)
        assert names(live) == ["open", "read"]
        assert live["spec"]["defaultAction"] == "SCMP_ACT_LOG"
