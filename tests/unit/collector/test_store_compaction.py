"""Compaction: room is made, and nothing that results are made of changes by it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.collector.store.sighting import Change, Confirmation, Decision, Incoming
from recorder.collector.store.store import Store
from recorder.model.access import File, FileRight
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.denial import MAX_DENIALS
from recorder.model.errors import StoreFull
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import FirstSight, Identity, Pod, Source
from tests.denials_given import apparmor, counted, selinux
from tests.unit.collector.store_made import bounds, incoming, placed, recording, seen
from tests.unit.model.strategies import UINT64, observations


def told(sightings):
    """What results are made of, by the rules alone: for each unit what was called, lost and when."""
    units = {}
    for each in sightings:
        observation = each.observation
        identity = observation.identity
        pod = identity.pod
        key = (pod.uid if pod else identity.container_id, identity.name, each.placement, each.recordings)
        unit = units.setdefault(
            key,
            {
                "sources": 0,
                "calls": {},
                "ledger": {},
                "first": set(),
                "last": set(),
                "sights": {},
                "provenance": set(),
                "images": set(),
                "ended": True,
            },
        )
        unit["sources"] += each.sources
        for call, found in observation.calls.items():
            unit["calls"][call] = unit["calls"].get(call, 0) | found.bits
        for cause, count in observation.ledger.counts.items():
            unit["ledger"][cause] = unit["ledger"].get(cause, 0) + count
        offset = observation.wall_offset_ns
        clock = "wall" if offset else observation.source.boot_id
        if observation.first_seen_ns:
            unit["first"].add((clock, observation.first_seen_ns + offset))
        if observation.last_seen_ns:
            unit["last"].add((clock, observation.last_seen_ns + offset))
        for sight, when in observation.first_sights.items():
            seen_at = (clock, when.time_ns + offset, when.comm)
            unit["sights"][sight, clock] = min(unit["sights"].get((sight, clock), seen_at), seen_at)
        unit["provenance"].add(observation.provenance)
        unit["images"].add((identity.image, identity.image_digest))
        unit["ended"] &= observation.ended
    for unit in units.values():
        for end, pick in (("first", min), ("last", max)):
            clocks = {clock for clock, _ in unit[end]}
            unit[end] = {clock: pick(time for its, time in unit[end] if its == clock) for clock in clocks}
    return units


def everything_folds(path, **values):
    return Store.open(path, bounds(**{"sightings": 1, **values}))


def settle(store, placement=placed):
    """As the publisher does: all is confirmed, and results hold it."""
    waiting = store.unconfirmed(1000)
    store.decide(
        [
            Decision(each.id, Confirmation.CONFIRMED, placement(each.observation.identity.pod.name))
            for each in waiting
        ]
    )
    for uid in store.recordings():
        store.emitted(uid, store.revision)


def compacted(store):
    while store.compact():
        pass


runs = st.builds(
    replace,
    observations(
        st.builds(
            Source,
            st.sampled_from(["n1", "n2"]),
            st.sampled_from(["b1", "b2"]),
            st.integers(1, 12),
            st.just(0),
        )
    ),
    identity=st.builds(
        Identity,
        st.sampled_from(["web", "side"]),
        st.text(max_size=3),
        st.sampled_from(["c1", "c2"]),
        pod=st.sampled_from([None, Pod("shop", "a", "uid-a"), Pod("shop", "b", "uid-b")]),
        image=st.sampled_from(["", "nginx"]),
        restart_count=st.integers(0, 3),
    ),
    ended=st.just(True),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(runs, min_size=1, max_size=10), st.lists(runs, max_size=6), st.data())
def test_results_are_made_of_the_same_before_and_after(tmp_path_factory, first, more, data):
    """Two rounds of folding, and late repeats of what was folded: the same calls, sums, times, units."""
    folder = tmp_path_factory.mktemp("fold")
    whole, small = (
        Store.open(folder / "whole", bounds(sightings=1000)),
        Store.open(folder / "small", bounds()),
    )
    known = {}
    for store in (whole, small):
        store.save_recording(recording("r1"))
    try:
        for part in (first, more):
            # What is told of a source after it has ended are repeats: more than that never comes.
            batch = [
                Incoming(known.setdefault(each.source, each), ("r1",))
                for each in part
                if each.source not in known
            ]
            for store in (whole, small):
                store.put(batch)
                settle(store)
            wanted = told(whole.sightings("r1"))
            assert told(small.sightings("r1")) == wanted
            small.close()
            small = everything_folds(folder / "small")
            compacted(small)
            assert told(small.sightings("r1")) == wanted
            small.close()
            small = Store.open(folder / "small", bounds())
        late = data.draw(st.lists(st.sampled_from(sorted(known.values(), key=lambda each: each.source))))
        assert not any(each.changed for each in small.put([Incoming(each, ("r1",)) for each in late]))
        assert told(small.sightings("r1")) == wanted
        assert small.unemitted() == {}
    finally:
        whole.close()
        small.close()


def test_restarts_become_one_row(tmp_path):
    """By hand: three runs of a pod's container, a node whose clock was set, and what must stay apart."""
    store = Store.open(tmp_path / "store", bounds())
    store.save_recording(recording("r1"))
    later = {"wall_offset_ns": 2_000_000_000_000_000_000}
    store.put(
        [incoming(1), incoming(2, **later), incoming(3), incoming(4, pod="p2"), incoming(5, name="side")]
    )
    settle(store)
    store.close()
    store = everything_folds(tmp_path / "store")
    assert store.compact() == 5
    one, other, side = store.sightings("r1")
    assert [(each.id, each.sources, each.folded) for each in (one, other, side)] == [
        (1, 3, True),
        (4, 1, True),
        (5, 1, True),
    ]
    found = one.observation
    assert found.calls == {(1, 2, 1): Numbers.of({1, 2, 3, 501})}
    assert found.ledger == Ledger({"ring_full": 3, "children_full": 6})
    assert found.first_seen_ns + found.wall_offset_ns == 1001 + 1_700_000_000_000_000_000
    assert found.last_seen_ns + found.wall_offset_ns == 5002 + 2_000_000_000_000_000_000
    assert found.first_sights[1, 2, 1, 0].time_ns + found.wall_offset_ns == 1001 + 1_700_000_000_000_000_000
    assert found.source == seen(1).source
    assert found.identity.pod == Pod("shop", "web-p1", "uid-p1")
    assert store.sighting(2) is None
    assert store.known([seen(n).source for n in (1, 2, 3, 9)]) == {seen(n).source for n in (1, 2, 3)}
    assert store.put([incoming(2, calls={})]) == [Change(1, False)]
    figures = store.figures()
    assert (figures.open, figures.folded, figures.folded_sources) == (0, 3, 5)
    store.close()


def test_what_is_needed_is_never_touched(tmp_path):
    """Running, missing, unasked, changed since it was emitted, of a recording that is not saved: all stay."""
    path = tmp_path / "store"
    store = Store.open(path, bounds())
    store.save_recording(recording("r1"))
    store.save_recording(recording("r2"))
    store.put([incoming(1), incoming(2, ended=False), incoming(3), incoming(4), incoming(5, "r1", "r2")])
    store.put([incoming(6, "r1", "r3"), incoming(7, pod=None)])
    for number in (1, 2, 5, 6):
        store.confirm(number, placed())
    store.missing(3, "gone")
    store.emitted("r1", store.revision)
    store.confirm(1, placed("changed"))
    kept = store.sightings("r1")
    store.close()
    store = everything_folds(path)
    assert store.compact() == 1, "that of no pod"
    after = store.sightings("r1")
    assert [each.folded for each in after] == [False] * 6 + [True]
    assert after[:6] == kept[:6]
    with pytest.raises(StoreFull):
        store.put([incoming(8)])
    store.emitted("r1", store.revision)
    store.emitted("r2", store.revision)
    assert store.compact() == 2, "1 and 5"
    store.close()


def test_room_is_made_when_it_is_needed(tmp_path):
    """A batch at the bound is taken if something may go; only as much goes as the batch needs."""
    store = Store.open(tmp_path / "store", bounds(sightings=600))
    store.save_recording(recording("r1"))
    store.put([incoming(n, pod=f"p{n}") for n in range(600)])
    with pytest.raises(StoreFull):
        store.put([incoming(600)])
    settle(store)
    assert store.put([incoming(600)]) == [Change(601, True)]
    figures = store.figures()
    assert (figures.open, figures.folded, figures.full) == (345, 256, "")
    assert next(each.id for each in store.sightings("r1") if not each.folded) == 257, "the oldest go first"
    store.close()


def test_a_node_at_its_bound_makes_room_by_its_own(tmp_path):
    """Others' sightings stay as they are."""
    store = Store.open(tmp_path / "store", bounds(node_sightings=3))
    store.save_recording(recording("r1"))
    store.put([incoming(n, node="n1", pod="a") for n in (1, 2, 3)] + [incoming(9, node="n2", pod="b")])
    assert not store.put([incoming(4, node="n1")])[0].stored
    settle(store)
    assert store.put([incoming(4, node="n1")])[0].stored
    assert [(each.id, each.sources) for each in store.sightings("r1")] == [(1, 3), (4, 1), (5, 1)]
    store.close()


def test_refused_sightings_go_first(tmp_path):
    """They lose what was seen, which no result has; who it was and why it was refused stay."""
    path = tmp_path / "store"
    store = Store.open(path, bounds())
    store.save_recording(recording("r1"))
    store.put([incoming(1, pod="a"), incoming(2), incoming(3, pod="b"), incoming(4, ended=False)])
    settle(store)
    store.put([incoming(5), incoming(6)])
    store.refuse(5, "another node")
    store.close()
    store = Store.open(path, bounds(sightings=7))
    assert store.put([incoming(7), incoming(8)])[1].stored
    found = {each.id: each for each in store.sightings("r1")}
    assert not any(each.folded for each in found.values()), "no more was needed"
    emptied = found[5]
    assert (emptied.confirmation, emptied.reason) == (Confirmation.REFUSED, "another node")
    assert emptied.observation.identity == seen(5).identity
    assert not emptied.observation.calls
    assert not emptied.observation.first_sights
    assert store.put([incoming(5)]) == [Change(5, False)]
    assert store.confirm(5, placed()) is False
    assert store.figures().emptied == 1
    store.close()


def test_first_sights_of_folded_ones_go_last(tmp_path):
    """For bytes alone: what explains results goes, what they are made of stays."""
    path = tmp_path / "store"
    store = Store.open(path, bounds())
    store.save_recording(recording("r1"))
    store.put([incoming(n, pod=f"p{n}", sights=300) for n in range(520)])
    settle(store)
    wanted = told(store.sightings("r1", first_sights=False))
    used = store.figures().bytes
    store.close()
    store = Store.open(path, bounds(bytes=used, sightings=1000))
    compacted(store)
    assert store.figures().bytes <= used * 3 // 4
    found = store.sightings("r1")
    assert (
        told(replace(each, observation=replace(each.observation, first_sights={})) for each in found)
        == wanted
    )
    bare = [each.id for each in found if not each.observation.first_sights]
    assert bare == list(range(1, len(bare) + 1)), "the oldest first"
    assert 0 < len(bare) < 300, "no more than was needed"
    store.close()


def test_denials_of_restarts_are_added_up(tmp_path):
    """By hand: two runs, on a node whose clock was set forward in between; a late repeat changes nothing."""
    store = Store.open(tmp_path / "store", bounds())
    store.save_recording(recording("r1"))
    later = {"wall_offset_ns": 1_700_000_000_000_001_000}  # 1,000 ns more than the others'
    once, twice = {apparmor(): counted(3, 10, 20)}, {apparmor(): counted(4, 5, 30), selinux(): counted(1)}
    store.put([incoming(1, denials=once), incoming(2, denials=twice, **later)])
    settle(store)
    store.close()
    store = everything_folds(tmp_path / "store")
    assert store.compact() == 2
    (found,) = store.sightings("r1")
    assert dict(found.observation.denials) == {
        apparmor(): counted(7, 10, 1030),
        selinux(): counted(1, 1100, 1200),
    }
    assert store.put([incoming(1, denials=once)]) == [Change(1, False)]
    store.close()


def test_accesses_of_restarts_are_joined(tmp_path):
    """By hand: all rights of a file, and the earlier first sight, on a node whose clock was set forward."""
    store = Store.open(tmp_path / "store", bounds())
    store.save_recording(recording("r1"))
    later = {"wall_offset_ns": 1_700_000_000_000_001_000}  # 1,000 ns more than the others'
    key, other = AccessKey(2, File(b"/a")), AccessKey(2, File(b"/b"))
    once = Accesses({key: Seen(FileRight.READ, FirstSight(1500, b"a"))})
    twice = Accesses({key: Seen(FileRight.WRITE, FirstSight(400, b"b")), other: Seen(FileRight.READ)})
    store.put([incoming(1, accesses=once), incoming(2, accesses=twice, **later)])
    settle(store)
    store.close()
    store = everything_folds(tmp_path / "store")
    assert store.compact() == 2
    (found,) = store.sightings("r1")
    assert dict(found.observation.accesses.entries) == {
        key: Seen(FileRight.READ | FileRight.WRITE, FirstSight(1400, b"b")),
        other: Seen(FileRight.READ),
    }
    store.close()


def test_more_denials_than_one_observation_has_stay_apart(tmp_path):
    """None of them is given up, nor would a note appear in a profile."""
    store = Store.open(tmp_path / "store", bounds())
    store.save_recording(recording("r1"))
    for run in (1, 2):
        names = (b"/%d/%d" % (run, number) for number in range(MAX_DENIALS // 2 + 1))
        store.put([incoming(run, denials={apparmor(name): counted() for name in names})])
    settle(store)
    store.close()
    store = everything_folds(tmp_path / "store")
    compacted(store)
    assert [len(each.observation.denials) for each in store.sightings("r1")] == [MAX_DENIALS // 2 + 1] * 2
    store.close()


def test_what_has_no_place_in_one_row_stays_as_it_is(tmp_path):
    """Counts that are above 64 bits together: such sightings are kept, and others are folded."""
    store = Store.open(tmp_path / "store", bounds())
    store.save_recording(recording("r1"))
    store.put([incoming(n, ledger=Ledger({"ring_full": UINT64})) for n in (1, 2)])
    store.put([incoming(n, pod="b") for n in (3, 4)])
    settle(store)
    wanted = told(store.sightings("r1"))
    store.close()
    store = everything_folds(tmp_path / "store")
    compacted(store)
    assert told(store.sightings("r1")) == wanted
    assert [(each.id, each.sources) for each in store.sightings("r1")] == [(1, 1), (2, 1), (3, 2)]
    store.close()


def test_a_folded_row_loses_a_recording_that_is_forgotten(tmp_path):
    """And takes up nothing more: what comes later has a row of its own."""
    path = tmp_path / "store"
    store = Store.open(path, bounds())
    for uid in ("r1", "r2"):
        store.save_recording(recording(uid))
    store.put([incoming(1, "r1", "r2"), incoming(2, "r1", "r2"), incoming(3, "r1")])
    settle(store)
    store.close()
    store = everything_folds(path)
    compacted(store)
    assert [(each.sources, len(each.recordings)) for each in store.sightings("r1")] == [(2, 2), (1, 1)]
    store.forget_recording("r2")
    store.put([incoming(4, "r1")])
    settle(store)
    store.close()
    store = everything_folds(path)
    compacted(store)
    assert [(each.sources, sorted(each.recordings)) for each in store.sightings("r1")] == [
        (2, ["r1"]),
        (2, ["r1"]),
    ]
    store.close()
