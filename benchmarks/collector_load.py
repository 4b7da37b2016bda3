"""What agents cost their collector: memory, CPU time, lateness, and how each grows with their number.

python -m benchmarks.collector_load [--agents N ...] [--seconds S] [--output FILE.json]

For each number of agents one real collector (`loaded_collector`) and the agents in processes of their own
(`load_agents`), by gRPC with mutual TLS on the loopback. All of them connect at once, then report 20
containers each at once; then so many containers a second change; then the collector is killed, and
started again on its store while containers go on changing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.load_certificates import LoadCertificates
from benchmarks.load_cluster import OF_NODE

OF_PROCESS = 1000
"""Agents of one process."""
WAIT = 600.0
"""Seconds for anything to come about."""
WARM = 5.0
MIB = 1 << 20


@dataclass
class Figures:
    """Of one number of agents. Seconds, bytes; cpu: seconds of CPU time a second.

    connected: all agents at once; first_*: all their containers at once, from an empty store, until they
    are stored, and until all are confirmed. lag: from a change to its acknowledgement;
    quarters: its medians over the run. again_*: after SIGKILL, from the new process's start on.
    others_cpu: what else ran on the machine meanwhile, which all times that are no CPU time depend on.
    """

    agents: int = 0
    containers: int = 0
    base_rss: int = 0
    connected: float = 0.0
    connected_rss: int = 0
    first_stored: float = 0.0
    first_confirmed: float = 0.0
    first_rss: int = 0
    first_cpu: float = 0.0
    seconds: float = 0.0
    rss: int = 0
    peak_rss: int = 0
    cpu: float = 0.0
    loop_cpu: float = 0.0
    agents_cpu: float = 0.0
    others_cpu: float = 0.0
    agents_late: float = 0.0
    changes: float = 0.0
    lag_median: float = 0.0
    lag_p99: float = 0.0
    lag_most: float = 0.0
    lag_quarters: tuple[float, ...] = ()
    pending: float = 0.0
    report_bytes: float = 0.0
    store_bytes: int = 0
    written_bytes: float = 0.0
    commits: float = 0.0
    confirmations: float = 0.0
    result_writes: float = 0.0
    results: int = 0
    overdue: float = 0.0
    again_serving: float = 0.0
    again_connected: float = 0.0
    again_stored: float = 0.0
    again_rss: int = 0


class Process:
    """What the kernel says of one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def rss(self) -> int:
        """Bytes."""
        return self._status("VmRSS")

    @property
    def peak_rss(self) -> int:
        """Bytes, since it began."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
        raise RuntimeError(f"/proc/{self.pid}/status has no {name}")

    def cpu(self, thread: int = 0) -> float:
        """Seconds on a CPU, of all its threads that live or have ended, or of one."""
        where = f"/proc/{self.pid}/task/{thread}/stat" if thread else f"/proc/{self.pid}/stat"
        fields = Path(where).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def written(self) -> int:
        """Bytes that went to the disk."""
        text = Path(f"/proc/{self.pid}/io").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes"))


class Collector:
    """The collector's process, on the same ports and store each time."""

    def __init__(self, folder: Path, certificates: Path, workloads: int) -> None:
        self.port, self._metrics = _free_port(), _free_port()
        self._folder = folder
        self._command = [str(certificates), str(self.port), str(self._metrics), str(workloads)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        """Begun; `wait` until it serves."""
        command = [sys.executable, "-m", "benchmarks.loaded_collector", str(self._folder), *self._command]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        return Process(self._process.pid)

    def end(self, number: int = signal.SIGTERM) -> None:
        """By a signal; reaped."""
        if self._process:
            self._process.send_signal(number)
            self._process.wait(WAIT)
            self._process = None

    def metrics(self) -> dict[str, float]:
        """The page by name, with labels; empty while it does not serve."""
        self.lives()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=60) as page:
                lines = page.read().decode().splitlines()
        except (urllib.error.URLError, ConnectionError):
            return {}
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name.removeprefix("recorder_collector_"): float(value) for name, _, value in pairs}

    def lives(self) -> bool:
        """True, or RuntimeError."""
        if not self._process or self._process.poll() is not None:
            raise RuntimeError(f"the collector has ended: {(self._folder / 'log').read_text()[-2000:]}")
        return True

    def store_size(self) -> int:
        """Bytes of the store's files."""
        return sum(each.stat().st_size for each in self._folder.glob("collector.db*"))


class Agents:
    """The processes of all agents."""

    def __init__(self, count: int, port: int, certificates: Path, workloads: int) -> None:
        self.count = count
        self._processes: list[subprocess.Popen[str]] = []
        for first in range(0, count, OF_PROCESS):
            some = min(OF_PROCESS, count - first)
            words = map(str, (port, certificates, first, some, workloads))
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.load_agents", *words],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

    def ask(self, command: str, *arguments: float) -> list[dict[str, Any]]:
        """Each process's answer."""
        for each in self._processes:
            if each.stdin:
                print(command, *arguments, file=each.stdin, flush=True)
        lines = [each.stdout.readline() for each in self._processes if each.stdout]
        if not all(lines):
            raise RuntimeError("a process of agents has ended")
        return [json.loads(each) for each in lines]

    def change(self, rate: float) -> None:
        """So many containers a second, of all."""
        self.ask("change", rate / len(self._processes))

    def state(self) -> tuple[int, int]:
        """How many are connected, and how many containers wait for an acknowledgement."""
        answers = self.ask("state")
        return sum(each["connected"] for each in answers), sum(each["waiting"] for each in answers)

    def cpu(self) -> float:
        """Seconds, of all processes."""
        return sum(Process(each.pid).cpu() for each in self._processes)

    def end(self) -> None:
        """Killed: nobody misses what they have."""
        for each in self._processes:
            each.kill()
            each.wait()


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _busy() -> float:
    """Seconds that all CPUs have worked, since the machine began."""
    fields = [int(each) for each in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    idle, io_wait = fields[3:5]
    return (sum(fields[:8]) - idle - io_wait) / os.sysconf("SC_CLK_TCK")


def _until(what: Callable[[], object], every: float = 0.2) -> float:
    """When it was true, of the monotonic clock."""
    end = time.monotonic() + WAIT
    while not what():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {WAIT:g} s")
        time.sleep(every)
    return time.monotonic()


def _say(figures: Figures, what: str) -> None:
    print(f"{figures.agents:,} agents: {what}", file=sys.stderr, flush=True)


@contextmanager
def _running(count: int, certificates: Path, workloads: int) -> Iterator[tuple[Collector, Agents]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="collector-load-")))
        collector = Collector(folder, certificates, workloads)
        stack.callback(collector.end, signal.SIGKILL)
        agents = Agents(count, collector.port, certificates, workloads)
        stack.callback(agents.end)
        agents.ask("change", 0)  # they are there
        yield collector, agents


def measure(count: int, certificates: Path, options: argparse.Namespace) -> Figures:
    """All that is asked of one number of agents."""
    figures = Figures(agents=count, containers=count * OF_NODE)
    with _running(count, certificates, options.workloads) as (collector, agents):
        process = collector.start()
        _until(lambda: collector.metrics().get("ready"))
        figures.base_rss = process.rss
        _first(figures, collector, agents, process)
        if not options.seconds:
            return figures
        agents.change(options.change * figures.containers)
        time.sleep(WARM)
        _changing(figures, collector, agents, process, options.seconds)
        _again(figures, collector, agents)
    return figures


def _first(figures: Figures, collector: Collector, agents: Agents, process: Process) -> None:
    _say(figures, "connecting")
    began = time.monotonic()
    agents.ask("connect")
    figures.connected = _until(lambda: collector.lives() and agents.state()[0] == agents.count) - began
    figures.connected_rss = process.rss
    _say(figures, f"connected in {figures.connected:.1f} s")
    began, cpu = time.monotonic(), process.cpu()
    agents.ask("begin")
    figures.first_stored = _until(lambda: collector.lives() and agents.state() == (agents.count, 0)) - began
    _say(figures, f"all stored in {figures.first_stored:.1f} s")
    confirmed = 'store_confirmations{confirmation="confirmed"}'
    figures.first_confirmed = (
        _until(lambda: collector.metrics().get(confirmed, 0) >= figures.containers, 1.0) - began
    )
    _say(figures, f"all confirmed in {figures.first_confirmed:.1f} s")
    figures.first_rss, figures.first_cpu = process.rss, process.cpu() - cpu


def _changing(
    figures: Figures, collector: Collector, agents: Agents, process: Process, seconds: float
) -> None:
    agents.ask("lags")
    before, began = collector.metrics(), time.monotonic()
    cpu, loop, theirs, written = process.cpu(), process.cpu(process.pid), agents.cpu(), process.written
    busy = _busy()
    pending, rss = [], []
    while (now := time.monotonic()) < began + seconds:
        time.sleep(min(2.0, max(0.1, began + seconds - now)))
        rss.append(process.rss)
        pending.append(agents.state()[1])
    lasted = time.monotonic() - began
    figures.seconds = lasted
    figures.cpu = (process.cpu() - cpu) / lasted
    figures.loop_cpu = (process.cpu(process.pid) - loop) / lasted
    figures.agents_cpu = (agents.cpu() - theirs) / lasted
    figures.others_cpu = max(0.0, (_busy() - busy) / lasted - figures.cpu - figures.agents_cpu)
    figures.written_bytes = (process.written - written) / lasted
    figures.rss, figures.peak_rss = round(statistics.median(rss)), process.peak_rss
    figures.pending = statistics.mean(pending)
    answers = agents.ask("lags")
    _lags(figures, sorted((when, lag) for each in answers for when, lag in each["lags"]))
    figures.agents_late = max(each["late"] for each in answers)
    after = collector.metrics()
    rates = {name: (after[name] - before.get(name, 0.0)) / lasted for name in after}
    figures.changes = rates["reports_stored_total"]
    figures.report_bytes = rates["report_bytes_total"]
    figures.commits = rates["commits_total"]
    figures.result_writes = rates["result_writes_total"]
    figures.confirmations = sum(rates[each] for each in rates if each.startswith("confirmations_total"))
    figures.results = round(after["store_results"])
    figures.overdue = after["results_overdue_seconds"]
    figures.store_bytes = collector.store_size()


def _lags(figures: Figures, found: Sequence[tuple[float, float]]) -> None:
    """`found`: when each was acknowledged, and the seconds since its change; by time."""
    lags = [lag for _, lag in found]
    size = max(1, len(lags) // 4)
    figures.lag_quarters = tuple(statistics.median(lags[at * size : (at + 1) * size]) for at in range(4))
    lags.sort()
    figures.lag_median = lags[len(lags) // 2]
    figures.lag_p99 = lags[len(lags) * 99 // 100]
    figures.lag_most = lags[-1]


def _again(figures: Figures, collector: Collector, agents: Agents) -> None:
    _say(figures, f"measured for {figures.seconds:.0f} s; the collector is killed now")
    collector.end(signal.SIGKILL)
    _until(lambda: agents.state()[0] == 0)
    began = time.monotonic()
    process = collector.start()
    figures.again_serving = _until(lambda: collector.metrics().get("ready")) - began
    figures.again_connected = _until(lambda: collector.lives() and agents.state()[0] == agents.count) - began
    agents.change(0)
    figures.again_stored = _until(lambda: collector.lives() and agents.state()[1] == 0) - began
    figures.again_rss = process.rss


ROWS: list[tuple[str, Callable[[Figures], str]]] = [
    ("containers", lambda each: f"{each.containers:,}"),
    ("all at once: connected after, s", lambda each: f"{each.connected:.1f}"),
    ("  all containers stored after, s", lambda each: f"{each.first_stored:.1f}"),
    ("  all pods confirmed after, s", lambda each: f"{each.first_confirmed:.1f}"),
    ("  the collector's CPU time by then, s", lambda each: f"{each.first_cpu:.1f}"),
    ("RSS without agents, MiB", lambda each: f"{each.base_rss / MIB:.0f}"),
    ("RSS with all connected, MiB", lambda each: f"{each.connected_rss / MIB:.0f}"),
    (
        "  above the base, KiB per agent",
        lambda each: f"{(each.connected_rss - each.base_rss) / each.agents / 1024:.1f}",
    ),
    ("RSS when all is stored, MiB", lambda each: f"{each.first_rss / MIB:.0f}"),
    ("RSS under load, MiB", lambda each: f"{each.rss / MIB:.0f}"),
    (
        "  above the base, KiB per agent",
        lambda each: f"{(each.rss - each.base_rss) / each.agents / 1024:.1f}",
    ),
    ("RSS at most, MiB", lambda each: f"{each.peak_rss / MIB:.0f}"),
    ("reports stored a second", lambda each: f"{each.changes:.0f}"),
    ("  KiB each", lambda each: f"{each.report_bytes / max(each.changes, 1) / 1024:.1f}"),
    ("CPU, s a second", lambda each: f"{each.cpu:.3f}"),
    ("  of it the event loop's thread", lambda each: f"{each.loop_cpu:.3f}"),
    ("  per agent, ms a minute", lambda each: f"{each.cpu / each.agents * 60_000:.1f}"),
    ("  per report, ms", lambda each: f"{each.cpu / max(each.changes, 1) * 1000:.2f}"),
    ("lag, median, ms", lambda each: f"{each.lag_median * 1000:.0f}"),
    ("  99 of 100, ms", lambda each: f"{each.lag_p99 * 1000:.0f}"),
    ("  at most, ms", lambda each: f"{each.lag_most * 1000:.0f}"),
    ("  medians of four quarters, ms", lambda each: " ".join(f"{it * 1000:.0f}" for it in each.lag_quarters)),
    ("containers that wait, mean", lambda each: f"{each.pending:.0f}"),
    ("commits a second", lambda each: f"{each.commits:.1f}"),
    ("store, MiB", lambda each: f"{each.store_bytes / MIB:.0f}"),
    ("  written to disk, MiB a second", lambda each: f"{each.written_bytes / MIB:.1f}"),
    ("containers confirmed a second", lambda each: f"{each.confirmations:.1f}"),
    ("results written a second", lambda each: f"{each.result_writes:.1f}"),
    ("results in the store", lambda each: f"{each.results:,}"),
    ("next result overdue, s", lambda each: f"{each.overdue:.1f}"),
    ("after SIGKILL: serves after, s", lambda each: f"{each.again_serving:.1f}"),
    ("  all connected after, s", lambda each: f"{each.again_connected:.1f}"),
    ("  all stored after, s", lambda each: f"{each.again_stored:.1f}"),
    ("  RSS then, MiB", lambda each: f"{each.again_rss / MIB:.0f}"),
    ("the agents' own CPU, s a second", lambda each: f"{each.agents_cpu:.2f}"),
    ("the rest of the machine, s a second", lambda each: f"{each.others_cpu:.2f}"),
    ("  the agents' clock late at most, ms", lambda each: f"{each.agents_late * 1000:.0f}"),
]


def _print(found: Sequence[Figures]) -> None:
    print(f"{'agents':36}" + "".join(f"{each.agents:>16,}" for each in found))
    for name, text in ROWS:
        print(f"{name:36}" + "".join(f"{text(each):>16}" for each in found))
    first, last = found[0], found[-1]
    if last.agents > first.agents:
        more = last.agents - first.agents
        rss = (last.rss - first.rss) / more / 1024
        cpu = (last.cpu - first.cpu) / more * 60_000
        print(f"{first.agents:,} to {last.agents:,}: {rss:.1f} KiB and {cpu:.1f} ms a minute for each more")


def main() -> int:
    """Measure, print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, nargs="+", default=[500, 1000, 2000, 4000], metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=60, metavar="S", help="of changes (60); 0: until all is stored"
    )
    parser.add_argument("--change", type=float, default=0.01, help="part of all containers a second (0.01)")
    parser.add_argument("--workloads", type=int, default=100, help="recordings (100)")
    parser.add_argument(
        "--output", type=Path, default=report.BUILD / "collector_load.json", metavar="FILE.json"
    )
    options = parser.parse_args()
    # a connection is a file; children have the same bound
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    settings = {"change": options.change, "workloads": options.workloads, "containers_of_agent": OF_NODE}
    found: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="collector-load-") as name:
        certificates = Path(name)
        LoadCertificates(certificates).make(max(options.agents))
        for count in options.agents:
            found.append(measure(count, certificates, options))
            # the next one may take long, and fail
            figures = {"settings": settings, "figures": [asdict(each) for each in found]}
            report.write(options.output, "collector_load", figures)
    _print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
