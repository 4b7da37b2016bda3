"""The ledger: what counts as a loss, how ledgers join, and the verdict."""

import pytest
from hypothesis import given

from recorder.model.ledger import CAUSES, Ledger, Severity, Verdict
from tests.unit.model.strategies import ledgers, unknown_causes

LOSSES = {
    "slots_full",
    "table_full",
    "roots_full",
    "identity_unknown",
    "slot_reused",
    "attached_late",
    "unnamed_number",
    "joiners_full",
    "children_full",
    "no_boundary",
    "processes_full",
    "followed_elsewhere",
    "program_missed",
    "abi_unknown",
    "record_refused",
    "agent_lost",
    "restart_without_state",
    "accesses_full",
    "accesses_late",
    "accesses_missed",
    "accesses_unwatched",
    "domain_enforcing",
}
NOTES = {
    "ring_full",
    "unknown_number",
    "joiner_without_exec",
    "undecided",
    "denials_unwatched",
    "denials_late",
    "denials_full",
    "denials_missed",
    "secret_replaced",
}


@given(ledgers)
def test_join_is_idempotent(a):
    """Saying it twice changes nothing."""
    assert a.join(a) == a.join(Ledger()) == a


@given(ledgers, ledgers)
def test_join_is_commutative(a, b):
    """Order does not matter."""
    assert a.join(b) == b.join(a)


@given(ledgers, ledgers, ledgers)
def test_join_is_associative(a, b, c):
    """Grouping does not matter."""
    assert a.join(b).join(c) == a.join(b.join(c))


@given(ledgers, ledgers)
def test_join_takes_the_maximum_and_plus_the_sum(a, b):
    """Two states of one source against two sources."""
    for cause in {*a.counts, *b.counts}:
        x, y = a.counts.get(cause, 0), b.counts.get(cause, 0)
        assert a.join(b).counts[cause] == max(x, y)
        assert (a + b).counts[cause] == x + y


@given(ledgers)
def test_each_count_is_a_loss_or_a_note(a):
    """Nothing falls between; keys are sorted, counts above 0."""
    assert a.losses() | a.notes() == a.counts
    assert not a.losses().keys() & a.notes().keys()
    assert list(a.counts) == sorted(a.counts)
    assert all(a.counts.values())


def test_what_is_of_accesses_alone_can_be_left_out():
    """For a profile of calls nothing of it is a loss; all else stays."""
    ledger = Ledger({"accesses_late": 1, "accesses_full": 2, "ring_full": 3, "slots_full": 4})
    assert ledger.without_accesses() == Ledger({"ring_full": 3, "slots_full": 4})


@given(ledgers)
def test_complete_exactly_without_losses(a):
    """The verdict follows from the losses alone, and carries both."""
    verdict = a.verdict
    assert verdict.complete is not bool(a.losses())
    assert (dict(verdict.losses), dict(verdict.notes)) == (a.losses(), a.notes())


def test_the_table_has_the_agreed_causes():
    """A cause that is added, renamed or moved to the other severity is a decision, not an accident."""
    assert {name for name, each in CAUSES.items() if each.severity is Severity.LOSS} == LOSSES
    assert {name for name, each in CAUSES.items() if each.severity is Severity.NOTE} == NOTES


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_each_cause_is_explained_under_its_own_name(cause):
    """Each has a meaning and a remedy, in one line each."""
    each = CAUSES[cause]
    assert each.name == cause
    assert each.meaning
    assert each.remedy
    assert "\n" not in each.meaning + each.remedy


@pytest.mark.parametrize("cause", sorted(LOSSES))
def test_a_loss_makes_it_lossy(cause):
    """One occurrence is enough, and notes beside it do not hide it."""
    assert str(Ledger({cause: 1}).verdict) == f"lossy: {cause} 1"
    assert str(Ledger({cause: 2, "ring_full": 5}).verdict) == f"lossy: {cause} 2"


@pytest.mark.parametrize("cause", sorted(NOTES))
def test_a_note_leaves_it_complete(cause):
    """However often it occurred."""
    assert Ledger({cause: 10**6}).verdict == Verdict(True, (), ((cause, 10**6),))
    assert str(Ledger({cause: 1}).verdict) == "complete"


@given(unknown_causes)
def test_an_unknown_cause_makes_it_lossy(cause):
    """What a newer recorder lost is a loss here too."""
    assert str(Ledger({cause: 3}).verdict) == f"lossy: {cause} 3"


def test_losses_are_listed_by_name():
    """The text of a verdict is sorted, so it is stable."""
    assert (
        str(Ledger({"children_full": 2, "attached_late": 1}).verdict)
        == "lossy: attached_late 1, children_full 2"
    )


def test_a_count_of_0_is_no_entry():
    """A cause that did not occur is not in the ledger."""
    assert Ledger({"children_full": 0}) == Ledger()


@pytest.mark.parametrize(
    "counts", [{"children_full": -1}, {"Unread": 1}, {"": 1}, {"a\x1b[31m": 1}, {"a" * 65: 1}]
)
def test_what_is_no_count_of_a_cause_is_refused(counts):
    """Negative counts and names that could not be shown safely."""
    with pytest.raises(ValueError, match="ledger: "):
        Ledger(counts)


def test_a_ledger_does_not_follow_its_argument():
    """It is a value: neither the argument nor the attribute changes it."""
    counts = {"children_full": 1}
    ledger = Ledger(counts)
    counts["children_full"] = 9
    assert ledger.counts == {"children_full": 1}
    with pytest.raises(TypeError):
        ledger.counts["children_full"] = 9
