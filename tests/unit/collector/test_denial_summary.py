"""What is kept of a record's denials for status, events and metrics."""

import json

from recorder.collector.results.denial_summary import MAX_SORTS, DenialSort, DenialSummary, summarized
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Identity, Observation, Outcome, Phase, Pod, Record, Source
from tests.denials_given import REST, apparmor, counted, selinux

MKDIR, MOUNT = 83, 165  # arch/x86/entry/syscalls/syscall_64.tbl
DENIED = CallKey(int(Abi.X86_64), Phase.WORKLOAD, Outcome.DENIED)


def observed(denials=None, numbers=(), *, cgroup=1, pod="a", key=DENIED):
    return Observation(
        Source("node", "boot", cgroup, 1),
        Identity(name="app", container_id=f"c{cgroup}", pod=Pod("ns", f"web-{pod}", f"uid-{pod}")),
        calls={key: Numbers.of(numbers)},
        denials=denials or {},
    )


def test_sorts_are_told_apart_by_who_and_what_and_not_by_the_object():
    """Counts are added up; an example is the first line in its order."""
    found = summarized(
        Record(
            (
                observed(
                    {
                        apparmor(b"/b"): counted(3),
                        apparmor(b"/a"): counted(4),
                        apparmor(b"/a", "allowed"): counted(2),
                        apparmor(b"/a", mask="read"): counted(9),
                        selinux(): counted(1),
                        REST: counted(5),
                    },
                    [MKDIR],
                ),
            )
        )
    )
    assert found == DenialSummary(
        (
            DenialSort(
                "apparmor",
                "denied",
                "file",
                "open(read)",
                9,
                1,
                "apparmor denied open(read) /a of docker-default",
            ),
            DenialSort(
                "apparmor",
                "denied",
                "file",
                "open(write)",
                7,
                1,
                "apparmor denied open(write) /a of docker-default",
            ),
            DenialSort("rest", "rest", "rest", "more-than-are-kept", 5, 1, "rest rest more-than-are-kept"),
            DenialSort(
                "apparmor",
                "allowed",
                "file",
                "open(write)",
                2,
                1,
                "apparmor allowed open(write) /a of docker-default",
            ),
            DenialSort("seccomp", "denied", "mkdir", "mkdir", 0, 1, "seccomp denied mkdir x86_64"),
            DenialSort(
                "selinux",
                "denied",
                "file",
                "file(read,open)",
                1,
                1,
                "selinux denied file(read,open) /etc/shadow tcontext=u:object_r:shadow_t:s0"
                " of u:r:container_t:s0",
            ),
        )
    )


def test_runs_of_a_pod_are_one_record():
    """Counts of all runs; calls of two pods are in two records."""
    record = Record(
        (
            observed({apparmor(): counted(1)}, [MKDIR], cgroup=1),
            observed({apparmor(): counted(2)}, [MKDIR], cgroup=2),
            observed({}, [MKDIR, MOUNT], cgroup=3, pod="b"),
        )
    )
    rows = [(each.action, each.count, each.records) for each in summarized(record).sorts]
    assert rows == [("open(write)", 3, 1), ("mkdir", 0, 2), ("mount", 0, 1)]


def test_calls_of_the_set_up_and_those_that_are_let_through_are_none():
    """As in the profile's annotation."""
    setup = CallKey(int(Abi.X86_64), Phase.SETUP, Outcome.DENIED)
    allowed = CallKey(int(Abi.X86_64), Phase.WORKLOAD, Outcome.ALLOWED)
    record = Record((observed({}, [MKDIR], key=setup), observed({}, [MKDIR], key=allowed, cgroup=2)))
    assert summarized(record) == DenialSummary()


def test_the_most_frequent_are_kept():
    """And how many others there are."""
    denials = {apparmor(operation=f"op{number}"): counted(number + 1) for number in range(MAX_SORTS + 7)}
    found = summarized(Record((observed(denials),)))
    assert len(found.sorts) == MAX_SORTS
    assert found.omitted == 7
    assert [each.count for each in found.sorts] == list(range(MAX_SORTS + 7, 7, -1))


def test_it_is_kept_as_json():
    """With names of any bytes in it, which are bounded."""
    name = bytes(range(1, 256)) * 4
    found = summarized(Record((observed({apparmor(name): counted(2), selinux(name): counted(1)}, [MKDIR]),)))
    assert DenialSummary.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert all(each.example.isprintable() and len(each.example) <= 300 for each in found.sorts)
