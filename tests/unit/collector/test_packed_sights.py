"""First sights that are packed as they come: nothing of what they say gets lost, whatever their order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.collector.store import Incoming, Store, first_sights
from recorder.model.record import FirstSight, Observation, SightKey, Source

ROWS = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.integers(1, 2),
        st.integers(1, 2),
        st.integers(0, 5),
        st.integers(0, 3),
        st.sampled_from([b"", b"a", b"nginx"]),
    ),
    max_size=12,
)
SOURCE = Source("node-a", "boot", 1, 1)


def earliest(*rows):
    """By key, the least (time, comm): said row by row."""
    found = {}
    for *key, time, comm in rows:
        sight = FirstSight(time, comm)
        known = found.get(SightKey(*key), sight)
        found[SightKey(*key)] = min(known, sight)
    return found


@given(ROWS)
def test_rows_in_any_order_and_repeated_are_packed_as_their_earliest(rows):
    """Equal first sights are equal bytes, by whichever way they came."""
    packed = first_sights.pack_rows(rows)
    assert packed == first_sights.pack_rows(rows[::-1])
    assert first_sights.unpack(packed) == earliest(*rows)
    assert packed == first_sights.pack(Observation(SOURCE, first_sights=earliest(*rows)).first_sights)


@given(ROWS, ROWS)
def test_packed_ones_join_to_the_earliest_of_both(some, others):
    """Also where one of both says all that the other does."""
    joined = first_sights.join(first_sights.pack_rows(some), first_sights.pack_rows(others))
    assert joined == first_sights.pack_rows(some + others)
    both = first_sights.pack_rows(some + others)
    assert first_sights.join(first_sights.pack_rows(some), both) == both


@pytest.mark.parametrize("packed", [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("together", [True, False])
def test_the_store_joins_what_is_packed_with_what_is_not(tmp_path, packed, together):
    """Two states of one source, in one batch or in two."""
    rows = [(1, 2, 1, 3, 70, b"a"), (1, 2, 1, 4, 50, b"a")], [(1, 2, 1, 3, 60, b"b"), (1, 2, 1, 9, 80, b"b")]
    observation = Observation(SOURCE)
    batch = [
        Incoming(observation, ("r",), packed_sights=first_sights.pack_rows(each))
        if as_bytes
        else Incoming(replace(observation, first_sights=earliest(*each)), ("r",))
        for each, as_bytes in zip(rows, packed, strict=True)
    ]
    store = Store.open(tmp_path / "store.db")
    for some in [batch] if together else [[each] for each in batch]:
        store.put(some)
    (found,) = store.sightings("r")
    store.close()
    assert found.observation.first_sights == {
        SightKey(1, 2, 1, 3): FirstSight(60, b"b"),
        SightKey(1, 2, 1, 4): FirstSight(50, b"a"),
        SightKey(1, 2, 1, 9): FirstSight(80, b"b"),
    }
    assert batch[0].whole().join(batch[1].whole()).first_sights == found.observation.first_sights
