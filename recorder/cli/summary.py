"""What a recording says on stderr: the live line, and the summary at its end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import TextIO

from recorder.cli.recording import Recording
from recorder.model.denial import DenialKey
from recorder.model.kind import Kind
from recorder.model.ledger import CAUSES
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Record

SHOWN_DENIALS = 20
"""Of AppArmor and SELinux, in a summary."""


def _counts(calls: Mapping[int, Numbers]) -> str:
    """Like `31 (x86_64 29, i386 2)`; the ABIs only where there are several."""
    from recorder.profiles.names import abi_label

    total = sum(len(numbers) for numbers in calls.values())
    if len(calls) < 2:
        (abi,) = calls or (0,)
        return f"{total} ({abi_label(abi)})" if calls else "0"
    parts = ", ".join(f"{abi_label(abi)} {len(numbers)}" for abi, numbers in calls.items())
    return f"{total} ({parts})"


def say_summary(record: Record, where: str, added: Mapping[str, tuple[str, ...]] | None) -> None:
    """Calls by phase and ABI, what was added and why, the verdict with its reasons, the result's place.

    added: for a profile, the names that the record does not have, by who adds them.
    """
    workload = _counts(record.calls(Phase.WORKLOAD))
    setup = _counts(record.calls(Phase.SETUP))
    lines = [f"calls: workload {workload}; set-up {setup}, not in the result"]
    if any(Kind.DENIALS in each.provenance.kinds.split(",") for each in record.observations):
        lines.append(f"denied: {_denied(record)}")
        lines.extend(_module_denials(record))
    for source, names in (added or {}).items():
        lines.append(f"added: {source}: {len(names)}" + (f" ({', '.join(names)})" if names else ""))
    lines.append(f"verdict: {record.verdict}")
    for cause, count in record.ledger.counts.items():
        known = CAUSES.get(cause)
        if known:
            lines.append(f"  {known.severity.value} {cause} {count}: {known.meaning}; {known.remedy}")
    lines.append(f"result: {where}")
    for line in lines:
        print(f"recorder: {line}", file=sys.stderr)


def _denied(record: Record) -> str:
    """Like `2 (x86_64), not in the result: mkdir, unshare`."""
    from recorder.profiles.names import spelled_calls

    counts = _counts(record.calls(Phase.WORKLOAD, Outcome.DENIED))
    names = ", ".join(spelled_calls(record, Outcome.DENIED))
    return f"{counts}, not in the result: {names}" if names else counts


def _module_denials(record: Record) -> list[str]:
    """What AppArmor or SELinux denied, most frequent first, as lines; what is looked for is said as well."""
    looked = {each.provenance.denials for each in record.observations} - {""}
    lines = [f"denials looked for: {'; '.join(sorted(looked)) or 'none'}"]
    total = sum((Counter(_counted(each)) for each in record.observations), Counter())
    if not total:
        return lines
    from recorder.model.denial_text import denial_text, line

    for key, count in sorted(total.items(), key=lambda item: (-item[1], item[0].order))[:SHOWN_DENIALS]:
        lines.append(f"  {line(denial_text(key.verdict, key.details), count=count)}")
    if len(total) > SHOWN_DENIALS:
        lines.append(f"  and {len(total) - SHOWN_DENIALS} more, in the record")
    return lines


def _counted(observation: Observation) -> dict[DenialKey, int]:
    return {key: count.count for key, count in observation.denials.items()}


class LiveLine:
    """One line on a terminal, rewritten: calls so far, time since the last new one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._begun = time.monotonic()
        self._changed = self._begun
        self._seen = 0
        self._width = 0

    def show(self, recording: Recording) -> None:
        """Called a few times a second."""
        if not self._stream:
            return
        calls: Mapping[CallKey, Numbers] = recording.calls()
        seen = sum(
            len(numbers)
            for key, numbers in calls.items()
            if (key.phase, key.outcome) == (Phase.WORKLOAD, Outcome.ALLOWED)
        )
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._changed = seen, now
        text = (
            f"recording {recording.what}: {seen} calls, "
            f"last new one {now - self._changed:.0f} s ago, {now - self._begun:.0f} s in all"
        )
        self._stream.write(f"\r{text:<{self._width}}")
        self._stream.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Before anything else is printed."""
        if self._stream and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0
