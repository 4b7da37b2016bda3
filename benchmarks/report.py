"""A benchmark's result as a JSON file: figures, and what they were measured on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorder import __version__

BUILD = Path(__file__).parents[1] / "build" / "benchmarks"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace")
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    name = os.uname()
    return {
        "kernel": name.release,
        "machine": name.machine,
        "cpu": model[1] if model else "unknown",
        "cpus": os.cpu_count(),
        # Whether page tables are switched at each system call: most of the base's cost where it is on.
        "meltdown": _read("/sys/devices/system/cpu/vulnerabilities/meltdown"),
        "jit": _read("/proc/sys/net/core/bpf_jit_enable"),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def write(path: Path, benchmark: str, result: Mapping[str, Any]) -> None:
    """One object: benchmark, date (UTC), recorder's version, machine, and the result's own keys."""
    head = {
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "recorder": __version__,
        "machine": machine(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**head, **result}, indent=2) + "\n")
