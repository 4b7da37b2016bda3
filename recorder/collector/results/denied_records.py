"""A draft's records as profiles that are made of denials need them: one for each container."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from recorder.collector.results.drafts import Draft
from recorder.model.escape import escape
from recorder.model.ledger import Ledger
from recorder.model.record import Observation, Outcome, Phase, Record
from recorder.profiles.annotations import bounded_text
from recorder.profiles.denial_ledger import denial_ledger, is_watched

__all__ = ["DeniedRecords", "coverage_text", "denied_records", "lines"]

_MAX_COVERAGE: Final = 16 * 1024
_MAX_LINES: Final = 16 * 1024
_MAX_NODES: Final = 5


@dataclass(frozen=True, slots=True)
class DeniedRecords:
    """Those of which anything of the workload was seen: it made a call, or was denied something.

    records: one for each pod (else container), with all of its runs. worked: their observations.
    """

    records: tuple[Record, ...]
    worked: tuple[Observation, ...]

    def ledger(self, module: str) -> Ledger:
        """Of a profile that is made of denials by a module, but for those that took place."""
        return sum((denial_ledger(each, module) for each in self.records), Ledger())

    def why_not(self, draft: Draft, module: str, name: str, hint: str) -> str:
        """Return why there is no profile, where no rule could be made: a sentence for a person.

        name: the module's, as people write it; hint: how a container comes to be denied anything by it.
        """
        what = f"the container {draft.key.container}"
        if not self.worked:
            when = "so far" if draft.running else "before it ended; look whether its command could be started"
            return f"no call of the workload of {what} was seen {when}"
        unwatched = sorted(
            {each.source.node for each in self.worked if not is_watched(Record((each,)), module)}
        )
        if not any(is_watched(each, module) for each in self.records):
            return (
                f"the agents of the nodes of {what} do not look for what {name} denies:"
                f" {', '.join(unwatched[:_MAX_NODES])}; recorder status there has the reason"
            )
        return (
            f"{name} has denied nothing to {what} {'so far' if draft.running else 'in all its life'}: {hint}"
        )


def denied_records(draft: Draft) -> DeniedRecords:
    """Return a draft's records, in the order of their sources."""
    records: list[Record] = []
    worked: list[Observation] = []
    for observations in draft.units().values():
        if any(map(_worked, observations)):
            records.append(Record(tuple(observations)))
            worked += observations
    return DeniedRecords(tuple(records), tuple(worked))


def _worked(observation: Observation) -> bool:
    allowed = (Phase.WORKLOAD, Outcome.ALLOWED)
    return bool(observation.denials) or any(
        (each.phase, each.outcome) == allowed for each in observation.calls
    )


def coverage_text(total: int, used: Mapping[str, int]) -> str:
    """Return JSON: of how many records, and in how many of them each rule was used that not all did.

    Of too many rules how many there are of each number, and the digest of the whole.
    """
    partly = {rule: count for rule, count in sorted(used.items()) if count < total}
    said: dict[str, object] = {"version": "v1", "total": total, "rules": partly}
    whole = json.dumps(said, separators=(",", ":"))
    if len(whole) <= _MAX_COVERAGE:
        return whole
    counts = {str(count): number for count, number in sorted(Counter(used.values()).items())}
    digest = sha256(whole.encode()).hexdigest()
    return json.dumps({**said, "rules": counts, "sha256": digest}, separators=(",", ":"))


def lines(texts: Iterable[str]) -> str:
    """Return sentences of an annotation, one a line; those that do not fit are counted."""
    every = tuple(texts)
    kept: list[str] = []
    size = 0
    for each in every:
        line = bounded_text(escape(each, len(each)))
        size += len(line) + 1
        if size > _MAX_LINES:
            kept.append(f"and {len(every) - len(kept)} more")
            break
        kept.append(line)
    return "\n".join(kept)
