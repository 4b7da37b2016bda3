"""A cgroup whose tasks make the calls of one hand; some of them in a cgroup below it, which counts for it."""

from dataclasses import dataclass, field
from pathlib import Path

from recorder.kernel.backend import Reading
from recorder.model.record import Phase
from tests.member import BETWEEN, Member
from tests.mixing.hand import Hand, expected, recorded
from tests.truth.programs import word

# By a player's number: how deep the cgroup of the second half of its calls lies below it.
_DEPTHS = (0, 1, 1, 2)


@dataclass(slots=True)
class Player:
    """`folders`: its cgroup, then those below it, each in the one before."""

    hand: Hand
    folders: list[Path]
    id: int
    members: list[Member] = field(default_factory=list)

    @classmethod
    def sit(cls, number: int, root: Path, hand: Hand) -> "Player":
        """Makes its cgroups below `root`; names are used again in each wave."""
        folders = [root / f"player-{number}"]
        folders += [folders[0].joinpath(*["below"] * depth) for depth in range(1, _DEPTHS[number % 4] + 1)]
        for folder in folders:
            folder.mkdir()
        return cls(hand, folders, folders[0].stat().st_ino)

    @property
    def halves(self) -> tuple[Hand, Hand]:
        """What the task in its own cgroup calls, and what the one in the lowest cgroup calls."""
        half = -(-len(self.hand) // 2)
        return self.hand[:half], self.hand[half:]

    def play(self, program: Path, calls: int) -> None:
        """Starts its two tasks; each makes about so many calls, over and over the same."""
        for folder, half in zip((self.folders[0], self.folders[-1]), self.halves, strict=True):
            self.members.append(Member(folder, program, f"{calls // len(half) + 1}x", *map(word, half)))

    def wait(self) -> None:
        """Until its tasks have ended well."""
        assert [member.wait() for member in self.members] == [0, 0]

    def leave(self) -> None:
        """Removes its cgroups: the recording of it ends."""
        for folder in reversed(self.folders):
            folder.rmdir()

    def differences(self, reading: Reading) -> list[str]:
        """What a reading has and its source has not, or the reverse; empty: its own and no other's."""
        truth = expected(self.hand)
        found = recorded(reading.calls.items(), Phase.WORKLOAD)
        setup = {str(call) for call in recorded(reading.calls.items(), Phase.SETUP)}
        return (
            [f"{self.folders[0].name} lacks {call}" for call in sorted(truth - found)]
            + [f"{self.folders[0].name} has {call} of another" for call in sorted(found - truth)]
            + [f"{self.folders[0].name} has set-up {name}" for name in sorted(setup - BETWEEN)]
            + [f"{self.folders[0].name} lost {cause} {n}" for cause, n in reading.ledger.counts.items()]
        )
