"""The plan: sorted, stable, of what is served, and within its bounds."""

import subprocess
import sys
from dataclasses import replace

import pytest

from recorder.agent.plan import plan_of
from recorder.collector.agents.plan import PlanBounds, plan_message, planned
from recorder.containers.container import Container, Manager
from recorder.model.record import Pod
from recorder.model.recording import (
    Means,
    MergeStrategy,
    ProfileKind,
    Recording,
    RecordingName,
)
from recorder.model.selector import LabelSelector, Requirement
from recorder.rpc.v1 import agent_pb2
from recorder.rpc.v1 import collector_pb2 as pb

EVERYTHING = LabelSelector()


def recording(name, namespace="ns", selector=EVERYTHING, kind=ProfileKind.SECCOMP, **more):
    return Recording(
        RecordingName(namespace, name, f"uid-{name}"),
        kind,
        Means.BPF,
        MergeStrategy.NONE,
        selector,
        **more,
    )


SELECTOR = LabelSelector(
    {"b": "2", "a": "1"},
    (Requirement("tier", "In", ("web", "api")), Requirement("old", "DoesNotExist")),
)


def test_all_that_an_agent_needs_is_in_it():
    """Written out by hand, from the proto."""
    message = plan_message([recording("r", selector=SELECTOR, containers=("app", "init"))])
    assert message.recordings[0] == pb.PlannedRecording(
        id="uid-r",
        namespace="ns",
        selector=pb.LabelSelector(
            match_labels={"a": "1", "b": "2"},
            match_expressions=[
                pb.LabelExpression(key="tier", operator="In", values=["web", "api"]),
                pb.LabelExpression(key="old", operator="DoesNotExist"),
            ],
        ),
        containers=["app", "init"],
        kinds=[agent_pb2.KIND_SYSCALLS],
    )


def test_denials_are_looked_for_where_they_are_asked_for():
    """Beside the calls; it is another plan."""
    message = plan_message([recording("r", denials=True)])
    assert message.recordings[0].kinds == [agent_pb2.KIND_SYSCALLS, agent_pb2.KIND_DENIALS]
    assert message.revision != plan_message([recording("r")]).revision


def test_the_same_recordings_give_the_same_revision():
    """In any order, and in any process (maps and hashes have orders of their own); others give another."""
    one, two = recording("one", selector=SELECTOR), recording("two")
    message = plan_message([one, two])
    assert message == plan_message([two, one])
    assert [each.id for each in message.recordings] == ["uid-one", "uid-two"]
    assert len(message.revision) == 32
    for other in (
        [one],
        [one, recording("two", "other")],
        [one, recording("two", containers=("c",))],
        [one, recording("two", selector=LabelSelector({"a": "1"}))],
    ):
        assert plan_message(other).revision != message.revision
    script = (
        "from tests.unit.collector.test_plan import *; "
        "print(plan_message([recording('two'), recording('one', selector=SELECTOR)]).revision)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.decode().strip() == message.revision


def test_what_does_not_change_what_is_recorded_does_not_change_the_plan():
    """The strategy, the state of results, the generation: they are the collector's alone."""
    first = recording("r")
    second = recording("r", disable=True, generation=5, beside=True)
    assert plan_message([first]) == plan_message([second])


@pytest.mark.parametrize("kind", list(ProfileKind))
@pytest.mark.parametrize("means", list(Means))
def test_every_pair_of_kind_and_means_is_recorded(kind, means):
    """Denials for a SelinuxProfile, and for an AppArmorProfile that completes one."""
    (entry,) = plan_message([replace(recording("a", kind=kind), means=means)]).recordings
    wanted = {
        (ProfileKind.SECCOMP, Means.BPF): agent_pb2.KIND_SYSCALLS,
        (ProfileKind.SECCOMP, Means.LOGS): agent_pb2.KIND_SYSCALLS,
        (ProfileKind.APPARMOR, Means.BPF): agent_pb2.KIND_ACCESSES,
    }
    assert entry.kinds == [wanted.get((kind, means), agent_pb2.KIND_DENIALS)]


def test_what_is_recorded_follows_from_the_kind_of_results():
    """Accesses for AppArmorProfile; denials besides where they are asked for."""
    asked = recording("a", kind=ProfileKind.APPARMOR)
    plain = plan_message([asked])
    assert plain.recordings[0].kinds == [agent_pb2.KIND_ACCESSES]
    both = plan_message([replace(asked, denials=True)])
    assert both.recordings[0].kinds == [agent_pb2.KIND_DENIALS, agent_pb2.KIND_ACCESSES]
    assert both.revision != plain.revision


def test_no_recording_is_a_plan_too():
    """With a revision: it ends what agents record."""
    assert plan_message([]).revision
    assert not plan_message([]).recordings


@pytest.mark.parametrize(
    ("selector", "labels", "wanted"),
    [
        (LabelSelector(), {}, True),
        (LabelSelector(), {"any": "thing"}, True),
        (SELECTOR, {"a": "1", "b": "2", "tier": "web"}, True),
        (SELECTOR, {"a": "1", "b": "2", "tier": "web", "old": ""}, False),
        (SELECTOR, {"a": "1", "tier": "web"}, False),
    ],
)
def test_an_agent_reads_it_as_it_was_meant(selector, labels, wanted):
    """The agent's own reader, with a container that the recording asks for or not."""
    one = recording("r", selector=selector, containers=("app",))
    plan = plan_of(plan_message([one]), 10)
    for name, namespace in (("app", "ns"), ("app", "other"), ("side", "ns")):
        container = Container("1" * 64, name, Manager.CONTAINERD, pod=Pod(namespace, "p", "u"), labels=labels)
        meant = wanted and (name, namespace) == ("app", "ns")
        assert plan.recordings_for(container) == (("uid-r",) if meant else ())
        assert one.asks_for(namespace, labels, name) == meant


def test_beyond_its_bound_those_of_the_plan_before_stay():
    """What is done is not given up for what is new; when one ends, the first of those that wait comes in."""
    all_ = [recording(f"{number:03}") for number in range(6)]
    bounds = PlanBounds(recordings=3)
    first = planned(all_[2:5], bounds, frozenset())
    assert first.left_out == ()
    full = planned(all_, bounds, first.ids)
    assert full.message == first.message
    assert full.left_out == ("uid-000", "uid-001", "uid-005")
    freed = planned([each for each in all_ if each is not all_[3]], bounds, full.ids)
    assert [each.id for each in freed.message.recordings] == ["uid-000", "uid-002", "uid-004"]


def test_its_bytes_are_bounded():
    """Large selectors: as many as have room, and the message is not larger than the bound."""
    large = LabelSelector({f"key-{number}": "v" * 63 for number in range(50)})
    found = planned(
        [recording(f"{n}", selector=large) for n in range(20)], PlanBounds(bytes=20_000), frozenset()
    )
    assert 0 < len(found.message.recordings) < 20
    assert len(found.message.recordings) + len(found.left_out) == 20
    assert pb.Plan(recordings=found.message.recordings).ByteSize() <= 20_000
