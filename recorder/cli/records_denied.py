"""`--explain`, the second table: what AppArmor and SELinux denied to the containers of a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from recorder.cli.records_explain import containers
from recorder.cli.records_seen import Group
from recorder.cli.wall_time import utc
from recorder.model.denial import DenialCount, DenialKey, Text
from recorder.model.denial_text import denial_text, shown
from recorder.model.record import Observation

HEAD = (
    *("BY", "VERDICT", "COUNT", "WHAT", "OBJECT", "OF"),
    *("SEEN IN", "FIRST SEEN", "TASK", "CONTAINERS", "NOTES"),
)


@dataclass(slots=True)
class _Denial:
    """seen: to whom it came. first: Unix time in ns and comm of the first that is known."""

    count: int = 0
    seen: list[Observation] = field(default_factory=list)
    first: tuple[int, bytes] | None = None
    lacks: frozenset[str] = frozenset()

    def add(self, observation: Observation, counted: DenialCount) -> None:
        self.count += counted.count
        self.seen.append(observation)
        self.lacks |= counted.lacks
        if observation.wall_offset_ns:
            when = (counted.first.time_ns + observation.wall_offset_ns, counted.first.comm)
            self.first = min(self.first or when, when)


def rows(group: Group) -> Iterator[tuple[str, ...]]:
    """A line for each denial, the most frequent first; texts are escaped."""
    denials: dict[DenialKey, _Denial] = {}
    for observation in group.counted:
        for key, counted in observation.denials.items():
            denials.setdefault(key, _Denial()).add(observation, counted)
    total = len(group.counted)
    for key, each in sorted(denials.items(), key=lambda item: (-item[1].count, item[0].order)):
        text = denial_text(key.verdict, key.details, each.lacks)
        yield (
            text.kind,
            text.verdict,
            str(each.count),
            text.action,
            text.object,
            text.subject,
            f"{len(each.seen)} of {total}",
            utc(each.first[0]) if each.first else "",
            shown(Text(each.first[1], len(each.first[1]))) if each.first else "",
            containers(each.seen),
            ", ".join(text.notes),
        )
