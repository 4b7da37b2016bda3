"""An upgrade: the new object is attached and pinned beside the old one, then the old one is removed."""

import contextlib
import itertools
import os

import pytest

from recorder.kernel import pins
from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.record import Phase
from tests.kernel_objects import held_by, left_of
from tests.leftovers.held import BOUNDS, holder
from tests.member import Member
from tests.mixing.hand import deal, recorded
from tests.mixing.player import Player
from tests.truth.programs import word

pytestmark = pytest.mark.root

TURNS = 12  # a third with the old object alone, a third with both, a third with the new one alone
OLD = syscalls_spec(BOUNDS)
NEW = syscalls_spec(Bounds(slots=48, children=16, joiners=32, roots=2, ring_bytes=1 << 19))


def test_no_call_is_lost_from_the_old_object_to_the_new_one(bpffs, scratch_cgroup, built_programs):
    """Whoever comes and goes is whole in whichever object was there, and in both while both are."""
    rawsys = built_programs["rawsys"]
    root, live = scratch_cgroup(), scratch_cgroup()
    hands = deal(TURNS + 1, seed=11)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Member(live, rawsys, f"{1 << 60}x", *map(word, hands[-1])))
        with holder(bpffs / "old", root, live) as held:
            held.kill()
        old = stack.enter_context(contextlib.closing(LibbpfBackend(OLD, adopt=bpffs / "old")))
        turns = enumerate(hands[:TURNS])
        _play(itertools.islice(turns, TURNS // 3), root, rawsys, [old])
        new = stack.enter_context(contextlib.closing(LibbpfBackend(NEW)))
        new.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
        target = new.add(live.stat().st_ino, SlotMode.MODE_EXEC, late=True)
        new.pin(bpffs / "new")
        _play(itertools.islice(turns, TURNS // 3), root, rawsys, [old, new])
        assert old.ledger().counts == {}
        reading = old.read(held.target)
        assert recorded(reading.calls.items(), Phase.WORKLOAD) == frozenset(hands[-1])
        old.close()
        assert pins.unpin(bpffs / "old")
        assert left_of(held.objects) == frozenset()
        _play(turns, root, rawsys, [new])
        reading = new.read(target)
        assert recorded(reading.calls.items(), Phase.WORKLOAD) == frozenset(hands[-1])
        assert new.ledger().counts == {}
        objects = held_by(os.getpid())
    assert pins.unpin(bpffs / "new")
    assert left_of(objects) == frozenset()


def _play(turns, root, program, backends):
    """One player after the other; each backend that is there has each of them whole."""
    for number, hand in turns:
        player = Player.sit(number, root, hand)
        player.play(program, calls=500)
        player.wait()
        player.leave()
        for backend in backends:
            (target,) = (each for each in backend.targets() if each.cgroup_id == player.id)
            assert player.differences(backend.read(target, final=True)) == []
            backend.release(target)
