"""What the agent's metrics show, as values: the core makes them without knowing Prometheus."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from recorder.agent.budget import BoundUse
from recorder.model.ledger import Ledger

__all__ = [
    "ContainerState",
    "Distribution",
    "Distributions",
    "ProgramRuns",
    "Snapshot",
    "StatusSource",
    "bpf_statistics",
]

BPF_STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")

SIZE_BUCKETS = (1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)
SECONDS_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class ContainerState(StrEnum):
    """Which containers are counted together."""

    RECORDED = "recorded"
    ENDED = "ended"
    IDLE = "idle"
    NOT_RECORDABLE = "not_recordable"
    UNNAMED = "unnamed"


class Distribution:
    """How often values fell into each bucket, and their sum. For any thread."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(self._buckets) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Counts one; a value that equals a bucket's end is in it."""
        with self._lock:
            self._counts[bisect.bisect_left(self._buckets, value)] += 1
            self._sum += value

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Prometheus' buckets, the last `+Inf`, and the sum of all values."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets, below = [], 0
        for end, count in zip((*map(str, self._buckets), "+Inf"), counts, strict=True):
            below += count
            buckets.append((end, float(below)))
        return buckets, total


@dataclass(frozen=True, slots=True)
class Distributions:
    """What the core counts all the time."""

    snapshot_bytes: Distribution = field(default_factory=lambda: Distribution(SIZE_BUCKETS))
    snapshot_seconds: Distribution = field(default_factory=lambda: Distribution(SECONDS_BUCKETS))


@dataclass(frozen=True, slots=True)
class ProgramRuns:
    """A BPF program's runs since it was loaded, as the kernel counts them."""

    name: str
    seconds: float
    runs: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The agent's state at one moment. Empty where there is none of it.

    containers: by ContainerState. runtimes: by name, whether reachable. programs: only
    while the kernel counts (`bpf_statistics`). denials: how often, by namespace, kind and class, bounded.
    accesses: different ones, by kind.
    """

    loader: str
    attached: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    bounds: tuple[BoundUse, ...] = ()
    containers: Mapping[str, int] = field(default_factory=dict)
    captures_connected: int = 0
    captures_away: int = 0
    streams_waiting: int = 0
    plan_recordings: int = 0
    runtimes: Mapping[str, bool] = field(default_factory=dict)
    uplink: bool = False
    uplink_connected: bool = False
    uplink_unacknowledged: int = 0
    certificate_ends: float | None = None
    spool_bytes: int = 0
    spool_entries: int = 0
    spool_damaged: int = 0
    programs: tuple[ProgramRuns, ...] = ()
    denials: Sequence[tuple[Sequence[str], float]] = ()
    accesses: Sequence[tuple[Sequence[str], float]] = ()


class StatusSource(Protocol):
    """The core, as metrics see it."""

    def snapshot(self) -> Snapshot:
        """The state now; called for each scrape, in the event loop's thread or another."""


def bpf_statistics() -> bool:
    """Whether the kernel counts runs of BPF programs (kernel.bpf_stats_enabled)."""
    try:
        return BPF_STATISTICS.read_text().strip() != "0"
    except OSError:
        return False
