"""The table of denials: what each container was denied, by its filter, by AppArmor or by SELinux."""

from __future__ import annotations

from collections.abc import Iterator

from recorder.cli.container_name import container_name
from recorder.cli.wall_time import wall_time
from recorder.model.denial import DenialCount, DenialKey, Text
from recorder.model.denial_text import DenialText, denial_text, denied_call_text, shown
from recorder.model.record import FirstSight, Observation, Outcome, Phase, SightKey

HEAD = ("CONTAINER", "BY", "VERDICT", "COUNT", "WHAT", "OBJECT", "OF", "TASK", "LAST SEEN", "NOTES")


def rows(observation: Observation) -> Iterator[tuple[str, ...]]:
    """A line for each denial of one container, in the record's order; texts are escaped.

    COUNT is empty for denied calls, which nobody counts; their time and task are those of the first.
    """
    name = container_name(observation.identity)
    for key, numbers in observation.calls.items():
        if (key.phase, key.outcome) == (Phase.WORKLOAD, Outcome.DENIED):
            for number in numbers:
                sight = observation.first_sights.get(SightKey(*key, number))
                yield call_row(name, observation, key.abi, number, sight)
    for denial, count in observation.denials.items():
        yield denial_row(name, observation, denial, count)


def call_row(
    container: str, observation: Observation, abi: int, number: int, sight: FirstSight | None
) -> tuple[str, ...]:
    """The line of a call that a filter denied; `container`: its name as it is shown."""
    time_ns, comm = (sight.time_ns, sight.comm) if sight else (0, b"")
    return _row(
        container, denied_call_text(abi, number), "", comm, wall_time(time_ns, observation.wall_offset_ns)
    )


def denial_row(
    container: str, observation: Observation, key: DenialKey, count: DenialCount
) -> tuple[str, ...]:
    """The line of what AppArmor or SELinux denied."""
    text = denial_text(key.verdict, key.details, count.lacks)
    last = count.last
    time = wall_time(last.time_ns, observation.wall_offset_ns)
    return _row(container, text, str(count.count), last.comm, time)


def _row(container: str, text: DenialText, count: str, comm: bytes, time: str) -> tuple[str, ...]:
    return (
        container,
        text.kind,
        text.verdict,
        count,
        text.action,
        text.object,
        text.subject,
        shown(Text(comm, len(comm))),
        time,
        ", ".join(text.notes),
    )
