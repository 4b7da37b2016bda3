"""Whose objects are whose: names that are taken, people's edits, and what another operator has there."""

from recorder.model.recording import MergeStrategy, ProfileKind
from recorder.model.result import Edit
from tests.collector.platform import MANAGER, recording
from tests.collector.publishing import SECCOMP, allowed, condition, seen, staged

ALL = MergeStrategy.CONTAINERS
# printf ns/r/app/ | sha256sum | cut -c1-8
DIGITS = "e4af540a"


@staged
async def test_a_taken_name_gets_the_namespace_in_front_and_an_event_says_why(stage):
    """Profiles are cluster-scoped, so names can be squatted; the other object stays as it is."""
    squatted = stage.platform.squat("r-app").published()
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == ["ns-r-app", "r-app"]
    assert stage.platform.object("r-app") == squatted
    assert [each.name for each in stage.platform.statuses[asked.id].results] == ["ns-r-app"]
    assert stage.platform.event_reasons(asked).count("NameTaken") == 1


@staged
async def test_if_that_name_is_taken_too_digits_stand_behind(stage):
    """8 hex of SHA-256 of namespace/recording/container/suffix."""
    stage.platform.squat("r-app")
    stage.platform.squat("ns-r-app")
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(10)
    assert f"ns-r-app-{DIGITS}" in stage.platform.names()


@staged
async def test_with_all_names_taken_it_is_tried_again_and_the_status_says_so(stage):
    """A person who removes one of the objects gets the result."""
    for name in ("r-app", "ns-r-app", f"ns-r-app-{DIGITS}"):
        stage.platform.squat(name)
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(200)
    assert condition(stage, asked, "Ready").reason == "Degraded"
    assert "r-app" in condition(stage, asked, "Ready").message
    assert stage.platform.event_reasons(asked).count("NameTaken") == 1
    del stage.platform.objects[SECCOMP, "r-app"]
    await stage.pass_(120)
    assert stage.platform.object("r-app").ours
    assert condition(stage, asked, "Ready").reason == "Recording"


@staged
async def test_two_recordings_whose_results_would_have_one_name(stage):
    """`a-b` with container `c`, and `a` with container `b-c`."""
    one, two = stage.platform.add(recording("a-b")), stage.platform.add(recording("a"))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve mkdir", "c", pod), to=one)
    await stage.pass_(5)
    await stage.report(seen("execve chmod", "b-c", pod, cgroup=2), to=two)
    await stage.pass_(5)
    assert stage.platform.names() == ["a-b-c", "ns-a-b-c"]
    assert "mkdir" in allowed(stage.platform.object("a-b-c"))
    assert "chmod" in allowed(stage.platform.object("ns-a-b-c"))


@staged
async def test_results_that_want_one_name_at_the_same_moment(stage):
    """Both are due at once, and neither is there when the other one looks: still two objects."""
    asked = [stage.platform.add(recording(name)) for name in ("a-b", "a")]
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve mkdir", "c", pod), to=asked[0])
    await stage.report(seen("execve chmod", "b-c", pod, cgroup=2), to=asked[1])
    await stage.pass_(10)
    assert stage.platform.names() == ["a-b-c", "ns-a-b-c"]
    for each, call in zip(asked, ("mkdir", "chmod"), strict=True):
        (result,) = stage.platform.statuses[each.id].results
        assert {"mkdir", "chmod"} & allowed(stage.platform.object(result.name)) == {call}


@staged
async def test_one_recordings_name_in_two_namespaces(stage):
    """The second one's result has its namespace in front."""
    one, two = stage.platform.add(recording("r", "one")), stage.platform.add(recording("r", "two"))
    first, second = stage.platform.add_pod("web", "one"), stage.platform.add_pod("web", "two")
    await stage.report(seen("execve mkdir", pod=first), to=one)
    await stage.pass_(5)
    await stage.report(seen("execve chmod", pod=second, cgroup=2), to=two)
    await stage.pass_(5)
    assert stage.platform.names() == ["r-app", "two-r-app"]
    assert stage.platform.object("two-r-app").labels["spo.x-k8s.io/recording-namespace"] == "two"


@staged
async def test_the_namespace_prefix_can_be_the_rule(stage):
    """An option, where names are squatted."""
    stage.policy = stage.policy.__class__(namespace_prefix=True)
    await stage.restart()
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    assert stage.platform.names() == ["ns-r-app"]


@staged
async def test_an_object_with_the_same_labels_that_is_not_ours_is_left_alone(stage):
    """SPO's objects bear the same labels; ours are known by manager and annotation."""
    held = stage.platform.squat("r-app", "spod")
    for key, value in {"recording-id": "r", "container-id": "app", "recording-namespace": "ns"}.items():
        stage.platform.edit("r-app", f"metadata.labels[spo.x-k8s.io/{key}]", value, "spod")
    before = held.published()
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    assert stage.platform.object("r-app") == before
    assert stage.platform.object("ns-r-app").ours


@staged
async def test_an_object_that_appears_between_the_look_and_the_apply_is_not_overwritten(stage):
    """The apply says which object it means; the next name is taken."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    look = stage.platform.result

    async def late(kind, name):
        answer = await look(kind, name)
        if name == "r-app" and answer is None:
            stage.platform.squat("r-app")
        return answer

    stage.platform.result = late
    await stage.pass_(5)
    assert not stage.platform.object("r-app").ours
    assert stage.platform.object("ns-r-app").ours


@staged
async def test_a_field_that_a_person_took_is_theirs_and_the_rest_goes_on(stage):
    """kubectl edit of syscalls: nothing is reverted, state and annotations go on, condition and Event."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    theirs = [{"names": ["execve", "rename", "reboot"], "action": "SCMP_ACT_ALLOW"}]
    stage.platform.edit("r-app", "spec.syscalls", theirs)
    await stage.pass_(5)
    assert condition(stage, asked, "Edited").status
    assert "spec.syscalls" in condition(stage, asked, "Edited").message
    assert "kubectl-edit" in condition(stage, asked, "Edited").message
    await stage.report(seen("execve rename mkdir", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    result = stage.platform.object("r-app")
    assert result.spec["syscalls"] == theirs
    assert result.spec["state"] == "Enabled"
    assert result.annotations["recorder.x-k8s.io/state"] == "final"
    assert stage.platform.event_reasons(asked).count("Edited") == 1
    row = await stage.store.result_by_name(SECCOMP, "r-app")
    assert row.edits == (Edit("spec.syscalls", "kubectl-edit"),)


@staged
async def test_removing_the_annotation_gives_the_field_back(stage):
    """The way back."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    stage.platform.edit("r-app", "spec.syscalls", [{"names": ["reboot"], "action": "SCMP_ACT_ALLOW"}])
    await stage.pass_(5)
    assert allowed(stage.platform.object("r-app")) == {"reboot"}
    stage.platform.give_back("r-app")
    await stage.pass_(5)
    assert {"execve", "rename"} <= allowed(stage.platform.object("r-app"))
    assert condition(stage, asked, "Edited") is None


@staged
async def test_a_label_that_a_person_changed_stays_and_the_result_is_still_found(stage):
    """Its uid says that it is ours; it is not made a second time under another name."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.edit("r-app", "metadata.labels[spo.x-k8s.io/container-id]", "other")
    await stage.pass_(5)
    await stage.restart()
    await stage.report(seen("execve mkdir", pod=pod), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    assert stage.platform.object("r-app").labels["spo.x-k8s.io/container-id"] == "other"


@staged
async def test_an_edit_of_a_final_result_is_told_without_a_change_of_what_was_seen(stage):
    """The platform says that it was touched."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    stage.platform.edit("r-app", "spec.state", "Disabled")
    await stage.pass_(5)
    assert stage.platform.object("r-app").spec["state"] == "Disabled"
    assert condition(stage, asked, "Edited").status


@staged
async def test_a_result_that_a_person_deleted_is_made_again_while_its_recording_is_there(stage):
    """The recording asks for it."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    before = stage.platform.object("r-app")
    stage.platform.delete_object("r-app")
    await stage.pass_(5)
    after = stage.platform.object("r-app")
    assert (after.spec, after.annotations) == (before.spec, before.annotations)
    assert after.uid != before.uid


@staged
async def test_a_result_that_was_deleted_and_squatted_gets_another_name(stage):
    """The uid is not that of the object which was written."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.squat("r-app")
    await stage.report(seen("execve mkdir", pod=pod), to=asked)
    await stage.pass_(60)
    assert not stage.platform.object("r-app").ours
    assert "mkdir" in allowed(stage.platform.object("ns-r-app"))


@staged
async def test_an_object_that_the_platform_refuses_is_told_and_tried_again(stage):
    """A CRD that is missing, or an admission policy."""
    stage.platform.refuses[ProfileKind.SECCOMP] = "no such kind: install the CRDs of deploy/crds"
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(200)
    assert "install the CRDs" in condition(stage, asked, "Ready").message
    assert stage.platform.event_reasons(asked).count("NotPublished") == 1
    assert stage.platform.calls["apply"] < 6
    stage.platform.refuses.clear()
    await stage.pass_(90)
    assert stage.platform.names() == ["r-app"]


@staged
async def test_beside_another_operator_no_partials_are_published(stage):
    """Its merger deletes what bears the partial label."""
    asked = stage.platform.add(recording(merge=ALL, beside=True))
    for index, suffix in enumerate(("aa", "bb"), 1):
        pod = stage.platform.add_pod(f"web-{suffix}", generate_name="web-")
        await stage.report(seen("execve", pod=pod, cgroup=index), to=asked)
    await stage.pass_(30)
    assert stage.platform.names() == ["r-app"]
    assert all("spo.x-k8s.io/partial" not in each.labels for each in stage.platform.applied)


@staged
async def test_partials_go_when_another_operator_comes(stage):
    """It is installed while a recording runs."""
    asked = stage.platform.add(recording(merge=ALL))
    pod = stage.platform.add_pod("web-aa", generate_name="web-")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    assert stage.platform.names() == ["r-app", "r-app-aa"]
    stage.platform.add(recording(merge=ALL, beside=True))
    await stage.pass_(5)
    assert stage.platform.names() == ["r-app"]


@staged
async def test_no_apply_is_forced(stage):
    """The platform's own account: fields of others are others' whatever we did."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.edit("r-app", "spec.defaultAction", "SCMP_ACT_LOG", "argocd")
    for call in ("rename", "unlink", "mkdir"):
        await stage.report(seen(f"execve {call}", pod=pod), to=asked)
        await stage.pass_(60)
    held = stage.platform.objects[SECCOMP, "r-app"]
    assert held.owners["spec.defaultAction"] == "argocd"
    assert held.fields["spec.defaultAction"] == "SCMP_ACT_LOG"
    assert held.owners["spec.syscalls"] == MANAGER
