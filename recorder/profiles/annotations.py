"""The annotations of a profile: how it came to be, for people and for tools.

All are under one prefix, and all together stay under 64 KiB (an object may hold
256 KiB of them): a list that is too long is replaced by its length and digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from recorder.model.ledger import Ledger
from recorder.model.record import Observation, Outcome, Record
from recorder.model.syscall import TABLE_KERNEL
from recorder.profiles.always import always
from recorder.profiles.composition import Composition
from recorder.profiles.names import spell, spelled_calls

__all__ = ["MAX_TOTAL", "PREFIX", "bounded_text", "profile_annotations", "provenance_annotations"]

PREFIX: Final = "recorder.x-k8s.io"
"""The prefix of every annotation and label that only this program uses."""
MAX_TOTAL: Final = 64 * 1024
"""Bytes of keys and values of a profile's annotations, together."""

# There are four lists that a record can make long: recorded, denied, unnamed, abi.
_MAX_LIST: Final = 12 * 1024
# Texts come from other machines, and from as many as there are.
_MAX_TEXT: Final = 512


def profile_annotations(record: Record, parts: Composition) -> dict[str, str]:
    """Return a profile's annotations, sorted; what is not known is left out.

    Times are RFC 3339 in UTC, cut to seconds. Lists are comma-separated and
    sorted, with calls as in the `names` format.
    """
    found = {
        **provenance_annotations(record, parts.ledger),
        "names-of-kernel": TABLE_KERNEL,
        "recorded": _list(call for call in spelled_calls(record) if "#" not in call),
        "denied": _list(spelled_calls(record, Outcome.DENIED)),
        "unnamed": _list(sorted(spell(abi, number) for abi, number in parts.unnamed)),
        "always": _list(sorted(frozenset[str]().union(*map(always, parts.abis)))),
        "base": parts.base.name,
        "base-names": _list(sorted(parts.base.names & parts.allowed)),
        "architectures": _architectures(parts),
        "abi": _abi(parts) if len(parts.abis) > 1 else "",
    }
    return {f"{PREFIX}/{key}": value for key, value in sorted(found.items()) if value}


def provenance_annotations(record: Record, ledger: Ledger) -> dict[str, str]:
    """Return how a profile of any kind came to be, by key without the prefix; empty: not known."""
    return {
        "verdict": bounded_text(str(ledger.verdict)),
        "notes": bounded_text(", ".join(f"{cause} {count}" for cause, count in ledger.notes().items())),
        "kernel": _distinct(record, lambda each: each.provenance.kernel_release),
        "machine": _distinct(record, lambda each: each.provenance.machine),
        "runtime": _distinct(record, _runtime),
        "recorder-version": _distinct(record, lambda each: each.provenance.recorder_version),
        "loader": _distinct(record, lambda each: each.provenance.loader),
        "phases": _distinct(record, lambda each: each.provenance.phases),
        "kinds": _distinct(record, lambda each: each.provenance.kinds),
        "first-seen": _time(min(_times(record, lambda each: each.first_seen_ns), default=None)),
        "last-seen": _time(max(_times(record, lambda each: each.last_seen_ns), default=None)),
    }


def _runtime(observation: Observation) -> str:
    made_by = observation.provenance
    return f"{made_by.runtime} {made_by.runtime_version}".strip()


def _architectures(parts: Composition) -> str:
    """Say why each architecture is listed."""
    reasons = []
    for abi in parts.abis:
        if abi in parts.recorded:
            reasons.append(f"{abi.label}: calls recorded")
        else:
            reasons.append(f"{abi.label}: the machine's own, in which the runtime starts the workload")
    return "; ".join(reasons)


def _abi(parts: Composition) -> str:
    """Return JSON: the names that each ABI needs, and those it is given because another needs them."""
    needed = {abi.label: sorted(parts.intended(abi)) for abi in parts.abis}
    wider = {abi.label: sorted(parts.wider(abi)) for abi in parts.abis}
    whole = _json({"names": needed, "wider": wider})
    if len(whole) <= _MAX_LIST:
        return whole
    counts = {
        "names": {label: len(names) for label, names in needed.items()},
        "wider": {label: len(names) for label, names in wider.items()},
    }
    return _json({**counts, "sha256": sha256(whole.encode()).hexdigest()})


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _list(names: Iterable[str]) -> str:
    kept = tuple(names)
    whole = ",".join(kept)
    if len(whole) <= _MAX_LIST:
        return whole
    return f"{len(kept)} names, sha256:{sha256(whole.encode()).hexdigest()}"


def bounded_text(text: str) -> str:
    """Return a text in ASCII and in bounds: it may come from another machine."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= _MAX_TEXT else plain[: _MAX_TEXT - 3] + "..."


def _distinct(record: Record, field: Callable[[Observation], str]) -> str:
    return bounded_text(", ".join(sorted({field(each) for each in record.observations} - {""})))


def _times(record: Record, field: Callable[[Observation], int]) -> Iterable[int]:
    """Yield Unix times in ns, of the observations that know both their time and their clock."""
    for each in record.observations:
        if field(each) and each.wall_offset_ns:
            yield field(each) + each.wall_offset_ns


def _time(unix_ns: int | None) -> str:
    if unix_ns is None:
        return ""
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix_ns // 1_000_000_000)
    except OverflowError:  # beyond the year 9999: a clock that was never set
        return ""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
