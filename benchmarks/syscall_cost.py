"""What a system call costs more while something is recorded, against the least that any hook costs.

python -m benchmarks.syscall_cost [--rounds N] [--output FILE.json], as root.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.compile import BuildError, compile_bpf, compile_program
from benchmarks.empty_program import EmptyProgram
from benchmarks.loop import SyscallLoop
from recorder.containers.cgroup import Cgroup, make_cgroup, own_cgroup
from recorder.kernel.backend import Backend
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.loaders import load
from recorder.kernel.spec import Bounds, TaskBounds, syscalls_spec, tasks_spec
from recorder.model.errors import RecorderError
from recorder.model.syscall import syscall_name

AIM = 1.25
"""How much more than the empty program the recorder may cost, recorded and not recorded."""

JUDGED = ("recorded", "not_recorded", "followed", "not_followed")
PASSES = 5
BATCHES = 3
CALLS = 15_000

Variant = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Ground:
    """Two cgroups: `own` has the loop in it, `other` has nothing."""

    own: Cgroup
    other: Cgroup


@contextmanager
def _ground() -> Iterator[Ground]:
    parent = make_cgroup(own_cgroup(), f"recorder-bench-{os.getpid()}")
    try:
        yield Ground(make_cgroup(parent, "loop"), make_cgroup(parent, "other"))
    finally:
        _remove(parent)


def _remove(cgroup: Cgroup) -> None:
    """A process that has ended leaves its cgroup a moment later."""
    for _ in range(100):
        if cgroup.remove():
            return
        time.sleep(0.02)
    raise RuntimeError(f"cannot remove {cgroup.path}: a task is left in it")


@contextmanager
def _recording(backend: Backend, cgroup: Cgroup, *, seen: bool, late: bool = True) -> Iterator[None]:
    """The recorder records `cgroup`; seen: whether the loop's calls are to be found in it."""
    target = backend.add(cgroup.id, SlotMode.MODE_EXEC, late=late)
    try:
        yield
        reading = backend.read(target)
        if bool(reading.calls) != seen or backend.ledger().losses():
            raise RuntimeError(f"the variant is not what it says: {reading}, {backend.ledger()}")
    finally:
        backend.drop(target)
        backend.release(target)


@contextmanager
def _in_setup(backend: LibbpfBackend, ground: Ground) -> Iterator[None]:
    """As recorded, and a task that came from outside, and has not exec'd yet, sleeps beside the loop."""
    with subprocess.Popen(["sleep", "60"]) as joiner, _recording(backend, ground.own, seen=True):
        (ground.own.path / "cgroup.procs").write_text(str(joiner.pid))
        try:
            yield
        finally:
            joiner.kill()
            joiner.wait()


@contextmanager
def _following(backend: LibbpfTaskBackend, pid: int, *, seen: bool) -> Iterator[None]:
    """A process is recorded by itself; seen: whether the loop's call is to be found."""
    target = backend.follow(pid)
    try:
        yield
        reading = backend.read(target)
        found = any(
            syscall_name(key.abi, number) == "getppid"
            for key, calls in reading.calls.items()
            for number in calls
        )
        if found != seen or backend.ledger().losses():
            raise RuntimeError(f"the variant is not what it says: {reading}, {backend.ledger()}")
    finally:
        backend.drop(target)
        backend.release(target)


@contextmanager
def _follows_another(backend: LibbpfTaskBackend) -> Iterator[None]:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            with _following(backend, other.pid, seen=False):
                yield
        finally:
            other.kill()
            other.wait()


MEANINGS = {
    "unloaded": "no recorder",
    "nothing": "recorder loaded, nothing recorded",
    "empty": "an empty program on sys_enter",
    "recorded": "the loop is recorded",
    "not_recorded": "another cgroup is recorded",
    "in_setup": "recorded, a task in set-up beside it",
    "followed": "the loop's process is recorded (--pid)",
    "not_followed": "another process is recorded (--pid)",
    "denials": "--kind denials: the loop is recorded",
    "denials_not_recorded": "--kind denials: another cgroup is recorded",
    "filtered": "the loop has a seccomp filter; nothing recorded",
    "filtered_recorded": "the loop has a seccomp filter; it is recorded",
    "filtered_denials": "the same with --kind denials",
    "filtered_late": "the same, and it ran before",
    "bcc_recorded": "by loader bcc: the loop is recorded",
    "bcc_not_recorded": "by loader bcc: another cgroup is recorded",
}


BASES = dict.fromkeys(("filtered", "filtered_recorded", "filtered_denials", "filtered_late"), "filtered")
"""What own costs are over, where it is not `nothing`."""


def _sample(loop: SyscallLoop, variants: Mapping[str, Variant]) -> dict[str, float]:
    """Each variant's fastest of PASSES short runs; in each pass all run, in random order."""
    fastest = dict.fromkeys(variants, math.inf)
    for _ in range(PASSES):
        for name in random.sample(list(variants), len(variants)):
            with variants[name]():
                fastest[name] = min(fastest[name], loop.run(BATCHES, CALLS))
    return fastest


@contextmanager
def _bcc() -> Iterator[Backend | None]:
    """Loaded once, since bcc compiles for seconds; None, with a line on stderr, where it cannot be."""
    try:
        backend = load("bcc", Bounds()).backend
    except RecorderError as error:
        print(f"syscall_cost: without bcc: {error}", file=sys.stderr)
        yield None
        return
    try:
        yield backend
    finally:
        backend.close()


def _sample_bcc(loop: SyscallLoop, ground: Ground, backend: Backend) -> dict[str, float]:
    """As _sample, but attached once for all passes: a classic tracepoint detaches in 80 ms."""
    fastest = {}
    for name, cgroup, seen in (
        ("bcc_recorded", ground.own, True),
        ("bcc_not_recorded", ground.other, False),
    ):
        with _recording(backend, cgroup, seen=seen):
            fastest[name] = min(loop.run(BATCHES, CALLS) for _ in range(PASSES))
    return fastest


def _sample_denials(loop: SyscallLoop, filtered: SyscallLoop, ground: Ground) -> dict[str, float]:
    """As _sample, with a backend that looks for denied calls as well, and one that does not."""
    with (
        closing(LibbpfBackend(syscalls_spec(Bounds()))) as plain,
        closing(LibbpfBackend(syscalls_spec(Bounds(denials=True)))) as backend,
    ):
        own = ground.own
        return _sample(
            loop,
            {
                "denials": lambda: _recording(backend, own, seen=True),
                "denials_not_recorded": lambda: _recording(backend, ground.other, seen=False),
            },
        ) | _sample(
            filtered,
            {
                "filtered": nullcontext,
                "filtered_recorded": lambda: _recording(plain, own, seen=True),
                "filtered_denials": lambda: _recording(backend, own, seen=True, late=False),
                "filtered_late": lambda: _recording(backend, own, seen=True),
            },
        )


def _round(loop: SyscallLoop, ground: Ground, empty: Path) -> dict[str, float]:
    """All variants once. Loaded anew, so that where code and maps happen to lie is averaged too."""
    unloaded = _sample(loop, {"unloaded": nullcontext})
    backend = LibbpfBackend(syscalls_spec(Bounds()))
    tasks = LibbpfTaskBackend(tasks_spec(TaskBounds()))
    try:
        with EmptyProgram(empty) as program:
            return unloaded | _sample(
                loop,
                {
                    "nothing": nullcontext,
                    "empty": program.attached,
                    "recorded": lambda: _recording(backend, ground.own, seen=True),
                    "not_recorded": lambda: _recording(backend, ground.other, seen=False),
                    "in_setup": lambda: _in_setup(backend, ground),
                    "followed": lambda: _following(tasks, loop.pid, seen=True),
                    "not_followed": lambda: _follows_another(tasks),
                },
            )
    finally:
        tasks.close()
        backend.close()


def measure(rounds: int) -> Mapping[str, list[float]]:
    """By variant, ns per call in each round."""
    with tempfile.TemporaryDirectory(prefix="recorder-bench-") as folder, _ground() as ground, _bcc() as bcc:
        empty = compile_bpf("empty.bpf.c", Path(folder))
        program = compile_program("syscall_loop.c", Path(folder))
        with (
            closing(SyscallLoop(program, ground.own)) as loop,
            closing(SyscallLoop(program, ground.own, filtered=True)) as filtered,
        ):
            samples = [
                _round(loop, ground, empty)
                | _sample_denials(loop, filtered, ground)
                | (_sample_bcc(loop, ground, bcc) if bcc else {})
                for _ in range(rounds)
            ]
    return {name: [sample[name] for sample in samples] for name in MEANINGS if name in samples[0]}


def evaluate(samples: Mapping[str, list[float]]) -> Mapping[str, Mapping[str, Any]]:
    """By variant: median, own cost and two ratios to the empty program.

    own_ns is the median of the differences to `nothing` (of a loop with a filter: `filtered`) of
    the same round, so that a machine
    that gets slower or faster meanwhile changes both; ratio_own compares these; ratio_total
    compares whole calls. spread_ns is the distance between the quartiles.
    """
    empty = samples["empty"]

    def own(name: str) -> float:
        base = samples[BASES.get(name, "nothing")]
        return statistics.median(a - b for a, b in zip(samples[name], base, strict=True))

    result = {}
    for name, values in samples.items():
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        result[name] = {
            "meaning": MEANINGS[name],
            "median_ns": round(median, 1),
            "spread_ns": round(high - low, 1),
            "own_ns": round(own(name), 1),
            "ratio_own": round(own(name) / own("empty"), 3),
            "ratio_total": round(median / statistics.median(empty), 3),
            "samples_ns": values,
        }
    return result


def _print(figures: Mapping[str, Mapping[str, Any]]) -> None:
    width = max(map(len, MEANINGS.values()))
    print(f"{'getppid, ns per call':<{width}}  median  quartiles  own cost  own : empty  total : empty")
    for figure in figures.values():
        print(
            f"{figure['meaning']:<{width}} {figure['median_ns']:7.1f} {figure['spread_ns']:10.1f} "
            f"{figure['own_ns']:9.1f} {figure['ratio_own']:12.2f} {figure['ratio_total']:14.2f}"
        )


def main() -> int:
    """0 when it was measured, whatever the figures; 3 when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.syscall_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="default: 25, about 15 s")
    parser.add_argument(
        "--output", type=Path, default=report.BUILD / "syscall_cost.json", metavar="FILE.json"
    )
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds: at least 2, for a median with a spread")
    try:
        figures = evaluate(measure(options.rounds))
    except (BuildError, RecorderError, RuntimeError, OSError) as error:
        print(f"syscall_cost: {error}", file=sys.stderr)
        return 3
    worst = max(figures[name]["ratio_own"] for name in JUDGED)
    _print(figures)
    print(f"aim: at most {AIM} times the empty program's own cost; measured {worst:.2f}")
    result = {
        "rounds": options.rounds,
        "passes": PASSES,
        "batches": BATCHES,
        "calls": CALLS,
        "aim": AIM,
        "variants": figures,
    }
    report.write(options.output, "syscall_cost", result)
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
