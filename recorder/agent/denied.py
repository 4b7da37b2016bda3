"""What was denied to one target, as a part of its observation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recorder.model.ledger import Ledger
from recorder.model.record import MAX_DENIALS

if TYPE_CHECKING:
    from recorder.model.denial import Denial, DenialCount, DenialKey

__all__ = ["SECCOMP", "Denied", "admitted"]

SECCOMP = "seccomp sys_exit"
"""In a record's provenance: denied calls were looked for."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Of AppArmor and SELinux. source: whose, and by what they were looked for; empty: they were not."""

    source: str = ""
    denials: Mapping[DenialKey, DenialCount] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)


def admitted(denials: Iterable[Denial], *, most: int = MAX_DENIALS) -> dict[DenialKey, DenialCount]:
    """The denials of one target's cgroups by their keys: those that were seen first, within the bounds.

    The rest is counted under Verdict.REST. Fed with more and more of what was seen, it
    keeps what it had: denials come in the order of their first times.
    """
    # Here and not above: who never asks for denials does without.
    from recorder.model.denial import MAX_DENIAL_BYTES, DenialKey, Verdict  # noqa: PLC0415

    found: dict[DenialKey, DenialCount] = {}
    for denial in denials:
        known = found.get(denial.key)
        found[denial.key] = known + denial.counted if known else denial.counted
    rest_key = DenialKey(Verdict.REST, None)
    rest = found.pop(rest_key, None)
    kept: dict[DenialKey, DenialCount] = {}
    size = rest_key.size
    for key, count in sorted(found.items(), key=lambda item: (item[1].first, item[0].order)):
        size += key.size
        if size > MAX_DENIAL_BYTES or len(kept) + 1 >= most:
            size = MAX_DENIAL_BYTES
            rest = rest + count if rest else count
        else:
            kept[key] = count
    return {**kept, rest_key: rest} if rest else kept
