"""Nothing of a pod is in a result before the platform says that the pod is what the agent says it is."""

from dataclasses import replace

from recorder.collector.results.result_policy import ResultPolicy
from recorder.model.record import Pod
from recorder.model.recording import MergeStrategy
from tests.collector.platform import recording
from tests.collector.publishing import allowed, condition, seen, staged


async def refusals(stage, asked):
    """What the status says of reports that were not believed."""
    await stage.pass_(60)
    assert not stage.platform.names()
    ready = condition(stage, asked, "Ready")
    assert ready.reason == "Degraded"
    return ready.message


@staged
async def test_a_pod_that_the_platform_places_on_another_node_is_refused(stage):
    """An agent speaks for its node alone; others' reports are unaffected."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web", node="node-b")
    await stage.report(seen("execve mkdir", pod=pod, node="node-a"), to=asked)
    assert "the pod is not on the agent's node (1)" in await refusals(stage, asked)
    await stage.report(seen("execve rename", pod=pod, node="node-b"), to=asked)
    await stage.pass_(10)
    assert "rename" in allowed(stage.platform.object("r-app"))
    assert "mkdir" not in allowed(stage.platform.object("r-app"))
    assert stage.publisher.figures().decided == {"refused": 1, "confirmed": 1}


@staged
async def test_a_pod_that_the_recording_does_not_select_is_refused(stage):
    """By its labels of today."""
    asked = stage.platform.add(recording(labels={"app": "web"}))
    pod = stage.platform.add_pod("web", labels={"app": "db"})
    await stage.report(seen("execve", pod=pod), to=asked)
    assert "no recording that it was reported for selects the pod (1)" in await refusals(stage, asked)


@staged
async def test_a_pod_of_another_namespace_is_refused(stage):
    """A recording is of its namespace."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web", "other")
    await stage.report(seen("execve", pod=pod), to=asked)
    assert "selects the pod" in await refusals(stage, asked)


@staged
async def test_a_container_that_the_recording_does_not_name_is_refused(stage):
    """spec.containers."""
    asked = stage.platform.add(recording(containers=("app",)))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", "side", pod), to=asked)
    assert "selects the pod" in await refusals(stage, asked)


@staged
async def test_a_pod_without_uid_is_refused(stage):
    """It could be any pod that ever had the name."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve", pod=replace(pod, uid="")), to=asked)
    assert "another uid" in await refusals(stage, asked)


@staged
async def test_of_two_recordings_the_one_that_does_not_select_the_pod_gets_nothing(stage):
    """A report names both."""
    one = stage.platform.add(recording("one", labels={"app": "web"}))
    two = stage.platform.add(recording("two", labels={"app": "db"}))
    pod = stage.platform.add_pod("web", labels={"app": "web"})
    await stage.report(seen("execve", pod=pod), to=(one, two))
    await stage.pass_(60)
    assert stage.platform.names() == ["one-app"]


@staged
async def test_a_pod_that_stops_matching_keeps_what_was_seen_while_it_did(stage):
    """Its label goes after it was confirmed."""
    asked = stage.platform.add(recording(labels={"app": "web"}))
    pod = stage.platform.add_pod("web", labels={"app": "web"})
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(5)
    stage.platform.label_pod(pod, {})
    await stage.report(seen("execve rename mkdir", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    assert {"rename", "mkdir"} <= allowed(stage.platform.object("r-app"))


@staged
async def test_a_pod_is_asked_for_once_for_all_its_containers(stage):
    """Nobody caches the cluster's pods, and nobody asks twice."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web")
    for cgroup in range(1, 21):
        await stage.report(seen("execve", f"c{cgroup}", pod, cgroup=cgroup), to=asked)
    await stage.pass_(30)
    assert stage.platform.asked == [pod]


@staged
async def test_a_pod_that_is_gone_is_asked_for_again_and_then_not_in_any_result(stage):
    """It is kept, and the status says how many there are."""
    asked = stage.platform.add(recording())
    await stage.report(seen("execve", pod=Pod("ns", "web", "gone")), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == []
    assert len(stage.platform.asked) == 3
    assert "1 container not in any result" in condition(stage, asked, "Ready").message
    assert condition(stage, asked, "Complete").status is False
    assert (await stage.store.figures()).open == 1


@staged
async def test_a_static_pod_of_which_the_platform_learns_late_is_confirmed(stage):
    """The kubelet starts it, and tells the API server afterwards."""
    asked = stage.platform.add(recording())
    await stage.report(seen("execve", pod=Pod("ns", "web", "pod-ns-web")), to=asked)
    await stage.pass_(3)
    stage.platform.add_pod("web")
    await stage.pass_(20)
    assert stage.platform.names() == ["r-app"]


@staged
async def test_a_pod_of_another_uid_is_as_one_that_is_gone(stage):
    """The name was used again."""
    asked = stage.platform.add(recording())
    stage.platform.add_pod("web", uid="new")
    await stage.report(seen("execve", pod=Pod("ns", "web", "old")), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == []


@staged
async def test_a_setting_takes_what_nobody_could_confirm(stage):
    """accept_unconfirmed."""
    stage.policy = ResultPolicy(accept_unconfirmed=True)
    await stage.restart()
    asked = stage.platform.add(recording(merge=MergeStrategy.CONTAINERS))
    await stage.report(seen("execve mkdir", pod=Pod("ns", "web", "gone"), ended=True), to=asked)
    await stage.pass_(100)
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    assert stage.platform.object("r-app").spec["state"] == "Enabled"


@staged
async def test_a_later_container_of_a_pod_that_was_confirmed_and_is_gone(stage):
    """It is where the first one was, also for a collector that was started meanwhile."""
    asked = stage.platform.add(recording())
    pod = stage.platform.add_pod("web-aa", generate_name="web-")
    await stage.report(seen("execve mkdir", "init", pod, ended=True), to=asked)
    await stage.pass_(5)
    stage.platform.delete_pod(pod)
    await stage.restart()
    await stage.report(seen("execve chmod", "app", pod, cgroup=2, ended=True), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app-aa", "r-init-aa"]


@staged
async def test_pods_wait_while_the_platform_is_away(stage):
    """They are not taken for gone."""
    asked = stage.platform.add(recording())
    await stage.pass_(1)
    pod = stage.platform.add_pod("web")
    stage.platform.unreachable = True
    await stage.report(seen("execve", pod=pod, ended=True), to=asked)
    await stage.pass_(60)
    stage.platform.unreachable = False
    await stage.pass_(100)
    assert stage.platform.object("r-app").spec["state"] == "Enabled"


@staged
async def test_what_is_outside_of_kubernetes_is_not_asked_for(stage):
    """A file without a namespace: containers of docker and podman."""
    asked = stage.platform.add(recording("r", ""))
    await stage.report(seen("execve mkdir", ended=True), to=asked)
    await stage.pass_(60)
    assert stage.platform.asked == []
    assert "mkdir" in allowed(stage.platform.object("r-app"))
    assert "spo.x-k8s.io/recording-namespace" not in stage.platform.object("r-app").labels


@staged
async def test_a_platform_that_knows_no_nodes_believes_the_agent(stage):
    """A folder of files: there is nobody to ask for pods of the kubelet."""
    asked = stage.platform.add(recording(labels={"app": "web"}))
    pod = stage.platform.add_pod("web", node="")
    await stage.report(seen("execve", pod=pod), to=asked)
    await stage.pass_(5)
    assert stage.platform.names() == ["r-app"]
    assert stage.platform.statuses[asked.id].active_workloads == ("web",)
