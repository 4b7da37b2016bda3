"""SeccompProfile results: of the calls that the workload made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from recorder.collector.results.drafts import Draft
from recorder.collector.results.result_kind import Content, Drawn, NotYet, Wanted
from recorder.collector.results.result_summary import ResultSummary
from recorder.model.accesses import LOSSES, Accesses
from recorder.model.errors import InvalidProfile
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import Observation, Outcome, Phase, Record
from recorder.model.syscall import known_names
from recorder.profiles.base import NO_BASE, Base, resolve_base
from recorder.profiles.composition import compose
from recorder.profiles.result_marks import COVERAGE
from recorder.profiles.seccomp import build
from recorder.profiles.seccomp_yaml import to_object

__all__ = ["SeccompResult", "SyscallsSeen", "syscalls_seen"]


@dataclass(frozen=True, slots=True)
class SyscallsSeen:
    """total: records in which the workload made a call. names: in how many of them each was seen.

    Names are those of whichever ABI; sorted.
    """

    total: int
    names: Mapping[str, int] = field(hash=False)


class SeccompResult:
    """As ResultKind."""

    def draw(self, wanted: Wanted) -> Drawn:
        """As ResultKind.draw."""
        draft = replace(wanted.draft, record=_of_calls(wanted.draft.record))
        wanted = replace(wanted, draft=draft)
        record = draft.record
        worked = tuple(each for each in record.observations if _worked(each))
        seen = syscalls_seen(draft)
        summary = ResultSummary(
            syscalls=len(seen.names),
            denied=sum(map(len, record.calls(Phase.WORKLOAD, Outcome.DENIED).values())),
            coverage=seen.total,
            # that of the profile: numbers without a name are a loss
            ledger=compose(record, NO_BASE).ledger.counts,
        )
        return Drawn(_content(wanted, worked, seen), summary, worked)


def _of_calls(record: Record) -> Record:
    """Return the record without what it lost of accesses, which another recording asked for."""
    if LOSSES.isdisjoint(record.ledger.counts):
        return record
    return Record(tuple(map(_with_calls_alone, record.observations)))


def _with_calls_alone(observation: Observation) -> Observation:
    kept = {cause: count for cause, count in observation.ledger.counts.items() if cause not in LOSSES}
    # what was cut would count as a loss of itself
    return replace(observation, ledger=Ledger(kept), accesses=Accesses())


def _content(wanted: Wanted, worked: Iterable[Observation], seen: SyscallsSeen) -> Content | NotYet:
    draft = wanted.draft
    if not draft.record.calls(Phase.WORKLOAD):
        return NotYet(_nothing_seen(draft))
    try:
        profile = build(
            draft.record,
            name=wanted.name,
            base=_base(worked),
            enabled=wanted.enabled,
            labels=wanted.labels,
        )
    except InvalidProfile as error:
        return NotYet(str(error))
    spec = to_object(profile)["spec"]
    assert isinstance(spec, dict)  # noqa: S101 -- to_object makes it
    said = dict(profile.annotations)
    if wanted.merged or seen.total > 1:
        coverage = {"version": "v1", "total": seen.total, "syscalls": dict(seen.names)}
        said[COVERAGE] = json.dumps(coverage, separators=(",", ":"))
    return Content(spec, said)


def syscalls_seen(draft: Draft) -> SyscallsSeen:
    """Return which names were called, and in how many records."""
    units = []
    for observations in draft.units().values():
        calls: dict[int, Numbers] = {}
        for each in observations:
            for call, numbers in each.calls.items():
                if (call.phase, call.outcome) == (Phase.WORKLOAD, Outcome.ALLOWED):
                    calls[call.abi] = calls.get(call.abi, Numbers()) | numbers
        units.append(calls)
    worked = [calls for calls in units if calls]
    return SyscallsSeen(len(worked), _names_seen(worked))


def _names_seen(units: Iterable[Mapping[int, Numbers]]) -> Mapping[str, int]:
    # Replicas mostly have one and the same set, and a set's names need finding only once.
    patterns = Counter(tuple(sorted((abi, numbers.bits) for abi, numbers in each.items())) for each in units)
    seen: Counter[str] = Counter()
    for pattern, times in patterns.items():
        names: set[str] = set()
        for abi, bits in pattern:
            table = known_names(abi)
            names.update(table[number] for number in Numbers(bits) if number in table)
        for name in names:
            seen[name] += times
    return MappingProxyType(dict(sorted(seen.items())))


def _worked(observation: Observation) -> bool:
    return any(call.phase == Phase.WORKLOAD for call in observation.calls)


def _nothing_seen(draft: Draft) -> str:
    what = f"of the container {draft.key.container}"
    if not draft.record.calls(Phase.SETUP) and not draft.record.calls(Phase.WORKLOAD, Outcome.DENIED):
        seen = "no call was seen"
    else:
        seen = "nothing but its set-up, or calls that a filter denied, was seen"
    if draft.running:
        return f"{seen} {what} so far; the profile appears with the first call of the workload"
    return f"{seen} {what} before it ended; look whether its command could be started"


def _base(worked: Iterable[Observation]) -> Base:
    """The calls that the container runtimes of these nodes make themselves, in the container's place."""
    used = {(each.provenance.runtime, each.provenance.runtime_version) for each in worked}
    bases = {base.name: base for base in (resolve_base("auto", *each) for each in used)}
    names = frozenset[str]().union(*(base.names for base in bases.values()))
    return Base(", ".join(sorted(bases)), names) if bases else NO_BASE
