"""Rows of recordings and their containers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from recorder.cli.escape import escape
from recorder.cli.records_seen import Group
from recorder.model.record import Outcome, Phase
from recorder.rpc.v1 import collector_pb2 as pb

HEAD = (
    *("RECORDING", "CONTAINER", "RECORDS", "RUNNING", "CALLS", "ACCESSES"),
    *("DENIED", "VERDICT", "RESULTS", "NOTES"),
)

_WHY: Mapping[int, str] = {
    pb.CONFIRMATION_UNASKED: "not confirmed yet",
    pb.CONFIRMATION_REFUSED: "refused",
    pb.CONFIRMATION_MISSING: "of pods that are gone",
}
MAX_RESULTS = 3
"""Names in a cell."""


def row(group: Group) -> tuple[str, ...]:
    """One line; texts are escaped."""
    counted = group.counted
    record = group.record
    return (
        recording_name(group.recording),
        escape(group.container),
        str(len(counted)),
        str(sum(not each.ended for each in counted)),
        str(sum(map(len, record.calls(Phase.WORKLOAD).values()))),
        str(_accesses(group)),
        str(_denied(group)),
        escape(str(record.verdict)) if counted else "",
        _results(group),
        "; ".join(_notes(group)),
    )


def recording_name(recording: pb.RecordingSummary) -> str:
    """Like `namespace/name`; the name alone outside of Kubernetes."""
    return "/".join(escape(part) for part in (recording.namespace, recording.name) if part)


def _accesses(group: Group) -> int:
    """Of the container that has most: that which others have as well is not told here."""
    return max((each.accesses for each in group.containers if each.counts), default=0)


def _denied(group: Group) -> int:
    """Different calls that a filter denied, and different denials of AppArmor and SELinux."""
    calls = group.record.calls(Phase.WORKLOAD, Outcome.DENIED)
    return sum(map(len, calls.values())) + len({key for each in group.counted for key in each.denials})


def _results(group: Group) -> str:
    whole = [each for each in group.results if not each.partial]
    shown = [f"{escape(each.name)} ({escape(each.state)})" for each in whole[:MAX_RESULTS]]
    if len(whole) > MAX_RESULTS:
        shown.append(f"and {len(whole) - MAX_RESULTS} more")
    return ", ".join(shown)


def _notes(group: Group) -> Iterator[str]:
    if group.recording.deleted:
        yield "deleted"
    if not group.containers:
        yield "nothing seen yet"
    others = Counter(_WHY[each.confirmation] for each in group.containers if each.confirmation in _WHY)
    for why, count in sorted(others.items()):
        yield f"{count} {why}"
    reasons = Counter(each.not_recorded for each in group.containers if each.not_recorded)
    for reason, count in sorted(reasons.items()):
        yield f"{count} not recorded: {escape(reason)}"
