"""Denials in a record: which are one, how their counts join, and what happens beyond the bound."""

import dataclasses

from hypothesis import given

from recorder.model.denial import (
    MAX_DENIALS,
    AppArmorDenial,
    Denial,
    DenialCount,
    DenialKey,
    Lack,
    SelinuxDenial,
    Sighting,
    Text,
    Verdict,
)
from recorder.model.record import Observation, Source
from tests.unit.model.strategies import denial_counts, denial_keys

SOURCE = Source("n", "boot", 7, 1)
ONCE = DenialCount(1, Sighting(5, 1, b"cat"), Sighting(5, 1, b"cat"))
NOTHING = Text()


def text(content):
    """A text that is whole."""
    return Text(content, len(content))


def read_of(name):
    """AppArmor's denial of a read of a file."""
    return DenialKey(
        Verdict.DENIED,
        AppArmorDenial(
            operation="open",
            object_class="file",
            profile=text(b"web"),
            namespace=NOTHING,
            complain=False,
            requested=("read",),
            denied=("read",),
            name=text(name),
            target=NOTHING,
            peer=NOTHING,
            info=NOTHING,
            error=-13,
            owner=0,
        ),
    )


def denied(*numbers):
    """An observation with these files' denials, once each."""
    return Observation(SOURCE, denials={read_of(b"/%d" % number): ONCE for number in numbers})


@given(denial_counts, denial_counts, denial_counts)
def test_counts_join_by_the_laws(a, b, c):
    """Idempotent, commutative, associative."""
    assert a.join(a) == a
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))


def test_rules_of_a_counts_parts():
    """The count by maximum, the first by minimum, the last by maximum, what is lacking by OR."""
    one = DenialCount(7, Sighting(5, 2, b"a"), Sighting(6, 3, b"b"), frozenset({Lack.PATH_CUT}))
    other = DenialCount(3, Sighting(4, 9, b"c"), Sighting(9, 1, b"d"), frozenset({Lack.UNREADABLE}))
    lacks = frozenset({"path_cut", "unreadable"})
    assert one.join(other) == DenialCount(7, Sighting(4, 9, b"c"), Sighting(9, 1, b"d"), lacks)
    assert (one + other).count == 10


@given(denial_keys, denial_keys)
def test_keys_differ_exactly_if_their_orders_do(a, b):
    """So that what is kept beyond the bound is never a matter of chance."""
    assert (a == b) == (a.order == b.order)
    assert (a.order < b.order) != (b.order <= a.order)


def test_all_details_tell_denials_apart():
    """A cut text is another than a whole one; a verdict, a mask, an absent port make another one too."""
    key = read_of(b"/etc/shadow")
    others = [
        DenialKey(Verdict.ALLOWED, key.details),
        dataclasses.replace(key, details=dataclasses.replace(key.details, name=Text(b"/etc/shadow", 2000))),
        dataclasses.replace(key, details=dataclasses.replace(key.details, denied=())),
        dataclasses.replace(key, details=dataclasses.replace(key.details, port=0)),
        DenialKey(Verdict.DENIED, SelinuxDenial(text(b"a"), text(b"b"), "file", ("read",), False, NOTHING)),
        DenialKey(Verdict.REST, None),
    ]
    assert len({key, *others}) == len(others) + 1


def test_a_denial_of_the_kernels_is_split_into_key_and_count():
    """Its cgroup is the source's matter."""
    first, last = Sighting(1, 2, b"sh"), Sighting(3, 4, b"cat")
    lacks = frozenset({Lack.PATH_CUT})
    denial = Denial(99, Verdict.DENIED, read_of(b"/a").details, 8, first, last, lacks)
    assert denial.key == read_of(b"/a")
    assert denial.counted == DenialCount(8, first, last, frozenset({"path_cut"}))


def test_beyond_the_bound_the_same_are_kept_whatever_the_order():
    """Of three states that hold more than the bound together, in each order of joining; and it is said."""
    half = MAX_DENIALS // 2
    a, b, c = denied(*range(half)), denied(*range(half, 2 * half)), denied(*range(half + 9, 2 * half + 9))
    joined = a.join(b).join(c)
    assert joined == a.join(b.join(c)) == c.join(a).join(b) == b.join(c).join(a)
    everything = sorted({**a.denials, **b.denials, **c.denials}, key=lambda key: key.order)
    assert list(joined.denials) == everything[:MAX_DENIALS]
    assert joined.ledger.counts == {"denials_full": 1}
    assert not a.join(b).ledger.counts
    assert joined.ledger.verdict.complete


def test_comm_is_as_the_kernel_has_it():
    """It ends before NUL, and after 15 bytes."""
    assert Sighting(1, 1, b"cat\0junk").comm == b"cat"
    assert Sighting(1, 1, b"x" * 16).comm == b"x" * 15
