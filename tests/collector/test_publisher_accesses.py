"""Recordings of AppArmorProfiles: from what agents report of accesses to objects and statuses."""

from dataclasses import replace

from recorder.model.access import Signal, SignalRight
from recorder.model.recording import MergeStrategy, ProfileKind
from tests.collector.platform import recording
from tests.collector.publishing import condition, content, seen, staged
from tests.unit.profiles.accessed import did, files

APPARMOR = ProfileKind.APPARMOR


def paths(stage, name, field="readOnlyPaths"):
    spec = stage.platform.object(name, APPARMOR).spec
    return spec["abstract"]["filesystem"][field]


@staged
async def test_a_profile_grows_and_becomes_final(stage):
    """Disabled while the container runs; parts of what it accessed are joined."""
    asked = stage.platform.add(recording(kind=APPARMOR))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("", pod=pod, accesses=files("rx /bin/app\nr /etc/a")), to=asked)
    await stage.pass_(5)
    assert paths(stage, "r-app") == ["/etc/a"]
    assert stage.platform.object("r-app", APPARMOR).spec["state"] == "Disabled"
    await stage.report(seen("", pod=pod, accesses=files("r /etc/b")), to=asked)
    await stage.pass_(5)
    assert paths(stage, "r-app") == ["/etc/a", "/etc/b"]
    await stage.report(seen("", pod=pod, ended=True), to=asked)
    await stage.pass_(40)
    assert paths(stage, "r-app") == ["/etc/a", "/etc/b"]
    assert stage.platform.object("r-app", APPARMOR).spec["state"] == "Enabled"
    (result,) = stage.platform.statuses[asked.id].results
    assert (result.kind, result.state, result.rules, result.coverage) == (APPARMOR, "final", 3, 1)
    assert condition(stage, asked, "Complete").reason == "NothingLost"
    assert condition(stage, asked, "PartlyExpressed") is None


@staged
async def test_replicas_are_merged_and_a_restart_changes_no_byte(stage):
    """Union over pods; partial results go once the whole one is final."""
    asked = stage.platform.add(recording(kind=APPARMOR, merge=MergeStrategy.CONTAINERS))
    pods = [stage.platform.add_pod(f"web-{n}", generate_name="web-") for n in range(3)]
    for n, pod in enumerate(pods):
        made = seen("", pod=pod, cgroup=n, accesses=files(f"rx /bin/app\nr /etc/{n}"))
        await stage.report(made, to=asked)
    await stage.pass_(5)
    assert stage.platform.names() == ["r-app", "r-app-0", "r-app-1", "r-app-2"]
    before = content(stage.platform)
    await stage.restart()
    await stage.pass_(10)
    assert content(stage.platform) == before
    for n, pod in enumerate(pods):
        await stage.report(seen("", pod=pod, cgroup=n, ended=True), to=asked)
    await stage.pass_(60)
    assert stage.platform.names() == ["r-app"]
    assert paths(stage, "r-app") == ["/etc/0", "/etc/1", "/etc/2"]


@staged
async def test_what_the_object_cannot_say_is_a_condition(stage):
    """It names the result, and where the whole is to be had."""
    asked = stage.platform.add(recording(kind=APPARMOR))
    pod = stage.platform.add_pod("web")
    used = files("rx /bin/app").join(did((Signal(15), SignalRight.SEND)))
    await stage.report(seen("", pod=pod, accesses=used), to=asked)
    await stage.pass_(5)
    said = condition(stage, asked, "PartlyExpressed")
    assert (said.status, said.reason) == (True, "NotExpressible")
    assert said.message.startswith("r-app: signals: used by the workload")
    assert "apparmor-text" in said.message


@staged
async def test_a_profile_that_no_object_can_hold_is_not_sent(stage):
    """Thousands of programs are never united: the API server would fail at it. Others go on."""
    asked, other = (stage.platform.add(recording(name, kind=APPARMOR)) for name in ("r", "other"))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("", pod=pod, accesses=files("rx /bin/app")), to=(asked, other))
    await stage.pass_(10)
    many = files("\n".join(f"rx /srv/{'x' * 200}/{n}" for n in range(2500)))
    await stage.report(seen("", pod=pod, accesses=many), to=asked)
    await stage.pass_(70)
    told = condition(stage, asked, "Ready")
    assert told.reason == "Degraded"
    assert "not published: r-app (the profile would have 5" in told.message
    assert stage.platform.object("r-app", APPARMOR).spec["abstract"] == {
        "executable": {"allowedExecutables": ["/bin/app"]}
    }
    assert stage.platform.object("other-app", APPARMOR)


@staged
async def test_a_container_without_accesses_makes_no_profile(stage):
    """Calls alone make none, and it is said what is waited for."""
    asked = stage.platform.add(recording(kind=APPARMOR))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod), to=asked)
    await stage.pass_(10)
    assert stage.platform.names() == []
    assert "no access of the container app was seen so far" in condition(stage, asked, "Ready").message


@staged
async def test_a_kind_that_is_edited_ends_the_results_of_the_old_one(stage):
    """From AppArmorProfile to SeccompProfile of the same containers: each has what was seen for it."""
    asked = stage.platform.add(recording(kind=APPARMOR))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("rename", pod=pod, accesses=files("rx /bin/app\nr /etc/a")), to=asked)
    await stage.pass_(5)
    stage.platform.add(replace(asked, kind=ProfileKind.SECCOMP, generation=2))
    await stage.pass_(5)
    old = stage.platform.object("r-app", APPARMOR)
    assert old.annotations["recorder.x-k8s.io/state"] == "final"
    assert old.spec["state"] == "Enabled"
    assert stage.platform.object("r-app").annotations["recorder.x-k8s.io/recorded"] == "rename"
