"""The store: whatever comes in whatever order is there, once, and again after it was opened anew."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.collector.store.row import covers, to_content
from recorder.collector.store.sighting import Change, Confirmation, Decision, Incoming, Outline
from recorder.collector.store.store import Store
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.model.accesses import Accesses
from recorder.model.errors import StoreFull
from recorder.model.record import Pod, Record
from recorder.model.recording import ProfileKind
from tests.unit.collector.store_made import bounds, edits, incoming, placed, recording, seen
from tests.unit.model.strategies import observations, one_source


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "collector.db"


@pytest.fixture
def store(path):
    opened = Store.open(path, bounds())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For properties: each example forgets what it put."""
    opened = Store.open(tmp_path_factory.mktemp("shared") / "store", bounds())
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(observations(), max_size=4), max_size=4), st.randoms())
def test_batches_in_any_order_are_the_model_s_join(shared, batches, random):
    """Late, repeated and overtaken reports: what is stored is `Record.join` of all, computed by the model."""
    shared.forget_recording("r")
    wanted = Record(tuple(each for batch in batches for each in batch))
    sent = [*batches, *random.sample(batches, len(batches) // 2)]
    random.shuffle(sent)
    for batch in sent:
        shared.put([Incoming(each, ("r",)) for each in batch])
    assert Record(tuple(each.observation for each in shared.sightings("r"))) == wanted
    for batch in batches:
        assert not any(each.changed for each in shared.put([Incoming(each, ("r",)) for each in batch]))


@given(one_source, one_source)
def test_a_content_covers_another_exactly_if_their_join_is_it(a, b):
    """The short way of joining is taken when it gives what the model's join gives, and then always.

    Contents have neither first sights nor accesses, which are kept apart.
    """
    a, b = (replace(each, first_sights={}, accesses=Accesses()) for each in (a, b))
    both = a.join(b)
    if a.identity == b.identity and a.provenance == b.provenance:
        assert covers(to_content(a), to_content(b)) == (both == a)
    elif covers(to_content(a), to_content(b)):
        assert both == a
    known = replace(b, identity=both.identity, provenance=both.provenance)
    assert covers(to_content(both), to_content(known))


def test_everything_is_there_after_it_was_opened_anew(path):
    """A collector that starts again continues from the store alone."""
    store = Store.open(path, bounds())
    store.save_recording(recording("r1"))
    store.save_recording(recording("r2", beside=False))
    store.mark_deleted("r2", 12.5)
    store.put([incoming(1), incoming(2, "r1", "r2", not_recorded="no cgroup v2")])
    store.confirm(1, placed())
    store.refuse(2, "another node")
    result = StoredResult(
        "r1",
        ProfileKind.SECCOMP,
        "web",
        "x",
        True,
        "name",
        "uid",
        "final",
        "digest",
        edits(),
        {"taken": True},
    )
    store.save_result(result)
    store.emitted("r1", store.revision)
    kept = store.sightings("r1"), store.recordings(), store.results("r1"), store.revision
    store.close()
    store = Store.open(path, bounds())
    assert (store.sightings("r1"), store.recordings(), store.results("r1"), store.revision) == kept
    first, second = kept[0]
    assert (first.observation, first.recordings, first.placement) == (seen(1), frozenset({"r1"}), placed())
    assert (first.confirmation, second.confirmation) == (Confirmation.CONFIRMED, Confirmation.REFUSED)
    assert (second.reason, second.not_recorded) == ("another node", "no cgroup v2")
    assert second.recordings == {"r1", "r2"}
    assert kept[1]["r1"] == StoredRecording(recording("r1"), None, kept[3] - 1)
    assert kept[1]["r2"].deleted_at == 12.5
    assert kept[2] == [result]
    assert kept[2][0].more == {"taken": True}
    store.close()


def test_what_says_nothing_new_is_not_written(store):
    """Bytes equal: no commit, so that agents that repeat themselves cost no write to the disk."""
    assert store.put([incoming(1), incoming(2)]) == [Change(1, True), Change(2, True)]
    revision = store.revision
    assert store.put([incoming(2), incoming(1), incoming(1)]) == [
        Change(2, False),
        Change(1, False),
        Change(1, False),
    ]
    assert store.put([]) == []
    assert store.decide([]) == []
    assert store.revision == revision


def test_changed_since_says_which_sightings_changed(store):
    """A revision is all that a reader has to keep."""
    store.put([incoming(1, ended=False), incoming(2)])
    before = store.revision
    store.put([incoming(1), incoming(2), incoming(3)])
    assert store.changed_since(before) == [1, 3]
    store.missing(2, "gone")
    assert store.changed_since(before) == [1, 3, 2]
    assert store.changed_since(store.revision) == []


def test_a_sighting_gains_recordings(store):
    """A second recording that selects a container which is recorded already has its sighting as well."""
    store.put([incoming(1, "r1")])
    assert store.put([incoming(1, "r2")]) == [Change(1, True)]
    assert store.sighting(1).recordings == {"r1", "r2"}
    assert store.sightings("r1") == store.sightings("r2") == [store.sighting(1)]


def test_sightings_can_be_asked_for_in_part(store):
    """By container, by whether they run, by pages, and without what is large."""
    store.put([incoming(n, name="ab"[n % 2], ended=n > 2) for n in range(1, 6)])
    ids = [each.id for each in store.sightings("r1", container="b")]
    assert ids == [1, 3, 5]
    assert [each.id for each in store.sightings("r1", running=True)] == [1, 2]
    assert [each.id for each in store.sightings("r1", running=False)] == [3, 4, 5]
    assert [each.id for each in store.sightings("r1", after=1, limit=2)] == [2, 3]
    small = store.sightings("r1", first_sights=False)[0].observation
    assert small == seen(1, name="b", ended=False, sights=0)
    assert store.sightings("r9") == []
    assert store.sighting(99) is None


def test_unconfirmed_are_those_of_pods_that_were_not_asked_for(store):
    """What belongs to no pod needs no confirmation; what was decided is not asked for again."""
    store.put([incoming(n, pod=None if n == 2 else f"p{n}") for n in range(1, 6)])
    assert [each.id for each in store.unconfirmed(10)] == [1, 3, 4, 5]
    said = [
        Decision(1, Confirmation.CONFIRMED, placed()),
        Decision(3, Confirmation.REFUSED, reason="node"),
        Decision(9, Confirmation.MISSING, reason="gone"),
    ]
    assert store.decide(said) == [True, True, False]
    assert [each.id for each in store.unconfirmed(10)] == [4, 5]
    assert [each.id for each in store.unconfirmed(10, after=4)] == [5]
    assert [each.id for each in store.unconfirmed(1)] == [4]


def test_a_confirmed_sighting_stays_confirmed_when_more_is_seen(store):
    """The platform is asked once."""
    store.put([incoming(1, ended=False)])
    assert store.confirm(1, placed())
    store.put([incoming(1)])
    assert store.sighting(1).confirmation == Confirmation.CONFIRMED
    assert store.sighting(1).observation.ended


def test_unemitted_says_what_is_to_be_done_after_a_restart(store):
    """Recordings whose results may lack something; what is emitted is not named, nor does it go back."""
    for uid in ("r1", "r2", "r3"):
        store.save_recording(recording(uid))
    store.put([incoming(1, "r1", "r2")])
    first = store.revision
    assert store.unemitted() == {"r1": first, "r2": first}
    store.emitted("r1", first)
    assert store.unemitted() == {"r2": first}
    store.put([incoming(2, "r1")])
    assert store.unemitted() == {"r1": store.revision, "r2": first}
    newest = store.revision
    store.emitted("r1", newest)
    store.emitted("r1", first)
    assert store.recordings()["r1"].emitted == newest


def test_a_recording_is_forgotten_with_all_that_is_its_own(store):
    """Sightings that another recording has stay; a source that is forgotten is new if it comes again."""
    for uid in ("r1", "r2"):
        store.save_recording(recording(uid))
        store.save_result(StoredResult(uid, ProfileKind.SECCOMP, "web", name=uid))
    store.put([incoming(1, "r1"), incoming(2, "r1", "r2")])
    store.forget_recording("r1")
    assert list(store.recordings()) == ["r2"]
    assert (store.sightings("r1"), store.results("r1")) == ([], [])
    assert [each.recordings for each in store.sightings("r2")] == [frozenset({"r2"})]
    assert store.sighting(1) is None
    assert store.strays() == []
    assert store.put([incoming(1, "r1")]) == [Change(3, True)], "an id is never given twice"
    assert store.strays() == ["r1"]
    store.forget_recording("r1")
    assert store.strays() == []


def test_a_recording_that_is_asked_again_is_not_deleted(store):
    """`save_recording` changes what was asked, and nothing of what was done."""
    store.save_recording(recording("r1"))
    store.put([incoming(1)])
    store.emitted("r1", store.revision)
    store.mark_deleted("r1", 5)
    store.mark_deleted("r1", 6)
    assert store.recordings()["r1"].deleted_at == 5
    emitted = store.recordings()["r1"].emitted
    store.save_recording(recording("r1", generation=4))
    assert store.recordings()["r1"] == StoredRecording(recording("r1", generation=4), None, emitted)
    store.mark_deleted("unknown", 5)
    store.emitted("unknown", 5)
    assert list(store.recordings()) == ["r1"]


def test_results_are_kept_by_their_keys(store):
    """One for each recording, kind, container, suffix and partial; found by the object's name as well."""
    made = [
        StoredResult("r1", ProfileKind.SECCOMP, "web", suffix, partial, name=f"{suffix}-{partial}")
        for suffix in ("", "x")
        for partial in (False, True)
    ]
    for each in made:
        store.save_result(each)
    assert store.results("r1") == made
    changed = StoredResult("r1", ProfileKind.SECCOMP, "web", "x", True, "x-True", "u", "final", "d", edits())
    store.save_result(changed)
    assert store.results("r1") == [*made[:3], changed]
    assert store.result_by_name(ProfileKind.SECCOMP, "x-True") == changed
    assert store.result_by_name(ProfileKind.APPARMOR, "x-True") is None
    store.remove_result(changed)
    store.remove_result(changed)
    assert store.results("r1") == made[:3]


def test_one_node_has_no_room_but_its_own(path):
    """A node that names container after container is held back; others, and what it has, go on."""
    store = Store.open(path, bounds(node_sightings=3))
    changes = store.put(
        [incoming(n, node="bad", ended=False) for n in range(1, 6)] + [incoming(9, node="good")]
    )
    assert [each.stored for each in changes] == [True, True, True, False, False, True]
    assert [each.id for each in store.sightings("r1")] == [1, 2, 3, 4]
    assert store.put([incoming(1, node="bad"), incoming(5, node="bad")]) == [
        Change(1, True),
        Change(0, False, stored=False),
    ]
    store.close()
    store = Store.open(path, bounds(node_sightings=3))
    assert not store.put([incoming(5, node="bad")])[0].stored
    store.forget_recording("r1")
    assert store.put([incoming(5, node="bad")])[0].stored
    store.close()


def test_the_bound_of_sightings_refuses_the_whole_batch(path):
    """What is not emitted never goes: the batch is not stored, and the collector must not acknowledge it."""
    store = Store.open(path, bounds(sightings=2))
    store.put([incoming(1)])
    with pytest.raises(StoreFull, match=r"at its bound.*delete recordings"):
        store.put([incoming(2), incoming(3)])
    assert "at its bound" in store.figures().full
    assert [each.id for each in store.sightings("r1")] == [1]
    assert store.put([incoming(1, last_seen_ns=9999), incoming(2)])[1].stored
    assert store.figures().full == ""
    store.close()


def filled(store):
    """Put batches of 20 until one is refused; how many sightings were stored."""
    for number in range(0, 100_000, 20):
        batch = [incoming(n, labels=20) for n in range(number, number + 20)]
        try:
            store.put(batch)
        except StoreFull:
            return number
    raise AssertionError("a store of 1 MiB took everything")


def test_the_bound_of_bytes_holds(path):
    """The file never grows beyond it, not even for a batch that is refused in the end."""
    store = Store.open(path, bounds(bytes=1 << 20))
    number = filled(store)
    assert "at its bound" in store.figures().full
    assert 200 < number < 2000
    assert [each.observation for each in store.sightings("r1")] == [seen(n, labels=20) for n in range(number)]
    figures = store.figures()
    assert (1 << 20) - (100 << 10) < figures.bytes <= 1 << 20
    store.close()
    assert path.stat().st_size <= (1 << 20) + (1 << 16)


def test_figures_say_what_is_in_it(store):
    """By kind, and what waits."""
    store.save_recording(recording("r1"))
    store.put([incoming(n, pod=f"p{n}", ended=n > 1) for n in range(1, 5)])
    first = store.revision
    store.confirm(1, placed())
    store.refuse(2, "node")
    store.save_result(StoredResult("r1", ProfileKind.SECCOMP, "web"))
    figures = store.figures()
    assert (figures.recordings, figures.results, figures.open, figures.running) == (1, 1, 4, 1)
    assert figures.confirmations == {"confirmed": 1, "refused": 1, "unasked": 2}
    assert (figures.unemitted, figures.oldest_unemitted, figures.revision) == (4, first, store.revision)
    assert (figures.folded, figures.folded_sources, figures.emptied) == (0, 0, 0)
    store.emitted("r1", first)
    figures = store.figures()
    assert (figures.unemitted, figures.oldest_unemitted) == (2, first + 1)
    assert 0 < figures.bytes < 1 << 20
    assert figures.log_bytes > 0


@pytest.mark.parametrize("values", [{"bytes": 1000}, {"sightings": 0}, {"node_sightings": 0}])
def test_bounds_that_hold_nothing_are_refused(values):
    """A setting's error is found when it is read."""
    with pytest.raises(ValueError, match=next(iter(values))):
        bounds(**values)


def test_outlines_say_what_changed_without_what_was_seen(store):
    """By revision, newer than one; a page is never cut within a commit, so a reader keeps one number."""
    store.put([incoming(n, ended=n > 1) for n in (1, 2, 3)])
    first = store.revision
    store.put([incoming(9, "r2"), incoming(4, not_recorded="no cgroup v2", calls={}, pod=None)])
    store.confirm(2, placed())
    assert [(each.id, each.revision) for each in store.outlines("r1")] == [
        (1, first),
        (3, first),
        (5, first + 1),
        (2, first + 2),
    ]
    assert [each.id for each in store.outlines("r1", limit=1)] == [1, 3]
    assert [each.id for each in store.outlines("r1", newer_than=first, limit=1)] == [5]
    running, unrecorded, confirmed = (store.outlines("r1")[index] for index in (0, 2, 3))
    assert running == Outline(
        1,
        first,
        "web",
        "id-1",
        Pod("shop", "web-p1", "uid-p1"),
        "n1",
        None,
        Confirmation.UNASKED,
        "",
        "",
        recorded=True,
        ended=False,
    )
    assert (unrecorded.not_recorded, unrecorded.recorded, unrecorded.pod) == ("no cgroup v2", False, None)
    assert (confirmed.placement, confirmed.confirmation, confirmed.ended) == (
        placed(),
        Confirmation.CONFIRMED,
        True,
    )


def test_known_says_which_sources_were_stored(store):
    """Whatever became of them since."""
    store.put([incoming(1), incoming(2)])
    sources = [seen(n).source for n in (1, 2, 3)]
    assert store.known(sources) == set(sources[:2])
    assert store.known([]) == set()


def test_a_sighting_is_not_that_of_a_recording_that_does_not_select_its_pod(store):
    """An agent may name any recording of the plan; the platform's labels decide, and go on deciding."""
    store.save_recording(recording("r2"))
    store.put([incoming(1, "r1", "r2")])
    store.decide([Decision(1, Confirmation.CONFIRMED, placed(), not_for=frozenset({"r2", "other"}))])
    assert store.sighting(1).recordings == {"r1"}
    assert (store.sightings("r2"), store.outlines("r2"), store.unemitted()) == ([], [], {})
    store.put([incoming(1, "r2", last_seen_ns=9999)])
    assert store.sighting(1).recordings == {"r1"}
    assert store.unconfirmed(10) == []
    store.forget_recording("r2")
    store.forget_recording("r1")
    assert store.known([seen(1).source]) == set(), "nothing of it is left"


def test_a_recording_that_is_named_later_is_asked_for_by_itself(store):
    """What is confirmed stays in the results that have it, whatever is said of the new recording."""
    for decision, after in (
        (Decision(1, Confirmation.MISSING, reason="gone"), {"r1"}),
        (Decision(1, Confirmation.REFUSED, reason="node"), {"r1"}),
        (Decision(1, Confirmation.CONFIRMED, placed(), not_for=frozenset({"r1", "r2"})), {"r1"}),
        (Decision(1, Confirmation.CONFIRMED, placed()), {"r1", "r2"}),
    ):
        store.put([incoming(1, "r1")])
        (number,) = [each.id for each in store.unconfirmed(10)]
        store.confirm(number, placed())
        store.put([incoming(1, "r2")])
        assert store.sighting(number).recordings == {"r1"}, "nobody said yet that it is r2's"
        assert [each.recordings for each in store.unconfirmed(10)] == [{"r1", "r2"}]
        store.decide([replace(decision, sighting_id=number)])
        assert store.unconfirmed(10) == []
        kept = store.sighting(number)
        assert (kept.recordings, kept.confirmation, kept.placement) == (
            after,
            Confirmation.CONFIRMED,
            placed(),
        )
        assert [each.id for each in store.sightings("r2")] == [number] * ("r2" in after)
        store.forget_recording("r1")
        store.forget_recording("r2")


def test_what_was_missing_is_asked_for_again_for_another_recording(store):
    """A refusal may have been about the first recording's selector."""
    store.put([incoming(1, "r1")])
    store.refuse(1, "no recording selects the pod")
    store.put([incoming(1, "r2")])
    assert [each.id for each in store.unconfirmed(10)] == [1]
    store.decide([Decision(1, Confirmation.CONFIRMED, placed(), not_for=frozenset({"r1"}))])
    assert store.sighting(1).recordings == {"r2"}
    assert store.sightings("r1") == []
