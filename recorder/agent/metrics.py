"""The agent's metrics: made from its state when Prometheus asks, and never in between.

The state comes from a `StatusSource`, the core. Every label has few values that are known
in advance, and nothing that a container says is one, but for those of `denials_total`, which are
bounded and escaped. `METRICS` is the source for docs/metrics.md.
"""

from __future__ import annotations

import functools

from recorder import __version__
from recorder.agent.figures import ContainerState, Distributions, Snapshot, StatusSource
from recorder.service.metrics import (
    CONTENT_TYPE,
    OTHER,
    Described,
    Histogram,
    MetricsPage,
    Row,
    Type,
    ledger,
    one,
    process_metrics,
)

__all__ = ["CONTENT_TYPE", "METRICS", "Metrics"]

PREFIX = "recorder_agent_"

_metric = functools.partial(Described, prefix=PREFIX)

_STATES = (
    "`recorded`; `ended`: its record waits to be handed on; `idle`: known, and nobody asks for it;"
    " `not_recordable`: it does not run on this kernel; `unnamed`: recorded, and no runtime knows it"
)
_BOUND = {"bound": "see [limits.md](limits.md)"}
_PROGRAM = {"program": "of the BPF object"}

METRICS: tuple[Described, ...] = (
    _metric(
        "info",
        Type.GAUGE,
        "The agent: always 1.",
        {"version": "the recorder's", "loader": "`libbpf` or `bcc`"},
    ),
    _metric("attached", Type.GAUGE, "Whether BPF programs are attached: 1 while something is recorded."),
    _metric(
        "ledger_total",
        Type.COUNTER,
        "What was lost, or is worth knowing, over all that was recorded since the start.",
        {"cause": f"see [limits.md](limits.md); `{OTHER}`: any other", "severity": "`loss` or `note`"},
    ),
    _metric(
        "bound_limit", Type.GAUGE, "A bound of memory.", {**_BOUND, "unit": "`bytes`, or what is counted"}
    ),
    _metric("bound_used", Type.GAUGE, "How much of a bound is in use.", _BOUND),
    _metric("bound_refused_total", Type.COUNTER, "What found no room since the start.", _BOUND),
    _metric("containers", Type.GAUGE, "Containers by what is known of them.", {"state": _STATES}),
    _metric(
        "captures",
        Type.GAUGE,
        "Captures on request.",
        {"client": "`connected`, or `away`: it may come back and go on"},
    ),
    _metric("streams_waiting", Type.GAUGE, "Clients that read more slowly than there is news for them."),
    _metric("plan_recordings", Type.GAUGE, "Recordings in the collector's plan."),
    _metric(
        "runtime_reachable",
        Type.GAUGE,
        "Whether a container runtime answers.",
        {"runtime": "as it is configured or found"},
    ),
    _metric("uplink_connected", Type.GAUGE, "Whether the collector is connected; absent without one."),
    _metric(
        "uplink_unacknowledged",
        Type.GAUGE,
        "Records with news that the collector has not acknowledged; absent without one.",
    ),
    _metric(
        "certificate_end_seconds",
        Type.GAUGE,
        "When the certificate ends that the collector signed, in Unix time; 0: there is none yet; absent"
        " without enrolment.",
    ),
    _metric("spool_bytes", Type.GAUGE, "The spool, in blocks of 4 KiB."),
    _metric("spool_entries", Type.GAUGE, "Ended records in the spool."),
    _metric("spool_damaged", Type.GAUGE, "Files of the spool that could not be read and are set aside."),
    _metric("snapshot_bytes", Type.HISTOGRAM, "Snapshots to clients, by their size."),
    _metric(
        "snapshot_seconds", Type.HISTOGRAM, "Snapshots to clients, by the time from reading maps to sending."
    ),
    _metric(
        "bpf_run_seconds_total",
        Type.COUNTER,
        "Time that BPF programs ran; absent while the kernel does not count it (kernel.bpf_stats_enabled).",
        _PROGRAM,
    ),
    _metric(
        "bpf_runs_total",
        Type.COUNTER,
        "Runs of BPF programs; absent while the kernel does not count them (kernel.bpf_stats_enabled).",
        _PROGRAM,
    ),
    _metric(
        "denials_total",
        Type.COUNTER,
        "What was denied to containers, or would have been, where it is asked for; of a call, to how many"
        f" containers. At most 1,000 series, the rest under `{OTHER}`.",
        {
            "namespace": "of the pod; empty: no pod's",
            "kind": "`seccomp`, `apparmor`, `selinux`, or `rest`: there were more than are kept",
            "class": "the object's class as the module calls it; the system call",
        },
    ),
    _metric(
        "accesses_total",
        Type.COUNTER,
        "What containers used, where it is asked for: different files, sockets and the like of each.",
        {"kind": "`file`, `socket`, `unix_socket`, `signal`, `ptrace`, `mount`, `capability` and so on"},
    ),
    *process_metrics(PREFIX, "The agent's"),
)


class Metrics(MetricsPage):
    """METRICS, and nothing else."""

    def __init__(self, source: StatusSource, distributions: Distributions) -> None:
        self._source = source
        self._distributions = distributions
        super().__init__(METRICS, self._now)

    def _now(self) -> dict[str, list[Row] | Histogram]:
        return {
            **_of_state(self._source.snapshot()),
            "snapshot_bytes": self._distributions.snapshot_bytes.cumulative(),
            "snapshot_seconds": self._distributions.snapshot_seconds.cumulative(),
        }


def _of_state(state: Snapshot) -> dict[str, list[Row] | Histogram]:
    return {
        "info": [((__version__, state.loader), 1)],
        "attached": one(state.attached),
        "ledger_total": ledger(state.ledger),
        "bound_limit": [((each.name, each.unit), each.limit) for each in state.bounds],
        "bound_used": [((each.name,), each.used) for each in state.bounds],
        "bound_refused_total": [((each.name,), each.refused) for each in state.bounds],
        "containers": [((each.value,), state.containers.get(each, 0)) for each in ContainerState],
        "captures": [(("connected",), state.captures_connected), (("away",), state.captures_away)],
        "streams_waiting": one(state.streams_waiting),
        "plan_recordings": one(state.plan_recordings),
        "runtime_reachable": [((name,), reachable) for name, reachable in sorted(state.runtimes.items())],
        "uplink_connected": one(state.uplink_connected) if state.uplink else [],
        "uplink_unacknowledged": one(state.uplink_unacknowledged) if state.uplink else [],
        "certificate_end_seconds": one(state.certificate_ends) if state.certificate_ends is not None else [],
        "spool_bytes": one(state.spool_bytes),
        "spool_entries": one(state.spool_entries),
        "spool_damaged": one(state.spool_damaged),
        "bpf_run_seconds_total": [((each.name,), each.seconds) for each in state.programs],
        "bpf_runs_total": [((each.name,), each.runs) for each in state.programs],
        "denials_total": list(state.denials),
        "accesses_total": list(state.accesses),
    }
