"""Memory is bounded, and what had no place is counted; needs a kernel that can attach."""

import sys

from recorder.kernel.accesses import AccessLosses
from recorder.kernel.accesses_spec import AccessBounds
from recorder.kernel.preemption import programs_are_preemptible
from recorder.model.access import File
from recorder.model.record import Phase
from tests.guest.inside.accesses.watched import shell, watched

MAKE = "import sys; [open(f'{sys.argv[1]}/{number}', 'x').close() for number in range(int(sys.argv[2]))]"


def _below(seen, folder) -> set[bytes]:
    start = bytes(folder) + b"/"
    files = (subject for subject, _ in seen.of(Phase.WORKLOAD) if isinstance(subject, File))
    return {file.path for file in files if file.path.startswith(start)}


def test_more_files_than_a_target_may_have(tmp_path, scaled):
    """Of 100,000 files those that fit are there, others are counted, and another target has its own."""
    number = scaled(100_000, 1_500)
    (tmp_path / "many").mkdir()
    (tmp_path / "few").mkdir()
    bounds = AccessBounds(accesses=1200, per_target=1000, lines=4000)
    with (
        watched(bounds) as recorder,
        recorder.recording() as (greedy, first),
        recorder.recording() as (modest, second),
    ):
        targets = (first, second)
        for cgroup, folder, files in ((greedy, "many", number), (modest, "few", 5)):
            ended = shell(cgroup, f'exec {sys.executable} -SE -c "{MAKE}" {tmp_path}/{folder} {files}')
            assert ended.returncode == 0, ended.stderr
        seen = [recorder.watch.read(target) for target in targets]
        losses = [recorder.watch.losses(target) for target in targets]
        used = recorder.watch.used
    kept = _below(seen[0], tmp_path / "many")
    assert 500 <= len(kept) < 1000
    # each file is made, and opened: two accesses
    twice = 2 if programs_are_preemptible() else 1
    assert 0 <= losses[0].refused - 2 * twice * (number - len(kept)) <= 20 * twice
    assert _below(seen[1], tmp_path / "few") == {b"%s/few/%d" % (bytes(tmp_path), each) for each in range(5)}
    assert losses[1] == AccessLosses()
    assert used[0] <= 1200
    assert used[1] <= 4000
