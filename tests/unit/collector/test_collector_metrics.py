"""The collector's metrics: what Prometheus reads is its figures, in series that nobody outside can add to."""

import asyncio
import dataclasses
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recorder import __version__
from recorder.collector.figures import ServiceFigures
from recorder.collector.metrics import METRICS, CollectorFigures, CollectorMetrics
from recorder.collector.results.publisher_figures import PublisherFigures
from recorder.collector.store import StoreBounds, StoreFigures

SERVICE = ServiceFigures(
    agents=3,
    streams=5,
    ended=Counter({"by_agent": 1, "access_denied": 1}),
    reports=100,
    report_bytes=12345,
    stored=90,
    refused=Counter({"invalid": 7}),
    pending=2,
    pending_bytes=4096,
    batches=40,
    full="no room",
    full_since=70.0,
    stalls=6,
    held=4,
    plan_recordings=8,
    plan_bytes=900,
    left_out=1,
    reviews=Counter({"allowed": 9}),
    watches=2,
    enrolments=Counter({"signed": 3, "owner": 1}),
    server_ends=1_800_000_000.0,
    authority_ends=1_900_000_000.0,
)
STORE = StoreFigures(
    bytes=1000,
    log_bytes=200,
    bounds=StoreBounds(bytes=1 << 20, sightings=50),
    revision=9,
    recordings=4,
    results=6,
    open=11,
    running=10,
    folded=2,
    folded_sources=3,
    emptied=1,
    unemitted=5,
    oldest_unemitted=7,
    confirmations={"confirmed": 9, "missing": 2},
)
ALL = CollectorFigures(
    service=SERVICE,
    store=STORE,
    publisher=PublisherFigures(
        deleted=1,
        writes=30,
        creations=6,
        failures=2,
        overdue=1.5,
        decided={"refused": 3},
        denials=[(("shop", "apparmor", "file"), 12)],
        problem="away",
    ),
    ready=True,
    problem=False,
    recordings=8,
    refused=2,
    agents=4096,
    pending_bytes=1 << 25,
    watches=64,
)


def page(figures):
    async def now():
        return figures

    text = asyncio.run(CollectorMetrics(now, clock=lambda: 100.0).render()).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("info", {"version": __version__}, 1),
        ("agents", {}, 3),
        ("agent_streams_ended_total", {"reason": "access_denied"}, 1),
        ("reports_total", {}, 100),
        ("reports_refused_total", {"reason": "invalid"}, 7),
        ("reports_held_total", {}, 4),
        ("store_full", {}, 1),
        ("store_full_seconds", {}, 30),
        ("bound_limit", {"bound": "store_bytes"}, 1 << 20),
        ("bound_used", {"bound": "store_bytes"}, 1000),
        ("bound_used", {"bound": "sightings"}, 11),
        ("bound_used", {"bound": "agents"}, 3),
        ("bound_limit", {"bound": "pending_bytes"}, 1 << 25),
        ("store_confirmations", {"confirmation": "missing"}, 2),
        ("recordings", {"state": "asked"}, 8),
        ("recordings", {"state": "refused"}, 2),
        ("recordings", {"state": "deleted"}, 1),
        ("result_writes_total", {}, 30),
        ("results_overdue_seconds", {}, 1.5),
        ("results_stopped", {}, 1),
        ("confirmations_total", {"confirmation": "refused"}, 3),
        ("confirmations_total", {"confirmation": "missing"}, 0),
        ("platform_problem", {}, 0),
        ("denials", {"namespace": "shop", "kind": "apparmor", "class": "file"}, 12),
        ("reviews_total", {"answer": "allowed"}, 9),
        ("enrolments_total", {"result": "owner"}, 1),
        ("certificate_end_seconds", {"certificate": "ca"}, 1_900_000_000),
        ("identity_problem", {}, 0),
    ],
)
def test_each_figure_is_at_its_metric(name, labels, value):
    """Values by hand."""
    assert page(ALL)["recorder_collector_" + name, *sorted(labels.items())] == value


def test_every_metric_is_on_the_page():
    """Under the names that the documentation has."""
    found = {name for name, *_ in page(ALL)}
    assert found == {each.full_name for each in METRICS}


def test_a_store_that_cannot_be_asked_hides_the_rest_not():
    """Its own figures are left out."""
    found = page(dataclasses.replace(ALL, store=None))
    assert ("recorder_collector_agents",) in found
    assert not [name for name, *_ in found if "_store_l" in name or "_store_r" in name]
