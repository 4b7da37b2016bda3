"""User space adds, drops and releases cgroups whose tasks never stop, while others come and go."""

import contextlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recorder.kernel.backend import Target, WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.record import Phase
from tests.member import Member
from tests.mixing.hand import Hand, deal, recorded
from tests.mixing.player import Player
from tests.mixing.sightings import Sightings
from tests.mixing.table import table_of
from tests.truth.calls import Call
from tests.truth.programs import word

pytestmark = pytest.mark.root

RUNNERS = 3
AT_ONCE = 2  # of the runners, recorded
CHURNERS = 2
WINDOW = 3  # cgroups of a churner that are not released yet
PLAYERS = 24
SEED = 7
FOREVER = 1 << 60


@dataclass(slots=True)
class Runner:
    """A cgroup and one below it; a task in each makes its half of the hand without an end."""

    hand: Hand
    folder: Path
    below: Path
    id: int
    members: list[Member]
    recorded: Target | None = None

    @classmethod
    def start(cls, folder: Path, hand: Hand, rawsys: Path) -> "Runner":
        """Its tasks are there before anything is recorded."""
        below = folder / "below"
        below.mkdir()
        half = len(hand) // 2
        members = [
            Member(folder, rawsys, f"{FOREVER}x", *map(word, hand[:half])),
            Member(below, rawsys, f"{FOREVER}x", *map(word, hand[half:])),
        ]
        return cls(hand, folder, below, folder.stat().st_ino, members)


@dataclass(slots=True)
class Churners:
    """The processes that make cgroups below the watched root; each cgroup's reading is checked here."""

    backend: LibbpfBackend
    sightings: Sightings
    hands: list[Hand]
    processes: list[subprocess.Popen[str]]
    checked: int = 0
    differences: list[str] = field(default_factory=list)

    def look(self) -> bool:
        """Checks and releases what has ended; False when all churners are done."""
        running = [process for process in self.processes if not process.stdout.closed]
        ready, _, _ = select.select([process.stdout for process in running], [], [], 0.01)
        for process in running:
            if process.stdout in ready:
                line = process.stdout.readline()
                if not line:
                    process.stdout.close()
                    continue
                self._check(*map(int, line.split()))
                if process.poll() is None:
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.write("\n")
                        process.stdin.flush()
        return bool(running)

    def _check(self, cgroup_id: int, index: int) -> None:
        target = self.sightings.end_of(cgroup_id)
        player = Player(self.hands[index], [Path(f"hand-{index}")], cgroup_id)
        self.differences += player.differences(self.backend.read(target, final=True))
        self.backend.release(target)
        self.checked += 1


@contextlib.contextmanager
def churning(
    backend: LibbpfBackend, hands: list[Hand], root: Path, rawsys: Path, count: int
) -> Iterator[Churners]:
    """Churners with hands of their own; they are gone at the end."""
    share = (len(hands) - RUNNERS - 1) // CHURNERS
    processes = []
    try:
        for number in range(CHURNERS):
            first = RUNNERS + 1 + number * share
            numbers = [count, first, first + share, WINDOW, PLAYERS, SEED]
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.mixing.churner", root, rawsys, *map(str, numbers)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    text=True,
                )
            )
        yield Churners(backend, Sightings(backend), hands, processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.timeout(900)  # with all rounds, on a machine that is busy otherwise
def test_a_live_target_is_recorded_from_its_add_to_its_drop(scaled, scratch_cgroup, built_programs):
    """Its whole hand is seen after the add; what is called after the drop, and by others, never."""
    hands = deal(PLAYERS, SEED)
    rawsys = built_programs["rawsys"]
    late_hand = hands[RUNNERS]  # called in a runner's cgroup while it is not recorded, and by nobody else
    root = scratch_cgroup()
    rounds = scaled(200, least=20)
    cycles = scaled(800, least=80)
    bounds = Bounds(slots=AT_ONCE + CHURNERS * WINDOW, children=16, ring_bytes=1 << 20, table_sets=1)
    with contextlib.ExitStack() as stack:
        runners = [Runner.start(scratch_cgroup(), hands[number], rawsys) for number in range(RUNNERS)]
        for runner in runners:
            for member in runner.members:
                stack.callback(member.end)
        backend = stack.enter_context(contextlib.closing(LibbpfBackend(syscalls_spec(bounds))))
        backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
        churners = stack.enter_context(churning(backend, hands, root, rawsys, cycles))
        for number in range(rounds):
            if number >= AT_ONCE:
                _end(backend, runners[(number - AT_ONCE) % RUNNERS], late_hand, rawsys, churners)
            _begin(backend, runners[number % RUNNERS], churners)
        for runner in runners:
            if runner.recorded:
                _end(backend, runner, late_hand, rawsys, churners)
        while churners.look():
            pass
        assert churners.checked == CHURNERS * cycles
        assert churners.differences == []
        assert backend.ledger().counts == {}
        assert backend.targets() == []
        assert table_of(backend).empty


def _begin(backend: LibbpfBackend, runner: Runner, churners: Churners) -> None:
    """Adds a live cgroup and waits until the kernel side has seen its whole hand, and nothing else."""
    target = backend.add(runner.id, SlotMode.MODE_EXEC, late=True)
    backend.adopt(target, [runner.below.stat().st_ino])
    runner.recorded = target
    deadline = time.monotonic() + 20
    while _workload(backend, target) != frozenset(runner.hand):
        assert _workload(backend, target) <= frozenset(runner.hand), "it has calls that are not its own"
        missing = sorted(map(str, frozenset(runner.hand) - _workload(backend, target)))
        assert time.monotonic() < deadline, f"not seen in 20 s: {missing}"
        churners.look()


def _end(backend: LibbpfBackend, runner: Runner, late_hand: Hand, rawsys: Path, churners: Churners) -> None:
    """Drops it, lets a task of its cgroup make calls that count no more, reads and releases it."""
    target = runner.recorded
    runner.recorded = None
    backend.drop(target)
    before = backend.read(target)
    with Member(runner.folder, rawsys, *map(word, late_hand)) as member:
        assert member.wait() == 0
    churners.look()
    reading = backend.read(target, final=True)
    assert reading.ended
    assert reading.calls == before.calls, "a call counted that began after the drop"
    assert recorded(reading.calls.items(), Phase.WORKLOAD) == frozenset(runner.hand)
    assert recorded(reading.calls.items(), Phase.SETUP) == frozenset()
    assert reading.ledger.counts == {}
    backend.release(target)


def _workload(backend: LibbpfBackend, target: Target) -> frozenset[Call]:
    return recorded(backend.read(target).calls.items(), Phase.WORKLOAD)
