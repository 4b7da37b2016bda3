"""Drafts: which results a recording has, and what they are made from."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.collector.results.drafts import CONFIRMED, ResultKey, counts, drafts, group_of, pod_suffix
from recorder.collector.results.seccomp_result import syscalls_seen
from recorder.collector.store.sighting import Confirmation
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import Outcome, Phase, Pod, Record
from recorder.model.recording import MergeStrategy, ProfileKind
from recorder.model.result import Placement
from tests.unit.collector.seen import (
    CONTAINERS,
    EPOCH,
    SECOND,
    calls,
    recording,
    replicas,
    sighting,
)


def key(container="app", suffix="", partial=False):
    return ResultKey("uid-rec", ProfileKind.SECCOMP, container, suffix, partial)


def test_without_merging_each_pod_of_a_template_has_a_result():
    """Three replicas: three drafts with the pod's suffix, each with its own record alone."""
    found = drafts(recording(), replicas())
    assert [each.key for each in found] == [key(suffix="aaaaa"), key(suffix="bbbbb"), key(suffix="ccccc")]
    assert [syscalls_seen(each).total for each in found] == [1, 1, 1]
    assert dict(syscalls_seen(found[0]).names) == {"execve": 1, "mkdir": 1, "read": 1, "write": 1}
    assert dict(syscalls_seen(found[2]).names) == {"execve": 1, "read": 1, "socket": 1, "write": 1}
    assert [each.pods for each in found] == [("web-5d4-aaaaa",), ("web-5d4-bbbbb",), ("web-5d4-ccccc",)]


def test_merged_over_containers_there_is_one_union_and_a_partial_for_each_pod():
    """Counts say in how many of the three records a name was seen."""
    merged, *partials = drafts(CONTAINERS, replicas())
    assert merged.key == key()
    assert syscalls_seen(merged).total == 3
    assert dict(syscalls_seen(merged).names) == {
        "chmod": 1,
        "execve": 3,
        "mkdir": 1,
        "read": 3,
        "socket": 1,
        "write": 3,
    }
    assert [each.key for each in partials] == [key(suffix=each * 5, partial=True) for each in "abc"]
    assert [syscalls_seen(each).total for each in partials] == [1, 1, 1]


def test_beside_another_recorder_there_are_no_partials():
    """Its merger would take them, and delete them."""
    assert [each.key for each in drafts(replace(CONTAINERS, beside=True), replicas())] == [key()]


def test_containers_of_one_pod_have_results_of_their_own():
    """Init containers among them: a result is for a container's name."""
    seen = [
        sighting(calls("read"), "app", cgroup=1),
        sighting(calls("mkdir"), "setup", cgroup=2),
        sighting(calls("chmod"), "debugger", cgroup=3),
    ]
    assert [each.key.container for each in drafts(recording(), seen)] == ["app", "debugger", "setup"]
    assert [each.key.container for each in drafts(CONTAINERS, seen) if not each.key.partial] == [
        "app",
        "debugger",
        "setup",
    ]


def test_runs_of_a_container_in_one_pod_are_united_and_count_once():
    """A restart is another cgroup; the record is of the pod."""
    seen = [
        sighting(calls("read mkdir"), cgroup=1, restart_count=0),
        sighting(calls("read chmod"), cgroup=2, restart_count=1, ended=False),
    ]
    (found,) = drafts(recording(), seen)
    assert (syscalls_seen(found).total, found.running) == (1, True)
    assert dict(syscalls_seen(found).names) == {"chmod": 1, "mkdir": 1, "read": 1}


def test_pods_whose_results_would_have_one_name_are_merged():
    """A pod that is made anew under its old name has another uid, and counts as another record."""
    seen = [
        sighting(calls("read mkdir"), "app", ("job", "uid-1"), generate="", cgroup=1),
        sighting(calls("read chmod"), "app", ("job", "uid-2"), generate="", cgroup=2),
        sighting(calls("read socket"), "app", ("other", "uid-3"), generate="", cgroup=3),
    ]
    (found,) = drafts(recording(), seen)
    assert found.key == key()
    assert syscalls_seen(found).total == 3
    assert dict(syscalls_seen(found).names) == {"chmod": 1, "mkdir": 1, "read": 3, "socket": 1}
    assert found.pods == ("job", "other")


def test_pod_without_a_template_has_no_partial():
    """It would have the name of the merged one."""
    seen = [*replicas(), sighting(calls("read"), "app", ("bare", "uid-z"), generate="", cgroup=9)]
    merged, *partials = drafts(CONTAINERS, seen)
    assert syscalls_seen(merged).total == 4
    assert len(partials) == 3


@pytest.mark.parametrize(
    ("name", "generate", "suffix"),
    [
        ("web-5d4-x2x1z", "web-5d4-", "x2x1z"),
        ("db-0", "db-", "0"),  # a StatefulSet's
        ("bare", "", ""),
        ("a" * 58 + "x2x1z", "a" * 60 + "-", "x2x1z"),  # the API server cuts the template's part
        ("renamed", "web-5d4-", "renamed"),
    ],
)
def test_suffix_is_the_pods_name_less_its_generate_name(name, generate, suffix):
    """Also where the API server made the name shorter than the template's."""
    assert pod_suffix(Pod("ns", name, "u"), Placement("ns", name, "u", "n1", generate)) == suffix


def test_suffix_of_a_pod_whose_template_nobody_knows_is_its_name():
    """Its result is then one of its own, and mixed with no other pod's."""
    assert pod_suffix(Pod("ns", "web-5d4-x2x1z", "u"), None) == "web-5d4-x2x1z"


@pytest.mark.parametrize("confirmation", [each for each in Confirmation if each not in CONFIRMED])
def test_only_confirmed_pods_count(confirmation):
    """What an agent says of a pod is not believed until the platform says the same."""
    assert drafts(recording(), [sighting(calls("read"), confirmation=confirmation)]) == ()
    assert drafts(CONTAINERS, [sighting(calls("read"), confirmation=confirmation)]) == ()


def test_pods_that_were_gone_count_if_that_is_asked_for():
    """A setting; those that were refused never do."""
    gone = sighting(calls("read"), confirmation=Confirmation.MISSING)
    (found,) = drafts(CONTAINERS, [gone], accept=CONFIRMED | {Confirmation.MISSING})[:1]
    assert syscalls_seen(found).total == 1
    assert not counts(replace(gone, confirmation=Confirmation.REFUSED), CONFIRMED | {Confirmation.MISSING})


def test_outside_of_kubernetes_all_count_and_a_container_is_a_record():
    """One that is stopped and started again keeps its id; one that is made anew has another."""
    outside = {"confirmation": Confirmation.UNASKED}
    seen = [
        sighting(calls("read mkdir"), "db", None, cgroup=1, container_id="c1", **outside),
        sighting(calls("read chmod"), "db", None, cgroup=2, container_id="c1", **outside),
        sighting(calls("read socket"), "db", None, cgroup=3, container_id="c2", ended=False, **outside),
    ]
    for merge in MergeStrategy:
        (found,) = drafts(recording(namespace="", merge=merge), seen)
        assert found.key == key("db")
        assert syscalls_seen(found).total == 2
        assert dict(syscalls_seen(found).names) == {"chmod": 1, "mkdir": 1, "read": 2, "socket": 1}
        assert (found.pods, found.active) == (("db",), ("db",))


def test_record_without_a_call_of_the_workload_is_not_counted_and_its_losses_are():
    """A container whose command could not be started; one that found no slot."""
    seen = [
        sighting(calls("read"), cgroup=1),
        sighting(
            calls("mkdir", phase=Phase.SETUP),
            "app",
            ("web-5d4-bbbbb", "uid-b"),
            cgroup=2,
            ledger={"no_boundary": 1},
        ),
        sighting({}, "app", ("web-5d4-ccccc", "uid-c"), cgroup=3, ledger={"slots_full": 1}),
    ]
    merged = drafts(CONTAINERS, seen)[0]
    assert syscalls_seen(merged).total == 1
    assert dict(syscalls_seen(merged).names) == {"read": 1}
    assert str(merged.record.verdict) == "lossy: no_boundary 1, slots_full 1"


def test_denied_calls_are_in_the_record_and_not_among_the_names():
    """Nothing enters a profile because a filter denied it."""
    seen = calls("read") | calls("mkdir", outcome=Outcome.DENIED)
    (found,) = drafts(recording(), [sighting(seen)])
    assert dict(syscalls_seen(found).names) == {"read": 1}
    assert found.record.calls(Phase.WORKLOAD, Outcome.DENIED) == {Abi.X86_64: Numbers.of([83])}


def test_container_that_cannot_be_recorded_is_no_record():
    """A report that says why there is none."""
    refused = replace(sighting({}), not_recorded="a virtual machine")
    assert not counts(refused)
    assert drafts(recording(), [refused]) == ()


def test_running_until_the_last_container_has_ended():
    """And then since when, by the wall clock of its node."""
    first, second, third = replicas()
    running = sighting(replace(third.observation, ended=False, last_seen_ns=99 * SECOND))
    running = replace(running, placement=third.placement)
    (found,) = [each for each in drafts(CONTAINERS, [first, second, running]) if not each.key.partial]
    assert found.running
    assert found.active == ("web-5d4-ccccc",)
    assert found.last_end_ns == EPOCH + 60 * SECOND
    later = sighting(replace(second.observation, last_seen_ns=90 * SECOND))
    found = drafts(CONTAINERS, [first, later, third])[0]
    assert not found.running
    assert found.active == ()
    assert found.last_end_ns == EPOCH + 90 * SECOND


def test_names_are_counted_once_for_each_record_whatever_the_abi():
    """i386 and x86_64 in one container; x86_64 and aarch64 on two nodes."""
    seen = [
        sighting(calls("read open") | calls("read socket", Abi.I386), cgroup=1),
        sighting(
            calls("read openat", Abi.AARCH64),
            "app",
            ("web-5d4-bbbbb", "uid-b"),
            node="arm",
            machine="aarch64",
            cgroup=2,
        ),
    ]
    assert dict(syscalls_seen(drafts(CONTAINERS, seen)[0]).names) == {
        "open": 1,
        "openat": 1,
        "read": 2,
        "socket": 1,
    }


# --- whatever the order


CALLS = ("read", "write", "mkdir", "chmod", "socket", "open")


@st.composite
def seen_containers(draw):
    """Runs of two containers in up to four pods, of which one has no template."""
    found = []
    for number in range(draw(st.integers(0, 7))):
        letter = draw(st.sampled_from("abcd"))
        names = draw(st.sets(st.sampled_from(CALLS)))
        found.append(
            sighting(
                calls(" ".join(sorted(names))),
                draw(st.sampled_from(["app", "side"])),
                (f"web-5d4-{letter * 5}", f"uid-{letter}"),
                generate="" if letter == "d" else "web-5d4-",
                cgroup=number,
                node=f"n{letter}",
                ended=draw(st.booleans()),
                last=draw(st.integers(2, 99)),
                ledger=draw(st.sampled_from([{}, {"slots_full": 1}])),
                number=number,
            )
        )
    return found


recordings = st.sampled_from([recording(), CONTAINERS, replace(CONTAINERS, beside=True)])


def earlier(seen, names):
    """A state of the same source from before: some of its calls, still running."""
    kept = {each: numbers & Numbers.of(names) for each, numbers in seen.observation.calls.items()}
    state = replace(seen.observation, calls=kept, ended=False, last_seen_ns=SECOND)
    return replace(seen, observation=state)


@given(recordings, seen_containers(), st.data())
def test_order_repeats_and_earlier_states_change_nothing(asked, seen, data):
    """What is told twice, late, or in parts is the same as told once."""
    told = [
        *seen,
        *(replace(each, id=each.id + 100, revision=7) for each in seen if data.draw(st.booleans())),
        *(earlier(each, data.draw(st.sets(st.integers(0, 99)))) for each in seen if data.draw(st.booleans())),
    ]
    assert drafts(asked, data.draw(st.permutations(told))) == drafts(asked, seen)


@given(recordings, seen_containers())
def test_a_group_alone_gives_its_part_of_the_whole(asked, seen):
    """So that one result can be made anew without reading all sightings."""
    groups = {}
    for each in seen:
        identity = each.observation.identity
        groups.setdefault(group_of(asked, identity.name, identity.pod, each.placement), []).append(each)
    apart = [draft for group in groups.values() for draft in drafts(asked, group)]
    assert sorted(apart, key=lambda each: each.key) == list(drafts(asked, seen))


@given(recordings, seen_containers())
def test_nothing_of_a_counted_record_is_in_no_result(asked, seen):
    """The union of the results, partial ones aside, is the union of what was seen."""
    whole = Record()
    for each in drafts(asked, seen):
        whole = whole if each.key.partial else whole.join(each.record)
    assert whole == Record(tuple(each.observation for each in seen))


@given(st.sets(st.sampled_from(CALLS)), st.sets(st.sampled_from(CALLS)))
def test_calls_of_two_runs_are_those_of_one(first, second):
    """How a container's calls are spread over its runs is not seen in the counts."""
    apart = [
        sighting(calls(" ".join(sorted(first))), cgroup=1),
        sighting(calls(" ".join(sorted(second))), cgroup=2),
    ]
    together = [sighting(calls(" ".join(sorted(first | second))), cgroup=1)]
    for asked in (recording(), CONTAINERS):
        one, two = drafts(asked, together), drafts(asked, apart)
        assert [(each.key, syscalls_seen(each).total, dict(syscalls_seen(each).names)) for each in one] == [
            (each.key, syscalls_seen(each).total, dict(syscalls_seen(each).names)) for each in two
        ]
