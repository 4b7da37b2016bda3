"""Memory is bounded, what had no place is counted, and what has one makes a profile; needs AppArmor."""

import os
import shutil
import uuid

from recorder.kernel.accesses import AccessLosses
from recorder.kernel.preemption import programs_are_preemptible
from recorder.model.access import File
from recorder.model.record import Phase
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.path_tree import THRESHOLDS
from tests.guest.inside.accesses.conftest import FEW
from tests.guest.inside.accesses.watched import confined, new_cgroup, shell

MAKE = "i=0; while [ $i -lt {} ]; do true >{}/$i || exit 9; i=$((i+1)); done"


def _below(seen, folder) -> set[bytes]:
    start = bytes(folder) + b"/"
    files = (subject for subject, _ in seen.of(Phase.WORKLOAD) if isinstance(subject, File))
    return {file.path for file in files if file.path.startswith(start)}


def test_more_files_than_a_target_may_have(tmp_path, small, scaled):
    """Of 100,000 files those that fit are there, others are counted, and another target has its own.

    By the rules that generalise what fits all of them may be made, and no file beside their folder.
    """
    number = scaled(1_000_000, 1_500)  # in a guest 10,000 are a hundredth
    seconds = 240 + number / 50
    folders = many, few = [tmp_path / name for name in ("many", "few")]
    for folder in folders:
        folder.mkdir()
    with small.recording() as (greedy, first), small.recording() as (modest, second):
        refused_before = small.watch.use()["accesses"][1]
        for cgroup, text in ((greedy, MAKE.format(number, many)), (modest, MAKE.format(5, few))):
            ended = shell(cgroup, text, seconds=seconds)
            assert ended.returncode == 0, ended.stderr
        found = [small.watch.read(target, final=True) for target in (first, second)]
        use = small.watch.use()
    seen, losses = [each.accesses for each in found], [each.losses for each in found]
    kept = _below(seen[0], many)
    assert 100 <= len(kept) < FEW.per_target
    # each file is made, and opened: two accesses
    twice = 2 if programs_are_preemptible() else 1
    assert 0 <= losses[0].refused - 2 * twice * (number - len(kept)) <= 20 * twice
    assert _below(seen[1], few) == {b"%s/few/%d" % (bytes(tmp_path), each) for each in range(5)}
    assert losses[1] == AccessLosses()
    assert len(kept) < use["accesses"][0] <= FEW.accesses
    assert 0 < use["lines"][0] <= FEW.lines
    assert use["accesses"][1] == refused_before + losses[0].refused
    profile = f"bounds-{uuid.uuid4().hex[:8]}"
    text = to_text(apparmor_rules([seen[0]], THRESHOLDS), profile)
    shutil.rmtree(many)
    many.mkdir()
    with confined(profile, text) as enter, new_cgroup() as cgroup:
        again = shell(cgroup, MAKE.format(number, many), before=enter, seconds=seconds)
        beside = shell(cgroup, MAKE.format(1, tmp_path), before=enter)
    assert again.returncode == 0, f"{again.stderr!r}\n{text}"
    assert beside.returncode == 9, f"{beside.stderr!r}\n{text}"
    assert len(os.listdir(many)) == number
    assert not (tmp_path / "0").exists()
