"""A pinned recording outlives who made it: the next process adopts it, and nothing in between is lost."""

import contextlib
from collections import Counter

import pytest

from recorder.kernel import pins
from recorder.kernel.bitmap import call_of
from recorder.kernel.layout import EventKind, SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import syscalls_spec
from recorder.model.record import Phase
from tests.kernel_objects import existing, left_of
from tests.leftovers.held import BOUNDS, holder
from tests.member import Member, frozen
from tests.mixing.hand import deal, expected, recorded
from tests.mixing.player import Player
from tests.mixing.sightings import Sightings
from tests.mixing.table import table_of
from tests.truth.calls import Call
from tests.truth.programs import word

pytestmark = pytest.mark.root

WAVE = 8
SEED = 3
SPEC = syscalls_spec(BOUNDS)


def adopted(folder):
    return contextlib.closing(LibbpfBackend(SPEC, adopt=folder))


def play(root, hands, first, program):
    """A wave of players, all at once."""
    with frozen(root):
        players = [Player.sit(first + number, root, hand) for number, hand in enumerate(hands)]
        for player in players:
            player.play(program, calls=5_000)
    return players


def leave(players):
    for player in players:
        player.wait()
        player.leave()


def test_nothing_is_lost_between_the_kill_and_the_adoption(bpffs, scratch_cgroup, built_programs):
    """Cgroups come and go before, during and after the kill; a live one goes on through it all."""
    rawsys = built_programs["rawsys"]
    folder = bpffs / "held"
    root, live = scratch_cgroup(), scratch_cgroup()
    hands = deal(4 * WAVE + 1, SEED)
    waves = [hands[number * WAVE : (number + 1) * WAVE] for number in range(4)]
    with Member(live, rawsys, f"{1 << 60}x", *map(word, hands[-1])), holder(folder, root, live) as held:
        players = play(root, waves[0], 0, rawsys)
        leave(players)
        running = play(root, waves[1], WAVE, rawsys)
        told = held.kill()  # while the second wave runs
        assert held.objects <= existing()
        leave(running)
        players += running
        alone = play(root, waves[2], 2 * WAVE, rawsys)
        leave(alone)  # nobody reads: it came and went
        players += alone
        with adopted(folder) as backend:
            sightings = Sightings(backend)
            last = play(root, waves[3], 3 * WAVE, rawsys)
            leave(last)
            players += last
            by_id = {target.cgroup_id: target for target in backend.targets()}
            assert by_id.pop(held.target.cgroup_id) == held.target
            assert set(by_id) == {player.id for player in players}
            differences = []
            for player in players:
                reading = backend.read(by_id[player.id], final=True)
                assert reading.ended
                differences += player.differences(reading)
            assert differences == []
            reading = backend.read(held.target)
            assert not reading.ended
            assert recorded(reading.calls.items(), Phase.WORKLOAD) == frozenset(hands[-1])
            sightings.look()
            _assert_events_whole(told, sightings, players)
            for target in by_id.values():
                backend.release(target)
            backend.drop(held.target)
            backend.release(held.target)
            backend.unwatch(root.stat().st_ino)
            assert table_of(backend).empty
            assert backend.ledger().counts == {}
    assert pins.unpin(folder)
    assert left_of(held.objects) == frozenset()


def _assert_events_whole(told, sightings, players):
    """What the first reader told and what the second one read: all of it; at most a batch is there twice."""
    ends = {event[0] for event in told if event[3] == EventKind.EVENT_END} | set(sightings.ended)
    begins = {event[0] for event in told if event[3] == EventKind.EVENT_BEGIN} | set(sightings.begun)
    assert begins == ends == {player.id for player in players}
    calls = {player.id: set() for player in players}
    for cgroup_id, _, _, kind, bit in told:
        if kind == EventKind.EVENT_FIRST_SIGHT and cgroup_id in calls:
            calls[cgroup_id].add(Call(*call_of(bit)))
    for target, counted in sightings.calls.items():
        if target.cgroup_id in calls:
            assert counted == Counter(set(counted)), "one reader got an event twice"
            calls[target.cgroup_id] |= set(counted)
    for player in players:
        assert calls[player.id] == expected(player.hand)


def test_the_bits_are_the_same_after_the_adoption(bpffs, scratch_cgroup, built_programs):
    """Two processes read the same slots: slot by slot, word by word."""
    root, live = scratch_cgroup(), scratch_cgroup()
    hands = deal(WAVE, SEED)
    with holder(bpffs / "held", root, live) as held:
        leave(play(root, hands, 0, built_programs["rawsys"]))
        with adopted(bpffs / "held") as first:
            before = [first.read(target) for target in first.targets()]
        held.kill()
        with adopted(bpffs / "held") as second:
            assert [second.read(target) for target in second.targets()] == before
    assert len(before) == WAVE + 1


def test_an_adopted_recording_can_be_adopted_again(bpffs, scratch_cgroup, built_programs):
    """The adopter ends without a word as well; adding, ending and releasing work in each turn."""
    root, live = scratch_cgroup(), scratch_cgroup()
    hands = deal(3, SEED)
    with holder(bpffs / "held", root, live) as held:
        held.kill()
    for number, hand in enumerate(hands):
        with adopted(bpffs / "held") as backend:
            assert backend.targets() == [held.target]
            other = scratch_cgroup()
            target = backend.add(other.stat().st_ino, SlotMode.MODE_EXEC)
            with Member(other, built_programs["rawsys"], *map(word, hand)) as member:
                assert member.wait() == 0
            backend.drop(target)
            reading = backend.read(target, final=True)
            assert recorded(reading.calls.items(), Phase.WORKLOAD) == expected(hand), number
            backend.release(target)
    assert left_of(held.objects, seconds=0) == held.objects


def test_an_idle_adopted_backend_is_detached_and_records_again(bpffs, scratch_cgroup, built_programs):
    """The last target goes and nothing is watched: no link is left, the maps stay. The next add attaches."""
    root, live = scratch_cgroup(), scratch_cgroup()
    with holder(bpffs / "held", root, live) as held:
        held.kill()
    with adopted(bpffs / "held") as backend:
        backend.drop(held.target)
        backend.release(held.target)
        backend.unwatch(root.stat().st_ino)
        links = frozenset(each for each in held.objects if each.kind == "link")
        assert links
        assert left_of(links) == frozenset()
        assert not list((bpffs / "held" / "links").iterdir())
        target = backend.add(live.stat().st_ino, SlotMode.MODE_EXEC)
        assert len(list((bpffs / "held" / "links").iterdir())) == len(links)
    with Member(live, built_programs["five"]) as member:
        assert member.wait() == 0
    with adopted(bpffs / "held") as backend:
        assert backend.targets() == [target]
        assert backend.read(target, final=True).calls


def test_who_pinned_detaches_and_attaches_once(bpffs, scratch_cgroup):
    """The same in the process that pinned: never two sets of links."""
    cgroup = scratch_cgroup()
    with contextlib.closing(LibbpfBackend(SPEC)) as backend:
        for turn in range(3):
            target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
            if turn == 0:
                backend.pin(bpffs / "held")
            assert len(list((bpffs / "held" / "links").iterdir())) == len(SPEC.attach)
            backend.drop(target)
            backend.release(target)
            assert list((bpffs / "held" / "links").iterdir()) == []
