"""What the collector's store takes: commits by the size of a batch, and a full store's file and memory.

python -m benchmarks.store [--sightings N] [--folder DIR]

A sighting is as large as an agent's of a web server: 250 numbers in two phases, each with its first
sight. CPU is this thread's and the writing to the disk besides; the other figures depend on the disk.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from recorder.collector.store import Incoming, Store, StoreBounds
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Pod,
    Provenance,
    SightKey,
    Source,
)

NUMBERS = 250
AGENT = 20
"""Containers of one node."""


def observation(number: int, last: int = 0) -> Observation:
    pod = f"web-7d9f8b5c4-{number:05d}"
    return Observation(
        Source(f"node-{number // AGENT}", "b2d8b7b0-1111-2222-3333-444455556666", number, 10**13),
        Identity(
            "web",
            f"kubepods.slice/kubepods-pod{number}.slice/cri-{number:064d}",
            f"{number:064d}",
            1,
            Pod("shop", pod, f"0b6f7a1e-0000-4000-8000-{number:012d}"),
            "docker.io/library/nginx:1.27",
            "sha256:" + "b" * 64,
            labels={"app": "web", "pod-template-hash": "7d9f8b5c4"},
        ),
        {CallKey(1, 1, 1): Numbers.of(range(120)), CallKey(1, 2, 1): Numbers.of(range(0, 2 * NUMBERS, 2))},
        {
            SightKey(1, 2, 1, 2 * each): FirstSight(
                10**14 + each * 1_234_567 + number, b"nginx%d" % (each % 5)
            )
            for each in range(NUMBERS)
        },
        Ledger({"ring_full": 3}),
        Provenance("0.1", "6.18.44", "x86_64", "libbpf", "container", "runc", "1.1"),
        10**14,
        10**14 + 10**10 + last,
        17 * 10**17,
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds, and those of CPU."""
    began, cpu = time.perf_counter(), time.thread_time()
    work()
    return (time.perf_counter() - began) * 1e3, (time.thread_time() - cpu) * 1e3


def batches(store: Store, size: int, begin: int) -> None:
    new, changed, repeated = [], [], []
    for round_ in range(10):
        first = begin + round_ * size
        fresh = [Incoming(observation(n), ("r1",)) for n in range(first, first + size)]
        later = [Incoming(replace(each.observation, last_seen_ns=10**15), ("r1",)) for each in fresh]
        new.append(timed(lambda batch=fresh: store.put(batch)))  # type: ignore[misc]
        changed.append(timed(lambda batch=later: store.put(batch)))  # type: ignore[misc]
        repeated.append(timed(lambda batch=later: store.put(batch)))  # type: ignore[misc]
    for name, found in (("new", new), ("changed", changed), ("repeated", repeated)):
        wall, cpu = (sorted(each)[len(found) // 2] for each in zip(*found, strict=True))
        print(
            f"put {size:>3} {name:<8} {wall:7.1f} ms, CPU {cpu:6.1f} ms, {size / wall * 1e3:7.0f} sightings/s"
        )


def rss() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sightings", type=int, default=40_000)
    parser.add_argument("--folder", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "store"
        store = Store.open(path, StoreBounds())
        print(f"RSS of an empty store: {rss():.1f} MiB")
        begin = 0
        for size in (1, 20, 200):
            batches(store, size, begin)
            begin += 10 * size
        while begin < arguments.sightings:
            store.put([Incoming(observation(n), ("r1",)) for n in range(begin, begin + 200)])
            begin += 200
        print(f"{begin} sightings: RSS {rss():.1f} MiB, in use {store.figures().bytes / (1 << 20):.0f} MiB")
        for size in (1, 200):
            batches(store, size, begin)
            begin += 10 * size
        newest = store.revision
        store.put([Incoming(observation(0, last=5), ("r1",))])
        print("outlines of 1 change: {:.1f} ms".format(timed(lambda: store.outlines("r1", newest))[0]))
        print("outlines of 2,000:    {:.1f} ms".format(timed(lambda: store.outlines("r1"))[0]))
        print(
            "a page of 500:        {:.1f} ms".format(
                timed(lambda: store.sightings("r1", first_sights=False, limit=500))[0]
            )
        )
        print(f"figures:              {timed(store.figures)[0]:.1f} ms")
        print(f"close:                {timed(store.close)[0]:.1f} ms")
        print(f"file {path.stat().st_size / (1 << 20):.0f} MiB")
        print(f"open, all checked:    {timed(lambda: Store.open(path, StoreBounds()))[0]:.0f} ms")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"RSS {rss():.1f} MiB, at its peak {peak:.1f} MiB")


if __name__ == "__main__":
    main()
