"""What an agent that nobody asks for anything takes: memory, CPU time, and the time until it serves.

python -m benchmarks.agent_idle [--seconds S] [--runs N] [--output FILE.json], as root.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import report

AIM_MIB, AIM_MS, AIM_SECONDS = 20.0, 60.0, 1.0

RECORDER = Path(sys.executable).parent / "recorder"
SERVER = """
import asyncio, sys
import grpc.aio

async def serve():
    server = grpc.aio.server()
    server.add_insecure_port("unix:" + sys.argv[1])
    await server.start()
    print("serving", file=sys.stderr, flush=True)
    await server.wait_for_termination()

asyncio.run(serve())
"""


@contextmanager
def _serving(*command: str) -> Iterator[tuple[int, float]]:
    """A process that says `serving` on stderr: its pid, and the seconds until it did."""
    began = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        said = []
        try:
            for line in process.stderr or ():
                said.append(line)
                if "serving" in line:
                    break
            else:
                raise RuntimeError("".join(said))
            yield process.pid, time.monotonic() - began
        finally:
            process.terminate()
            process.stderr and process.stderr.read()


def _agent(folder: Path, pins: Path) -> list[str]:
    places = {
        "--socket": folder / "agent.sock",
        "--state-directory": folder / "state",
        "--spool-directory": folder / "spool",
        "--pins": pins / "recorder",
        "--config": folder / "none.toml",
    }
    (folder / "none.toml").touch()
    return [str(RECORDER), "agent", *(str(word) for pair in places.items() for word in pair)]


def _rss(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _cpu(pid: int) -> float:
    """Milliseconds on a CPU of its threads, as the scheduler counts."""
    threads = Path(f"/proc/{pid}/task")
    return (
        sum(int((threads / each / "schedstat").read_text().split()[0]) for each in os.listdir(threads)) / 1e6
    )


@contextmanager
def _bpffs(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "bpf", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main() -> int:
    """Measure, print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="of idleness (60)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="starts (5)")
    parser.add_argument("--output", type=Path, default=report.BUILD / "agent_idle.json", metavar="FILE.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, _bpffs(Path(name) / "bpffs") as pins:
        folder = Path(name)
        command = _agent(folder, pins)
        starts = []
        for _ in range(arguments.runs):
            with _serving(*command) as (_, seconds):
                starts.append(seconds)
        bare = [sys.executable, "-c", SERVER, str(folder / "bare.sock")]
        with _serving(*command) as (agent, _), _serving(*bare) as (server, _):
            time.sleep(3)  # what belongs to the start
            before = {pid: _cpu(pid) for pid in (agent, server)}
            time.sleep(arguments.seconds)
            cpu = {pid: (_cpu(pid) - was) * 60 / arguments.seconds for pid, was in before.items()}
            rss = {pid: _rss(pid) for pid in (agent, server)}
    figures = {
        "start_seconds": statistics.median(starts),
        "agent_rss_mib": rss[agent],
        "server_rss_mib": rss[server],
        "agent_cpu_ms_a_minute": cpu[agent],
        "server_cpu_ms_a_minute": cpu[server],
    }
    print(f"serves after          {figures['start_seconds']:8.2f} s    (aim: {AIM_SECONDS:g} s)")
    above = rss[agent] - rss[server]
    print(f"RSS                   {rss[agent]:8.1f} MiB, {above:.1f} above a bare server (aim: {AIM_MIB:g})")
    print(f"CPU a minute          {cpu[agent]:8.1f} ms   (aim: {AIM_MS:g}; a bare server: {cpu[server]:.1f})")
    report.write(arguments.output, "agent_idle", {"figures": figures, "starts": starts})
    return 0


if __name__ == "__main__":
    sys.exit(main())
