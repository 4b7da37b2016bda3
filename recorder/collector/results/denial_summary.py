"""What a result's record says of denials, in few lines: what was denied, the most frequent first.

Which objects it was are in the record (`recorder records --explain`); here is one of them for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from recorder.model.denial import DenialKey
from recorder.model.denial_text import DenialText, denial_text, denied_call_text, line
from recorder.model.record import CallKey, Observation, Outcome, Phase, Record
from recorder.model.record_unit import Unit, unit_of

__all__ = ["MAX_SORTS", "NO_DENIALS", "DenialSort", "DenialSummary", "most_frequent", "summarized"]

MAX_SORTS: Final = 50
"""Of one result that are kept."""
_MAX_EXAMPLE: Final = 300


@dataclass(frozen=True, slots=True)
class DenialSort:
    """What was denied, whatever the object was. Texts are escaped.

    kind: seccomp, apparmor, selinux, rest. action: a call's name, or an operation with its permissions.
    count: how often; 0 for calls, which nobody counts. records: in how many records it is. example: a
    line with one of the objects, the same for the same records.
    """

    kind: str
    verdict: str
    object_class: str
    action: str
    count: int
    records: int
    example: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the sort that it is."""
        return self.kind, self.verdict, self.action

    def __add__(self, other: DenialSort) -> DenialSort:
        """Both together: of different records."""
        return DenialSort(
            self.kind,
            self.verdict,
            self.object_class,
            self.action,
            self.count + other.count,
            self.records + other.records,
            min(self.example, other.example),
        )


@dataclass(frozen=True, slots=True)
class DenialSummary:
    """The most frequent sorts. omitted: how many others there are."""

    sorts: tuple[DenialSort, ...] = ()
    omitted: int = 0

    def __bool__(self) -> bool:
        return bool(self.sorts)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        rows = [
            [each.kind, each.verdict, each.object_class, each.action, each.count, each.records, each.example]
            for each in self.sorts
        ]
        return {"sorts": rows, "omitted": self.omitted}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DenialSummary:
        """Read what `to_json` gave. KeyError, TypeError or ValueError for anything else."""
        sorts = (
            DenialSort(str(kind), str(verdict), str(of), str(action), int(count), int(records), str(example))
            for kind, verdict, of, action, count, records, example in value["sorts"]
        )
        return cls(tuple(sorts), int(value["omitted"]))


NO_DENIALS: Final = DenialSummary()


def most_frequent(sorts: Iterable[DenialSort], limit: int) -> tuple[tuple[DenialSort, ...], int]:
    """Return so many of them, those of one key added up, and how many keys are left out."""
    ordered = sorted(_added(sorts), key=lambda each: (-(each.count or each.records), each.key))
    return tuple(ordered[:limit]), max(0, len(ordered) - limit)


def summarized(record: Record) -> DenialSummary:
    """Return what a record says; a pod, else a container, is one record, as in a result's coverage."""
    units: dict[Unit, list[Observation]] = {}
    for each in record.observations:
        if each.denials or any(map(_is_denied, each.calls)):
            units.setdefault(unit_of(each), []).append(each)
    known: dict[DenialKey, DenialSort] = {}  # replicas are mostly denied the same
    found = (replace(each, records=1) for unit in units.values() for each in _added(_of_unit(unit, known)))
    return DenialSummary(*most_frequent(found, MAX_SORTS))


def _added(sorts: Iterable[DenialSort]) -> Collection[DenialSort]:
    by_key: dict[tuple[str, str, str], DenialSort] = {}
    for each in sorts:
        known = by_key.get(each.key)
        by_key[each.key] = known + each if known else each
    return by_key.values()


def _of_unit(observations: Iterable[Observation], known: dict[DenialKey, DenialSort]) -> Iterator[DenialSort]:
    for each in observations:
        for key, numbers in each.calls.items():
            if _is_denied(key):
                yield from (_sort(denied_call_text(key.abi, number)) for number in numbers)
        for denial, counted in each.denials.items():
            sort = known.get(denial)
            if sort is None:
                sort = known[denial] = _sort(denial_text(denial.verdict, denial.details))
            yield replace(sort, count=counted.count)


def _is_denied(key: CallKey) -> bool:
    return (key.phase, key.outcome) == (Phase.WORKLOAD, Outcome.DENIED)


def _sort(text: DenialText) -> DenialSort:
    example = line(text)
    if len(example) > _MAX_EXAMPLE:
        example = f"{example[: _MAX_EXAMPLE - 1]}…"
    return DenialSort(text.kind, text.verdict, text.object_class, text.action, 0, 1, example)
