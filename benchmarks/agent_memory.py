"""What one of each thing that an agent keeps adds to its resident memory.

python -m benchmarks.agent_memory [--output FILE.json]

Each is measured in a process of its own, which makes many of them, as large as the
assumptions in docs/limits.md say, and looks at its RSS before and after. The base is an
agent's imports, a grpc.aio server, and the recorder's maps as a node has them (root). The
constants in recorder/agent/budget.py are these figures, rounded up.
"""

# ruff: noqa: PLC0415 -- what is imported is part of what is measured

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import report

LABELS, LABEL_KEY, LABEL_VALUE = 12, 40, 24


def _rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _base() -> Any:
    import grpc.aio
    import prometheus_client  # noqa: F401
    import psutil  # noqa: F401

    from recorder.agent import budget, metrics, node_agent, settings_sources  # noqa: F401
    from recorder.agent.settings import Settings
    from recorder.kernel.libbpf_backend import LibbpfBackend
    from recorder.kernel.spec import syscalls_spec
    from recorder.model import syscall, wire  # noqa: F401
    from recorder.rpc.v1 import agent_pb2_grpc, collector_pb2_grpc  # noqa: F401

    async def serve() -> Any:
        server = grpc.aio.server()
        server.add_insecure_port("127.0.0.1:0")
        await server.start()
        backend = LibbpfBackend(syscalls_spec(budget.bounds_of(Settings().memory)))
        measured = _rss()
        backend.close()
        await server.stop(0)
        return measured

    return asyncio.run(serve())


def _identity(number: int) -> Any:
    from recorder.model.record import Identity, Pod

    return Identity(
        name=f"container-{number}",
        cgroup_path=f"/kubepods/burstable/pod{number:036d}/{number:064x}",
        container_id=f"{number:064x}",
        pod=Pod(f"namespace-{number % 50}", f"deployment-7d4b9c6f8-{number:05d}", f"{number:036d}"),
        image=f"registry.example.org/team/application/image:{number}",
        image_digest=f"sha256:{number:064x}",
        labels={
            f"{index:02d}.example.org/label".ljust(LABEL_KEY, "k"): f"{number:06d}{index:02d}".ljust(
                LABEL_VALUE, "v"
            )
            for index in range(LABELS)
        },
    )


def _slot(number: int) -> Any:
    from recorder.kernel.backend import Reading, Target
    from recorder.model.ledger import Ledger
    from recorder.model.numbers import Numbers
    from recorder.model.record import CallKey, Observation, Source

    source = Source("node-1", f"{7:036d}", 1 << 33 | number, 1 << 50 | number)
    bits = (1 << 450 | number) * 3
    calls = {
        CallKey(1, phase, outcome): Numbers(bits << outcome + phase) for phase in (1, 2) for outcome in (1, 2)
    }
    target = Target(number, number << 20, 1 << 33 | number)
    reading = Reading(
        target=target,
        epoch=1 << 50 | number,
        ended_ns=0,
        ended=False,
        late=True,
        started=True,
        calls=calls,
        ledger=Ledger({"children_full": number + 1}),
    )
    base = Ledger({"ring_full": 1 << 40 | number, "table_full": number + 1})
    return [
        reading,
        Observation(source, calls=dict(calls), ledger=base),
        base,
        {f"r-{number}"},
        {f"c-{number}"},
    ]


def _sight(number: int) -> Any:
    from recorder.model.record import FirstSight, SightKey

    return (SightKey(1, 2, 1, 300 + number), FirstSight(1 << 50 | number, f"comm-{number:09d}".encode()))


def _access(number: int) -> Any:
    """As a log has it; a last reading has it once more."""
    from recorder.model.access import File, FileKind
    from recorder.model.accesses import AccessKey, Seen
    from recorder.model.first_sight import FirstSight

    path = f"/usr/lib/python3/dist-packages/package-{number:09d}/module-{number:09d}/__init__.cpython-311.pyc"
    key = AccessKey(2, File(path.encode(), kind=FileKind.REGULAR))
    return key, (number, Seen(1, FirstSight(1 << 50 | number, f"comm-{number:09d}".encode())))


def _recording(number: int) -> Any:
    from recorder.rpc.v1 import collector_pb2 as pb

    selector = pb.LabelSelector(
        match_labels={f"example.org/key-{each}": f"value-{number}" for each in range(4)}
    )
    text = pb.PlannedRecording(
        id=f"{number:036d}", namespace=f"namespace-{number}", selector=selector, containers=["app", "sidecar"]
    ).SerializeToString()
    labels = {f"example.org/key-{each}": f"value-{number}" for each in range(4)}
    return [pb.PlannedRecording.FromString(text), labels, f"{number:036d}", [f"app-{number}"]]


def _spooled(number: int) -> Any:
    return (f"{number:064x}", 8192 + number)


def _many(make: Callable[[int], Any], count: int) -> float:
    kept = [make(number) for number in range(100)]
    gc.collect()
    before = _rss()
    pairs = {}
    for number in range(100, count + 100):
        thing = make(number)
        if isinstance(thing, tuple):
            pairs[thing[0]] = thing[1]
        else:
            kept.append(thing)
    gc.collect()
    return (_rss() - before) / count


async def _streams(count: int, size: int) -> float:
    """Calls that are open, on a connection each, with `size` bytes that their clients do not read."""
    import grpc
    import grpc.aio

    async def serve(_request: bytes, context: Any) -> None:
        await context.write(bytes(1))
        if size:
            await context.write(bytes(size))
        with contextlib.suppress(asyncio.CancelledError):  # the client is gone, and the figure taken
            await asyncio.Event().wait()

    handler = grpc.unary_stream_rpc_method_handler(serve)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Agent", {"Capture": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.agent_memory", "--clients", f"{port},{count}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if not client.stdin or not client.stdout:
        raise RuntimeError("the clients have no pipes")
    read = client.stdout.readline
    try:
        await asyncio.to_thread(read)  # ten of them, so that what is made once is there
        before = _rss()
        client.stdin.write(b"go\n")
        client.stdin.flush()
        await asyncio.to_thread(read)
        return (_rss() - before) / count
    finally:
        client.kill()
        client.wait()
        await server.stop(0)


async def _clients(port: int, count: int) -> None:
    import grpc.aio

    async def call() -> Any:
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        stream = channel.unary_stream("/test.Agent/Capture")(b"")
        await stream.read()
        return channel, stream

    held = [await call() for _ in range(10)]
    print("ten", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    held += [await call() for _ in range(count)]
    print("all", flush=True)
    await asyncio.Event().wait()


MEASURES: dict[str, Callable[[], float]] = {
    "base": _base,
    "container": lambda: _many(_identity, 4000),
    "slot": lambda: _many(_slot, 4000),
    "first_sight": lambda: _many(_sight, 100_000),
    "access, twice": lambda: 2 * _many(_access, 50_000),
    "recording": lambda: _many(_recording, 4000),
    "spooled": lambda: _many(_spooled, 50_000),
    "stream": lambda: asyncio.run(_streams(300, 0)),
    "stream with 64 KiB unread": lambda: asyncio.run(_streams(300, 65536)),
}


def main() -> int:
    """Measure each, print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=report.BUILD / "agent_memory.json", metavar="FILE.json"
    )
    parser.add_argument("--only", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--clients", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clients:
        asyncio.run(_clients(*map(int, arguments.clients.split(","))))
    if arguments.only:
        print(MEASURES[arguments.only]())
        return 0
    figures = {}
    for name in MEASURES:
        command = [sys.executable, "-m", "benchmarks.agent_memory", "--only", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures[name] = float(done.stdout)
        print(f"{name:28} {figures[name]:12,.0f} bytes", flush=True)
    report.write(arguments.output, "agent_memory", {"bytes": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
