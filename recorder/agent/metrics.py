"""The agent's metrics: made from its state when Prometheus asks, and never in between.

The state comes from a `StatusSource`, the core. Every label has few values that are known
in advance: nothing that a container says is one. `METRICS` is the source for
docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from recorder import __version__
from recorder.agent.figures import ContainerState, Distributions, Snapshot, StatusSource
from recorder.model.ledger import CAUSES, Ledger, Severity

__all__ = [
    "CONTENT_TYPE",
    "METRICS",
    "Described",
    "Metrics",
]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PREFIX = "recorder_agent_"

OTHER = "other"
"""The label of a cause that the table lacks."""


class Type(StrEnum):
    """As Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its name without the prefix, and what its labels' values are."""

    name: str
    type: Type
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """As it is exposed."""
        return PREFIX + self.name


_STATES = (
    "`recorded`; `ended`: its record waits to be handed on; `idle`: known, and nobody asks for it;"
    " `not_recordable`: it does not run on this kernel; `unnamed`: recorded, and no runtime knows it"
)
_BOUND = {"bound": "see [limits.md](limits.md)"}
_PROGRAM = {"program": "of the BPF object"}

METRICS: tuple[Described, ...] = (
    Described(
        "info",
        Type.GAUGE,
        "The agent: always 1.",
        {"version": "the recorder's", "loader": "`libbpf` or `bcc`"},
    ),
    Described("attached", Type.GAUGE, "Whether BPF programs are attached: 1 while something is recorded."),
    Described(
        "ledger_total",
        Type.COUNTER,
        "What was lost, or is worth knowing, over all that was recorded since the start.",
        {"cause": f"see [limits.md](limits.md); `{OTHER}`: any other", "severity": "`loss` or `note`"},
    ),
    Described(
        "bound_limit", Type.GAUGE, "A bound of memory.", {**_BOUND, "unit": "`bytes`, or what is counted"}
    ),
    Described("bound_used", Type.GAUGE, "How much of a bound is in use.", _BOUND),
    Described("bound_refused_total", Type.COUNTER, "What found no room since the start.", _BOUND),
    Described("containers", Type.GAUGE, "Containers by what is known of them.", {"state": _STATES}),
    Described(
        "captures",
        Type.GAUGE,
        "Captures on request.",
        {"client": "`connected`, or `away`: it may come back and go on"},
    ),
    Described("streams_waiting", Type.GAUGE, "Clients that read more slowly than there is news for them."),
    Described("plan_recordings", Type.GAUGE, "Recordings in the collector's plan."),
    Described(
        "runtime_reachable",
        Type.GAUGE,
        "Whether a container runtime answers.",
        {"runtime": "as it is configured or found"},
    ),
    Described("uplink_connected", Type.GAUGE, "Whether the collector is connected; absent without one."),
    Described(
        "uplink_unacknowledged",
        Type.GAUGE,
        "Records with news that the collector has not acknowledged; absent without one.",
    ),
    Described("spool_bytes", Type.GAUGE, "The spool, in blocks of 4 KiB."),
    Described("spool_entries", Type.GAUGE, "Ended records in the spool."),
    Described("spool_damaged", Type.GAUGE, "Files of the spool that could not be read and are set aside."),
    Described("snapshot_bytes", Type.HISTOGRAM, "Snapshots to clients, by their size."),
    Described(
        "snapshot_seconds", Type.HISTOGRAM, "Snapshots to clients, by the time from reading maps to sending."
    ),
    Described(
        "bpf_run_seconds_total",
        Type.COUNTER,
        "Time that BPF programs ran; absent while the kernel does not count it (kernel.bpf_stats_enabled).",
        _PROGRAM,
    ),
    Described(
        "bpf_runs_total",
        Type.COUNTER,
        "Runs of BPF programs; absent while the kernel does not count them (kernel.bpf_stats_enabled).",
        _PROGRAM,
    ),
    Described("resident_memory_bytes", Type.GAUGE, "The agent's resident memory."),
    Described("cpu_seconds_total", Type.COUNTER, "CPU time of the agent, user and system."),
    Described("open_files", Type.GAUGE, "The agent's file descriptors."),
    Described("threads", Type.GAUGE, "The agent's threads."),
    Described("start_time_seconds", Type.GAUGE, "When the agent started, in Unix time."),
)


class Metrics(Collector):
    """A registry of its own: nothing but METRICS."""

    def __init__(self, source: StatusSource, distributions: Distributions) -> None:
        self._source = source
        self._process = psutil.Process()
        self._distributions = distributions
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """The page /metrics, of CONTENT_TYPE."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Names alone, so that registering asks the source for nothing."""
        for each in METRICS:
            yield _family(each)

    def collect(self) -> Iterator[Metric]:
        """All metrics, in the order of METRICS; those without a sample are left out."""
        state = self._source.snapshot()
        samples = {**_of_state(state), **self._of_process()}
        for each in METRICS:
            family = _family(each)
            if isinstance(family, HistogramMetricFamily):
                family.add_metric([], *getattr(self._distributions, each.name).cumulative())
                yield family
            elif rows := samples[each.name]:
                for labels, value in rows:
                    family.add_metric(labels, value)
                yield family

    def _of_process(self) -> dict[str, list[_Row]]:
        with self._process.oneshot():
            cpu = self._process.cpu_times()
            return {
                "resident_memory_bytes": _one(self._process.memory_info().rss),
                "cpu_seconds_total": _one(cpu.user + cpu.system),
                "open_files": _one(self._process.num_fds()),
                "threads": _one(self._process.num_threads()),
                "start_time_seconds": _one(self._process.create_time()),
            }


_Row = tuple[Sequence[str], float]
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def _family(each: Described) -> _Family:
    labels = list(each.labels)
    if each.type is Type.COUNTER:
        return CounterMetricFamily(each.full_name, each.help, labels=labels)
    if each.type is Type.GAUGE:
        return GaugeMetricFamily(each.full_name, each.help, labels=labels)
    return HistogramMetricFamily(each.full_name, each.help, labels=labels)


def _one(value: float) -> list[_Row]:
    return [((), float(value))]


def _of_state(state: Snapshot) -> dict[str, list[_Row]]:
    return {
        "info": [((__version__, state.loader), 1)],
        "attached": _one(state.attached),
        "ledger_total": list(_ledger(state.ledger)),
        "bound_limit": [((each.name, each.unit), each.limit) for each in state.bounds],
        "bound_used": [((each.name,), each.used) for each in state.bounds],
        "bound_refused_total": [((each.name,), each.refused) for each in state.bounds],
        "containers": [((each.value,), state.containers.get(each, 0)) for each in ContainerState],
        "captures": [(("connected",), state.captures_connected), (("away",), state.captures_away)],
        "streams_waiting": _one(state.streams_waiting),
        "plan_recordings": _one(state.plan_recordings),
        "runtime_reachable": [((name,), reachable) for name, reachable in sorted(state.runtimes.items())],
        "uplink_connected": _one(state.uplink_connected) if state.uplink else [],
        "uplink_unacknowledged": _one(state.uplink_unacknowledged) if state.uplink else [],
        "spool_bytes": _one(state.spool_bytes),
        "spool_entries": _one(state.spool_entries),
        "spool_damaged": _one(state.spool_damaged),
        "bpf_run_seconds_total": [((each.name,), each.seconds) for each in state.programs],
        "bpf_runs_total": [((each.name,), each.runs) for each in state.programs],
    }


def _ledger(ledger: Ledger) -> Iterable[_Row]:
    """Every known cause, at 0 too: a rate needs the beginning. Others, which are losses, together."""
    for cause in CAUSES.values():
        yield (cause.name, cause.severity.value), ledger.counts.get(cause.name, 0)
    other = sum(count for cause, count in ledger.counts.items() if cause not in CAUSES)
    yield (OTHER, Severity.LOSS.value), other
