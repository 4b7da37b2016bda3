"""Results that take long are made again only if one of their containers changed."""

from dataclasses import replace

from recorder.collector.results.drafts import ResultKey
from recorder.collector.results.made_before import Made, MadeBefore
from recorder.collector.results.result_kind import NotYet
from recorder.collector.results.result_summary import ResultSummary
from recorder.collector.results.result_writer import make
from recorder.collector.store.packed_accesses import packed
from recorder.model.recording import MergeStrategy, ProfileKind
from tests.unit.collector.seen import recording
from tests.unit.collector.test_apparmor_result import replicas

ASKED = recording(kind=ProfileKind.APPARMOR, merge=MergeStrategy.CONTAINERS)


def made(number, rules=0):
    key = ResultKey("r", ProfileKind.APPARMOR, f"c{number}")
    return Made(key, NotYet("x"), "", ResultSummary(0, 0, 0, rules=rules), False)


def test_what_was_made_of_something_else_is_not_taken():
    """It is known by what it was made of."""
    before = MadeBefore()
    before.put(made(1), "a")
    assert before.get(made(1).key, "a") == made(1)
    assert before.get(made(1).key, "b") is None
    before.put(made(1, rules=2), "b")
    assert before.get(made(1).key, "a") is None
    assert before.get(made(1).key, "b") == made(1, rules=2)


def test_what_was_not_asked_for_longest_goes_first():
    """As soon as all together have more rules than are kept; one alone may have too many, too."""
    before = MadeBefore(rules=1000)
    for number in (1, 2, 3):
        before.put(made(number, rules=300), "a")
    assert before.get(made(1).key, "a")
    before.put(made(4, rules=300), "a")
    assert [bool(before.get(made(number).key, "a")) for number in (1, 2, 3, 4)] == [True, False, True, True]
    before.put(made(5, rules=2000), "a")
    assert not any(before.get(made(number).key, "a") for number in range(6))


def test_of_three_replicas_one_that_changed_is_read_again():
    """And with it what it is merged into; the results are those that are made without."""
    seen = replicas()
    read = []

    def accesses(observation):
        read.append(observation.identity.pod.name)
        return packed(observation.accesses)

    def results(sightings, before):
        read.clear()
        return make(
            ASKED,
            sightings,
            accept=frozenset({"confirmed"}),
            accesses=accesses,
            final=lambda draft: False,
            name=lambda key: f"r-{key.suffix}",
            version="1",
            existing={},
            before=before,
        )

    before = MadeBefore()
    first = results(seen, before)
    assert len(read) == 6
    assert results(seen, before) == first
    assert read == []
    changed = [
        replace(
            seen[0],
            revision=7,
            observation=replace(seen[0].observation, accesses=seen[1].observation.accesses),
        ),
        *seen[1:],
    ]
    again = results(changed, before)
    assert sorted(read) == sorted([*(each.observation.identity.pod.name for each in seen), "web-5d4-aaaaa"])
    assert again == results(changed, None)
    assert again != first
