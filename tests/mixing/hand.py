"""Calls that are dealt out like cards: no two of the players that are there at once hold the same one."""

import random
from collections.abc import Iterable

from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase
from tests.truth.calls import Call, safe_calls
from tests.truth.programs import EXEC, rawsys_calls

Hand = tuple[Call, ...]


def deal(players: int, seed: int) -> list[Hand]:
    """Every safe call of the three x86 ABIs goes to exactly one of the players; another seed, other hands."""
    deck = [call for abi in (Abi.X86_64, Abi.I386, Abi.X32) for call in safe_calls(abi)]
    random.Random(seed).shuffle(deck)
    return [tuple(deck[player::players]) for player in range(players)]


def expected(*hands: Hand) -> frozenset[Call]:
    """The workload of a cgroup in which `rawsys` was started with each of these hands."""
    return EXEC | frozenset().union(*map(rawsys_calls, hands))


def recorded(calls: Iterable[tuple[CallKey, Numbers]], phase: Phase) -> frozenset[Call]:
    """One phase of a reading's calls, as the truth names them."""
    return frozenset(
        Call(Abi(key.abi), number)
        for key, numbers in calls
        if (key.phase, key.outcome) == (phase, Outcome.ALLOWED)
        for number in numbers
    )
