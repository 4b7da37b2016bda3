"""SelinuxProfile results: of what SELinux would have denied; counted over replicas, lossy with a reason."""

import dataclasses
import json

import pytest

from recorder.model.denial import DenialKey
from recorder.model.recording import Means, MergeStrategy, ProfileKind
from tests.collector.platform import recording
from tests.collector.publishing import condition, content, seen, staged
from tests.denials_given import counted
from tests.unit.profiles.test_selinux import avc

SELINUX = ProfileKind.SELINUX
WATCHED = "seccomp sys_exit, selinux lsm"


def asked(name="r", **more):
    return dataclasses.replace(recording(name, kind=SELINUX, **more), means=Means.LOGS)


def ran(*avcs, calls="execve", by=WATCHED, **more):
    """What a container called, and what SELinux denied to it."""
    denials = {DenialKey("allowed" if each.permissive else "denied", each): counted(1) for each in avcs}
    made = seen(calls, denials=denials, **more)
    return dataclasses.replace(made, provenance=dataclasses.replace(made.provenance, denials=by))


READS = avc("recording.process", "etc_t", "file", "read open")
WRITES = avc("recording.process", "tmp_t", "file", "write")


def allowed(stage, name):
    return stage.platform.object(name, SELINUX).spec["allow"]


def said(stage, name, key):
    return stage.platform.object(name, SELINUX).annotations.get(f"recorder.x-k8s.io/{key}")


@pytest.mark.parametrize("means", list(Means))
def test_it_grows_and_is_final_by_both_means(means, tmp_path):
    """Disabled while its container runs; then Enabled, and what it says is what was denied."""

    @staged
    async def grows(stage):
        one = stage.platform.add(dataclasses.replace(asked(), means=means))
        pod = stage.platform.add_pod("web")
        await stage.report(ran(READS, pod=pod), to=one)
        await stage.pass_(5)
        assert allowed(stage, "r-app") == {"etc_t": {"file": ["open", "read"]}}
        growing = stage.platform.object("r-app", SELINUX)
        assert growing.spec["state"] == "Disabled"
        assert growing.annotations["recorder.x-k8s.io/state"] == "recording"
        await stage.report(ran(READS, WRITES, pod=pod, ended=True), to=one)
        await stage.pass_(60)
        final = stage.platform.object("r-app", SELINUX)
        assert final.spec == {
            "state": "Enabled",
            "mode": "Enforcing",
            "inherit": [{"kind": "System", "name": "container"}],
            "allow": {"etc_t": {"file": ["open", "read"]}, "tmp_t": {"file": ["write"]}},
        }
        assert (said(stage, "r-app", "verdict"), said(stage, "r-app", "asked")) == ("complete", means.value)
        (result,) = stage.platform.statuses[one.id].results
        assert (result.kind, result.name, result.rules, result.syscalls) == (SELINUX, "r-app", 3, None)
        assert condition(stage, one, "Complete").status

    grows(tmp_path)


@staged
async def test_replicas_are_merged_and_counted(stage):
    """One profile for three pods, with in how many of them each permission was used that not all did."""
    one = stage.platform.add(asked(merge=MergeStrategy.CONTAINERS))
    for number, avcs in enumerate(((READS,), (READS, WRITES), (READS,))):
        pod = stage.platform.add_pod(f"web-{number}", generate_name="web-")
        await stage.report(ran(*avcs, pod=pod, cgroup=number, ended=True), to=one)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    coverage = json.loads(said(stage, "r-app", "rule-coverage"))
    assert coverage == {"version": "v1", "total": 3, "rules": {"tmp_t file write": 1}}
    assert said(stage, "r-app", "records") == "3"


@staged
async def test_without_merging_each_pod_has_its_own(stage):
    """Named by the pod."""
    one = stage.platform.add(asked())
    for number, each in enumerate((READS, WRITES)):
        pod = stage.platform.add_pod(f"web-{number}", generate_name="web-")
        await stage.report(ran(each, pod=pod, cgroup=number, ended=True), to=one)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app-0", "r-app-1"]
    assert allowed(stage, "r-app-1") == {"tmp_t": {"file": ["write"]}}


@staged
async def test_nothing_denied_is_no_profile_and_a_hint(stage):
    """Nobody can tell a domain that allows it all from one that denies nothing: what to do is said."""
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    await stage.report(ran(pod=pod), to=one)
    await stage.pass_(10)
    assert stage.platform.names() == []
    message = condition(stage, one, "Ready").message
    assert "SELinux has denied nothing to the container app so far" in message
    assert "recording.process" in message


@staged
async def test_an_enforcing_domain_is_lossy_and_says_what_to_set(stage):
    """A denial that took place: the condition names the cause, the pod's field and the type."""
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    refused = avc("container_t", "etc_t", "file", "write", permissive=False)
    await stage.report(ran(refused, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    assert said(stage, "r-app", "verdict") == "lossy: domain_enforcing 1"
    complete = condition(stage, one, "Complete")
    assert (complete.status, complete.reason) == (False, "Lossy")
    for word in (
        "domain_enforcing",
        "seLinuxOptions.type: recording.process",
        "deploy/selinux/recording.cil",
    ):
        assert word in complete.message


@staged
async def test_nodes_that_do_not_look_are_named(stage):
    """Of all of them: no profile. Of one of two: a lossy one."""
    one = stage.platform.add(asked(merge=MergeStrategy.CONTAINERS))
    first = stage.platform.add_pod("web-1", generate_name="web-")
    await stage.report(ran(pod=first, by="seccomp sys_exit"), to=one)
    await stage.pass_(10)
    assert stage.platform.names() == []
    message = condition(stage, one, "Ready").message
    assert "do not look for what SELinux denies: node-a" in message
    second = stage.platform.add_pod("web-2", generate_name="web-", node="node-b")
    await stage.report(ran(READS, pod=second, node="node-b", cgroup=2), to=one)
    await stage.pass_(10)
    assert said(stage, "r-app", "verdict") == "lossy: accesses_missed 1"


@staged
async def test_what_the_installer_refuses_is_listed_for_a_human(stage):
    """In the object's annotation, and in a condition; it is not in the object."""
    one = stage.platform.add(asked())
    pod = stage.platform.add_pod("web")
    hard = avc("recording.process", "recording.process", "capability", "setuid")
    await stage.report(ran(READS, hard, pod=pod, ended=True), to=one)
    await stage.pass_(60)
    assert "@self" not in allowed(stage, "r-app")
    assert "@self capability { setuid }" in said(stage, "r-app", "needs-a-human")
    partly = condition(stage, one, "PartlyExpressed")
    assert "@self capability { setuid }" in partly.message
    assert "`recorder records NAME -f cil` has all of it" in partly.message
    assert "apparmor" not in partly.message


@staged
async def test_the_same_bytes_after_a_restart_and_in_any_order(stage):
    """Killed in the middle; states twice and out of order."""
    one = stage.platform.add(asked(merge=MergeStrategy.CONTAINERS))
    pods = [stage.platform.add_pod(f"web-{number}", generate_name="web-") for number in range(2)]
    states = [
        ran(READS, pod=pods[0], ended=True, cgroup=1),
        ran(READS, WRITES, pod=pods[1], ended=True, cgroup=2),
        ran(READS, pod=pods[1], cgroup=2),
    ]
    for each in states:
        await stage.report(each, to=one)
    await stage.pass_(60)
    before = content(stage.platform)
    await stage.restart()
    for each in reversed(states):
        await stage.report(each, to=one)
    await stage.pass_(60)
    assert content(stage.platform) == before
