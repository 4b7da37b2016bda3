"""Annotations: how a profile came to be."""

import json

import pytest
from hypothesis import given

from recorder.model.abi import Abi
from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Provenance, Record, Source
from recorder.model.syscall import known_names
from recorder.profiles.always import always
from recorder.profiles.annotations import MAX_TOTAL, PREFIX
from recorder.profiles.base import NO_BASE, resolve_base
from recorder.profiles.seccomp import build
from tests.unit.model.strategies import records
from tests.unit.profiles.records import BOTH, NATIVE, observation, record


def annotations(seen, base=NO_BASE):
    found = build(seen, name="x", base=base).annotations
    assert all(key.startswith(f"{PREFIX}/") for key in found)
    return {key.removeprefix(f"{PREFIX}/"): value for key, value in found.items()}


def test_the_records_own_set_is_apart_from_what_was_added():
    """Three lists: recorded, always, base."""
    found = annotations(NATIVE, resolve_base("crun"))
    assert found["recorded"] == "execve,exit_group,mmap,openat,read,write"
    assert found["always"] == ",".join(sorted(always(Abi.X86_64)))
    assert found["base"] == "crun"
    assert found["base-names"] == ",".join(sorted(resolve_base("crun").names))


def test_no_base():
    """It is said that there is none."""
    found = annotations(NATIVE)
    assert found["base"] == "none"
    assert "base-names" not in found


def test_provenance():
    """Where, by what and when it was recorded."""
    made_by = Provenance("0.1.0", "6.18.0", "x86_64", "libbpf", "container", "runc", "1.1.5")
    found = annotations(
        record(
            {Abi.X86_64: "read"},
            provenance=made_by,
            first_seen_ns=1_500_000_000,
            last_seen_ns=61_000_000_000,
            wall_offset_ns=1_700_000_000_000_000_000,
        )
    )
    assert found["recorder-version"] == "0.1.0"
    assert (found["kernel"], found["machine"]) == ("6.18.0", "x86_64")
    assert (found["loader"], found["phases"], found["runtime"]) == ("libbpf", "container", "runc 1.1.5")
    assert (found["first-seen"], found["last-seen"]) == ("2023-11-14T22:13:21Z", "2023-11-14T22:14:21Z")


def test_what_is_not_known_is_left_out():
    """No empty annotation, no time of 1970."""
    found = annotations(record({Abi.X86_64: "read"}, machine="", last_seen_ns=5))
    assert not {"kernel", "machine", "runtime", "first-seen", "last-seen", "denied", "abi"} & set(found)


def test_times_are_the_earliest_and_the_latest_of_all_nodes():
    """Each node has a clock offset of its own."""
    second = 1_000_000_000
    seen = {"first_seen_ns": 9, "last_seen_ns": 9}
    a = observation({Abi.X86_64: "read"}, node="a", wall_offset_ns=60 * second, **seen)
    b = observation({Abi.X86_64: "read"}, node="b", wall_offset_ns=5 * second, **seen)
    found = annotations(Record((a, b)))
    assert (found["first-seen"], found["last-seen"]) == ("1970-01-01T00:00:05Z", "1970-01-01T00:01:00Z")


def test_clock_beyond_the_calendar_is_left_out():
    """A record may come from a machine whose clock was never set."""
    found = annotations(
        record({Abi.X86_64: "read"}, first_seen_ns=2**64 - 1, last_seen_ns=2**64 - 1, wall_offset_ns=2**70)
    )
    assert "first-seen" not in found


def test_verdict_and_its_causes():
    """As the summary says it; notes apart."""
    assert annotations(NATIVE)["verdict"] == "complete"
    lossy = annotations(record({Abi.X86_64: "read"}, ledger={"attached_late": 1, "ring_full": 3}))
    assert lossy["verdict"] == "lossy: attached_late 1"
    assert lossy["notes"] == "ring_full 3"


def test_number_that_only_this_program_cannot_name_makes_the_profile_lossy():
    """The recorder had a newer table and lost nothing; the profile lacks the call."""
    found = annotations(record({Abi.X86_64: "read #400"}))
    assert found["verdict"] == "lossy: unnamed_number 1"
    assert found["unnamed"] == "x86_64:#400"
    assert found["recorded"] == "read"


def test_denied_calls_are_reported_apart():
    """A person decides whether they belong into the profile."""
    assert annotations(record({Abi.X86_64: "read"}, denied={Abi.I386: "ptrace"}))["denied"] == "i386:ptrace"


def test_architectures_say_why():
    """The machine's own architecture is there for the runtime."""
    found = annotations(record({Abi.I386: "read"}))
    assert found["architectures"] == (
        "x86_64: the machine's own, in which the runtime starts the workload; i386: calls recorded"
    )


def test_abi_lists_names_by_abi_and_how_much_wider_the_profile_is():
    """The format cannot say which ABI a name is for."""
    found = json.loads(annotations(BOTH)["abi"])
    assert set(found["names"]) == {"i386", "x86_64"}
    assert "mmap2" in found["names"]["i386"]
    assert "mmap2" not in found["names"]["x86_64"]
    assert found["wider"]["x86_64"] == ["socket"]
    assert {"read", "execve", "clone3"} <= set(found["wider"]["i386"])
    assert not set(found["wider"]["i386"]) & set(found["names"]["i386"])


def test_one_abi_needs_no_list_by_abi():
    """The profile is no wider than the record then."""
    assert "abi" not in annotations(NATIVE)


def everything(abis):
    calls = {}
    for abi in abis:
        for outcome in Outcome:
            calls[CallKey(abi, Phase.WORKLOAD, outcome)] = Numbers.of(range(abi.limit))
    return calls


@pytest.mark.parametrize("abis", [[Abi.X86_64], [Abi.X86_64, Abi.I386, Abi.X32], list(Abi)])
def test_size_is_bounded(abis):
    """Whatever is recorded, and whatever a record from elsewhere holds, an object can bear it."""
    made_by = Provenance(*["é" * 5000] * 7)
    calls = everything(abis) | {
        CallKey(value, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of(range(1024)) for value in range(100, 150)
    }
    causes = {f"cause_{n}": 1 for n in range(5000)}
    each = [
        Observation(Source(f"{n}", "b", 1, 1), calls=calls, provenance=made_by, ledger=Ledger(causes))
        for n in range(3)
    ]
    found = build(Record(tuple(each)), name="x", base=resolve_base("auto")).annotations
    assert sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) < MAX_TOTAL


def test_list_that_is_too_long_becomes_a_count_and_a_digest():
    """Still comparable, and honest about its length."""
    each = Observation(Source("n", "b", 1, 1), calls=everything(Abi), provenance=Provenance(machine="x86_64"))
    found = annotations(Record((each,)))
    count, digest = found["recorded"].split(" names, sha256:")
    assert int(count) == sum(len(known_names(abi)) for abi in Abi)
    assert len(digest) == 64
    assert json.loads(found["abi"])["names"]["x86_64"] == len(known_names(Abi.X86_64))


@given(records)
def test_values_are_text_that_an_object_can_have(seen):
    """ASCII and never empty, whatever the record holds."""
    try:
        profile = build(seen, name="x", base=NO_BASE)
    except InvalidProfile:
        return
    assert all(value and value.isascii() for value in profile.annotations.values())
