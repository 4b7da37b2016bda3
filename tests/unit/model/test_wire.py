"""The record on the wire and as JSON: nothing changes on the way, and bad input is named."""

import json

import pytest
from hypothesis import given

from recorder.model.denial import DenialCount, DenialKey, Sighting
from recorder.model.errors import InvalidRecord
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Provenance,
    Record,
    SightKey,
    Source,
)
from recorder.model.wire import from_json, from_message, from_observation, to_json, to_message
from recorder.record.v1 import record_pb2 as pb
from tests.unit.model.strategies import denial_counts, denial_keys, records

SOURCE = Source("n", "boot", 7, 1)


def message(**fields):
    """Return a message with one observation that has these fields."""
    return pb.Record(observations=[pb.Observation(source=pb.Source(node="n"), **fields)])


def denied(**fields):
    """Return a message with one denial of AppArmor that has these fields."""
    return message(denials=[pb.Denial(verdict="denied", apparmor=pb.AppArmorDenial(**fields))])


@given(records)
def test_wire_round_trip(record):
    """Bytes and back: unknown enum values and causes, extreme times and counts included."""
    data = to_message(record).SerializeToString(deterministic=True)
    assert from_message(pb.Record.FromString(data)) == record


@given(records)
def test_json_round_trip(record):
    """Text and back, and the same text again."""
    text = to_json(record)
    assert from_json(text) == record
    assert to_json(from_json(text)) == text


@given(records, records)
def test_joining_commutes_with_the_wire(a, b):
    """Protobuf's own concatenation of two records is their join: duplicates are joined when read."""
    both = to_message(a).SerializeToString() + to_message(b).SerializeToString()
    assert from_message(pb.Record.FromString(both)) == a.join(b)


def test_json_is_stable():
    """These bytes are what people keep in files: a change here breaks them."""
    record = Record(
        (
            Observation(
                SOURCE,
                Identity("wéb", "/a"),
                {CallKey(2, 2, 1): Numbers.of([20]), CallKey(1, 99, 1): Numbers.of([0, 1])},
                {SightKey(1, 2, 1, 3): FirstSight(2**63, b"cat")},
                Ledger({"ring_full": 2, "from_the_future": 1}),
                Provenance("0.1.0"),
                first_seen_ns=1,
                last_seen_ns=2,
                wall_offset_ns=-3,
                ended=True,
            ),
        )
    )
    assert (
        to_json(record)
        == """\
{
  "observations": [
    {
      "calls": [
        {
          "abi": "ABI_X86_64",
          "numbers": "Aw==",
          "outcome": "OUTCOME_ALLOWED",
          "phase": 99
        },
        {
          "abi": "ABI_I386",
          "numbers": "AAAQ",
          "outcome": "OUTCOME_ALLOWED",
          "phase": "PHASE_WORKLOAD"
        }
      ],
      "ended": true,
      "firstSeenNs": "1",
      "firstSights": [
        {
          "abi": "ABI_X86_64",
          "comm": "Y2F0",
          "number": 3,
          "outcome": "OUTCOME_ALLOWED",
          "phase": "PHASE_WORKLOAD",
          "timeNs": "9223372036854775808"
        }
      ],
      "identity": {
        "cgroupPath": "/a",
        "name": "wéb"
      },
      "lastSeenNs": "2",
      "ledger": [
        {
          "cause": "from_the_future",
          "count": "1"
        },
        {
          "cause": "ring_full",
          "count": "2"
        }
      ],
      "provenance": {
        "recorderVersion": "0.1.0"
      },
      "source": {
        "bootId": "boot",
        "cgroupId": "7",
        "epoch": "1",
        "node": "n"
      },
      "wallOffsetNs": "-3"
    }
  ]
}
"""
    )


def test_unsorted_and_repeated_entries_are_joined():
    """What is read need not be canonical; what it becomes is."""
    one = pb.CallSet(abi=2, phase=2, outcome=1, numbers=b"\1")
    other = pb.CallSet(abi=1, phase=2, outcome=1, numbers=b"\2\0\0")
    again = pb.CallSet(abi=2, phase=2, outcome=1, numbers=b"\4")
    entries = [
        pb.LedgerEntry(cause=cause, count=n)
        for cause, n in (("slot_reused", 1), ("a", 0), ("slot_reused", 3))
    ]
    sights = [pb.FirstSight(abi=1, number=1, time_ns=t, comm=b"x") for t in (9, 4)]
    (read,) = from_message(
        message(calls=[one, other, again], ledger=entries, first_sights=sights)
    ).observations
    assert list(read.calls.items()) == [
        (CallKey(1, 2, 1), Numbers.of([1])),
        (CallKey(2, 2, 1), Numbers.of([0, 2])),
    ]
    assert read.ledger == Ledger({"slot_reused": 3})
    assert read.first_sights == {SightKey(1, 0, 0, 1): FirstSight(4, b"x")}


@given(denial_keys, denial_counts)
def test_a_denial_comes_back(key, count):
    """By bytes and by JSON: any bytes, cut texts, numbers at their ends, what is absent apart from 0."""
    record = Record((Observation(SOURCE, denials={key: count}),))
    data = to_message(record).SerializeToString(deterministic=True)
    assert from_message(pb.Record.FromString(data)) == record
    assert from_json(to_json(record)) == record


def test_a_denial_that_is_said_twice_is_joined():
    """Its count is the greater, as of two states."""
    key = {"verdict": "denied", "selinux": pb.SelinuxDenial(object_class="file")}
    said = [
        pb.Denial(**key, count=count, first=pb.Sighting(time_ns=time)) for count, time in ((2, 5), (3, 7))
    ]
    (read,) = from_message(message(denials=said)).observations
    ((found, count),) = read.denials.items()
    assert (found.module, found.details.object_class) == ("selinux", "file")
    assert (count.count, count.first.time_ns) == (3, 5)


def test_a_bitmap_of_128_bytes_is_accepted():
    """Longer than any ABI's today, so that a newer recorder's record can be read."""
    read = from_message(message(calls=[pb.CallSet(abi=1, numbers=bytes(127) + b"\x80")]))
    assert read.observations[0].calls == {CallKey(1, 0, 0): Numbers.of([1023])}


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        (message(calls=[pb.CallSet(), pb.CallSet(numbers=bytes(129))]), "observations[0].calls[1].numbers"),
        (message(first_sights=[pb.FirstSight(comm=b"x" * 16)]), "observations[0].first_sights[0].comm"),
        (message(first_sights=[pb.FirstSight(comm=b"x\0")]), "observations[0].first_sights[0].comm"),
        (message(ledger=[pb.LedgerEntry(cause="No Cause", count=1)]), "observations[0].ledger[0]"),
        (pb.Record(observations=[pb.Observation(ended=True)]), "observations[0].source"),
        (message(denials=[pb.Denial(verdict="denied")] * 513), "observations[0].denials has 513"),
        (message(denials=[pb.Denial(verdict="No\n")]), "observations[0].denials[0].verdict"),
        (message(denials=[pb.Denial(verdict="denied", lacks=[""])]), "observations[0].denials[0].lacks"),
        (
            message(denials=[pb.Denial(verdict="denied", first=pb.Sighting(comm=b"x" * 16))]),
            "observations[0].denials[0].first.comm",
        ),
        (denied(name=pb.Text(content=b"x" * 4097)), "observations[0].denials[0].apparmor.name"),
        (denied(name=pb.Text(content=b"a\0b")), "observations[0].denials[0].apparmor.name"),
        (denied(name=pb.Text(content=b"abc", length=3)), "observations[0].denials[0].apparmor.name.length"),
        (denied(operation="x" * 257), "observations[0].denials[0].apparmor.operation"),
        (denied(requested=["r"] * 65), "observations[0].denials[0].apparmor.requested"),
    ],
)
def test_a_wrong_field_is_named(bad, path):
    """The error has the path of the field."""
    with pytest.raises(InvalidRecord) as error:
        from_message(bad)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"first_seen_ns": -1},
        {"last_seen_ns": 2**64},
        {"wall_offset_ns": 2**63},
        {"calls": {CallKey(2**31, 1, 1): Numbers(1)}},
        {"first_sights": {SightKey(1, 1, 1, -1): FirstSight(1)}},
        {"ledger": Ledger({"slot_reused": 2**64})},
        {"provenance": Provenance(machine="\udcff")},
        {
            "denials": {
                DenialKey("denied", None): DenialCount(2**64, Sighting(0, 0, b""), Sighting(0, 0, b""))
            }
        },
    ],
)
def test_a_value_without_room_in_the_format_is_refused(fields):
    """Nothing is cut to fit: the error names the observation."""
    with pytest.raises(InvalidRecord, match=r"^observations\[0\] of Source\(node='n'"):
        to_message(Record((Observation(SOURCE, **fields),)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '"record"',
        "{",
        '{"observations": [{"source": {}, "colour": 1}]}',
        '{"kind": "SeccompProfile"}',
        '{"observations": [{"source": {}, "calls": [{"abi": "ABI_NEW"}]}]}',
        '{"observations": [{"source": {"cgroupId": -1}}]}',
        '{"observations": [{"source": {"node": "\\ud800"}}]}',
        '{"observations": [], "observations": []}',
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_record_in_json_is_refused(text):
    """No other exception comes out, whatever the text; a field that is not known is not dropped."""
    with pytest.raises(InvalidRecord, match="not a record in JSON"):
        from_json(text)


def test_the_empty_record():
    """It has a form of its own, and comes back."""
    assert to_json(Record()) == "{}\n"
    assert from_json("{}") == Record()


def test_json_is_the_mapping_of_protobuf():
    """Any protobuf implementation can read it: field names in lower camel case, 64-bit numbers as text."""
    observation = Observation(SOURCE, last_seen_ns=5)
    assert json.loads(to_json(Record((observation,))))["observations"][0]["lastSeenNs"] == "5"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: each.accesses.add(), r"accesses\[0\]: subject is missing"),
        (lambda each: each.accesses.add(file=pb.File(path=b"/a\0")), r"accesses\[0\]: .*NUL"),
        (lambda each: each.accesses.add(file=pb.File(path=b"/" * 4097)), r"accesses\[0\]: .*4097"),
        (lambda each: each.accesses.add(queue=pb.MessageQueue(), comm=b"x" * 16), r"accesses\[0\]: comm"),
        (lambda each: setattr(each, "accesses_cut_at", b"1"), r"accesses_cut_at: .*8"),
    ],
)
def test_an_access_that_no_kernel_says_is_refused(change, said):
    """With the path of the entry."""
    message = pb.Observation(source=pb.Source(node="n"))
    change(message)
    with pytest.raises(InvalidRecord, match=said):
        from_observation(message)
