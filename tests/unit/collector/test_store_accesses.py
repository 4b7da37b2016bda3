"""Accesses in the store: joined by source, in any order and in parts, within the bounds of a record."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.collector.store import access_rows, packed_accesses
from recorder.collector.store.access_rows import AccessBounds
from recorder.collector.store.packed_accesses import PARTS, in_messages, packed, unpack, unpacked
from recorder.collector.store.sighting import Incoming
from recorder.collector.store.store import Store
from recorder.model import accesses as model
from recorder.model.access import File, FileKind, Signal, UnixSocket
from recorder.model.access_wire import from_accesses, to_accesses
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.first_sight import FirstSight
from recorder.model.record import Phase
from tests.unit.collector.store_made import bounds, placed, recording, seen
from tests.unit.profiles.accessed import files

SUBJECTS = [
    *(File(b"/srv/%d/%s" % (n, b"x" * n), b"", FileKind.REGULAR) for n in range(12)),
    File(b"\xff\n", b"/other", 77, True),
    UnixSocket(1, b"\0abstract"),
    *(Signal(n) for n in range(1, 6)),
]
KEYS = st.builds(AccessKey, st.sampled_from([Phase.SETUP, Phase.WORKLOAD, 9]), st.sampled_from(SUBJECTS))
SEEN = st.builds(
    Seen,
    st.integers(0, (1 << 64) - 1),
    st.none()
    | st.builds(
        FirstSight, st.sampled_from([0, 5, 9, (1 << 64) - 1]), st.sampled_from([b"", b"a", b"b" * 15])
    ),
)
STATES = st.builds(Accesses, st.dictionaries(KEYS, SEEN, max_size=12))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "collector.db"


@pytest.fixture
def store(path):
    with contextlib.closing(Store.open(path, bounds())) as opened:
        yield opened


def small(monkeypatch, entries=10, text=120):
    """A record that has not many."""
    monkeypatch.setattr(model, "MAX_ACCESSES", entries)
    monkeypatch.setattr(model, "MAX_TEXT", text)
    monkeypatch.setattr(access_rows, "BOUNDS", AccessBounds(entries, text))


def report(number, accesses, **values):
    return Incoming(seen(number, pod=None, accesses=accesses, **values), ("r1",))


@given(STATES)
def test_what_is_packed_is_read_again(accesses):
    """Whole, and by messages of few bytes; equal accesses are equal bytes."""
    parts = packed(accesses)
    assert unpacked(parts.values(), accesses.cut_at) == accesses
    assert packed(unpacked(reversed(parts.values()))) == parts
    told = [each for content in parts.values() for some in in_messages(content, 40) for each in some]
    assert from_accesses("", told, b"") == accesses
    assert packed_accesses.packed_messages([*to_accesses(accesses), *told]) == parts


@given(STATES, STATES)
def test_parts_join_as_the_model_does(one, other):
    """All rights, and the earlier first sights."""
    left, right = packed(one), packed(other)
    joined = {
        part: packed_accesses.join(left.get(part, b""), right.get(part, b""))
        for part in sorted(left.keys() | right.keys())
    }
    assert joined == packed(one.join(other))


def test_messages_are_bounded():
    """Of so many bytes each, whatever the entries are."""
    accesses = files("\n".join(f"r /srv/{n}/{'x' * 500}" for n in range(200)))
    found = [
        sum(each.ByteSize() for each in some)
        for content in packed(accesses).values()
        for some in in_messages(content, 4096)
    ]
    assert max(found) <= 4096
    assert sum(found) > 200 * 500


def halves(accesses):
    entries = list(accesses.entries.items())
    return Accesses(dict(entries[::2])), Accesses(dict(entries[1::2]))


@settings(max_examples=12)
@given(states=st.lists(STATES, min_size=1, max_size=3), data=st.data(), tight=st.booleans())
def test_states_and_parts_in_any_order_are_what_the_model_joins(tmp_path_factory, states, data, tight):
    """Also beyond the bounds, where what is kept is the model's to say; and nothing is written twice."""
    with pytest.MonkeyPatch.context() as patch:
        if tight:
            small(patch)
        expected = Accesses()
        for each in states:
            expected = expected.join(each)
        reports = [report(1, state) for state in states]
        reports += [report(1, half) for state in states for half in halves(state)]
        path = tmp_path_factory.mktemp("store") / "s" / "collector.db"
        with contextlib.closing(Store.open(path, bounds())) as store:
            for each in data.draw(st.permutations(reports)):
                store.put([each])
            whole = report(1, expected)
            (change,) = store.put([whole])
            assert not change.changed
            (found,) = store.sightings("r1")
            assert found.observation == whole.observation
        with contextlib.closing(Store.open(path, bounds())) as store:
            assert store.sightings("r1")[0].observation == whole.observation


def test_a_report_with_little_that_is_new_rewrites_little(store):
    """Of 2,000 entries a new one touches the part that it is in."""
    many = files("\n".join(f"r /srv/{n}" for n in range(2000)))
    store.put([report(1, many)])
    before = store.accesses(1)
    assert len(before) == PARTS
    store.put([report(1, files("r /srv/new"))])
    after = store.accesses(1)
    (part,) = (part for part in before if before[part] != after[part])
    assert len(unpack(after[part])) == len(unpack(before[part])) + 1
    assert store.accesses_of([1, 2]) == {1: 2001}


def test_without_accesses_a_sighting_is_read_without_them(store):
    """They are said to be there; first sights and the rest are as ever."""
    accesses = files("r /etc/a")
    store.put([report(1, accesses, calls={}, sights=0)])
    (bare,) = store.sightings("r1", accesses=False)
    assert not bare.observation.accesses
    assert bare.recorded
    assert store.outlines("r1")[0].recorded
    assert store.sighting(1).observation.accesses == accesses


def test_a_batch_joins_parts_of_one_source(store):
    """Two reports in one commit; and parts that were packed on the way."""
    one, two = report(1, files("r /etc/a")), report(1, files("w /etc/a\nr /etc/b"))
    carried = Incoming(
        replace(two.observation, accesses=Accesses()),
        ("r1",),
        packed_accesses=packed(two.observation.accesses),
    )
    store.put([one, carried])
    assert store.sightings("r1")[0].observation.accesses == files("rw /etc/a\nr /etc/b")
    assert carried.whole() == two.observation


def finished(store, *reports):
    store.save_recording(recording("r1"))
    store.put(reports)
    for each in store.unconfirmed(100):
        store.confirm(each.id, placed())
    store.emitted("r1", store.revision)


def pod_report(number, accesses, **values):
    return Incoming(seen(number, accesses=accesses, **values), ("r1",))


def small_store(path):
    return Store.open(path, bounds(sightings=2))


def test_what_is_folded_has_all_that_was_accessed(path):
    """Restarts of one pod: the union, with the earliest first sight by the clock of the first."""
    first = Accesses({AccessKey(2, Signal(1)): Seen(1, FirstSight(50, b"late"))})
    second = Accesses({AccessKey(2, Signal(1)): Seen(2, FirstSight(20, b"early"))}).join(files("r /etc/a"))
    with contextlib.closing(small_store(path)) as store:
        finished(store, pod_report(1, first), pod_report(2, second, wall_offset_ns=1_700_000_000_000_000_010))
        store.put([pod_report(3, files("r /x"), ended=False)])
        folded, _ = store.sightings("r1")
        assert folded.folded
        assert folded.observation.accesses == Accesses(
            {AccessKey(2, Signal(1)): Seen(3, FirstSight(30, b"early"))}
        ).join(files("r /etc/a"))
        assert len(store.accesses(2)) == 0
        # who read the sightings before finds them where they are now
        both = store.accesses(1)
        assert len(both) > 0
        assert store.accesses_of_source(seen(1).source) == store.accesses_of_source(seen(2).source) == both
        assert store.accesses_of_source(seen(99).source) == {}


def test_what_has_no_place_in_one_stays_apart(path, monkeypatch):
    """More accesses together than one may have, and one that was cut: results need all that there is."""
    small(monkeypatch)
    many = [files("\n".join(f"r /{n}{m}" for m in range(7))) for n in range(2)]
    with contextlib.closing(Store.open(path, bounds(sightings=3))) as store:
        finished(store, *(pod_report(n, each) for n, each in enumerate(many, 1)))
        store.compact()
        assert [each.observation.accesses for each in store.sightings("r1")] == many


def test_what_is_refused_or_forgotten_is_gone(path):
    """No row of it stays."""
    with contextlib.closing(Store.open(path, bounds(sightings=2))) as store:
        store.save_recording(recording("r1"))
        store.put([pod_report(1, files("r /a")), pod_report(2, files("r /b"), pod="p2")])
        store.refuse(1, "no such pod")
        store.put([pod_report(3, files("r /c"), pod="p3")])
        assert store.accesses(1) == {}
        assert len(store.accesses(2)) == 1
        store.forget_recording("r1")
        assert store.accesses(2) == {}


def test_one_node_does_not_take_the_room_of_others(path):
    """Beyond its bytes its new accesses are missing, and said to be; what it has, and others, go on."""
    large = [files("\n".join(f"r /{n}/{'x' * 400}{m}" for m in range(4))) for n in range(4)]

    def told(number, accesses, node="bad", **more):
        return Incoming(seen(number, node=node, pod=None, accesses=accesses, **more), ("r1",))

    def kept(store):
        return {each.observation.source.cgroup_id: each.observation for each in store.sightings("r1")}

    with contextlib.closing(Store.open(path, bounds(node_accesses=3000))) as store:
        store.put([told(1, large[0])])
        store.put([told(2, large[1])])
        changes = store.put([told(3, large[2]), told(1, large[3]), told(4, large[2], "good")])
        assert [each.stored for each in changes] == [True, True, True]
        found = kept(store)
        assert [len(found[n].accesses.entries) for n in (1, 2, 3, 4)] == [4, 4, 0, 4]
        assert [found[n].ledger.counts.get("accesses_full", 0) for n in (1, 2, 3, 4)] == [1, 0, 1, 0]
        # what is known already, and all but accesses, is no loss
        (change,) = store.put([told(2, large[1])])
        assert not change.changed
        assert store.put([told(2, Accesses(), calls={})])[0].stored
    with contextlib.closing(Store.open(path, bounds(node_accesses=3000))) as store:
        store.put([told(5, large[2])])
        assert kept(store)[5].ledger.counts["accesses_full"] == 1
        store.forget_recording("r1")
        store.put([told(6, large[2])])
        assert len(kept(store)[6].accesses.entries) == 4
