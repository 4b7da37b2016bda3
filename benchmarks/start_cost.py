"""What `recorder record -- true` takes: seconds, memory, and where both go.

python -m benchmarks.start_cost [--runs N] [--output FILE.json], as root.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import report

AIM_SECONDS = 0.35
AIM_MIB = 30

COMMAND = (str(Path(sys.executable).parent / "recorder"), "record", "--", "true")
ROOT = Path(__file__).parents[1]


class RunError(Exception):
    """A measured process failed; its words are in the text."""


def _whole_run() -> tuple[float, int]:
    """Wall time in s, and peak RSS in KiB, of one recording.

    The kernel's ru_maxrss also counts the process before its exec, which is a copy of this
    one: this one has to stay smaller than what it measures.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr  # noqa: S101 - for the type checker
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RunError(f"{' '.join(COMMAND)}: status {process.returncode}\n{said.decode(errors='replace')}")
    return took, usage.ru_maxrss


def _output(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise RunError(f"{' '.join(arguments)}: status {done.returncode}\n{done.stderr}")
    return done


def _phases(runs: int) -> Mapping[str, Mapping[str, float]]:
    """Medians by phase, in order: ms, and peak RSS at its end in KiB."""
    samples = [
        json.loads(_output(["-m", "benchmarks.start_phases", str(time.monotonic_ns())]).stdout)
        for _ in range(runs)
    ]
    return {
        phase: {
            "ms": round(statistics.median(sample[phase]["ms"] for sample in samples), 1),
            "peak_kib": int(statistics.median(sample[phase]["peak_kib"] for sample in samples)),
        }
        for phase in samples[0]
    }


def _imports() -> Mapping[str, Any]:
    """By `-X importtime`, in ms: our own modules, all others, and the ten longest by themselves."""
    said = _output(["-X", "importtime", "-c", "import recorder.cli.main"]).stderr
    own = {
        match[2]: int(match[1]) / 1000
        for match in re.finditer(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", said, re.MULTILINE)
    }
    ours = sum(ms for name, ms in own.items() if name.partition(".")[0] == "recorder")
    longest = sorted(own.items(), key=lambda item: -item[1])[:10]
    return {
        "modules": len(own),
        "ours_ms": round(ours, 1),
        "others_ms": round(sum(own.values()) - ours, 1),
        "longest_ms": {name: round(ms, 1) for name, ms in longest},
    }


def measure(runs: int) -> dict[str, Any]:
    """All figures. Raises RunError."""
    _whole_run()  # fills the page cache
    seconds, peaks = zip(*(_whole_run() for _ in range(runs)), strict=True)
    return {
        "runs": runs,
        "seconds": {"median": round(statistics.median(seconds), 3), "samples": seconds},
        "peak_mib": {"median": round(statistics.median(peaks) / 1024, 1), "samples_kib": peaks},
        "aim": {"seconds": AIM_SECONDS, "mib": AIM_MIB},
        "phases": _phases(runs),
        "imports": _imports(),
    }


def _print(result: Mapping[str, Any]) -> None:
    seconds, mib = result["seconds"]["median"], result["peak_mib"]["median"]
    print(f"recorder record -- true: {seconds:.2f} s, peak RSS {mib:.1f} MiB (medians of {result['runs']})")
    print(f"aim: under {AIM_SECONDS} s and {AIM_MIB} MiB\n")
    print(f"{'phase':<14} {'ms':>7}  {'peak RSS at its end, MiB':>24}")
    for phase, figures in result["phases"].items():
        print(f"{phase:<14} {figures['ms']:7.1f}  {figures['peak_kib'] / 1024:24.1f}")
    imports = result["imports"]
    print(
        f"\nimports: {imports['modules']} modules, ours {imports['ours_ms']} ms, "
        f"others {imports['others_ms']} ms; the longest by themselves:"
    )
    print(", ".join(f"{name} {ms} ms" for name, ms in imports["longest_ms"].items()))


def main() -> int:
    """0 when it was measured, whatever the figures; 3 when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_cost", description=__doc__)
    parser.add_argument("--runs", type=int, default=11, help="default: 11, about 6 s")
    parser.add_argument("--output", type=Path, default=report.BUILD / "start_cost.json", metavar="FILE.json")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")
    try:
        result = measure(options.runs)
    except (RunError, OSError) as error:
        print(f"start_cost: {error}", file=sys.stderr)
        return 3
    _print(result)
    report.write(options.output, "start_cost", result)
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
