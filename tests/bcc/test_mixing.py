"""Forty cgroups at once by bcc: each has its own calls only, and the tables are empty afterwards."""

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from tests.member import frozen
from tests.mixing.hand import deal
from tests.mixing.player import Player

pytestmark = pytest.mark.root

PLAYERS = 40


def tables(backend):
    """How many cgroups are in the table, and how many paths are known."""
    return len(list(backend._table.items())), len(list(backend._owners._paths.items()))


def test_each_cgroup_has_its_own_calls_and_no_others(bcc, unused, scratch_cgroup, built_programs):
    """Added one by one while the others run; two waves, so that slots are used again."""
    root = scratch_cgroup()
    for seed in range(2):
        players, targets = [], []
        with frozen(root):
            for number, hand in enumerate(deal(PLAYERS, seed)):
                players.append(Player.sit(number, root, hand))
                own, *below = (folder.stat().st_ino for folder in players[-1].folders)
                targets.append(bcc.add(own, SlotMode.MODE_EXEC))
                bcc.adopt(targets[-1], below)
                players[-1].play(built_programs["rawsys"], calls=2_000)
        for player in players:
            player.wait()
        for player, target in zip(players, targets, strict=True):
            player.leave()
            reading = bcc.read(target, final=True)
            assert reading.ended
            assert player.differences(reading) == []
            bcc.release(target)
        assert tables(bcc) == (0, 0)
    assert bcc.ledger().losses() == {}


def test_below_a_watched_cgroup(bcc, unused, scratch_cgroup, built_programs):
    """Each new one gets its slot before its first task runs; what is made below it counts for it."""
    root = scratch_cgroup()
    identity = root.stat().st_ino
    bcc.watch(identity, WatchRule(SlotMode.MODE_EXEC))
    with frozen(root):
        players = [Player.sit(number, root, hand) for number, hand in enumerate(deal(PLAYERS, seed=7))]
        for player in players:
            player.play(built_programs["rawsys"], calls=1_000)
    for player in players:
        player.wait()
        player.leave()
    targets = {target.cgroup_id: target for target in bcc.targets()}
    for player in players:
        target = targets[player.id]
        reading = bcc.read(target, final=True)
        assert reading.ended
        assert player.differences(reading) == []
        bcc.release(target)
    bcc.unwatch(identity)
    assert tables(bcc) == (0, 0)


def test_a_dropped_target_is_recorded_no_more(recording, bcc, scratch_cgroup, built_programs):
    """Nor are its children, and the cgroup may be recorded again."""
    cgroup = scratch_cgroup()
    (cgroup / "below").mkdir()
    for hand in deal(2, seed=3):
        begun = recording(cgroup)
        player = Player(hand, [cgroup, cgroup / "below"], cgroup.stat().st_ino)
        player.play(built_programs["rawsys"], calls=100)
        player.wait()
        assert player.differences(bcc.read(begun.target, final=True)) == []
        begun.finish()
        assert tables(bcc) == (0, 0)
    player.members.clear()
    player.play(built_programs["rawsys"], calls=100)
    player.wait()
    assert bcc.targets() == []
