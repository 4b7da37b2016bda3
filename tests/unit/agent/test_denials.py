"""What the agent makes of denials: bounds, secrets, losses, counts. By a source of the test's."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from recorder.agent.denial_counts import DenialCounts
from recorder.agent.denials import Denials
from recorder.agent.denied import Denied, admitted
from recorder.kernel.denial_source import DenialCgroup, DenialLosses, DenialReading, Scope
from recorder.model.denial import (
    MAX_DENIAL_BYTES,
    AppArmorDenial,
    Denial,
    DenialCount,
    DenialKey,
    SelinuxDenial,
    Sighting,
    Text,
    Verdict,
)
from recorder.model.errors import BpfLimit, BpfLoadError, UnsupportedKernel
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Identity, Observation, Pod, Source

CGROUP = 7


def text(content: bytes) -> Text:
    return Text(content, len(content))


def denial(name: bytes, *, at: int = 1, count: int = 1, verdict: Verdict = Verdict.DENIED) -> Denial:
    """AppArmor's, of a read of a file."""
    details = AppArmorDenial(
        operation="open",
        object_class="file",
        profile=text(b"web"),
        namespace=Text(),
        complain=False,
        requested=("read",),
        denied=("read",),
        name=text(name),
        target=Text(),
        peer=Text(),
        info=Text(),
        error=-13,
    )
    seen = Sighting(at, 1, b"cat")
    return Denial(CGROUP, verdict, None if verdict is Verdict.REST else details, count, seen, seen)


class Told:
    """A source that tells what it is told."""

    name = "told"

    def __init__(self) -> None:
        self.denials: list[Denial] = []
        self.of_cgroup = DenialLosses()
        self.of_all = DenialLosses()
        self.watched: dict[int, Scope] = {}
        self.dropped: set[int] = set()
        self.attached = self.closed = False
        self.most = 100
        self.epochs: dict[int, int] = {}

    def attach(self) -> None:
        self.attached = True

    def detach(self) -> None:
        self.attached = False

    def watch(self, cgroup_id: int, scope: Scope = Scope.WHOLE) -> None:
        if len(self.watched) >= self.most:
            raise BpfLimit("no room")
        self.watched[cgroup_id] = scope

    def cgroups(self) -> list[DenialCgroup]:
        return [
            DenialCgroup(each, self.epochs.get(each, 0), scope, each in self.dropped, removed=False)
            for each, scope in self.watched.items()
        ]

    def changed(self) -> frozenset[int]:
        return frozenset(self.watched)

    def read(self, cgroup_id: int) -> DenialReading | None:
        for each in self.cgroups():
            if each.cgroup_id == cgroup_id:
                return DenialReading(each, tuple(self.denials), self.of_cgroup)
        return None

    def drop(self, *cgroup_ids: int) -> None:
        self.dropped |= set(cgroup_ids)

    def release(self, cgroup_id: int) -> None:
        assert cgroup_id in self.dropped
        del self.watched[cgroup_id]

    def losses(self) -> DenialLosses:
        return self.of_all

    def pin(self, folder: Path) -> None:
        raise BpfLoadError("it cannot be pinned")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def told() -> Told:
    return Told()


def looking(told: Told, **how: bool) -> Denials:
    """Looks for denials of one cgroup."""
    found = Denials(lambda _: (told, "apparmor"), **how)
    found.look(True)
    found.begin(CGROUP)
    return found


def counts(denied: Denied) -> dict[str, int]:
    return {
        key.details.name.content.decode() if key.details else "": count.count
        for key, count in denied.denials.items()
    }


def test_nobody_looks_and_that_is_said(told):
    """Without a kernel that can, or without an opener: no source, and the reason."""

    def cannot(folder):
        raise UnsupportedKernel("no kprobes")

    for opener, problem in ((None, ""), (cannot, "no kprobes")):
        found = Denials(opener)
        found.look(True)
        found.begin(CGROUP)
        assert found.of(CGROUP) == Denied()
        assert (found.problem, found.attached, list(found.changed())) == (problem, False, [])
    with pytest.raises(UnsupportedKernel):
        Denials(cannot, needed=True).look(True)


def test_secrets_in_paths_are_replaced_and_counted(told):
    """In names and targets, where two become one they are added; --raw-paths keeps them."""
    told.denials = [denial(b"/a/token=one1", count=2), denial(b"/a/token=two2", at=2), denial(b"/plain")]
    denied = looking(told).of(CGROUP)
    assert denied.source == "apparmor told"
    assert counts(denied) == {"/a/token={secret}": 3, "/plain": 1}
    assert dict(denied.ledger.counts) == {"secret_replaced": 2}
    raw = looking(told, raw_paths=True).of(CGROUP)
    assert set(counts(raw)) == {"/a/token=one1", "/a/token=two2", "/plain"}
    assert dict(raw.ledger.counts) == {}


def test_what_was_cut_stays_cut_when_a_secret_goes(told):
    """Of SELinux as well; the length is never less than what is there."""
    name = Text(b"/a/password=hunter22", 4000)
    details = SelinuxDenial(text(b"a"), text(b"b"), "file", ("read",), False, name)
    told.denials = [dataclasses.replace(denial(b""), details=details)]
    ((key, _),) = looking(told).of(CGROUP).denials.items()
    assert (key.details.name.content, key.details.name.cut) == (b"/a/password={secret}", True)
    whole = dataclasses.replace(details, name=text(b"/a/password=hunter22"))
    told.denials = [dataclasses.replace(denial(b""), details=whole)]
    ((key, _),) = looking(told).of(CGROUP).denials.items()
    assert key.details.name == text(b"/a/password={secret}")


def test_those_that_came_first_are_kept_and_the_rest_is_counted():
    """By number and by bytes; what was kept once is kept ever after, and no count is lost."""
    many = [denial(b"/%03d" % number, at=number, count=2) for number in range(20)]
    states = [admitted(many[:number], most=8) for number in (4, 9, 20)]
    for before, after in itertools.pairwise(states):
        assert {key for key in before if key.details} <= set(after)
    assert len(states[-1]) == 8
    assert sum(each.count for each in states[-1].values()) == 40
    large = [denial(b"/%d/" % number + b"x" * 1000, at=number) for number in range(200)]
    kept = admitted(large)
    assert sum(key.size for key in kept) <= MAX_DENIAL_BYTES
    assert sum(each.count for each in kept.values()) == 200
    assert kept[DenialKey(Verdict.REST, None)].count == 200 - (len(kept) - 1)
    named = [key for key in kept if key.details]
    assert named == [each.key for each in large[: len(named)]]


def test_losses_are_notes_of_the_record(told):
    """Full tables, what could not be read, what was missed since its begin; unnamed ones only at the end."""
    told.denials = [denial(b"", verdict=Verdict.REST, count=5)]
    told.of_cgroup = DenialLosses(table_full=2, unreadable=3, unnamed=4)
    told.of_all = DenialLosses(missed=10, cgroups_full=1, between=1)
    found = looking(told)
    assert found.missed() == 12
    told.of_all = DenialLosses(missed=89, unflushed=1)  # of a moment ago is enough, but at the end
    assert dict(found.of(CGROUP, 9).ledger.counts) == {"denials_missed": 6, "denials_full": 7}
    found.drop([CGROUP])
    assert dict(found.of(CGROUP, 9).ledger.counts) == {"denials_missed": 88, "denials_full": 7}


def test_two_containers_of_one_permissive_context(told):
    """What both do is reported of one alone: both may lack something, until they have ended."""
    details = SelinuxDenial(text(b"u:r:web:s0"), text(b"b"), "file", ("read",), True, Text())
    told.denials = [dataclasses.replace(denial(b"", verdict=Verdict.ALLOWED), details=details)]
    found = looking(told)
    found.begin(8)
    noted = [dict(found.of(each).ledger.counts) for each in (CGROUP, 8, CGROUP)]
    assert noted == [{}, {"denials_missed": 1}, {"denials_missed": 1}]
    found.drop([CGROUP, 8])
    found.release(CGROUP)
    assert dict(found.of(8).ledger.counts) == {"denials_missed": 1}
    found.release(8)
    found.begin(9)
    assert dict(found.of(9).ledger.counts) == {}
    enforced = dataclasses.replace(details, permissive=False)
    told.denials = [dataclasses.replace(denial(b""), details=enforced)]
    found.begin(10)
    assert dict(found.of(10).ledger.counts) == {}


def test_a_cgroup_without_a_place_is_not_watched(told):
    """Its record says so: nothing has a source."""
    told.most = 0
    assert looking(told).of(CGROUP) == Denied()


def test_strays_are_forgotten(told):
    """Of cgroups without a slot that have had time to get one; not what was asked for, nor the roots."""
    found = looking(told)
    found.roots([1])
    for identity, epoch in ((21, 5), (22, 50)):
        told.watched[identity], told.epochs[identity] = Scope.OWN, epoch
    found.sweep({CGROUP}, before_ns=10)
    assert told.watched == {CGROUP: Scope.WHOLE, 1: Scope.EACH, 22: Scope.OWN}


def test_it_ends_with_who_asked(told):
    """Detached, and all is forgotten; the next one has what is new from then on."""
    found = looking(told)
    found.look(False)
    assert (told.attached, told.watched, told.closed) == (False, {}, False)
    assert (found.attached, found.of(CGROUP)) == (False, Denied())
    found.begin(CGROUP)
    assert told.watched == {}
    told.dropped.clear()
    found.look(True)
    found.begin(CGROUP)
    assert found.of(CGROUP).source == "apparmor told"
    found.close()
    assert told.closed


def test_what_cannot_be_attached_is_said(told):
    """As where a process has given up what it takes."""

    def cannot():
        raise BpfLoadError("not permitted")

    told.attach = cannot
    found = looking(told)
    assert (found.attached, found.problem, found.of(CGROUP)) == (False, "not permitted", Denied())


def test_what_can_be_attached_later_is_no_problem_any_more(told):
    """Whoever asks again is not told of a reason that is over."""
    attach, refusals = told.attach, [BpfLoadError("not now")]

    def refused_once():
        if refusals:
            raise refusals.pop()
        attach()

    told.attach = refused_once
    found = looking(told)
    assert (found.attached, found.problem) == (False, "not now")
    found.look(True)
    assert (found.attached, found.problem) == (True, "")


def observed(namespace: str, *, mkdir: bool, reads: int) -> Observation:
    """A pod's container with a denied call, a denied file and the rest."""
    seen = Sighting(1, 1, b"sh")
    return Observation(
        Source("n", "b", 1, 1),
        Identity("web", pod=Pod(namespace, "web-0")),
        {CallKey(1, 2, 2): Numbers.of([83])} if mkdir else {},
        denials={denial(b"/a").key: DenialCount(reads, seen, seen)} if reads else {},
    )


def test_the_metric_counts_on_by_namespace_kind_and_class():
    """States of a source may come twice or late; another source of the same container's name counts anew."""
    found = DenialCounts()
    found.take(1, observed("shop", mkdir=False, reads=0))
    assert found.rows() == []
    for reads in (2, 2, 5, 3):
        found.take(1, observed("shop", mkdir=True, reads=reads))
    found.take(2, observed("shop", mkdir=True, reads=1))
    found.forget(1)
    found.take(3, observed("ba\nnk", mkdir=False, reads=1))
    assert found.rows() == [
        ((r"ba\x0ank", "apparmor", "file"), 1),
        (("shop", "apparmor", "file"), 6),
        (("shop", "seccomp", "mkdir"), 2),
    ]
