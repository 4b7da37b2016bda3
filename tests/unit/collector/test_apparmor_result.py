"""AppArmorProfile results: contents by hand, coverage, and what is said where there is none."""

import json
from dataclasses import replace

import pytest

from recorder.collector.results.drafts import drafts
from recorder.collector.results.result_kind import NotYet
from recorder.collector.results.result_names import candidate_names
from recorder.collector.results.result_object import content_digest, drawn_result
from recorder.model.access import Signal, SignalRight, Socket, SocketRight
from recorder.model.record import Phase
from recorder.model.recording import MergeStrategy, ProfileKind
from tests.unit.collector.seen import data, observation, recording, sighting
from tests.unit.profiles.accessed import did, files

NONE = recording(kind=ProfileKind.APPARMOR)
CONTAINERS = replace(NONE, merge=MergeStrategy.CONTAINERS)
COVERAGE = "recorder.x-k8s.io/rule-coverage"


def accessed(accesses, *args, cgroup=1, **values):
    """A sighting of a container that accessed this."""
    made = observation({}, *args, cgroup=cgroup, **values)
    return sighting(replace(made, accesses=accesses), number=cgroup)


def results(asked, seen, *, final=True):
    found = {}
    for draft in drafts(asked, seen):
        name = candidate_names(asked.name, draft.key.container, draft.key.suffix)[0]
        found[name] = drawn_result(asked, draft, name, final=final, version="0.1.0")
    return found


def only(asked, seen, **options):
    (found,) = results(asked, seen, **options).values()
    return found


def replicas():
    own = {"a": "r /etc/a.conf", "b": "r /etc/b.conf", "c": "w /srv/c.log"}
    return [
        accessed(
            files(f"rx /bin/app\nrm /lib/libc.so.6\n{line}"),
            "app",
            (f"web-5d4-{letter * 5}", f"uid-{letter}"),
            cgroup=index,
        )
        for index, (letter, line) in enumerate(own.items(), 1)
    ]


@pytest.mark.parametrize(("final", "state"), [(False, "Disabled"), (True, "Enabled")])
def test_an_object_of_one_container(final, state):
    """The abstract form, byte for byte; disabled while it grows."""
    seen = files("rx /bin/app\nrm /lib/libc.so.6\nr /etc/app.conf\nrw /srv/data\nw /srv/log").join(
        did((Socket(2, 1), SocketRight.CREATE | SocketRight.CONNECT))
    )
    made, summary = only(NONE, [accessed(seen)], final=final)
    assert made.kind is ProfileKind.APPARMOR
    assert made.spec == {
        "state": state,
        "mode": "Enforce",
        "abstract": {
            "executable": {"allowedExecutables": ["/bin/app"], "allowedLibraries": ["/lib/libc.so.6"]},
            "filesystem": {
                "readOnlyPaths": ["/etc/app.conf"],
                "readWritePaths": ["/srv/data"],
                "writeOnlyPaths": ["/srv/log"],
            },
            "network": {"allowedProtocols": {"allowTcp": True}},
        },
    }
    assert made.spec == json.loads(json.dumps(made.spec))
    assert made.labels == {
        "spo.x-k8s.io/recording-id": "rec",
        "spo.x-k8s.io/container-id": "app",
        "spo.x-k8s.io/recording-namespace": "ns",
    }
    assert made.annotations["recorder.x-k8s.io/asked"] == "Bpf"
    assert made.annotations["recorder.x-k8s.io/records"] == "1"
    assert made.annotations["recorder.x-k8s.io/verdict"] == "complete"
    assert COVERAGE not in made.annotations
    assert (summary.rules, summary.coverage, summary.syscalls, summary.unsaid) == (6, 1, 0, ())


def test_merged_replicas_have_one_union_with_its_coverage():
    """What not all of them used is said with how many did; and each has a partial result."""
    found = results(CONTAINERS, replicas())
    assert list(found) == ["rec-app", "rec-app-aaaaa", "rec-app-bbbbb", "rec-app-ccccc"]
    (merged, summary), *partials = found.values()
    files_ = merged.spec["abstract"]["filesystem"]
    assert files_ == {"readOnlyPaths": ["/etc/a.conf", "/etc/b.conf"], "writeOnlyPaths": ["/srv/c.log"]}
    assert merged.annotations[COVERAGE] == (
        '{"version":"v1","total":3,"paths":{"/etc/a.conf":1,"/etc/b.conf":1,"/srv/c.log":1}}'
    )
    assert merged.annotations["recorder.x-k8s.io/records"] == "3"
    assert (summary.rules, summary.coverage) == (5, 3)
    for made, _ in partials:
        assert made.labels["spo.x-k8s.io/partial"] == "true"
        assert COVERAGE not in made.annotations


def test_a_pattern_of_one_has_what_is_in_it_of_another():
    """Glob subsumption: of seventeen names of one folder and one more of another pod one rule is made."""
    many = "\n".join(f"r /etc/conf/{n}.ini" for n in range(17))
    seen = [
        accessed(files(f"rx /bin/app\n{many}"), "app", ("web-5d4-aaaaa", "uid-a"), cgroup=1),
        accessed(files("rx /bin/app\nr /etc/conf/other.ini"), "app", ("web-5d4-bbbbb", "uid-b"), cgroup=2),
    ]
    merged, _ = results(CONTAINERS, seen)["rec-app"]
    assert merged.spec["abstract"]["filesystem"] == {"readOnlyPaths": ["/etc/conf/*.ini"]}
    assert json.loads(merged.annotations[COVERAGE])["paths"] == {}
    assert json.loads(merged.annotations["recorder.x-k8s.io/generalised"])["threshold"] == 1


def test_restarts_of_a_pod_are_one_record():
    """Both runs' accesses are in it."""
    seen = [accessed(files("r /etc/a"), cgroup=1), accessed(files("r /etc/b"), cgroup=2)]
    made, summary = only(NONE, seen)
    assert made.spec["abstract"]["filesystem"]["readOnlyPaths"] == ["/etc/a", "/etc/b"]
    assert summary.coverage == 1


def test_what_the_abstract_form_cannot_say_is_told():
    """In the figures, for the condition, and among the object's warnings."""
    seen = files("rx /bin/app").join(did((Signal(15), SignalRight.SEND)))
    made, summary = only(NONE, [accessed(seen)])
    (sentence,) = summary.unsaid
    assert sentence.startswith("signals: used by the workload")
    assert sentence in made.annotations["recorder.x-k8s.io/warnings"]


def test_what_every_installed_profile_denies_is_told_as_well():
    """A widening is a warning of the object alone: under it the workload runs."""
    seen = files("rx /bin/app\nw /proc/sys/kernel/core_pattern\nL /srv/new /srv/old\nr /srv/old")
    made, summary = only(NONE, [accessed(seen)])
    assert summary.unsaid == ("/proc/sys/kernel/core_pattern: the installer denies this in every profile",)
    warnings = made.annotations["recorder.x-k8s.io/warnings"].splitlines()
    assert set(summary.unsaid) < set(warnings)


@pytest.mark.parametrize(
    ("accesses", "ended", "ledger", "reason"),
    [
        (files("r /a"), False, {}, None),
        (files("r /a", phase=Phase.SETUP), False, {}, "no access of the container app was seen so far"),
        (files("r /a", phase=Phase.SETUP), True, {}, "look whether its command could be started"),
        (files(""), False, {"accesses_unwatched": 1}, "cannot see accesses: n1"),
    ],
)
def test_no_object_while_nothing_of_the_workload_was_seen(accesses, ended, ledger, reason):
    """It would allow nothing; why there is none is said."""
    made, _ = only(NONE, [accessed(accesses, ended=ended, ledger=ledger)])
    assert isinstance(made, NotYet) is (reason is not None)
    if reason:
        assert reason in made.reason


def test_a_replica_that_could_not_be_watched_makes_the_union_lossy():
    """It is counted in the verdict, and not among the records."""
    blind = accessed(files(""), "app", ("web-5d4-zzzzz", "uid-z"), cgroup=9, ledger={"accesses_unwatched": 1})
    merged, summary = results(CONTAINERS, [*replicas(), blind])["rec-app"]
    assert summary.verdict == "lossy: accesses_unwatched 1"
    assert merged.annotations["recorder.x-k8s.io/verdict"] == "lossy: accesses_unwatched 1"
    assert summary.coverage == 3


def test_annotations_stay_within_their_bound():
    """Thousands of rules with as many warnings and different coverage: lists become digests."""
    text = "rx /bin/app\n" + "\n".join(f"r /data{n}/{'x' * 60}=/f" for n in range(1900))
    seen = [
        accessed(files(text), "app", ("web-5d4-aaaaa", "uid-a"), cgroup=1),
        accessed(files("rx /bin/app"), "app", ("web-5d4-bbbbb", "uid-b"), cgroup=2),
    ]
    merged, _ = results(CONTAINERS, seen)["rec-app"]
    assert sum(len(key) + len(value) for key, value in merged.annotations.items()) <= 64 * 1024
    coverage = json.loads(merged.annotations[COVERAGE])
    assert coverage["paths"] == {"1": 1900, "2": 1}
    assert len(coverage["sha256"]) == 64


def test_order_and_repeats_change_no_byte():
    """As of every result."""
    seen = replicas()
    one = results(CONTAINERS, seen)
    other = results(CONTAINERS, [*seen[::-1], *seen])
    for name, (made, summary) in one.items():
        assert data(made) == data(other[name][0])
        assert content_digest(made) == content_digest(other[name][0])
        assert summary == other[name][1]
