"""A target's reading as an observation of the record."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from recorder import __version__
from recorder.agent.accesses import Used
from recorder.agent.denied import SECCOMP, Denied
from recorder.kernel.backend import Reading
from recorder.model.accesses import Accesses
from recorder.model.kind import Kind
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Outcome,
    Phase,
    Provenance,
    SightKey,
    Source,
)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

SHARED_CAUSES = ("program_missed", "ring_full")
"""Of the kernel side as a whole, which any target may have suffered."""

PARTS = ("calls that filters deny", "AppArmor's and SELinux's denials")
"""What is looked for where denials are asked for."""


@functools.cache
def boot_id() -> str:
    """The kernel's random name of this boot."""
    return BOOT_ID.read_text().strip()


def node_name() -> str:
    """The kernel's name of the machine."""
    return os.uname().nodename


def observe(
    reading: Reading,
    *,
    node: str,
    loader: str,
    phases: str,
    identity: Identity,
    ledger: Ledger,
    sights: Mapping[SightKey, FirstSight],
    ended: bool,
    runtime: str = "",
    runtime_version: str = "",
    denied: Denied | None = None,
    used: Used | None = None,
) -> Observation:
    """What is known of one source now. `ledger`: what the reading's own does not have.

    denied: None if nobody asked for denials; denied calls are left out then. used: None if nobody asked
    for accesses, or the reading has them.
    """
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    sources = _sources(reading, denied)
    if denied is None:
        reading = _without_denied(reading)
    else:
        ledger = ledger + denied.ledger + Ledger({"denials_unwatched": len(PARTS) - len(sources)})
    if used:
        ledger = ledger + used.ledger
    times = [sight.time_ns for sight in sights.values()]
    return Observation(
        source=Source(node, boot_id(), reading.target.cgroup_id, reading.epoch),
        identity=identity,
        calls=reading.calls,
        first_sights=_still_true(sights, reading.calls),
        accesses=used.accesses if used else reading.accesses,
        ledger=reading.ledger + ledger + Ledger({"unnamed_number": _unnamed(reading.calls)}),
        provenance=Provenance(
            recorder_version=__version__,
            kernel_release=os.uname().release,
            machine=os.uname().machine,
            loader=loader,
            phases=phases,
            runtime=runtime,
            runtime_version=runtime_version,
            kinds=_kinds(reading, denied, used),
            denials=", ".join(sources),
        ),
        first_seen_ns=min(times, default=reading.epoch),
        last_seen_ns=reading.ended_ns or now,
        wall_offset_ns=time.time_ns() - now,
        ended=ended,
        denials=denied.denials if denied else {},
    )


def _kinds(reading: Reading, denied: Denied | None, used: Used | None) -> str:
    """What was looked for; empty: calls alone."""
    accesses = used.watched if used else Kind.ACCESSES in reading.kinds
    also = {Kind.DENIALS: denied is not None, Kind.ACCESSES: accesses}
    others = [kind for kind, wanted in also.items() if wanted]
    return ",".join((Kind.SYSCALLS, *others)) if others else ""


def _sources(reading: Reading, denied: Denied | None) -> tuple[str, ...]:
    """By what denials were looked for."""
    if denied is None:
        return ()
    calls = SECCOMP if Kind.DENIALS in reading.kinds else ""
    return tuple(filter(None, (calls, denied.source)))


def _without_denied(reading: Reading) -> Reading:
    calls = {key: numbers for key, numbers in reading.calls.items() if key.outcome != Outcome.DENIED}
    return replace(reading, calls=calls)


def without_accesses(observation: Observation) -> Observation:
    """For who did not ask for them: without them, and without what was lost of them."""
    return replace(observation, accesses=Accesses(), ledger=observation.ledger.without_accesses())


def unrecorded(node: str, identity: Identity) -> Observation:
    """In place of what a container's record would be that ran and found no slot."""
    # no cgroup's: eight characters make a number far above the kernel's ids
    number = int.from_bytes(identity.container_id.encode()[:8].ljust(8, b"0"))
    return Observation(Source(node, boot_id(), number, 0), identity, ledger=Ledger({"slots_full": 1}))


def shared_losses(now: Ledger, base: Ledger) -> Ledger:
    """What the kernel side as a whole lost since a target began."""
    return Ledger(
        {cause: max(0, now.counts.get(cause, 0) - base.counts.get(cause, 0)) for cause in SHARED_CAUSES}
    )


def _still_true(
    sights: Mapping[SightKey, FirstSight], calls: Mapping[CallKey, Numbers]
) -> Mapping[SightKey, FirstSight]:
    """Without those of calls that were denied once and let through later."""
    denied = {
        (*key, number)
        for key, numbers in calls.items()
        if key.outcome == Outcome.DENIED
        for number in numbers
    }
    return {key: sight for key, sight in sights.items() if key.outcome != Outcome.DENIED or key in denied}


def _unnamed(calls: Mapping[CallKey, Numbers]) -> int:
    """Numbers of the workload that no table names: a profile cannot allow them."""
    # The tables are large, and not needed before the BPF object was loaded, when memory is at its peak.
    from recorder.model.syscall import syscall_name  # noqa: PLC0415

    return sum(
        syscall_name(key.abi, number) is None
        for key, numbers in calls.items()
        if (key.phase, key.outcome) == (Phase.WORKLOAD, Outcome.ALLOWED)
        for number in numbers
    )
