"""The collector's metrics: made from its figures when Prometheus asks.

`METRICS` is the source for docs/metrics.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from recorder import __version__
from recorder.collector.figures import ServiceFigures
from recorder.collector.results.publisher_figures import PublisherFigures
from recorder.collector.store.bounds import StoreFigures
from recorder.service.metrics import Described, Histogram, MetricsPage, Row, Type, one, process_metrics

__all__ = ["METRICS", "CollectorFigures", "CollectorMetrics"]

PREFIX = "recorder_collector_"

_metric = functools.partial(Described, prefix=PREFIX)
_CONFIRMATIONS = ("confirmed", "refused", "missing")
_BOUND = "`agents`, `pending_bytes`, `store_bytes`, `sightings`, `watches`"

METRICS: tuple[Described, ...] = (
    _metric("info", Type.GAUGE, "The collector: always 1.", {"version": "the recorder's"}),
    _metric("ready", Type.GAUGE, "Whether it is known which recordings there are, and agents are served."),
    _metric(
        "platform_problem",
        Type.GAUGE,
        "Whether what is known of recordings may be out of date: the platform cannot be asked just now.",
    ),
    _metric("agents", Type.GAUGE, "Agents that are connected."),
    _metric("agent_streams_total", Type.COUNTER, "Streams of agents that began."),
    _metric(
        "agent_streams_ended_total",
        Type.COUNTER,
        "Streams of agents that ended.",
        {"reason": "`by_agent`, `failed`, or an [error's code](errors.md) in lower case"},
    ),
    _metric("reports_total", Type.COUNTER, "Reports that came."),
    _metric("report_bytes_total", Type.COUNTER, "Bytes of reports that came."),
    _metric("reports_stored_total", Type.COUNTER, "Reports that were stored, and then acknowledged."),
    _metric(
        "reports_refused_total",
        Type.COUNTER,
        "Reports that were refused.",
        {"reason": "see [collector.md](collector.md)"},
    ),
    _metric(
        "reports_held_total", Type.COUNTER, "Reports that wait at their agent: their node is at its bound."
    ),
    _metric("reports_pending", Type.GAUGE, "Reports that came and are not stored yet."),
    _metric("commits_total", Type.COUNTER, "Commits of reports to the store."),
    _metric("plan_recordings", Type.GAUGE, "Recordings in the plan that agents are sent."),
    _metric("plan_bytes", Type.GAUGE, "The size of that plan."),
    _metric("plan_left_out", Type.GAUGE, "Recordings that have no room in it."),
    _metric("bound_limit", Type.GAUGE, "A bound.", {"bound": _BOUND}),
    _metric("bound_used", Type.GAUGE, "How much of a bound is in use.", {"bound": _BOUND}),
    _metric("store_full", Type.GAUGE, "Whether the store takes nothing now: 1 means that agents wait."),
    _metric("store_full_seconds", Type.GAUGE, "For how long it has taken nothing."),
    _metric("store_stalls_total", Type.COUNTER, "Attempts to store that found no room."),
    _metric("store_log_bytes", Type.GAUGE, "The store's write-ahead log."),
    _metric(
        "store_recordings", Type.GAUGE, "Recordings in the store, deleted ones that are not done included."
    ),
    _metric("store_results", Type.GAUGE, "Results that the store knows."),
    _metric("store_running", Type.GAUGE, "Containers in the store that run."),
    _metric("store_folded", Type.GAUGE, "Containers whose records were put together, to make room."),
    _metric("store_unemitted", Type.GAUGE, "Containers of which results may lack something."),
    _metric(
        "store_confirmations",
        Type.GAUGE,
        "Containers in the store by what the platform says of their pods.",
        {"confirmation": "`unasked`, `confirmed`, `refused`, `missing`"},
    ),
    _metric(
        "recordings",
        Type.GAUGE,
        "Recordings.",
        {"state": "`asked`: to be done; `refused`; `deleted`: not done with yet"},
    ),
    _metric("result_writes_total", Type.COUNTER, "Results that were written."),
    _metric("results_created_total", Type.COUNTER, "Results that were written for the first time."),
    _metric("result_refusals_total", Type.COUNTER, "Results that the platform did not take."),
    _metric("results_overdue_seconds", Type.GAUGE, "For how long the next result has been due."),
    _metric(
        "results_stopped",
        Type.GAUGE,
        "Whether no results can be written just now: the platform cannot be asked, or the store is full.",
    ),
    _metric("result_failures_total", Type.COUNTER, "Attempts that met that."),
    _metric(
        "confirmations_total",
        Type.COUNTER,
        "Containers whose pods the platform was asked for.",
        {"confirmation": "`confirmed`, `refused`, `missing`"},
    ),
    _metric(
        "denials",
        Type.GAUGE,
        "Denials in the records of recordings that are kept, of the 50 most frequent sorts of each result; "
        "of calls, which are not counted, the records that they are in. At most 1,000 series, the rest "
        "under `other`.",
        {
            "namespace": "the recording's",
            "kind": "`seccomp`, `apparmor`, `selinux`, `rest`",
            "class": "the object's class as the module calls it; the system call",
        },
    ),
    _metric("events_waiting", Type.GAUGE, "Events that are not told yet."),
    _metric("events_dropped_total", Type.COUNTER, "Events for which there was no room to wait."),
    _metric(
        "reviews_total",
        Type.COUNTER,
        "Questions to the platform about people and what they may do.",
        {"answer": "`allowed`, `denied`, `unreachable`"},
    ),
    _metric("watches", Type.GAUGE, "Streams of people that stand."),
    _metric(
        "enrolments_total",
        Type.COUNTER,
        "Requests for a node's certificate.",
        {"result": "`signed`, or why not: see [security.md](security.md)"},
    ),
    _metric(
        "certificate_end_seconds",
        Type.GAUGE,
        "When certificates that the collector makes end, in Unix time; absent without enrolment.",
        {"certificate": "`server`: its own; `ca`: of the CA that signs"},
    ),
    _metric(
        "identity_problem",
        Type.GAUGE,
        "Whether the CA or the collector's certificate cannot be renewed just now.",
    ),
    *process_metrics(PREFIX, "The collector's"),
)


@dataclass(frozen=True, slots=True)
class CollectorFigures:
    """All that the page shows, at one moment. bounds: limits by name."""

    service: ServiceFigures
    store: StoreFigures | None
    ready: bool
    problem: bool
    recordings: int
    refused: int
    agents: int
    pending_bytes: int
    watches: int
    publisher: PublisherFigures


class CollectorMetrics:
    """The page; `figures` asks the store, too."""

    def __init__(
        self,
        figures: Callable[[], Awaitable[CollectorFigures]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._figures = figures
        self._clock = clock
        self._now: dict[str, list[Row] | Histogram] = {}
        self._page = MetricsPage(METRICS, lambda: self._now)

    async def render(self) -> bytes:
        """The page /metrics."""
        self._now = _samples(await self._figures(), self._clock())
        return self._page.render()


def _samples(figures: CollectorFigures, now: float) -> dict[str, list[Row] | Histogram]:
    service = figures.service
    full = now - service.full_since if service.full else 0.0
    samples: dict[str, list[Row] | Histogram] = {
        "info": [((__version__,), 1.0)],
        "ready": one(figures.ready),
        "platform_problem": one(figures.problem),
        "agents": one(service.agents),
        "agent_streams_total": one(service.streams),
        "agent_streams_ended_total": _by(service.ended),
        "reports_total": one(service.reports),
        "report_bytes_total": one(service.report_bytes),
        "reports_stored_total": one(service.stored),
        "reports_refused_total": _by(service.refused),
        "reports_held_total": one(service.held),
        "reports_pending": one(service.pending),
        "commits_total": one(service.batches),
        "plan_recordings": one(service.plan_recordings),
        "plan_bytes": one(service.plan_bytes),
        "plan_left_out": one(service.left_out),
        "store_full": one(bool(service.full)),
        "store_full_seconds": one(full),
        "store_stalls_total": one(service.stalls),
        "recordings": [
            (("asked",), figures.recordings),
            (("refused",), figures.refused),
            (("deleted",), figures.publisher.deleted),
        ],
        "reviews_total": _by(service.reviews),
        "watches": one(service.watches),
        "enrolments_total": _by(service.enrolments),
        "certificate_end_seconds": _by({"server": service.server_ends, "ca": service.authority_ends})
        if service.server_ends
        else [],
        "identity_problem": one(bool(service.identity_problem)),
        **_of_publisher(figures.publisher),
    }
    limits = {"agents": figures.agents, "pending_bytes": figures.pending_bytes, "watches": figures.watches}
    used = {"agents": service.agents, "pending_bytes": service.pending_bytes, "watches": service.watches}
    store = figures.store
    if store:
        limits |= {"store_bytes": store.bounds.bytes, "sightings": store.bounds.sightings}
        used |= {"store_bytes": store.bytes, "sightings": store.open}
        samples |= {
            "store_log_bytes": one(store.log_bytes),
            "store_recordings": one(store.recordings),
            "store_results": one(store.results),
            "store_running": one(store.running),
            "store_folded": one(store.folded),
            "store_unemitted": one(store.unemitted),
            "store_confirmations": _by(store.confirmations),
        }
    return {**samples, "bound_limit": _by(limits), "bound_used": _by(used)}


def _of_publisher(publisher: PublisherFigures) -> dict[str, list[Row]]:
    decided = {each: publisher.decided.get(each, 0) for each in _CONFIRMATIONS}
    return {
        "result_writes_total": one(publisher.writes),
        "results_created_total": one(publisher.creations),
        "result_refusals_total": one(publisher.refusals),
        "results_overdue_seconds": one(publisher.overdue),
        "results_stopped": one(bool(publisher.problem)),
        "result_failures_total": one(publisher.failures),
        "confirmations_total": _by(decided),
        "denials": list(publisher.denials),
        "events_waiting": one(publisher.events_waiting),
        "events_dropped_total": one(publisher.events_dropped),
    }


def _by(counts: Mapping[str, float]) -> list[Row]:
    return [((name,), float(count)) for name, count in sorted(counts.items())]
