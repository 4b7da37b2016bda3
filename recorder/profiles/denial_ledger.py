"""What is lost in a profile that is made of denials: more than in a record, whose calls are whole without."""

from __future__ import annotations

from recorder.model.ledger import Ledger
from recorder.model.record import Observation, Record

__all__ = ["denial_ledger", "is_watched"]


def is_watched(record: Record, module: str) -> bool:
    """Whether denials of a module (`apparmor`, `selinux`) were looked for in any of its observations."""
    return any(module in _modules(each) for each in record.observations)


def denial_ledger(record: Record, module: str, *, enforced: int = 0) -> Ledger:
    """Return the ledger of a profile that is made of the denials of one container by a module.

    enforced: how many took place, so that what would have come after them is missing. What was lost of
    accesses is no part of it: another recording asked for them.
    """
    ledger = record.ledger
    missed = sum(ledger.counts.get(note, 0) for note in ("denials_late", "denials_missed"))
    missed += sum(module not in _modules(each) for each in record.observations)
    full = ledger.counts.get("denials_full", 0)
    losses = Ledger({"accesses_full": full, "accesses_missed": missed, "domain_enforcing": enforced})
    return ledger.without_accesses().join(losses)


def _modules(observation: Observation) -> set[str]:
    """Of a provenance such as `seccomp sys_exit, selinux lsm`."""
    return {each.strip().split(" ")[0] for each in observation.provenance.denials.split(",")}
