"""`--explain`: of each call which containers made it, and who first, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recorder.cli.container_name import container_name
from recorder.cli.escape import escape, escape_comm
from recorder.cli.records_seen import Group
from recorder.cli.records_table import recording_name
from recorder.cli.wall_time import utc
from recorder.model.record import FirstSight, Observation, Outcome, Phase, SightKey
from recorder.model.syscall import syscall_name
from recorder.profiles.names import abi_label

HEAD = ("CALL", "ABI", "OUTCOME", "SEEN IN", "FIRST SEEN", "BY", "CONTAINERS")
MAX_CONTAINERS = 3
"""Names in a cell."""


@dataclass(slots=True)
class _Call:
    """seen: those that made it. first: Unix time in ns and comm of the first that is known."""

    seen: list[Observation]
    first: tuple[int, bytes] | None = None


def title(group: Group) -> str:
    """The line above a group's table."""
    containers = f"container {escape(group.container)}, " if group.container else ""
    return (
        f"{recording_name(group.recording)}: {containers}{len(group.counted)} records, "
        f"verdict {escape(str(group.record.verdict))}"
    )


def rows(group: Group) -> Iterator[tuple[str, ...]]:
    """A line for each call of the workload, by name and ABI; texts are escaped."""
    total = len(group.counted)
    lines = []
    for (abi, outcome, number), call in _calls(group).items():
        lines.append(
            (
                syscall_name(abi, number) or f"#{number}",
                abi_label(abi),
                "denied" if outcome == Outcome.DENIED else "",
                f"{len(call.seen)} of {total}",
                utc(call.first[0]) if call.first else "",
                escape_comm(call.first[1]) if call.first else "",
                containers(call.seen),
            )
        )
    yield from sorted(lines)


def _calls(group: Group) -> dict[tuple[int, int, int], _Call]:
    calls: dict[tuple[int, int, int], _Call] = {}
    for observation in group.counted:
        for key, numbers in observation.calls.items():
            if key.phase != Phase.WORKLOAD:
                continue
            for number in numbers:
                call = calls.setdefault((key.abi, key.outcome, number), _Call([]))
                call.seen.append(observation)
                sight = observation.first_sights.get(SightKey(*key, number))
                when = _wall(observation, sight) if sight else None
                if when and (call.first is None or when < call.first):
                    call.first = when
    return calls


def _wall(observation: Observation, sight: FirstSight) -> tuple[int, bytes] | None:
    """Nodes have clocks of their own since their boots; without an offset no time can be said."""
    if not observation.wall_offset_ns:
        return None
    return (sight.time_ns + observation.wall_offset_ns, sight.comm)


def containers(seen: list[Observation]) -> str:
    """Names of the first ones, and how many more there are."""
    names = sorted({container_name(each.identity) for each in seen})
    more = len(names) - MAX_CONTAINERS
    return ", ".join(names[:MAX_CONTAINERS]) + (f" and {more} more" if more > 0 else "")
