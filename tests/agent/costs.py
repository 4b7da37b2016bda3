"""What a process takes: memory, CPU time, descriptors and threads, as the kernel counts them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.agent.process import AgentProcess
from tests.kernel_objects import memlock

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Costs:
    """`rss` and `kernel` (all maps that it holds) in bytes, `cpu` in seconds since its start."""

    rss: int
    kernel: int
    cpu: float
    descriptors: int
    threads: int


def costs(pid: int) -> Costs:
    """Of a process, now."""
    process = psutil.Process(pid)
    with process.oneshot():
        return Costs(
            process.memory_info().rss,
            sum(memlock(pid).values()),
            cpu_seconds(pid),
            process.num_fds(),
            process.num_threads(),
        )


def cpu_seconds(pid: int) -> float:
    """Time on a CPU of the threads that there are, by the scheduler, which counts in ns and not in ticks."""
    threads = Path(f"/proc/{pid}/task")
    return (
        sum(int((threads / each / "schedstat").read_text().split()[0]) for each in os.listdir(threads)) / 1e9
    )


def peak(pid: int) -> int:
    """The most of resident memory that it ever had, in bytes (proc(5): VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) << 10


def budget(agent: AgentProcess, what: str) -> float:
    """Bytes that the agent says that its bounds add up to; `what`: kernel or process."""
    said = agent.run("--check").stdout.decode()
    found = re.search(rf"^{what} memory: ([0-9.,]+) of", said, re.MULTILINE)
    assert found, said
    return float(found[1].replace(",", "")) * MIB
