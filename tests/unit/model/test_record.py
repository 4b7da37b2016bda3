"""The record: joins that make a message harmless when it is repeated, late or overtaken."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Outcome,
    Phase,
    Provenance,
    Record,
    SightKey,
    Source,
)
from recorder.record.v1 import record_pb2 as pb
from tests.unit.model.strategies import one_source, records

SOURCE = Source("n", "boot", 7, 1)


def seen(**values):
    return Observation(SOURCE, **values)


@given(one_source)
def test_observation_join_is_idempotent(a):
    """A repeated message changes nothing, nor does one that says nothing."""
    assert a.join(a) == a.join(seen()) == a


@given(one_source, one_source)
def test_observation_join_is_commutative(a, b):
    """A message may be overtaken."""
    assert a.join(b) == b.join(a)


@given(one_source, one_source, one_source)
def test_observation_join_is_associative(a, b, c):
    """It does not matter where messages meet."""
    assert a.join(b).join(c) == a.join(b.join(c))


@given(records)
def test_record_join_is_idempotent(a):
    """A repeated record changes nothing, nor does an empty one."""
    assert a.join(a) == a.join(Record()) == a


@given(records, records)
def test_record_join_is_commutative(a, b):
    """Order does not matter."""
    assert a.join(b) == b.join(a)


@given(records, records, records)
def test_record_join_is_associative(a, b, c):
    """Grouping does not matter."""
    assert a.join(b).join(c) == a.join(b.join(c))


@given(records)
def test_observations_are_sorted_and_unique(a):
    """One observation for each source, sorted by source."""
    sources = [each.source for each in a.observations]
    assert sources == sorted(set(sources))


@given(one_source, st.randoms())
def test_order_of_construction_does_not_show(a, random):
    """Equal contents iterate alike, whatever order they were given in."""
    calls, sights, denials = list(a.calls.items()), list(a.first_sights.items()), list(a.denials.items())
    for each in (calls, sights, denials):
        random.shuffle(each)
    again = dataclasses.replace(a, calls=dict(calls), first_sights=dict(sights), denials=dict(denials))
    assert list(again.calls.items()) == list(a.calls.items())
    assert list(again.denials.items()) == list(a.denials.items())
    assert list(again.first_sights.items()) == list(a.first_sights.items())


def test_different_sources_do_not_join():
    """Counters of different sources are not comparable."""
    with pytest.raises(ValueError, match="different sources"):
        seen().join(Observation(dataclasses.replace(SOURCE, epoch=2)))


def test_sets_are_united_and_empty_ones_dropped():
    """Bitmaps join by OR, under their own key alone."""
    work, setup = CallKey(1, Phase.WORKLOAD, 1), CallKey(1, Phase.SETUP, 1)
    joined = seen(calls={work: Numbers.of([1])}).join(seen(calls={work: Numbers.of([2]), setup: Numbers()}))
    assert joined.calls == {work: Numbers.of([1, 2])}


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        (FirstSight(5, b"z"), FirstSight(6, b"a"), FirstSight(5, b"z")),
        (FirstSight(5, b"b"), FirstSight(5, b"a"), FirstSight(5, b"a")),
    ],
)
def test_the_earliest_first_sight_wins(one, other, wins):
    """By time, and of two at one time the smaller comm."""
    key = SightKey(1, 2, 1, 3)
    assert seen(first_sights={key: one}).join(seen(first_sights={key: other})).first_sights == {key: wins}


@pytest.mark.parametrize(
    ("name", "one", "other", "wins"),
    [
        ("first_seen_ns", 0, 5, 5),  # 0: not known
        ("first_seen_ns", 4, 5, 4),
        ("last_seen_ns", 4, 5, 5),
        ("wall_offset_ns", 0, -5, -5),
        ("wall_offset_ns", 4, 5, 5),
        ("ended", True, False, True),
        ("identity", Identity("web", ""), Identity("", "/a"), Identity("web", "/a")),
        ("identity", Identity("web"), Identity("app"), Identity("web")),
        (
            "provenance",
            Provenance(loader="libbpf"),
            Provenance(phases="exec"),
            Provenance("", "", "", "libbpf", "exec"),
        ),
        ("ledger", Ledger({"unread": 1}), Ledger({"unread": 2}), Ledger({"unread": 2})),
    ],
)
def test_rules_of_single_fields(name, one, other, wins):
    """Each field has its rule, from either side."""
    assert getattr(seen(**{name: one}).join(seen(**{name: other})), name) == wins
    assert getattr(seen(**{name: other}).join(seen(**{name: one})), name) == wins


def test_calls_of_a_phase():
    """By ABI over all sources; another phase or outcome is apart; unknown ABIs stay."""
    other = Observation(
        dataclasses.replace(SOURCE, cgroup_id=8),
        calls={CallKey(1, 2, 1): Numbers.of([9]), CallKey(77, 2, 1): Numbers.of([4])},
    )
    mine = seen(
        calls={
            CallKey(2, 2, 1): Numbers.of([20]),
            CallKey(1, 2, 1): Numbers.of([1]),
            CallKey(1, 2, 2): Numbers.of([5]),
            CallKey(1, 1, 1): Numbers.of([6]),
        }
    )
    record = Record((other, mine))
    assert list(record.calls(Phase.WORKLOAD).items()) == [
        (1, Numbers.of([1, 9])),
        (2, Numbers.of([20])),
        (77, Numbers.of([4])),
    ]
    assert record.calls(Phase.SETUP) == {1: Numbers.of([6])}
    assert record.calls(Phase.WORKLOAD, Outcome.DENIED) == {1: Numbers.of([5])}


def test_the_records_ledger_is_the_sum_over_sources():
    """Totals are summed when shown, and the verdict follows from them."""
    other = Observation(
        dataclasses.replace(SOURCE, cgroup_id=8), ledger=Ledger({"unread": 2, "ring_full": 1})
    )
    record = Record((seen(ledger=Ledger({"unread": 1})), other))
    assert record.ledger == Ledger({"unread": 3, "ring_full": 1})
    assert str(record.verdict) == "lossy: unread 3"
    assert str(Record().verdict) == "complete"


def test_comm_is_as_the_kernel_has_it():
    """It ends before NUL, and after 15 bytes."""
    assert FirstSight(1, b"cat\0\0junk").comm == b"cat"
    assert FirstSight(1, b"x" * 16).comm == b"x" * 15


def test_a_path_that_is_no_utf8_is_escaped():
    """A cgroup's name may have any bytes; the record is text."""
    assert Identity(cgroup_path="/a\udcff").cgroup_path == "/a\\udcff"


def test_an_observation_does_not_follow_its_arguments():
    """It is a value."""
    calls = {CallKey(1, 2, 1): Numbers.of([1])}
    observation = seen(calls=calls)
    calls.clear()
    assert observation.calls
    with pytest.raises(TypeError):
        observation.calls[CallKey(1, 2, 1)] = Numbers()


@pytest.mark.parametrize(("ours", "theirs"), [(Phase, pb.Phase), (Outcome, pb.Outcome)])
def test_enum_values_equal_the_messages(ours, theirs):
    """A value is the one of the wire format, and no member is missing on either side."""
    prefix = ours.__name__.upper()
    assert {f"{prefix}_{each.name}": int(each) for each in ours} | {f"{prefix}_UNSPECIFIED": 0} == dict(
        theirs.items()
    )


def test_importing_it_does_not_import_protobuf():
    """The record is cheap to import: protobuf is loaded only by who reads or writes messages."""
    code = "import sys, recorder.model.record; sys.exit(any(m.startswith('google') for m in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)
