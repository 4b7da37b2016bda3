"""Cgroups by the hundred below a watched root, in waves: slots are used again, sets of the table collide."""

import contextlib
from collections import Counter

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.member import frozen
from tests.mixing.hand import deal, expected
from tests.mixing.player import Player
from tests.mixing.sightings import Sightings
from tests.mixing.table import table_of

pytestmark = pytest.mark.root

WAVES = 6


@pytest.mark.parametrize("table_sets", [0, 1, 2])
def test_each_cgroup_has_its_own_calls_and_no_others(table_sets, scaled, scratch_cgroup, built_programs):
    """200 at once: half of them run while the others, of the wave before, end and give their slots back."""
    at_once = scaled(200, least=40)
    half = at_once // 2
    bounds = Bounds(
        slots=at_once, children=2 * at_once, joiners=4 * at_once, ring_bytes=1 << 20, table_sets=table_sets
    )
    roots = [scratch_cgroup(), scratch_cgroup()]
    targets = []
    differences = []
    with contextlib.closing(LibbpfBackend(syscalls_spec(bounds))) as backend:
        sightings = Sightings(backend)
        for root in roots:
            backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
        before: list[Player] = []
        for wave in range(WAVES + 1):
            players: list[Player] = []
            if wave < WAVES:
                root = roots[wave % 2]
                # Two waves share a deal, so that all who are there at once hold different cards.
                hands = deal(at_once, seed=wave // 2)
                hands = hands[half:] if wave % 2 else hands[:half]
                with frozen(root):
                    for number, hand in enumerate(hands):
                        players.append(Player.sit(number, root, hand))
                        players[-1].play(built_programs["rawsys"], calls=3_000)
                table = table_of(backend)
                if before:
                    assert (
                        len(table.ids) + len(table.behind) == 2 * at_once
                    )  # on average one cgroup below each
                assert bool(table.behind) == bool(table_sets)
            for player in before:
                player.wait()
                player.leave()
                target = sightings.end_of(player.id)
                assert target == sightings.begun[player.id]
                reading = backend.read(target, final=True)
                assert reading.ended
                assert reading.target.cgroup_id == player.id
                differences += player.differences(reading)
                assert sightings.calls[target] == Counter(expected(player.hand)), "each call is sighted once"
                targets.append(target)
                backend.release(target)
            before = players
        assert differences == []
        assert len(targets) == WAVES * half
        assert len({target.slot for target in targets}) == at_once < len(targets), "slots were used again"
        assert len({(target.slot, target.generation) for target in targets}) == len(targets)
        assert len({target.cgroup_id for target in targets}) == len(targets)
        assert backend.ledger().counts == {}
        assert backend.targets() == []
        assert table_of(backend).empty
        _fill_every_slot(backend, roots[0], at_once, sightings)


def _fill_every_slot(backend, root, slots, sightings):
    """All slots are free again: as many cgroups get one each, and the next gets none, which is counted."""
    folders = [root / f"last-{number}" for number in range(slots + 1)]
    for folder in folders:
        folder.mkdir()
    assert sorted(target.slot for target in backend.targets()) == list(range(1, slots + 1))
    assert backend.ledger().counts == {"slots_full": 1}
    for folder in folders:
        folder.rmdir()
    sightings.look()
    for target in backend.targets():
        assert target == sightings.ended[target.cgroup_id]
        assert backend.read(target, final=True).calls == {}
        backend.release(target)
    assert backend.targets() == []
    assert table_of(backend).empty
