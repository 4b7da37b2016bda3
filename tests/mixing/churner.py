"""Makes cgroups below a root, plays a hand in each, removes it: `python -m tests.mixing.churner`.

Arguments: ROOT RAWSYS COUNT FIRST LAST WINDOW PLAYERS SEED. It makes COUNT cgroups, with the
hands from FIRST up to LAST of the deal in turn. It says `ID NUMBER-OF-THE-HAND` on stdout for
each before it removes it, and reads a line for each that was read and released: at most
WINDOW are not.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.mixing.hand import deal
from tests.mixing.player import Player


def churn(root: Path, rawsys: Path, numbers: Iterable[int]) -> None:
    """See the module."""
    count, first, last, window, players, seed = numbers
    hands = deal(players, seed)
    for number in range(count):
        if number >= window:
            sys.stdin.readline()
        index = first + number % (last - first)
        player = Player.sit(index, root, hands[index])
        player.play(rawsys, calls=200)
        player.wait()
        sys.stdout.write(f"{player.id} {index}\n")
        sys.stdout.flush()
        player.leave()


if __name__ == "__main__":
    churn(Path(sys.argv[1]), Path(sys.argv[2]), map(int, sys.argv[3:]))
