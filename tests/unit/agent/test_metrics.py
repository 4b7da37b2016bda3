"""Metrics: what Prometheus reads is the agent's state, in bounded series, and costs nothing in between."""

import math
import os
import random
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from recorder.agent import figures as module
from recorder.agent.budget import BOUNDS, Budget, Use
from recorder.agent.figures import (
    ContainerState,
    Distribution,
    Distributions,
    ProgramRuns,
    Snapshot,
    bpf_statistics,
)
from recorder.agent.metrics import CONTENT_TYPE, METRICS, Metrics
from recorder.agent.settings import MemorySettings
from recorder.model.ledger import CAUSES, Ledger


class Core:
    """A source that counts how often it is asked."""

    def __init__(self, snapshot):
        self.state = snapshot
        self.asked = 0

    def snapshot(self):
        self.asked += 1
        return self.state


def bounds(**taken):
    use = Use(Budget(MemorySettings()))
    for name, amount in taken.items():
        use.take(name, amount)
    return use.bounds()


FULL = Snapshot(
    loader="libbpf",
    attached=True,
    ledger=Ledger({"slots_full": 3, "ring_full": 9, "of_a_newer_one": 2, "of_another": 5}),
    bounds=bounds(slots=7, queues=1000, captures=300),
    containers={ContainerState.RECORDED: 4, ContainerState.UNNAMED: 1},
    captures_connected=2,
    captures_away=3,
    streams_waiting=1,
    plan_recordings=11,
    runtimes={"containerd": True, 'odd "name"\\\n': False},
    uplink=True,
    uplink_connected=True,
    uplink_unacknowledged=6,
    certificate_ends=1_800_000_000.0,
    spool_bytes=8192,
    spool_entries=2,
    spool_damaged=1,
    programs=(ProgramRuns("on_sys_enter", 1.25, 1000),),
    denials=((("shop", "apparmor", "file"), 17),),
    accesses=((("unix_socket",), 19),),
)


def page(snapshot=FULL):
    distributions = Distributions()
    metrics = Metrics(Core(snapshot), distributions)
    distributions.snapshot_bytes.observe(5000)
    distributions.snapshot_seconds.observe(0.002)
    return metrics.render().decode()


def samples(text):
    """By name and labels, as prometheus_client's parser reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_state_is_what_prometheus_reads():
    """Each field of a snapshot, by the parser of another program than the one that wrote it."""
    found = samples(page())

    def value(name, **labels):
        return found[f"recorder_agent_{name}", tuple(sorted(labels.items()))]

    assert value("attached") == 1
    assert value("ledger_total", cause="slots_full", severity="loss") == 3
    assert value("ledger_total", cause="ring_full", severity="note") == 9
    assert value("ledger_total", cause="other", severity="loss") == 7
    assert value("ledger_total", cause="children_full", severity="loss") == 0
    assert value("bound_used", bound="slots") == 7
    assert value("bound_limit", bound="queues", unit="bytes") == 3 << 20
    assert value("bound_refused_total", bound="captures") == 1
    assert value("containers", state="recorded") == 4
    assert value("containers", state="ended") == 0
    assert value("captures", client="connected") == 2
    assert value("captures", client="away") == 3
    assert value("streams_waiting") == 1
    assert value("plan_recordings") == 11
    assert (
        found[
            "recorder_agent_denials_total",
            (("class", "file"), ("kind", "apparmor"), ("namespace", "shop")),
        ]
        == 17
    )
    assert value("accesses_total", kind="unix_socket") == 19
    assert value("runtime_reachable", runtime="containerd") == 1
    assert value("runtime_reachable", runtime='odd "name"\\\n') == 0
    assert value("uplink_connected") == 1
    assert value("uplink_unacknowledged") == 6
    assert value("certificate_end_seconds") == 1_800_000_000
    assert (value("spool_bytes"), value("spool_entries"), value("spool_damaged")) == (8192, 2, 1)
    assert value("bpf_run_seconds_total", program="on_sys_enter") == 1.25
    assert value("bpf_runs_total", program="on_sys_enter") == 1000
    assert value("snapshot_bytes_bucket", le="4096") == 0
    assert value("snapshot_bytes_bucket", le="16384") == value("snapshot_bytes_bucket", le="+Inf") == 1
    assert value("snapshot_seconds_sum") == 0.002


def test_the_process_is_measured():
    """Against /proc: resident memory, time, descriptors, threads and the start."""
    found = samples(page())
    status = Path("/proc/self/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
    assert found["recorder_agent_resident_memory_bytes", ()] == pytest.approx(resident, rel=0.1)
    assert found["recorder_agent_cpu_seconds_total", ()] == pytest.approx(time.process_time(), abs=0.5)
    assert found["recorder_agent_open_files", ()] == pytest.approx(len(os.listdir("/proc/self/fd")), abs=2)
    assert found["recorder_agent_threads", ()] == int(re.search(r"Threads:\s+(\d+)", status)[1])
    assert 0 < found["recorder_agent_start_time_seconds", ()] <= time.time()


def test_every_metric_is_described_and_every_description_is_a_metric():
    """In name, type, help and labels, so that docs/metrics.md is true."""
    families = {family.name: family for family in text_string_to_metric_families(page())}
    assert len(families) == len(METRICS)
    for each in METRICS:
        family = families[each.full_name.removesuffix("_total")]
        assert family.type == each.type.value
        assert family.documentation == each.help
        assert all(set(sample.labels) - {"le"} == set(each.labels) for sample in family.samples)


def test_without_state_what_is_absent_is_absent():
    """No collector, no kernel statistics, no runtime: no series that look like a failure."""
    names = {name for name, _ in samples(page(Snapshot("libbpf")))}
    absent = {
        "certificate_end_seconds",
        "uplink_connected",
        "uplink_unacknowledged",
        "bpf_runs_total",
        "bpf_run_seconds_total",
    }
    assert not names & {f"recorder_agent_{name}" for name in absent | {"runtime_reachable"}}


def test_series_are_bounded_whatever_is_recorded():
    """A thousand causes that nobody knows and as many containers make no series."""
    many = Snapshot(
        "libbpf",
        ledger=Ledger({f"cause_{number}": 1 for number in range(1000)}),
        bounds=bounds(),
        containers={ContainerState.RECORDED: 1000},
    )
    found = samples(page(many))
    assert found["recorder_agent_ledger_total", (("cause", "other"), ("severity", "loss"))] == 1000
    assert len(found) < 150
    assert sum(name == "recorder_agent_bound_used" for name, _ in found) == len(BOUNDS)
    assert sum(name == "recorder_agent_ledger_total" for name, _ in found) == len(CAUSES) + 1


def test_nothing_is_asked_between_scrapes():
    """Neither when it is made: the source is asked once for each page."""
    core = Core(FULL)
    metrics = Metrics(core, Distributions())
    assert core.asked == 0
    metrics.render()
    metrics.render()
    assert core.asked == 2


# What `promtool check metrics` objects to (Prometheus documentation, "Metric and label naming").
UNITS = r"(?:bytes|seconds|total|ratio)"
ABBREVIATED = r"(?:^|_)(?:s|ms|us|ns|sec|b|kb|mb|kib|mib|h|d|min|minutes|hours|milliseconds|megabytes)(?:_|$)"


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: each.name)
def test_names_follow_the_conventions(metric):
    """Base units, `_total` for counters alone, help that says something, no reserved suffix or label."""
    name = metric.full_name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert "__" not in name
    assert not re.search(ABBREVIATED, name)
    assert name.endswith("_total") == (metric.type.value == "counter")
    assert not re.search(r"_(?:count|sum|bucket|counter|gauge|histogram|created)$", name)
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) and label not in ("le", "quantile") for label in metric.labels)


def test_promtool_takes_the_page():
    """By Prometheus' own linter where it is installed; by its parser's Python twin in any case."""
    text = page()
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
    assert re.findall(r"^# (HELP|TYPE) (\S+)", text, re.M)[::2] == [
        ("HELP", each.full_name) for each in METRICS
    ]
    assert samples(text)
    if promtool := shutil.which("promtool"):
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@given(
    st.lists(st.floats(0, 100), max_size=50),
    st.lists(st.floats(0.1, 50), min_size=1, max_size=5, unique=True),
)
def test_a_distribution_counts_as_prometheus_does(values, ends):
    """Cumulative: each bucket has all values up to and with its end, +Inf all of them."""
    distribution = Distribution(sorted(ends))
    for value in values:
        distribution.observe(value)
    buckets, total = distribution.cumulative()
    assert [(float(end), count) for end, count in buckets] == [
        (end, sum(value <= end for value in values)) for end in [*sorted(ends), math.inf]
    ]
    assert total == pytest.approx(sum(values))


def test_threads_lose_no_value(scaled):
    """Observing from several threads while pages are made: nothing is lost, no page contradicts itself."""
    distributions = Distributions()
    metrics = Metrics(Core(Snapshot("libbpf")), distributions)
    each, count = scaled(20_000, 2000), 4

    def observe():
        rng = random.Random(5)
        for _ in range(each):
            distributions.snapshot_bytes.observe(rng.randrange(1, 1 << 23))

    threads = [threading.Thread(target=observe) for _ in range(count)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = samples(metrics.render().decode())
        inf = found["recorder_agent_snapshot_bytes_bucket", (("le", "+Inf"),)]
        assert found["recorder_agent_snapshot_bytes_count", ()] == inf
    for thread in threads:
        thread.join()
    assert samples(metrics.render().decode())["recorder_agent_snapshot_bytes_count", ()] == each * count


@pytest.mark.parametrize(("text", "counted"), [("0\n", False), ("1\n", True), (None, False)])
def test_whether_the_kernel_counts_runs(monkeypatch, tmp_path, text, counted):
    """By its own setting; a kernel without it counts none."""
    monkeypatch.setattr(module, "BPF_STATISTICS", tmp_path / "bpf_stats_enabled")
    if text is not None:
        (tmp_path / "bpf_stats_enabled").write_text(text)
    assert bpf_statistics() is counted
