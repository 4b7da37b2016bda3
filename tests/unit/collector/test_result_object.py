"""The objects that are published: contents by hand, sizes, and the same bytes for the same record."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.collector.results.drafts import drafts
from recorder.collector.results.result_kind import NotYet
from recorder.collector.results.result_names import candidate_names
from recorder.collector.results.result_object import content_digest, drawn_result
from recorder.model.abi import Abi
from recorder.model.accesses import Accesses
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    Identity,
    Observation,
    Outcome,
    Phase,
    Pod,
    Provenance,
    Record,
    Source,
)
from recorder.model.recording import Means, MergeStrategy, ProfileKind
from recorder.profiles.base import resolve_base
from recorder.profiles.seccomp import build
from tests.unit.collector.seen import (
    ALWAYS_X86_64,
    CONTAINERS,
    SECOND,
    calls,
    data,
    observation,
    recording,
    replicas,
    sighting,
)
from tests.unit.collector.test_drafts import recordings, seen_containers

CRUN = resolve_base("crun", "1.8.1").names
COVERAGE = "spo.x-k8s.io/syscall-coverage"
LABELS = {
    "spo.x-k8s.io/recording-id": "rec",
    "spo.x-k8s.io/container-id": "app",
    "spo.x-k8s.io/recording-namespace": "ns",
}


def results(asked, seen, *, final=True, version="0.1.0"):
    """All objects of a recording by name, each under its first name."""
    found = {}
    for draft in drafts(asked, seen):
        name = candidate_names(asked.name, draft.key.container, draft.key.suffix)[0]
        result, _ = drawn_result(asked, draft, name, final=final, version=version)
        if not isinstance(result, NotYet):
            found[result.name] = result
    return found


def only(asked, seen, **options):
    (found,) = results(asked, seen, **options).values()
    return found


def ours(result, key):
    return result.annotations.get(f"recorder.x-k8s.io/{key}")


def allowed(result):
    """The names of the one entry that allows."""
    entries = [each for each in result.spec["syscalls"] if each["action"] == "SCMP_ACT_ALLOW"]
    assert len(entries) == 1
    assert entries[0]["names"] == sorted(entries[0]["names"])
    return set(entries[0]["names"])


def test_without_merging_three_replicas_have_three_profiles():
    """Names and labels exactly; each allows its own pod's calls, what the kernel and the runtime need."""
    found = results(recording(), replicas())
    assert list(found) == ["rec-app-aaaaa", "rec-app-bbbbb", "rec-app-ccccc"]
    for result, own in zip(found.values(), ("mkdir", "chmod", "socket"), strict=True):
        assert result.kind is ProfileKind.SECCOMP
        assert result.labels == LABELS
        assert allowed(result) == {"execve", "read", "write", own} | ALWAYS_X86_64 | CRUN
        assert ours(result, "recorded") == ",".join(sorted(["execve", "read", "write", own]))
        assert COVERAGE not in result.annotations
        assert ours(result, "records") == "1"


def test_merged_three_replicas_have_one_union_with_its_coverage():
    """The annotation byte for byte; and a partial for each pod, which says that it is one."""
    found = results(CONTAINERS, replicas())
    assert list(found) == ["rec-app", "rec-app-aaaaa", "rec-app-bbbbb", "rec-app-ccccc"]
    merged, *partials = found.values()
    assert merged.labels == LABELS
    assert allowed(merged) == {"chmod", "execve", "mkdir", "read", "socket", "write"} | ALWAYS_X86_64 | CRUN
    assert merged.annotations[COVERAGE] == (
        '{"version":"v1","total":3,"syscalls":{"chmod":1,"execve":3,"mkdir":1,"read":3,"socket":1,"write":3}}'
    )
    assert ours(merged, "records") == "3"
    for each in partials:
        assert each.labels == LABELS | {"spo.x-k8s.io/partial": "true"}
        assert COVERAGE not in each.annotations


def test_pods_that_share_a_name_share_a_result_with_coverage():
    """Merged, never overwritten, also without a merge strategy."""
    seen = [
        sighting(calls("read mkdir"), "app", ("job", "uid-1"), generate="", cgroup=1),
        sighting(calls("read"), "app", ("job", "uid-2"), generate="", cgroup=2),
    ]
    found = only(recording(), seen)
    assert found.name == "rec-app"
    assert found.annotations[COVERAGE] == '{"version":"v1","total":2,"syscalls":{"mkdir":1,"read":2}}'


def test_spec_is_what_the_api_has():
    """Fields and values of the kind; what is refused and newer than Linux 3.2 says that it is not there."""
    found = only(recording(), [sighting(calls("read"), generate="")])
    assert list(found.spec) == ["state", "defaultAction", "architectures", "syscalls"]
    assert found.spec["defaultAction"] == "SCMP_ACT_ERRNO"
    assert found.spec["architectures"] == ["SCMP_ARCH_X86_64"]
    refused = [each for each in found.spec["syscalls"] if each["action"] != "SCMP_ACT_ALLOW"]
    assert [(each["action"], each["errnoRet"]) for each in refused] == [("SCMP_ACT_ERRNO", 38)]
    assert not allowed(found) & set(refused[0]["names"])
    assert found.spec == json.loads(json.dumps(found.spec))


@pytest.mark.parametrize(
    ("final", "disable", "state", "said"),
    [
        (False, False, "Disabled", "recording"),
        (False, True, "Disabled", "recording"),
        (True, False, "Enabled", "final"),
        (True, True, "Disabled", "final"),
    ],
)
def test_state(final, disable, state, said):
    """Disabled while it grows, since what is enabled is installed at once; then as was asked."""
    for merge in MergeStrategy:
        found = results(recording(disable=disable, merge=merge), replicas(ended=final), final=final)
        assert {each.spec["state"] for each in found.values()} == {state}
        assert {ours(each, "state") for each in found.values()} == {said}


def test_while_they_run_and_after_the_content_is_the_same():
    """But for the state."""
    growing = results(CONTAINERS, replicas(ended=False), final=False)
    after = results(CONTAINERS, replicas(), final=True)
    for name, result in after.items():
        assert growing[name].labels == result.labels
        assert growing[name].spec == dict(result.spec) | {"state": "Disabled"}
        assert growing[name].annotations.get(COVERAGE) == result.annotations.get(COVERAGE)


def test_provenance():
    """Where it ran, what was running, when, by what it was seen, and what was asked."""
    image = {"image": "registry.example/app:1", "image_digest": "sha256:abc"}
    found = only(
        recording(means=Means.LOGS), [sighting(calls("read"), generate="", **image)], version="0.2.0"
    )
    assert {key: ours(found, key) for key in ("recorded-by", "asked", "state", "verdict")} == {
        "recorded-by": "profile-recorder",
        "asked": "Logs",
        "state": "final",
        "verdict": "complete",
    }
    assert (ours(found, "kernel"), ours(found, "machine")) == ("6.1.0", "x86_64")
    assert ours(found, "runtime") == "crun 1.8.1"
    assert (ours(found, "image"), ours(found, "image-digest")) == ("registry.example/app:1", "sha256:abc")
    assert (ours(found, "first-seen"), ours(found, "last-seen")) == (
        "2023-11-14T22:13:21Z",
        "2023-11-14T22:14:20Z",
    )
    assert (ours(found, "recorder-version"), ours(found, "collector-version")) == ("0.1.0", "0.2.0")
    assert ours(found, "architectures") == "x86_64: calls recorded"


def test_what_was_asked_changes_nothing_but_what_is_said_of_it():
    """Bpf and Logs mean the same record."""
    bpf = only(recording(means=Means.BPF), [sighting(calls("read"))])
    logs = only(recording(means=Means.LOGS), [sighting(calls("read"))])
    assert (bpf.spec, bpf.labels) == (logs.spec, logs.labels)
    assert ours(bpf, "asked") == "Bpf"


def test_denied_calls_are_told_and_not_allowed():
    """They never enter a profile by themselves."""
    found = only(recording(), [sighting(calls("read") | calls("mkdir", outcome=Outcome.DENIED))])
    assert "mkdir" not in allowed(found)
    assert ours(found, "denied") == "mkdir"


def test_losses_of_any_run_are_in_the_verdict():
    """Also of a container of which nothing was seen at all."""
    seen = [
        sighting(calls("read"), cgroup=1),
        sighting({}, "app", ("web-5d4-bbbbb", "uid-b"), cgroup=2, ledger={"slots_full": 1}),
    ]
    assert ours(results(CONTAINERS, seen)["rec-app"], "verdict") == "lossy: slots_full 1"


def test_what_was_lost_of_accesses_is_no_loss_of_calls():
    """A container's record is one, whoever asked for what: its calls are whole all the same."""
    lost = {"accesses_unwatched": 1, "accesses_full": 3, "accesses_late": 1, "ring_full": 2}
    each = sighting(calls("read"), ledger=lost)
    each = replace(each, observation=replace(each.observation, accesses=Accesses({}, b"\x10" * 8)))
    found = only(recording(), [each])
    assert ours(found, "verdict") == "complete"
    assert ours(found, "notes") == "ring_full 2"
    assert allowed(found) == allowed(only(recording(), [sighting(calls("read"))]))


def test_nodes_of_two_machines_in_one_recording():
    """amd64 and arm64: both architectures; each name under the ABI that it was seen in."""
    seen = [
        sighting(calls("read open execve"), cgroup=1),
        sighting(
            calls("read openat execve", Abi.AARCH64),
            "app",
            ("web-5d4-bbbbb", "uid-b"),
            node="arm",
            machine="aarch64",
            cgroup=2,
        ),
    ]
    found = results(CONTAINERS, seen)
    merged = found["rec-app"]
    assert merged.spec["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"]
    assert ours(merged, "recorded") == (
        "aarch64:execve,aarch64:openat,aarch64:read,x86_64:execve,x86_64:open,x86_64:read"
    )
    names = json.loads(ours(merged, "abi"))["names"]
    assert "openat" in names["aarch64"]
    assert "open" not in names["aarch64"]  # arm64 has no such call
    assert "open" in names["x86_64"]
    assert {"open", "openat"} <= allowed(merged)
    assert merged.annotations[COVERAGE] == (
        '{"version":"v1","total":2,"syscalls":{"execve":2,"open":1,"openat":1,"read":2}}'
    )
    assert found["rec-app-aaaaa"].spec["architectures"] == ["SCMP_ARCH_X86_64"]
    assert found["rec-app-bbbbb"].spec["architectures"] == ["SCMP_ARCH_AARCH64"]


def test_calls_of_i386_on_a_64_bit_machine():
    """Both architectures; and it is said what that opens besides."""
    seen = [sighting(calls("read") | calls("socket mmap2", Abi.I386), generate="")]
    found = only(recording(), seen)
    assert found.spec["architectures"] == ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
    assert {"read", "socket", "mmap2"} <= allowed(found)
    assert ours(found, "recorded") == "i386:mmap2,i386:socket,read"
    said = json.loads(ours(found, "abi"))
    assert {"socket", "mmap2"} <= set(said["names"]["i386"])
    assert "socket" in said["wider"]["x86_64"]


def test_base_is_that_of_the_runtimes_which_were_used():
    """Of each node's; of a container that never worked none."""

    def made_by(runtime, version, cgroup, seen):
        each = sighting(seen, "app", (f"web-5d4-{cgroup}", f"uid-{cgroup}"), cgroup=cgroup)
        provenance = replace(each.observation.provenance, runtime=runtime, runtime_version=version)
        return replace(each, observation=replace(each.observation, provenance=provenance))

    seen = [
        made_by("crun", "1.8.1", 1, calls("read")),
        made_by("runc", "1.1.5", 2, calls("read")),
        made_by("runc", "1.3.3", 3, calls("read", phase=Phase.SETUP)),
    ]
    found = results(CONTAINERS, seen)["rec-app"]
    assert ours(found, "base") == "crun-1, runc-1.1"
    assert allowed(found) == {"read"} | ALWAYS_X86_64 | CRUN | resolve_base("runc-1.1").names


@pytest.mark.parametrize(
    ("seen", "ended", "reason"),
    [
        (calls("mkdir", phase=Phase.SETUP), False, "nothing but its set-up"),
        (
            calls("mkdir", phase=Phase.SETUP),
            True,
            "before it ended; look whether its command could be started",
        ),
        ({}, False, "no call was seen of the container app so far; the profile appears with the first call"),
        (calls("mkdir", outcome=Outcome.DENIED), False, "or calls that a filter denied"),
        ({CallKey(1, 2, 1): Numbers.of([400])}, True, "none of the workload's 1 numbers has a name"),
    ],
)
def test_no_object_while_nothing_could_run_under_it(seen, ended, reason):
    """A profile of the set-up alone, or of nothing, would let nothing run; it is said why there is none."""
    (draft,) = drafts(recording(), [sighting(seen, ended=ended)])
    found, _ = drawn_result(recording(), draft, "rec-app", final=False, version="0.1.0")
    assert isinstance(found, NotYet)
    assert reason in found.reason


# --- the same record, the same bytes


@given(recordings, seen_containers(), st.booleans(), st.data())
def test_order_repeats_and_earlier_states_change_no_byte(asked, seen, final, random):
    """Spec, labels and every annotation."""
    earlier = [
        replace(each, observation=replace(each.observation, calls={}, ledger=Ledger(), ended=False))
        for each in seen
    ]
    told = random.draw(st.permutations([*seen, *earlier, *seen]))
    once, often = results(asked, seen, final=final), results(asked, told, final=final)
    assert {name: data(each) for name, each in often.items()} == {
        name: data(each) for name, each in once.items()
    }
    assert [content_digest(each) for each in often.values()] == [
        content_digest(each) for each in once.values()
    ]


@given(recordings, seen_containers(), st.integers(1, 9))
def test_restart_changes_neither_spec_nor_labels_nor_coverage(asked, seen, number):
    """The union of the runs, whichever run made a call."""
    spread = []
    for each in seen:
        first, second = {}, {}
        for key, numbers in each.observation.calls.items():
            low = Numbers.of(range(number * 10))
            first[key], second[key] = numbers & low, numbers - low
        again = replace(each.observation.source, epoch=2)
        spread += [
            replace(each, observation=replace(each.observation, calls=first)),
            replace(each, observation=replace(each.observation, calls=second, source=again)),
        ]
    one, two = results(asked, seen), results(asked, spread)
    assert one.keys() == two.keys()
    for name, result in one.items():
        assert (result.spec, result.labels) == (two[name].spec, two[name].labels)
        assert result.annotations.get(COVERAGE) == two[name].annotations.get(COVERAGE)


# --- digests


def test_digest_tells_what_is_worth_a_write():
    """More calls, another label, another state; not our version, nor a growing result's last time."""
    seen = [sighting(calls("read"))]
    later = [sighting(calls("read"), last=61)]
    more = [sighting(calls("read mkdir"))]

    def digest(told, **options):
        return content_digest(only(recording(), told, **options))

    growing = {"final": False}
    assert digest(later, **growing) == digest(seen, **growing)
    assert digest(later) != digest(seen)
    assert digest(more, **growing) != digest(seen, **growing)
    assert digest(seen, **growing) != digest(seen)
    assert digest(seen, version="9") == digest(seen)
    found = only(recording(), seen)
    assert content_digest(replace(found, labels={**found.labels, "x": "y"})) != content_digest(found)
    assert content_digest(replace(found, annotations={**found.annotations, "x": "y"})) != content_digest(
        found
    )


# --- sizes


def size(result):
    """Bytes of all annotations."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in result.annotations.items())


def everything(pod):
    """All numbers of all ABIs, of unknown ones too, allowed and denied, with texts without bounds."""
    seen = {
        CallKey(abi, Phase.WORKLOAD, outcome): Numbers.of(range(1024))
        for abi in [*Abi, *range(100, 130)]
        for outcome in Outcome
    }
    return Observation(
        Source(f"n{pod}", "boot", 1, 1),
        Identity(
            name="app",
            pod=Pod("ns", f"web-5d4-{pod}", f"uid-{pod}"),
            image="é" * 5000 + str(pod),
            image_digest="d" * 9000 + str(pod),
        ),
        calls=seen,
        ledger=Ledger({f"cause_{n}": 2**60 for n in range(5000)}),
        provenance=Provenance(*["é" * 5000 + str(pod)] * 2, "x86_64", *["é" * 5000 + str(pod)] * 4),
        first_seen_ns=SECOND,
        last_seen_ns=2 * SECOND,
        wall_offset_ns=SECOND,
        ended=True,
    )


@pytest.mark.parametrize("pods", [1, 5])
def test_annotations_stay_far_below_what_an_object_may_have(pods):
    """64 KiB in all, with room for what the platform adds; the coverage is never cut."""
    found = results(CONTAINERS, [sighting(everything(pod)) for pod in range(pods)])["rec-app"]
    assert size(found) <= 56 * 1024
    coverage = json.loads(found.annotations[COVERAGE])
    assert coverage["total"] == pods
    assert set(coverage["syscalls"].values()) == {pods}
    assert all(value and value.isascii() for value in found.annotations.values())
    assert ours(found, "recorded-by") == "profile-recorder"


THREE = (Abi.X32, Abi.I386, Abi.AARCH64)


def long_lists(allowed, denied, unnamed):
    """A record whose lists are made of so many numbers of three ABIs, or of an unknown one."""
    seen = {CallKey(abi, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of(range(allowed)) for abi in THREE}
    seen |= {CallKey(abi, Phase.WORKLOAD, Outcome.DENIED): Numbers.of(range(denied)) for abi in THREE}
    seen[CallKey(100, Phase.WORKLOAD, Outcome.ALLOWED)] = Numbers.of(range(unnamed))
    return replace(everything(1), calls=seen, provenance=Provenance(*["k" * 600] * 7))


def most(key, observed):
    """The greatest number up to 1000 for which a list has room by itself, as it has for all below."""
    low, high = 1, 1000
    while low < high:
        middle = (low + high + 1) // 2
        profile = build(Record((observed(middle),)), name="x", base=resolve_base("auto"))
        whole = "sha256" not in profile.annotations[f"recorder.x-k8s.io/{key}"]
        low, high = (middle, high) if whole else (low, middle - 1)
    return low


def test_list_is_cut_where_only_all_together_are_too_long():
    """Its length and digest are left; the longest goes first, and no more of them than must."""
    allowed = min(most(key, lambda n: long_lists(n, 1, 1)) for key in ("recorded", "abi"))
    denied = most("denied", lambda n: long_lists(allowed, n, 1))
    unnamed = most("unnamed", lambda n: long_lists(allowed, denied, n))
    found = results(CONTAINERS, [sighting(long_lists(allowed, denied, unnamed))])["rec-app"]
    cut = [key for key in ("recorded", "abi", "denied", "unnamed") if "sha256" in ours(found, key)]
    assert len(cut) == 1
    assert re.fullmatch(r"12\d{3} characters, sha256:[0-9a-f]{64}", ours(found, cut[0]))
    assert 44 * 1024 < size(found) <= 56 * 1024


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.text("aA.-_", max_size=300))
def test_objects_of_hostile_names_are_within_bounds(container, pod):
    """253 for the name, 63 for each label."""
    seen = [sighting(observation(calls("read"), container, (pod, "uid")), generate="w")]
    for asked in (recording(), CONTAINERS):
        for name, result in results(asked, seen).items():
            assert len(name.encode()) <= 253
            assert all(len(value) <= 63 for value in result.labels.values())
