"""A page of metrics in Prometheus' text format, made from a service's figures when it is asked for.

A table of `Described` says what there is, for the page and for docs/metrics.md. Every label has few
values that are known in advance; where they come from outside, `recorder.service.series` bounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

from recorder.model.ledger import CAUSES, Ledger, Severity

__all__ = ["CONTENT_TYPE", "OTHER", "Described", "Histogram", "MetricsPage", "Row", "Type", "ledger", "one"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

OTHER = "other"
"""The label of a cause that the table lacks."""


class Type(StrEnum):
    """As Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its name without the service's prefix, and what its labels' values are."""

    name: str
    type: Type
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    @property
    def full_name(self) -> str:
        """As it is exposed."""
        return self.prefix + self.name


Row = tuple[Sequence[str], float]
"""The labels' values, in the order of the description, and the sample."""
Histogram = tuple[list[tuple[str, float]], float]
"""Cumulative buckets, the last `+Inf`, and the sum of all values."""
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def one(value: float) -> list[Row]:
    """The sample of a metric without labels."""
    return [((), float(value))]


def ledger(losses: Ledger) -> list[Row]:
    """Samples by cause and severity: every known cause, at 0 too, since a rate needs the beginning.

    Others, which are losses, together.
    """
    rows: list[Row] = [
        ((cause.name, cause.severity.value), losses.counts.get(cause.name, 0)) for cause in CAUSES.values()
    ]
    other = sum(count for cause, count in losses.counts.items() if cause not in CAUSES)
    return [*rows, ((OTHER, Severity.LOSS.value), other)]


def of_process(process: psutil.Process) -> dict[str, list[Row]]:
    """What this process takes, for the metrics of PROCESS."""
    with process.oneshot():
        cpu = process.cpu_times()
        return {
            "resident_memory_bytes": one(process.memory_info().rss),
            "cpu_seconds_total": one(cpu.user + cpu.system),
            "open_files": one(process.num_fds()),
            "threads": one(process.num_threads()),
            "start_time_seconds": one(process.create_time()),
        }


class MetricsPage(Collector):
    """The page of `metrics`, in that order; `samples` gives rows, or a Histogram, by name.

    What it lacks, or has no rows for, is left out. The process's own metrics are added to it.
    """

    def __init__(
        self, metrics: Sequence[Described], samples: Callable[[], Mapping[str, list[Row] | Histogram]]
    ) -> None:
        self._metrics = metrics
        self._samples = samples
        self._process = psutil.Process()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """The page /metrics, of CONTENT_TYPE."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Names alone, so that registering asks for no samples."""
        for each in self._metrics:
            yield _family(each)

    def collect(self) -> Iterator[Metric]:
        """All that there is now."""
        samples = {**of_process(self._process), **self._samples()}
        for each in self._metrics:
            family, found = _family(each), samples.get(each.name, ())
            if isinstance(found, tuple):
                if found and isinstance(family, HistogramMetricFamily):
                    family.add_metric([], *found)
                    yield family
            elif found and not isinstance(family, HistogramMetricFamily):
                for labels, value in found:
                    family.add_metric(labels, value)
                yield family


def process_metrics(prefix: str, whose: str) -> tuple[Described, ...]:
    """What `of_process` gives, described; `whose`: such as "The agent's"."""
    return (
        Described("resident_memory_bytes", Type.GAUGE, f"{whose} resident memory.", prefix=prefix),
        Described("cpu_seconds_total", Type.COUNTER, f"{whose} CPU time, user and system.", prefix=prefix),
        Described("open_files", Type.GAUGE, f"{whose} file descriptors.", prefix=prefix),
        Described("threads", Type.GAUGE, f"{whose} threads.", prefix=prefix),
        Described("start_time_seconds", Type.GAUGE, f"{whose} start, in Unix time.", prefix=prefix),
    )


def _family(each: Described) -> _Family:
    labels = list(each.labels)
    if each.type is Type.COUNTER:
        return CounterMetricFamily(each.full_name, each.help, labels=labels)
    if each.type is Type.GAUGE:
        return GaugeMetricFamily(each.full_name, each.help, labels=labels)
    return HistogramMetricFamily(each.full_name, each.help, labels=labels)
