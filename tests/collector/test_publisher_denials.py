"""Denials of a recording's containers: in its status, its Events and the metrics, and never in a profile."""

import itertools

from recorder.collector.results.recording_status_of import MAX_DENIALS_OF_CONTAINER
from recorder.model.record import Outcome, Phase
from recorder.model.recording import MergeStrategy
from recorder.model.recording_status import DenialStatus
from tests.collector.platform import recording
from tests.collector.publishing import allowed, content, seen, staged
from tests.denials_given import REST, apparmor, counted, selinux


def denials(stage, asked):
    return stage.platform.statuses[asked.id].denials


def told(stage, asked):
    """Messages of the Events on denials."""
    return [
        event.message
        for name, event in stage.platform.events
        if name.uid == asked.id and event.reason == "Denied"
    ]


@staged
async def test_denials_are_in_the_status_and_in_events_and_in_no_profile(stage):
    """The profile is the same, byte for byte; a recording that did not ask for them is not told."""
    plain = stage.platform.add(recording("plain"))
    asked = stage.platform.add(recording("asked", denials=True))
    pod = stage.platform.add_pod("web")
    await stage.report(seen("execve rename", pod=pod, cgroup=1), to=(plain, asked))
    await stage.pass_(10)
    before = content(stage.platform)
    assert denials(stage, asked) == ()
    found = {apparmor(b"/etc/shadow"): counted(3), selinux(): counted(5)}
    await stage.report(seen("execve rename", pod=pod, cgroup=1, denials=found), to=(plain, asked))
    await stage.pass_(70)
    assert denials(stage, asked) == (
        DenialStatus("app", "selinux", "denied", "file(read,open)", 5, 1),
        DenialStatus("app", "apparmor", "denied", "open(write)", 3, 1),
    )
    assert told(stage, asked) == [
        "the container app: apparmor denied open(write) /etc/shadow of docker-default",
        "the container app: selinux denied file(read,open) /etc/shadow tcontext=u:object_r:shadow_t:s0"
        " of u:r:container_t:s0",
    ]
    assert content(stage.platform) == before
    assert denials(stage, plain) == ()
    assert told(stage, plain) == []


@staged
async def test_denied_calls_are_named_with_the_records_they_are_in(stage):
    """Of two replicas; nobody counts calls."""
    asked = stage.platform.add(recording(merge=MergeStrategy.CONTAINERS, denials=True))
    for number, names in enumerate(("mount chmod", "mount")):
        pod = stage.platform.add_pod(f"web-{number}", generate_name="web-")
        made = seen("execve rename", pod=pod, cgroup=number)
        refused = seen(names, pod=pod, cgroup=number, outcome=Outcome.DENIED)
        await stage.report(made.join(refused), to=asked)
    await stage.pass_(10)
    assert denials(stage, asked) == (
        DenialStatus("app", "seccomp", "denied", "mount", 0, 2),
        DenialStatus("app", "seccomp", "denied", "chmod", 0, 1),
    )
    assert {"mount", "chmod"}.isdisjoint(allowed(stage.platform.object("r-app")))
    assert "the container app: seccomp denied mount x86_64" in told(stage, asked)


@staged
async def test_states_twice_late_and_out_of_order_give_one_status(stage):
    """Counts rise; each order of four states, with repeats, tells the same and tells it once."""
    first = {apparmor(b"/a"): counted(1, 10, 10)}
    second = {apparmor(b"/a"): counted(4, 10, 40), selinux(): counted(1, 30, 30)}
    third = {**second, apparmor(b"/b"): counted(2, 50, 60)}
    states = [first, second, third, {}]
    pod = stage.platform.add_pod("web")
    every = []
    for number, order in enumerate(itertools.permutations(states)):
        asked = stage.platform.add(recording(f"r{number}", denials=True))
        every.append(asked)
        for each in (*order, order[0]):
            await stage.report(seen("execve rename", pod=pod, cgroup=number, denials=each), to=asked)
    await stage.pass_(10)
    assert all(len(told(stage, each)) == 2 for each in every)
    assert {denials(stage, each) for each in every} == {
        (
            DenialStatus("app", "apparmor", "denied", "open(write)", 6, 1),
            DenialStatus("app", "selinux", "denied", "file(read,open)", 1, 1),
        )
    }


@staged
async def test_a_container_that_made_no_call_before_it_was_denied_is_told_of(stage):
    """Its entry point may not be executed: there is no profile, and the status says what was denied."""
    asked = stage.platform.add(recording(denials=True))
    pod = stage.platform.add_pod("web")
    found = {apparmor(b"/bin/sh", operation="exec", mask="exec"): counted(1)}
    await stage.report(seen("execve", pod=pod, phase=Phase.SETUP, denials=found, ended=True), to=asked)
    await stage.pass_(40)
    assert stage.platform.names() == []
    shown = (DenialStatus("app", "apparmor", "denied", "exec(exec)", 1, 1),)
    assert denials(stage, asked) == shown
    await stage.restart()
    await stage.pass_(40)
    assert denials(stage, asked) == shown


@staged
async def test_what_was_told_is_there_after_a_restart(stage):
    """Also of a result that is final, which nothing makes anew."""
    asked = stage.platform.add(recording(denials=True))
    pod = stage.platform.add_pod("web")
    found = {apparmor(): counted(3), REST: counted(9)}
    await stage.report(seen("execve rename", pod=pod, denials=found, ended=True), to=asked)
    await stage.pass_(40)
    before = stage.platform.statuses[asked.id]
    assert len(before.denials) == 2
    await stage.restart()
    await stage.pass_(10)
    assert stage.platform.statuses[asked.id] == before


@staged
async def test_a_flood_of_sorts_is_a_handful_of_events(stage):
    """Ten in a look, and how many more there are; the status has the most frequent ones, and a number."""
    asked = stage.platform.add(recording(denials=True))
    pod = stage.platform.add_pod("web")
    found = {apparmor(operation=f"op{number}"): counted(number + 1) for number in range(45)}
    await stage.report(seen("execve rename", pod=pod, denials=found), to=asked)
    await stage.pass_(10)
    status = stage.platform.statuses[asked.id]
    assert [each.count for each in status.denials] == list(range(45, 45 - MAX_DENIALS_OF_CONTAINER, -1))
    assert status.denials_omitted == 45 - MAX_DENIALS_OF_CONTAINER
    assert len(told(stage, asked)) == 11
    assert "35 more sorts of denials: see recorder records --explain" in told(stage, asked)
    await stage.report(seen("execve rename", pod=pod, cgroup=2, denials=found), to=asked)
    await stage.pass_(10)
    assert len(told(stage, asked)) == 11


@staged
async def test_what_a_rule_audits_is_no_event(stage):
    """It was allowed, and would have been."""
    asked = stage.platform.add(recording(denials=True))
    pod = stage.platform.add_pod("web")
    found = {apparmor(verdict="audited"): counted(1), apparmor(verdict="other"): counted(1)}
    await stage.report(seen("execve rename", pod=pod, denials=found), to=asked)
    await stage.pass_(10)
    assert len(denials(stage, asked)) == 2
    assert told(stage, asked) == []


@staged
async def test_names_of_any_bytes_are_in_events(stage):
    """Escaped, bounded, and one line each."""
    asked = stage.platform.add(recording(denials=True))
    pod = stage.platform.add_pod("web")
    name = bytes(range(1, 256)) * 16
    found = {apparmor(name): counted(1), selinux(name): counted(1)}
    await stage.report(seen("execve rename", pod=pod, denials=found), to=asked)
    await stage.pass_(10)
    messages = told(stage, asked)
    assert len(messages) == 2
    assert all(each.isprintable() and len(each) < 400 for each in messages)


@staged
async def test_metrics_are_by_namespace_kind_and_class(stage):
    """Counts of denials, and records of calls."""
    asked = stage.platform.add(recording("r", "shop", denials=True))
    pod = stage.platform.add_pod("web", "shop")
    made = seen("execve rename", pod=pod, denials={apparmor(): counted(3), selinux(): counted(4)})
    await stage.report(made.join(seen("mount", pod=pod, outcome=Outcome.DENIED)), to=asked)
    await stage.pass_(10)
    assert list(stage.publisher.figures().denials) == [
        (("shop", "apparmor", "file"), 3),
        (("shop", "seccomp", "mount"), 1),
        (("shop", "selinux", "file"), 4),
    ]
