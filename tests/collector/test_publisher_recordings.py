"""Recordings that are refused, edited, deleted, made again; and what is seen of them afterwards."""

from dataclasses import replace

from recorder.model.recording import MergeStrategy, ProfileKind
from recorder.model.selector import LabelSelector
from tests.collector.platform import recording
from tests.collector.publishing import allowed, condition, coverage, seen, staged

ALL = MergeStrategy.CONTAINERS


@staged
async def test_a_namespace_without_the_label_is_told_of_and_nothing_is_made(stage):
    """Status and Event say what to do."""
    asked = recording()
    stage.platform.refuse(asked, "NotOptedIn", "the namespace ns lacks the label")
    await stage.pass_(60)
    assert condition(stage, asked, "Ready").reason == "NotOptedIn"
    assert stage.platform.event_reasons(asked) == ["NotRecorded"]
    assert not stage.platform.names()


@staged
async def test_a_recording_that_is_anothers_gets_an_event_and_no_status(stage):
    """Beside an installed SPO."""
    asked = recording()
    stage.platform.refuse(asked, "OtherRecorder", "SPO records it", silent=True)
    await stage.pass_(60)
    assert asked.id not in stage.platform.statuses
    assert stage.platform.event_reasons(asked) == ["NotRecorded"]


@staged
async def test_a_namespace_that_loses_its_label_makes_the_results_final(stage):
    """What was seen stays."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.refuse(asked, "NotOptedIn")
    await stage.pass_(5)
    assert stage.platform.object("r-app").spec["state"] == "Enabled"
    assert condition(stage, asked, "Ready").reason == "NotOptedIn"
    assert [each.state for each in stage.platform.statuses[asked.id].results] == ["final"]


@staged
async def test_a_namespace_that_gets_its_label_back_goes_on(stage):
    """Nothing that was in the result is lost meanwhile, though its container still runs."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.refuse(asked, "NotOptedIn")
    await stage.pass_(5)
    stage.platform.add(asked)
    await stage.report(seen("execve mkdir", pod=pod, cgroup=2, ended=True), to=asked)
    await stage.pass_(60)
    assert {"execve", "rename", "mkdir"} <= allowed(stage.platform.object("r-app"))
    await stage.report(seen("execve rename chmod", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    assert {"rename", "mkdir", "chmod"} <= allowed(stage.platform.object("r-app"))
    assert condition(stage, asked, "Ready").reason == "Recorded"


@staged
async def test_an_edit_that_makes_it_invalid_keeps_what_was_seen(stage):
    """As when it is refused from the start, but with its results."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.refuse(replace(asked, generation=2), "Invalid", "spec.podSelector: ...")
    await stage.pass_(5)
    assert condition(stage, asked, "Ready").reason == "Invalid"
    assert stage.platform.statuses[asked.id].observed_generation == 2
    assert [each.name for each in stage.platform.statuses[asked.id].results] == ["r-app"]


@staged
async def test_a_selector_that_is_edited_keeps_what_was_seen(stage):
    """A pod that is not selected any more is as one that has ended."""
    asked = stage.platform.add(recording(labels={"app": "web"}))
    pod = stage.platform.add_pod("web", labels={"app": "web"})
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.add(replace(asked, selector=LabelSelector({"app": "db"}), generation=2))
    await stage.pass_(60)
    result = stage.platform.object("r-app")
    assert "rename" in allowed(result)
    assert result.spec["state"] == "Enabled"
    assert stage.platform.statuses[asked.id].active_workloads == ()


@staged
async def test_containers_that_are_edited_keep_what_was_seen(stage):
    """The container that is not asked for any more becomes final."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", "app", pod), seen("execve", "side", pod, cgroup=2), to=asked)
    await stage.pass_(5)
    stage.platform.add(replace(asked, containers=("app",), generation=2))
    await stage.pass_(60)
    assert stage.platform.object("r-side").spec["state"] == "Enabled"
    assert stage.platform.object("r-app").spec["state"] == "Disabled"


@staged
async def test_a_merge_strategy_that_is_edited_to_containers(stage):
    """The pods' results end as they are; the merged one has all that was seen."""
    asked = stage.platform.add(recording())
    for index, (suffix, call) in enumerate({"aa": "mkdir", "bb": "chmod"}.items(), 1):
        pod = stage.platform.add_pod(f"web-{suffix}", generate_name="web-")
        await stage.report(seen(f"execve {call}", pod=pod, cgroup=index), to=asked)
    await stage.pass_(5)
    stage.platform.add(replace(asked, merge=ALL, generation=2))
    await stage.pass_(10)
    assert coverage(stage.platform.object("r-app"))["total"] == 2
    assert {"mkdir", "chmod"} <= allowed(stage.platform.object("r-app"))
    for name in ("r-app-aa", "r-app-bb"):
        assert stage.platform.object(name).annotations["recorder.x-k8s.io/state"] == "final"
        assert "spo.x-k8s.io/partial" not in stage.platform.object(name).labels


@staged
async def test_a_merge_strategy_that_is_edited_to_none(stage):
    """The merged result ends as it is, the partial ones become the pods' own."""
    asked = stage.platform.add(recording(merge=ALL))
    pod = stage.platform.add_pod("web-aa", generate_name="web-")
    await stage.report(seen("execve mkdir", pod=pod), to=asked)
    await stage.pass_(5)
    assert stage.platform.object("r-app-aa").labels["spo.x-k8s.io/partial"] == "true"
    stage.platform.add(replace(asked, merge=MergeStrategy.NONE, generation=2))
    await stage.pass_(20)
    assert stage.platform.object("r-app").annotations["recorder.x-k8s.io/state"] == "final"
    own = stage.platform.object("r-app-aa")
    assert own.annotations["recorder.x-k8s.io/state"] == "recording"
    assert "spo.x-k8s.io/partial" not in own.labels


@staged
async def test_a_kind_that_is_edited_ends_the_results_of_the_old_one(stage):
    """They stay, final."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.add(replace(asked, kind=ProfileKind.SELINUX, generation=2))
    await stage.pass_(5)
    assert stage.platform.object("r-app").annotations["recorder.x-k8s.io/state"] == "final"
    await stage.pass_(30)
    assert "SELinux" in condition(stage, asked, "Ready").message


@staged
async def test_a_deleted_recording_takes_late_reports_and_is_forgotten_then(stage):
    """An agent that was cut off still has some."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.delete(asked)
    await stage.pass_(60)
    await stage.report(seen("execve rename mkdir", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    await stage.pass_(600)
    assert await stage.store.recordings() == {}
    assert (await stage.store.figures()).open == 0
    assert stage.platform.object("r-app").spec["state"] == "Enabled"


@staged
async def test_a_deleted_recording_without_results_is_forgotten(stage):
    """SPO's may stay in Terminating for ever when there was no partial (#3328)."""
    asked = stage.platform.add(recording())
    await stage.pass_(5)
    stage.platform.delete(asked)
    await stage.pass_(700)
    assert await stage.store.recordings() == {}


@staged
async def test_a_result_that_a_person_deletes_after_its_recording_stays_deleted(stage):
    """Also if something comes late."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.delete(asked)
    await stage.pass_(5)
    stage.platform.delete_object("r-app")
    await stage.pass_(5)
    await stage.report(seen("execve rename mkdir", pod=pod, ended=True), to=asked)
    await stage.pass_(100)
    assert stage.platform.names() == []
    await stage.restart()
    await stage.report(seen("execve rename mkdir chmod", pod=pod, ended=True), to=asked)
    await stage.pass_(100)
    assert stage.platform.names() == []


@staged
async def test_a_recording_that_is_made_again_takes_its_results_over(stage):
    """Re-recording an existing name works: the object stays, its content is that of the new recording."""
    asked = stage.platform.add(recording(uid="first"))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    uid = stage.platform.object("r-app").uid
    stage.platform.delete(asked)
    again = stage.platform.add(recording(uid="second"))
    await stage.report(seen("execve mkdir", pod=pod, cgroup=2, ended=True), to=again)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    assert stage.platform.object("r-app").uid == uid
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    assert "rename" not in allowed(stage.platform.object("r-app"))
    await stage.pass_(700)
    assert [each.name for each in await stage.store.results("second")] == ["r-app"]
    assert stage.platform.names() == ["r-app"]


@staged
async def test_a_recording_that_was_forgotten_and_is_made_again_takes_its_results_over(stage):
    """They bear the labels of the same namespace, recording and container."""
    asked = stage.platform.add(recording(uid="first"))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    stage.platform.delete(asked)
    await stage.pass_(700)
    again = stage.platform.add(recording(uid="second"))
    await stage.report(seen("execve mkdir", pod=pod, cgroup=2, ended=True), to=again)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    assert "rename" not in allowed(stage.platform.object("r-app"))


@staged
async def test_made_again_while_the_platform_is_away_the_old_one_does_not_overwrite_the_new_one(stage):
    """Both have something to write when it is back, in whichever order."""
    asked = stage.platform.add(recording(uid="first"))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.delete(asked)
    again = stage.platform.add(recording(uid="second"))
    stage.platform.unreachable = True
    await stage.pass_(1)
    await stage.report(seen("execve mkdir", pod=pod, cgroup=2, ended=True), to=again)
    await stage.pass_(100)
    stage.platform.unreachable = False
    await stage.report(seen("execve rename chmod", pod=pod, ended=True), to=asked)
    await stage.pass_(200)
    assert stage.platform.names() == ["r-app"]
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    assert not {"rename", "chmod"} & allowed(stage.platform.object("r-app"))


@staged
async def test_sightings_of_recordings_that_nobody_knows_are_removed_at_the_start(stage):
    """They came after the recording was forgotten."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=recording("gone"))
    await stage.restart()
    await stage.report(seen("execve", pod=pod, cgroup=2), to=asked)
    await stage.pass_(5)
    assert await stage.store.strays() == []
    assert (await stage.store.figures()).open == 1


@staged
async def test_no_agent_is_a_condition_that_comes_and_goes(stage):
    """A person sees why nothing comes."""
    asked = stage.platform.add(recording())
    stage.nodes = frozenset()
    await stage.pass_(10)
    assert condition(stage, asked, "Ready").reason == "NoAgent"
    stage.nodes = frozenset({"node-a"})
    await stage.pass_(10)
    assert condition(stage, asked, "Ready").reason == "Waiting"


@staged
async def test_a_full_store_is_a_condition_that_comes_and_goes(stage):
    """A clear state, never a silent loss."""
    asked = stage.platform.add(recording())
    await stage.pass_(10)
    stage.full = "the disk is full"
    await stage.pass_(10)
    assert condition(stage, asked, "Ready").reason == "StoreFull"
    stage.full = ""
    await stage.pass_(10)
    assert condition(stage, asked, "Ready").reason == "Waiting"


@staged
async def test_no_room_in_the_plan_is_a_condition_that_comes_and_goes(stage):
    """Such a recording is recorded by nobody until another one ends."""
    asked = stage.platform.add(recording())
    stage.left_out[asked.id] = "agents have no room for it"
    await stage.pass_(10)
    ready = condition(stage, asked, "Ready")
    assert (ready.status, ready.reason) == (False, "PlanFull")
    assert "no room" in ready.message
    stage.left_out.clear()
    stage.publisher.sightings_changed(frozenset({asked.id}))
    await stage.pass_(10)
    assert condition(stage, asked, "Ready").reason == "Waiting"


@staged
async def test_a_recording_that_comes_later_has_a_status_before_anything_is_seen(stage):
    """A person who applies one sees at once that it is known: of every kind."""
    stage.platform.add(recording("first"))
    await stage.pass_(100)
    asked = stage.platform.add(recording("later"))
    other = stage.platform.add(recording("other", kind=ProfileKind.SELINUX))
    await stage.pass_(3)
    assert condition(stage, asked, "Ready").reason == "Waiting"
    assert condition(stage, other, "Ready").reason == "Waiting"


@staged
async def test_a_container_whose_node_is_gone_ends_when_its_pod_is_gone(stage):
    """Nobody will ever tell its end."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web", node="node-b")
    await stage.report(seen("execve rename", pod=pod, node="node-b"), to=asked)
    await stage.pass_(5)
    stage.nodes = frozenset({"node-a"})
    await stage.pass_(700)
    assert stage.platform.object("r-app").spec["state"] == "Disabled"
    stage.platform.delete_pod(pod)
    await stage.pass_(1300)
    assert stage.platform.object("r-app").spec["state"] == "Enabled"
    stage.nodes = frozenset({"node-a", "node-b"})
    await stage.report(seen("execve rename mkdir", pod=pod, node="node-b", ended=True), to=asked)
    await stage.pass_(60)
    assert "mkdir" in allowed(stage.platform.object("r-app"))


@staged
async def test_a_settled_node_that_is_here_is_never_asked_for(stage):
    """A settled cluster costs nothing: agents say nothing, and so do we."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(100)
    before = dict(stage.platform.calls)
    await stage.pass_(3000)
    assert dict(stage.platform.calls) == before
