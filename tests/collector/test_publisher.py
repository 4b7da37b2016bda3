"""Results as they come and grow: names, labels, states, merging, coverage, write distances."""

import json
from itertools import pairwise

import pytest

from recorder.collector.store import Incoming, StoreBounds
from recorder.model.record import Phase
from recorder.model.recording import MergeStrategy
from tests.collector.platform import recording
from tests.collector.publishing import SECCOMP, allowed, condition, coverage, seen, staged

ALL = MergeStrategy.CONTAINERS


@staged
async def test_a_result_appears_disabled_while_its_container_runs(stage):
    """SPO shows nothing before the pod is gone (#2748)."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(3)
    result = stage.platform.object("r-app")
    assert result.spec["state"] == "Disabled"
    assert result.annotations["recorder.x-k8s.io/state"] == "recording"
    assert {"execve", "rename"} <= allowed(result)


@staged
async def test_a_result_grows_while_its_container_runs(stage):
    """What is seen later is in it later."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(3)
    assert "mkdir" not in allowed(stage.platform.object("r-app"))
    await stage.report(seen("execve rename mkdir", pod=pod), to=asked)
    await stage.pass_(10)
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    assert stage.platform.object("r-app").spec["state"] == "Disabled"


@staged
async def test_a_result_is_final_and_enabled_thirty_seconds_after_its_last_container(stage):
    """Not before: it may be restarted."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(10)
    await stage.report(seen("execve rename", pod=pod, ended=True), to=asked)
    await stage.pass_(29)
    assert stage.platform.object("r-app").spec["state"] == "Disabled"
    await stage.pass_(2)
    result = stage.platform.object("r-app")
    assert result.spec["state"] == "Enabled"
    assert result.annotations["recorder.x-k8s.io/state"] == "final"


@staged
async def test_a_restart_within_thirty_seconds_keeps_the_result_growing(stage):
    """It is the union of the runs; SPO has one of them."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, cgroup=1, ended=True), to=asked)
    await stage.pass_(20)
    await stage.report(seen("execve unlink", pod=pod, cgroup=2), to=asked)
    await stage.pass_(60)
    result = stage.platform.object("r-app")
    assert result.annotations["recorder.x-k8s.io/state"] == "recording"
    assert {"rename", "unlink"} <= allowed(result)
    await stage.report(seen("execve unlink", pod=pod, cgroup=2, ended=True), to=asked)
    await stage.pass_(40)
    assert stage.platform.object("r-app").spec["state"] == "Enabled"


@staged
async def test_a_final_result_changes_only_when_a_later_container_has_ended(stage):
    """Enabled profiles are installed on every node at each write."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, cgroup=1, ended=True), to=asked)
    await stage.pass_(40)
    before = stage.platform.object("r-app")
    await stage.report(seen("execve unlink", pod=pod, cgroup=2), to=asked)
    await stage.pass_(300)
    assert stage.platform.object("r-app") == before
    await stage.report(seen("execve unlink", pod=pod, cgroup=2, ended=True, last=9), to=asked)
    await stage.pass_(5)
    after = stage.platform.object("r-app")
    assert {"rename", "unlink"} <= allowed(after)
    assert after.spec["state"] == "Enabled"
    assert after.annotations["recorder.x-k8s.io/last-seen"] == "2023-11-14T22:13:29Z"


@staged
async def test_what_still_runs_is_not_in_a_final_result_that_another_containers_end_changes(stage):
    """Two later containers, of which one has ended."""
    asked = stage.platform.add(recording(merge=ALL))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, cgroup=1, ended=True), to=asked)
    await stage.pass_(40)
    await stage.report(
        seen("execve unlink", pod=pod, cgroup=2, ended=True),
        seen("execve mkdir", pod=pod, cgroup=3),
        to=asked,
    )
    await stage.pass_(10)
    assert "unlink" in allowed(stage.platform.object("r-app"))
    assert "mkdir" not in allowed(stage.platform.object("r-app"))


@staged
async def test_deleting_the_recording_makes_its_results_final_at_once(stage):
    """Whatever runs; SPO merges only then, and may hang (#3328)."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(3)
    stage.platform.delete(asked)
    await stage.pass_(1)
    assert stage.platform.object("r-app").spec["state"] == "Enabled"


@staged
async def test_disable_profile_after_recording(stage):
    """Final, and Disabled."""
    asked = stage.platform.add(recording(disable=True))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, ended=True), to=asked)
    await stage.pass_(40)
    result = stage.platform.object("r-app")
    assert result.annotations["recorder.x-k8s.io/state"] == "final"
    assert result.spec["state"] == "Disabled"


@staged
async def test_labels_are_these_and_no_others(stage):
    """As SPO's."""
    asked = stage.platform.add(recording("rec", "prod"))
    pod = stage.platform.add_pod("web", "prod")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(3)
    assert stage.platform.object("rec-app").labels == {
        "spo.x-k8s.io/recording-id": "rec",
        "spo.x-k8s.io/container-id": "app",
        "spo.x-k8s.io/recording-namespace": "prod",
    }


@staged
async def test_pods_of_a_template_have_a_result_each_with_the_pods_suffix(stage):
    """mergeStrategy None: `<recording>-<container>-<pod name less generateName>`."""
    asked = stage.platform.add(recording())
    for index, (suffix, call) in enumerate({"aa": "mkdir", "bb": "chmod", "cc": "socket"}.items(), 1):
        pod = stage.platform.add_pod(f"web-5d4-{suffix}", generate_name="web-5d4-")
        await stage.report(seen(f"execve {call}", pod=pod, cgroup=index), to=asked)
    await stage.pass_(3)
    assert stage.platform.names() == ["r-app-aa", "r-app-bb", "r-app-cc"]
    assert "chmod" in allowed(stage.platform.object("r-app-bb"))
    assert not {"mkdir", "socket"} & allowed(stage.platform.object("r-app-bb"))


@staged
async def test_merging_containers_gives_one_union_with_coverage_and_partials(stage):
    """Three replicas, each with a call of its own, while they run."""
    asked = stage.platform.add(recording(merge=ALL))
    for index, (suffix, call) in enumerate({"aa": "mkdir", "bb": "chmod", "cc": "socket"}.items(), 1):
        pod = stage.platform.add_pod(f"web-5d4-{suffix}", generate_name="web-5d4-")
        await stage.report(seen(f"execve {call}", pod=pod, cgroup=index), to=asked)
    await stage.pass_(3)
    assert stage.platform.names() == ["r-app", "r-app-aa", "r-app-bb", "r-app-cc"]
    merged = stage.platform.object("r-app")
    assert {"mkdir", "chmod", "socket"} <= allowed(merged)
    assert coverage(merged) == {
        "version": "v1",
        "total": 3,
        "syscalls": {"chmod": 1, "execve": 3, "mkdir": 1, "socket": 1},
    }
    assert "spo.x-k8s.io/partial" not in merged.labels
    assert stage.platform.object("r-app-bb").labels["spo.x-k8s.io/partial"] == "true"


@staged
async def test_partials_are_removed_once_the_merged_result_is_final(stage):
    """And do not come again with later pods."""
    asked = stage.platform.add(recording(merge=ALL))
    pods = [stage.platform.add_pod(f"web-{each}", generate_name="web-") for each in ("aa", "bb")]
    for index, pod in enumerate(pods, 1):
        await stage.report(seen("execve rename", pod=pod, cgroup=index, ended=True), to=asked)
    await stage.pass_(3)
    assert stage.platform.names() == ["r-app", "r-app-aa", "r-app-bb"]
    await stage.pass_(40)
    assert stage.platform.names() == ["r-app"]
    later = stage.platform.add_pod("web-cc", generate_name="web-")
    await stage.report(seen("execve mkdir", pod=later, cgroup=3), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    await stage.report(seen("execve mkdir", pod=later, cgroup=3, ended=True), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    assert coverage(stage.platform.object("r-app"))["syscalls"] == {"execve": 3, "rename": 2, "mkdir": 1}


@staged
async def test_a_partial_is_final_thirty_seconds_after_its_own_pod(stage):
    """Others still run."""
    asked = stage.platform.add(recording(merge=ALL))
    first = stage.platform.add_pod("web-aa", generate_name="web-")
    second = stage.platform.add_pod("web-bb", generate_name="web-")
    await stage.report(
        seen("execve rename", pod=first, ended=True), seen("execve", pod=second, cgroup=2), to=asked
    )
    await stage.pass_(20)
    assert stage.platform.object("r-app-aa").annotations["recorder.x-k8s.io/state"] == "recording"
    await stage.pass_(40)
    assert stage.platform.object("r-app-aa").annotations["recorder.x-k8s.io/state"] == "final"
    assert stage.platform.object("r-app-bb").annotations["recorder.x-k8s.io/state"] == "recording"
    assert stage.platform.object("r-app").annotations["recorder.x-k8s.io/state"] == "recording"


@staged
async def test_two_pods_that_would_write_one_name_are_merged(stage):
    """A pod that no template made, deleted and made again."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web", uid="first")
    await stage.report(seen("execve mkdir", pod=pod, cgroup=1, ended=True), to=asked)
    await stage.pass_(3)
    pod = stage.platform.add_pod("web", uid="second")
    await stage.report(seen("execve chmod", pod=pod, cgroup=2, ended=True), to=asked)
    await stage.pass_(40)
    assert stage.platform.names() == ["r-app"]
    assert {"mkdir", "chmod"} <= allowed(stage.platform.object("r-app"))
    assert coverage(stage.platform.object("r-app"))["total"] == 2


@staged
async def test_each_container_of_a_pod_has_its_result(stage):
    """Init, ephemeral and others alike."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    for index, name in enumerate(("app", "init", "debugger"), 1):
        await stage.report(seen("execve rename", name, pod, cgroup=index), to=asked)
    await stage.pass_(3)
    assert stage.platform.names() == ["r-app", "r-debugger", "r-init"]


@staged
async def test_writes_come_at_two_seconds_and_then_with_doubling_distance_up_to_sixty(stage):
    """However often something changes: writes 2 s after the first sight, then 4, 8, 16, 32, 60 s apart."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    begun = stage.now
    for second in range(260):
        await stage.report(seen("execve rename", pod=pod, ledger={"ring_full": second + 1}), to=asked)
        await stage.pass_(1)
    times = stage.platform.times
    assert 2 <= times[0] - begun <= 3  # it is looked at twice a second at most
    assert [later - sooner for sooner, later in pairwise(times)] == [4, 8, 16, 32, 60, 60, 60]


@staged
async def test_nothing_is_written_while_the_content_stays(stage):
    """A report that only says that it was seen later is not worth a write."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    for second in range(120):
        await stage.report(seen("execve rename", pod=pod, last=5 + second), to=asked)
        await stage.pass_(1)
    assert len(stage.platform.applied) == 1


@staged
async def test_set_up_alone_makes_no_result_and_the_status_says_why(stage):
    """A profile of it would let nothing run."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("mount", pod=pod, phase=Phase.SETUP), to=asked)
    await stage.pass_(10)
    assert not stage.platform.names()
    assert "set-up" in condition(stage, asked, "Ready").message
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(10)
    assert stage.platform.names() == ["r-app"]


@staged
async def test_nodes_of_two_machines_give_both_architectures(stage):
    """AMD64 and ARM64 in one recording."""
    asked = stage.platform.add(recording(merge=ALL))
    one = stage.platform.add_pod("web-aa", generate_name="web-")
    two = stage.platform.add_pod("web-bb", generate_name="web-", node="node-b")
    await stage.report(
        seen("execve rename", pod=one),
        seen("execve socket", pod=two, node="node-b", machine="aarch64"),
        to=asked,
    )
    await stage.pass_(3)
    result = stage.platform.object("r-app")
    assert result.spec["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"]
    names = json.loads(result.annotations["recorder.x-k8s.io/abi"])["names"]
    assert "socket" in names["aarch64"]
    assert "socket" not in names["x86_64"]


@staged
async def test_at_most_so_many_results_and_the_first_ones_stay(stage):
    """More pods than results: a condition and an Event say so; what is there is not taken away."""
    stage.policy = stage.policy.__class__(of_recording=3)
    await stage.restart()
    asked = stage.platform.add(recording())
    for index in range(3):
        pod = stage.platform.add_pod(f"web-z{index}", generate_name="web-")
        await stage.report(seen("execve", pod=pod, cgroup=index + 1, ended=True), to=asked)
    await stage.pass_(60)
    before = stage.platform.names()
    for index in range(4):
        pod = stage.platform.add_pod(f"web-a{index}", generate_name="web-")
        await stage.report(seen("execve", pod=pod, cgroup=index + 10, ended=True), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == before == ["r-app-z0", "r-app-z1", "r-app-z2"]
    assert condition(stage, asked, "LimitReached").message.startswith("4 results not published")
    assert stage.platform.event_reasons(asked).count("LimitReached") == 1
    await stage.restart()
    await stage.pass_(60)
    assert stage.platform.names() == before


@staged
async def test_status_has_results_conditions_and_what_runs(stage):
    """A person sees what there is and whether it is whole."""
    asked = stage.platform.add(recording(merge=ALL))
    first = stage.platform.add_pod("web-aa", generate_name="web-")
    second = stage.platform.add_pod("web-bb", generate_name="web-")
    await stage.report(
        seen("execve rename", pod=first),
        seen("execve", pod=second, cgroup=2, ledger={"slot_reused": 2}),
        to=asked,
    )
    await stage.pass_(10)
    status = stage.platform.statuses[asked.id]
    assert status.active_workloads == ("web-aa", "web-bb")
    [merged] = [each for each in status.results if each.name == "r-app"]
    assert (merged.container, merged.state, merged.syscalls, merged.coverage) == ("app", "recording", 2, 2)
    assert merged.verdict == "lossy: slot_reused 2"
    assert status.ledger == {"slot_reused": 2}
    assert condition(stage, asked, "Complete").status is False


@staged
async def test_events_are_told_once_each(stage):
    """Started, FirstResult, Loss: however often it is written, and across a restart."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=pod, ledger={"slot_reused": 1}), to=asked)
    await stage.pass_(10)
    await stage.report(seen("execve rename", pod=pod, ledger={"slot_reused": 2}), to=asked)
    await stage.pass_(30)
    await stage.restart()
    await stage.report(seen("execve rename unlink", pod=pod, ledger={"slot_reused": 3}), to=asked)
    await stage.pass_(120)
    assert sorted(stage.platform.event_reasons(asked)) == ["FirstResult", "Loss", "Started"]


@staged
async def test_a_container_that_cannot_be_recorded_is_told_of(stage):
    """By an Event, once, and in the status."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    observation = seen("", pod=pod)
    await stage.store.put([Incoming(observation, (asked.id,), "it runs in a virtual machine")])
    stage.publisher.sightings_changed(frozenset({asked.id}))
    await stage.pass_(60)
    assert not stage.platform.names()
    assert stage.platform.event_reasons(asked).count("NotRecordable") == 1
    assert "virtual machine" in condition(stage, asked, "Ready").message


@staged
async def test_finished_pods_make_room_in_a_small_store_and_stay_in_the_result(stage):
    """What results hold is folded; the union and its coverage stay those of all pods."""
    stage.bounds = StoreBounds(sightings=4)
    await stage.restart()
    asked = stage.platform.add(recording(merge=ALL))
    calls = ("mkdir", "chmod", "socket", "rename", "unlink", "mount")
    for index in range(18):
        pod = stage.platform.add_pod(f"job-{index}", generate_name="job-")
        call = calls[index % len(calls)]
        await stage.report(
            seen(f"execve {call}", pod=pod, cgroup=index + 1, last=index, ended=True), to=asked
        )
        await stage.pass_(70)
    assert (await stage.store.figures()).open <= 4
    result = stage.platform.object("r-app")
    assert coverage(result)["total"] == 18
    assert coverage(result)["syscalls"] == {"execve": 18, **dict.fromkeys(calls, 3)}
    assert result.spec["state"] == "Enabled"


@pytest.mark.parametrize("state", ["recording", "final"])
def test_the_object_that_is_kept_is_of_the_kind_seccomp(tmp_path, state):
    """The store finds a result by its name, in each state."""

    @staged
    async def scenario(stage):
        asked = stage.platform.add(recording())
        pod = stage.platform.add_pod("web")
        await stage.report(seen("execve", pod=pod, ended=state == "final"), to=asked)
        await stage.pass_(60)
        row = await stage.store.result_by_name(SECCOMP, "r-app")
        assert (row.recording, row.state, row.uid) == (asked.id, state, stage.platform.object("r-app").uid)

    scenario(tmp_path)
