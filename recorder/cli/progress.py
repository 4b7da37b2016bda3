"""What a running capture saw of each container: how many calls, the newest of them, and how long ago."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from recorder.cli.container_name import container_name
from recorder.cli.escape import escape_comm
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Record, SightKey, Source
from recorder.profiles.machine import native_abis
from recorder.profiles.names import spell

NEWEST = 4
"""Calls that a row names."""


class Call(NamedTuple):
    """A call as `names` spells it, and the comm of the task that made it first; empty: not known."""

    name: str
    comm: str


@dataclass(frozen=True, slots=True)
class Row:
    """One container's state; texts are escaped. `new` are all calls of the last change, newest first."""

    name: str
    calls: int
    setup: int
    newest: tuple[Call, ...]
    new: tuple[Call, ...]
    quiet: float  # seconds since the last new call
    ended: bool
    ledger: str


@dataclass(slots=True)
class _Seen:
    numbers: dict[CallKey, Numbers] = field(default_factory=dict)
    newest: list[Call] = field(default_factory=list)
    new: list[Call] = field(default_factory=list)
    changed: float = 0.0
    state: tuple[bool, str] = (False, "")
    observation: Observation | None = None


class Progress:
    """Fed with the record so far; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Source, _Seen] = {}

    def update(self, record: Record) -> list[Row]:
        """Takes the record, and returns the rows that say something new, in the record's order."""
        natives = native_abis(record)
        now = self._clock()
        changed = []
        for each in record.observations:
            seen = self._seen.setdefault(each.source, _Seen(changed=now))
            new = _new_calls(each, seen.numbers)
            state = (each.ended, str(each.ledger.verdict))
            if new or state != seen.state or seen.observation is None:
                changed.append(each.source)
            if new:
                seen.changed = now
                seen.numbers = {key: numbers for key, numbers in each.calls.items() if _counts(key)}
            seen.new = [_spelled(each, key, number, natives) for key, number in new]
            seen.newest = (seen.new + seen.newest)[:NEWEST]
            seen.observation, seen.state = each, state
        return [self._row(source, now) for source in changed]

    def rows(self) -> list[Row]:
        """All containers, in the order in which they were first seen."""
        now = self._clock()
        return [self._row(source, now) for source in self._seen]

    def _row(self, source: Source, now: float) -> Row:
        seen = self._seen[source]
        observation = seen.observation
        assert observation is not None  # noqa: S101 - for the type checker: update sets it
        return Row(
            name=container_name(observation.identity),
            calls=_total(observation.calls, Phase.WORKLOAD),
            setup=_total(observation.calls, Phase.SETUP),
            newest=tuple(seen.newest),
            new=tuple(seen.new),
            quiet=now - seen.changed,
            ended=seen.state[0],
            ledger=seen.state[1],
        )


def _counts(key: CallKey) -> bool:
    return (key.phase, key.outcome) == (Phase.WORKLOAD, Outcome.ALLOWED)


def _total(calls: Mapping[CallKey, Numbers], phase: Phase) -> int:
    return sum(
        len(numbers) for key, numbers in calls.items() if (key.phase, key.outcome) == (phase, Outcome.ALLOWED)
    )


def _new_calls(observation: Observation, known: Mapping[CallKey, Numbers]) -> list[tuple[CallKey, int]]:
    """The workload's calls that were not known, newest first; those whose time was lost count as newest."""
    new = [
        (key, number)
        for key, numbers in observation.calls.items()
        if _counts(key)
        for number in numbers - known.get(key, Numbers())
    ]

    def age(call: tuple[CallKey, int]) -> int:
        sight = observation.first_sights.get(SightKey(*call[0], call[1]))
        return -sight.time_ns if sight else -(1 << 64)

    return sorted(new, key=age)


def _spelled(observation: Observation, key: CallKey, number: int, natives: tuple[Abi, ...]) -> Call:
    sight = observation.first_sights.get(SightKey(*key, number))
    return Call(spell(key.abi, number, natives), escape_comm(sight.comm) if sight else "")


def listed(calls: Iterable[Call]) -> str:
    """Like `openat, read (nginx), execve (sh)`: neighbours of one comm share it."""
    groups: list[str] = []
    for comm, group in itertools.groupby(calls, key=lambda call: call.comm):
        names = ", ".join(call.name for call in group)
        groups.append(f"{names} ({comm})" if comm else names)
    return ", ".join(groups)
