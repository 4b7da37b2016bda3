"""An agent that says what a test's script says, over a real Unix socket.

It runs in a thread of its own, with a server that can be killed and started again.
As a process (`python -m tests.cli.fake_agent SOCKET`), to be killed by a signal, it
streams the same capture from its first call on to whoever asks.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio

from recorder.model.abi import Abi
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Outcome,
    Phase,
    Pod,
    Provenance,
    Record,
    SightKey,
    Source,
)
from recorder.model.wire import to_message
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc

Script = Callable[[pb.CaptureRequest, grpc.aio.ServicerContext], AsyncIterator[pb.CaptureResponse]]

SHOP = Pod("shop", "web-1")
LONG = 60.0
"""Seconds after which a script that waits for the test gives up."""


def started(request: pb.CaptureRequest, resumed: bool = False) -> pb.CaptureResponse:
    return pb.CaptureResponse(started=pb.CaptureStarted(capture_id=request.capture_id, resumed=resumed))


def snapshot(*observations: Observation, final: bool = False, selected: int = 1) -> pb.CaptureResponse:
    record = to_message(Record(observations))
    return pb.CaptureResponse(snapshot=pb.Snapshot(record=record, final=final, selected=selected))


def keep_alive() -> pb.CaptureResponse:
    return pb.CaptureResponse(keep_alive=pb.KeepAlive())


def observation(
    numbers: object = (0, 1, 2),
    *,
    cgroup: int = 7,
    name: str = "web",
    pod: Pod | None = SHOP,
    comm: bytes = b"web",
    losses: dict[str, int] | None = None,
    ended: bool = False,
) -> Observation:
    """One container's state; number n of x86_64 was first seen n ms after its start."""
    key = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)
    found = Numbers.of(numbers)  # type: ignore[arg-type]
    return Observation(
        source=Source("node", "boot", cgroup, 1),
        identity=Identity(name=name, pod=pod, container_id=f"{cgroup:064x}", cgroup_path=f"/k8s.io/{cgroup}"),
        calls={key: found},
        first_sights={SightKey(*key, number): FirstSight(1_000_000 * (number + 1), comm) for number in found},
        ledger=Ledger(losses or {}),
        provenance=Provenance("0", "6.1", "x86_64", "libbpf", "container", "runc", "1.1.5"),
        ended=ended,
    )


class _Servicer(agent_pb2_grpc.AgentServicer):
    def __init__(self, agent: "FakeAgent") -> None:
        self._agent = agent

    async def Capture(self, request, context):
        self._agent.requests.append(request)
        async for response in self._agent.script(request, context):
            yield response

    async def ListContainers(self, request, context):
        return self._agent.containers

    async def GetStatus(self, request, context):
        return self._agent.status


class FakeAgent:
    """`script` answers each Capture; set it, and `containers` and `status`, at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[pb.CaptureRequest] = []
        self.containers = pb.ListContainersResponse()
        self.status = pb.GetStatusResponse()
        self.script: Script = nothing
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    def start(self) -> None:
        self._call(self._start())

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        agent_pb2_grpc.add_AgentServicer_to_server(_Servicer(self), self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()

    def stop(self) -> None:
        """At once: streams break."""
        if self._server:
            self._call(self._server.stop(None))
            self._server = None

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONG)

    def _call(self, coroutine) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LONG)


async def nothing(request, context):
    """Begins, and says no more than that it lives."""
    yield started(request)
    while True:
        await asyncio.sleep(0.1)
        yield keep_alive()


async def until(event: threading.Event) -> None:
    """In a script: wait for the test."""
    end = asyncio.get_running_loop().time() + LONG
    while not event.is_set():
        assert asyncio.get_running_loop().time() < end, "the test did not go on"
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def fake_agent(folder: Path) -> Iterator[FakeAgent]:
    agent = FakeAgent(folder / "agent.sock")
    agent.start()
    try:
        yield agent
    finally:
        agent.close()


async def _counting(path: str) -> None:
    """Serve one capture that sees one call more each half second of the machine's uptime, 300 in all."""
    loop = asyncio.get_running_loop()

    class Servicer(agent_pb2_grpc.AgentServicer):
        async def Capture(self, request, context):
            resumed = Path(f"{path}.{request.capture_id}")
            yield started(request, resumed.exists())
            if not resumed.exists():
                resumed.write_text(str(loop.time()))
            begun = float(resumed.read_text())
            over = request.HasField("duration")
            while True:
                count = min(300, 1 + int((loop.time() - begun) * 2))
                yield snapshot(observation(range(count), ended=over), final=over)
                if over:
                    return
                await asyncio.sleep(0.05)

    Path(path).unlink(missing_ok=True)
    server = grpc.aio.server()
    agent_pb2_grpc.add_AgentServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_counting(sys.argv[1]))
