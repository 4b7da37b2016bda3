"""AppArmorProfiles that are completed by denials: for review, or where they stand, and by whom."""

import dataclasses
import json

import pytest

from recorder.model.denial import DenialKey
from recorder.model.recording import Means, MergeStrategy, ProfileKind
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.apparmor_yaml import to_object
from tests.collector.platform import EDITED, MANAGER, Held, recording
from tests.collector.publishing import condition, content, seen, staged
from tests.denials_given import counted
from tests.unit.profiles.test_completion import denial

APPARMOR = ProfileKind.APPARMOR
OURS = {"recorder.x-k8s.io/recorded-by": "profile-recorder", "recorder.x-k8s.io/state": "final"}
LABELS = {
    "spo.x-k8s.io/recording-id": "old",
    "spo.x-k8s.io/container-id": "app",
    "spo.x-k8s.io/recording-namespace": "ns",
}
HOSTS = AppArmorProfile("web", read_only=("/etc/hosts",), complain=True)
READS = denial("open", "file", "read", "/etc/app.conf")
RUNS = denial("exec", "file", "exec", "/bin/date")


def asked(name="r", update="", **more):
    made = recording(name, kind=APPARMOR, **more)
    return dataclasses.replace(made, means=Means.LOGS, update=update)


def ran(*denials, verdict="allowed", calls="execve", by="seccomp sys_exit, apparmor lsm", **more):
    """What a container called, and what its profile denied, or would have."""
    found = {DenialKey(verdict, each): counted(1) for each in denials}
    made = seen(calls, denials=found, **more)
    return dataclasses.replace(made, provenance=dataclasses.replace(made.provenance, denials=by))


def put(stage, profile=HOSTS, *, labels=LABELS, annotations=OURS, manager=MANAGER):
    """An AppArmorProfile that is there, all of it by one manager."""
    spec = json.loads(json.dumps(to_object(profile)["spec"]))
    held = Held(APPARMOR, profile.name, f"object-{profile.name}")
    held.fields = {
        **{f"spec.{key}": value for key, value in spec.items()},
        **{f"metadata.labels[{key}]": value for key, value in labels.items()},
        **{f"metadata.annotations[{key}]": value for key, value in annotations.items()},
    }
    held.owners = dict.fromkeys(held.fields, manager)
    stage.platform.objects[APPARMOR, profile.name] = held
    return held


def read_only(stage, name):
    return stage.platform.object(name, APPARMOR).spec["abstract"]["filesystem"]["readOnlyPaths"]


def said(stage, name, key):
    return stage.platform.object(name, APPARMOR).annotations.get(f"recorder.x-k8s.io/{key}")


def reasons(stage, one):
    return [each for each in stage.platform.event_reasons(one) if each.startswith("Profile")]


# --- for review


@staged
async def test_the_profile_with_what_it_lacks_is_a_new_result(stage):
    """The one that is completed stays as it is; the new one says which it is, and what was added."""
    put(stage, labels={}, annotations={}, manager="kubectl")
    before = content(stage.platform)["web"]
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    await stage.report(ran(READS, pod=pod), to=one)
    await stage.pass_(5)
    assert stage.platform.object("r-app", APPARMOR).spec["state"] == "Disabled"
    await stage.report(ran(READS, RUNS, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    assert stage.platform.object("r-app", APPARMOR).spec == {
        "state": "Enabled",
        "mode": "Complain",
        "abstract": {
            "executable": {"allowedExecutables": ["/bin/date"]},
            "filesystem": {"readOnlyPaths": ["/etc/app.conf", "/etc/hosts"]},
        },
    }
    assert said(stage, "r-app", "completes") == "web"
    assert said(stage, "r-app", "added").splitlines() == [
        "readOnlyPaths: /etc/app.conf",
        "allowedExecutables: /bin/date",
    ] or said(stage, "r-app", "added").splitlines() == [
        "allowedExecutables: /bin/date",
        "readOnlyPaths: /etc/app.conf",
    ]
    assert content(stage.platform)["web"] == before
    (result,) = stage.platform.statuses[one.id].results
    assert (result.name, result.rules, result.verdict) == ("r-app", 2, "complete")


@staged
async def test_of_a_profile_without_an_object_there_are_the_denials_alone(stage):
    """In complain mode and Disabled: enforced it would deny all that the other one allows."""
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    await stage.report(ran(READS, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    spec = stage.platform.object("r-app", APPARMOR).spec
    assert (spec["state"], spec["mode"]) == ("Disabled", "Complain")
    assert read_only(stage, "r-app") == ["/etc/app.conf"]
    assert "there is no AppArmorProfile web" in said(stage, "r-app", "warnings")
    assert said(stage, "r-app", "completes") == "web"


@staged
async def test_a_result_never_takes_the_name_of_the_profile_that_it_completes(stage):
    """Also if that is a result of an earlier recording of the same name: its pods run under it."""
    put(stage, dataclasses.replace(HOSTS, name="r-app"), labels={**LABELS, "spo.x-k8s.io/recording-id": "r"})
    before = content(stage.platform)["r-app"]
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    own = denial("open", "file", "read", "/etc/app.conf", profile="r-app")
    await stage.report(ran(own, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    assert stage.platform.names() == ["ns-r-app", "r-app"]
    assert content(stage.platform)["r-app"] == before
    assert read_only(stage, "ns-r-app") == ["/etc/app.conf", "/etc/hosts"]


@staged
async def test_replicas_are_merged_and_counted(stage):
    """What not all were denied has its number."""
    put(stage)
    one = stage.platform.add(asked(merge=MergeStrategy.CONTAINERS))
    for number, denials in enumerate(((READS,), (READS, RUNS))):
        pod = stage.platform.add_pod(f"web-{number}", generate_name="web-")
        await stage.report(ran(*denials, pod=pod, cgroup=number, ended=True), to=one)
    await stage.pass_(60)
    coverage = json.loads(said(stage, "r-app", "rule-coverage"))
    assert coverage == {"version": "v1", "total": 2, "rules": {"allowedExecutables: /bin/date": 1}}


@staged
async def test_what_was_enforced_is_lossy(stage):
    """The condition says what to set."""
    put(stage)
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    await stage.report(ran(READS, verdict="denied", pod=pod, ended=True), to=one)
    await stage.pass_(60)
    assert said(stage, "r-app", "verdict") == "lossy: domain_enforcing 1"
    assert "the profile's mode to Complain" in condition(stage, one, "Complete").message


@staged
async def test_nothing_denied_is_no_profile_and_a_hint(stage):
    """It may lack nothing, or the container runs under no profile."""
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    await stage.report(ran(pod=pod), to=one)
    await stage.pass_(10)
    message = condition(stage, one, "Ready").message
    assert "AppArmor has denied nothing to the container app so far" in message
    assert "localhostProfile" in message
    assert stage.platform.names() == []


@staged
async def test_a_profile_that_has_it_by_now_is_a_result_without_additions(stage):
    """Somebody was faster: what was published goes on, and says that nothing is to be added."""
    put(stage)
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    await stage.report(ran(READS, pod=pod), to=one)
    await stage.pass_(5)
    put(stage, dataclasses.replace(HOSTS, read_only=("/etc/app.conf", "/etc/hosts")))
    await stage.report(ran(READS, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    assert said(stage, "r-app", "state") == "final"
    assert said(stage, "r-app", "added") is None
    assert read_only(stage, "r-app") == ["/etc/app.conf", "/etc/hosts"]


@staged
async def test_what_a_node_says_of_a_profile_is_data(stage):
    """A name that no object has, paths with controls: escaped in all that people read, and no error."""
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    name = "\x1b[2Jweb\n"
    found = (
        denial("open", "file", "read", "/etc/\x1b[2Ja\nb", profile=name),
        denial("open", "file", "read", "/etc/b", profile="other\x07"),
        denial("setrlimit", "rlim\nits", "", profile=name, limit=7),
    )
    await stage.report(ran(*found, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    result = stage.platform.object("r-app", APPARMOR)
    assert read_only(stage, "r-app") == ["/etc/??2Ja?b"]
    assert said(stage, "r-app", "completes") == "\\x1b[2Jweb\\x0a"
    texts = [
        *result.annotations.values(),
        *(each.message for each in stage.platform.statuses[one.id].conditions),
    ]
    assert all(line.isprintable() for text in texts for line in text.split("\n"))
    assert len(said(stage, "r-app", "warnings").splitlines()) == 3


# --- where it stands


async def updated(stage, *denials, update="web", verdict="allowed", **more):
    """A recording that asks for it, over; what its containers were denied."""
    one = stage.platform.add(asked(update=update, **more))
    pod = stage.platform.add_pod("web", one.name.namespace)
    await stage.report(ran(*denials, verdict=verdict, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    return one


@staged
async def test_a_result_of_the_namespace_is_changed_where_it_stands(stage):
    """Once, with an Event that says what was added; all else of it stays, and so it is after a restart."""
    put(stage)
    one = await updated(stage, READS, RUNS)
    after = stage.platform.object("web", APPARMOR)
    assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts"]
    assert (after.spec["state"], after.spec["mode"]) == ("Enabled", "Complain")
    assert dict(after.labels) == LABELS
    assert dict(after.annotations) == {**OURS, "recorder.x-k8s.io/completed-by": "ns/r"}
    assert after.uid == "object-web"
    assert reasons(stage, one) == ["ProfileUpdated"]
    told = condition(stage, one, "ProfileUpdated")
    assert (told.status, told.reason) == (True, "Updated")
    for line in ("readOnlyPaths: /etc/app.conf", "allowedExecutables: /bin/date"):
        assert line in told.message
    before = content(stage.platform)
    await stage.restart()
    await stage.pass_(60)
    assert content(stage.platform) == before
    assert condition(stage, one, "ProfileUpdated") == told


@staged
async def test_what_a_later_container_lacked_is_added_too(stage):
    """The recording goes on."""
    put(stage)
    one = await updated(stage, READS)
    pod = stage.platform.add_pod("web", uid="pod-2")
    later = denial("open", "file", "read", "/etc/later")
    await stage.report(ran(later, pod=pod, ended=True, cgroup=2), to=one)
    await stage.pass_(120)
    assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts", "/etc/later"]


@staged
async def test_what_the_profile_enforced_is_not_added_where_it_stands(stage):
    """Who is refused something shall not get it by trying; it is in the result to review."""
    put(stage)
    one = await updated(stage, READS, verdict="denied")
    assert read_only(stage, "web") == ["/etc/hosts"]
    assert read_only(stage, "r-app") == ["/etc/app.conf", "/etc/hosts"]
    assert condition(stage, one, "ProfileUpdated").reason == "NothingToAdd"


REFUSED = [
    ("NotFound", lambda stage: None, {}),
    ("NotOurs", lambda stage: put(stage, annotations={}, manager="kubectl"), {}),
    ("NotOurs", lambda stage: put(stage, labels={}), {}),
    ("OtherNamespace", put, {"namespace": "other"}),
    ("NotInComplainMode", lambda stage: put(stage, dataclasses.replace(HOSTS, complain=False)), {}),
]


@pytest.mark.parametrize(("reason", "given", "more"), REFUSED)
def test_it_is_left_alone_and_said_why(reason, given, more, tmp_path):
    """What is no result, another namespace's, or enforced; the result to review is there all the same."""

    @staged
    async def left(stage):
        given(stage)
        before = content(stage.platform).get("web")
        one = await updated(stage, READS, **more)
        assert content(stage.platform).get("web") == before
        told = condition(stage, one, "ProfileUpdated")
        assert (told.status, told.reason) == (False, reason)
        assert reasons(stage, one) == ["ProfileNotUpdated"]
        assert "r-app" in stage.platform.names()

    left(tmp_path)


@staged
async def test_a_profile_that_is_recorded_is_left_to_its_recording(stage):
    """Which would write it again without what was added."""
    source = stage.platform.add(dataclasses.replace(asked("old"), means=Means.LOGS))
    pod = stage.platform.add_pod("db")
    other = denial("open", "file", "read", "/etc/db.conf", profile="db")
    put(stage, dataclasses.replace(HOSTS, name="db"))
    await stage.report(ran(other, pod=pod, cgroup=9, ended=True), to=source)
    await stage.pass_(60)
    assert "old-app" in stage.platform.names()
    before = content(stage.platform)["old-app"]
    own = denial("open", "file", "read", "/etc/more", profile="old-app")
    one = await updated(stage, own, update="old-app")
    assert content(stage.platform)["old-app"] == before
    told = condition(stage, one, "ProfileUpdated")
    assert (told.reason, "ns/old" in told.message) == ("StillRecorded", True)


@staged
async def test_rules_that_a_person_edited_are_theirs(stage):
    """No forced write: the condition says who has them."""
    held = put(stage)
    held.owners["spec.abstract"] = "kubectl-edit"
    one = await updated(stage, READS)
    assert read_only(stage, "web") == ["/etc/hosts"]
    told = condition(stage, one, "ProfileUpdated")
    assert (told.status, told.reason, "kubectl-edit" in told.message) == (False, "Edited", True)
    writes = stage.platform.calls["apply"]
    await stage.pass_(300)
    assert stage.platform.calls["apply"] == writes
    del held.fields[EDITED], held.owners[EDITED]  # a person gives it back
    await stage.pass_(120)
    assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts"]


@staged
async def test_a_mode_that_a_person_edited_stays(stage):
    """As it is when a recorded profile is set to Complain by hand."""
    held = put(stage)
    held.owners["spec.mode"] = "kubectl-edit"
    await updated(stage, READS)
    assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts"]
    assert held.fields["spec.mode"] == "Complain"


@pytest.mark.parametrize("fault", ["failures", "lost_answers"])
@pytest.mark.parametrize("method", ["result", "apply"])
def test_an_outage_in_between_loses_nothing_and_adds_nothing_twice(fault, method, tmp_path):
    """Before and after each step is done."""

    @staged
    async def out(stage):
        put(stage)
        one = stage.platform.add(asked(update="web"))
        pod = stage.platform.add_pod("web")
        await stage.report(ran(READS, pod=pod, ended=True), to=one)
        getattr(stage.platform, fault)[method] = 3
        await stage.pass_(200)
        assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts"]
        assert stage.platform.object("r-app", APPARMOR).annotations["recorder.x-k8s.io/state"] == "final"
        assert reasons(stage, one) in (["ProfileUpdated"], [])  # not told if the answer was lost

    out(tmp_path)


@staged
async def test_what_is_asked_for_afterwards_is_done_and_taken_back_is_not(stage):
    """The annotation comes when the result is final already; without it there is no condition any more."""
    put(stage)
    one = await updated(stage, READS, update="")
    assert condition(stage, one, "ProfileUpdated") is None
    assert read_only(stage, "web") == ["/etc/hosts"]
    stage.platform.add(dataclasses.replace(one, update="web"))
    await stage.pass_(5)
    assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts"]
    assert condition(stage, one, "ProfileUpdated").reason == "Updated"
    stage.platform.add(dataclasses.replace(one, update="elsewhere"))
    await stage.pass_(5)
    assert condition(stage, one, "ProfileUpdated").reason == "NotFound"
    stage.platform.add(one)
    looks = stage.publisher.figures().looks
    await stage.pass_(200)
    assert condition(stage, one, "ProfileUpdated") is None
    assert stage.publisher.figures().looks - looks < 10


@staged
async def test_it_is_tried_again_when_what_was_in_the_way_may_be_gone(stage):
    """Every minute, not more often: here somebody sets the profile to Complain. Also after a restart."""
    held = put(stage, dataclasses.replace(HOSTS, complain=False))
    one = await updated(stage, READS)
    await stage.restart()
    await stage.pass_(30)
    assert condition(stage, one, "ProfileUpdated").reason == "NotInComplainMode"
    held.fields["spec.mode"] = "Complain"
    asked_for = stage.platform.calls["result"]
    await stage.pass_(120)
    assert stage.platform.calls["result"] - asked_for < 6
    assert condition(stage, one, "ProfileUpdated").reason == "Updated"
    assert read_only(stage, "web") == ["/etc/app.conf", "/etc/hosts"]


@staged
async def test_a_recording_that_is_refused_changes_nothing(stage):
    """Its namespace lost the label before its containers ended."""
    put(stage)
    one = stage.platform.add(asked(update="web"))
    pod = stage.platform.add_pod("web")
    await stage.report(ran(READS, pod=pod), to=one)
    await stage.pass_(10)
    stage.platform.refuse(one, "NotOptedIn")
    await stage.pass_(120)
    assert said(stage, "r-app", "state") == "final"
    assert read_only(stage, "web") == ["/etc/hosts"]
