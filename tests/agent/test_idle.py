"""An agent that nobody asks for anything: nothing is attached, and it costs next to nothing."""

import subprocess
import sys
import time

import pytest

from tests.agent.clients import by_pod, client
from tests.agent.costs import MIB, costs, cpu_seconds
from tests.agent.process import AgentProcess
from tests.agent.simulated import SimulatedNode, simulated_node
from tests.kernel_objects import held_by

pytestmark = pytest.mark.root

CPU_A_MINUTE = 0.060
SERVER_A_MINUTE = 0.012
"""Of a gRPC server that serves nothing, for its own threads' ticks, on a machine that does nothing else."""
ABOVE_A_SERVER = 20 * MIB
SERVER = """
import asyncio, sys
import grpc.aio

async def serve():
    server = grpc.aio.server()
    server.add_insecure_port("unix:" + sys.argv[1])
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()

asyncio.run(serve())
"""


@pytest.fixture
def idle(tmp_path, layout, built_programs, agent: AgentProcess):
    """An agent that knows a runtime with containers, asked once for its status."""
    with simulated_node(tmp_path / "node", layout, built_programs) as node:
        for _ in range(5):
            pod = node.pod({"app": "web"})
            for name in ("web", "log", "proxy"):
                node.container(pod, name)
        agent.settings += ("--runtimes-cri", str(node.socket))  # asked as often as by default
        agent.start()
        agent.wait_for(lambda status: next(e.used for e in status.bounds if e.name == "containers") == 20)
        yield agent, node


def links(agent: AgentProcess) -> int:
    assert agent.process
    pinned = len(list((agent.pins / "links").iterdir())) if (agent.pins / "links").exists() else 0
    return pinned + sum(each.kind == "link" for each in held_by(agent.process.pid))


def test_nothing_is_attached(idle: tuple[AgentProcess, SimulatedNode]):
    """No link, held or pinned, before the first capture and after the last; during one there are."""
    agent, node = idle
    assert (links(agent), agent.status().attached) == (0, False)
    with client(agent) as one:
        pod = node.pod()
        stream = one.capture(selection=by_pod(pod.namespace, pod.name))
        assert agent.status().attached
        assert links(agent) > 0
        stream.cancel()
    agent.wait_for(lambda status: not status.attached)
    assert links(agent) == 0


@pytest.fixture
def bare(tmp_path):
    """A gRPC server of the same interpreter that serves nothing."""
    words = [sys.executable, "-c", SERVER, tmp_path / "bare.sock"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"serving\n"
            yield process
        finally:
            process.kill()


def test_processor_time(idle: tuple[AgentProcess, SimulatedNode], bare: subprocess.Popen[bytes], scaled):
    """Under 60 ms a minute; on a busy machine every tick is dearer, also those of a bare server meanwhile."""
    agent, _ = idle
    assert agent.process
    pids = (agent.process.pid, bare.pid)
    began, before = time.monotonic(), [cpu_seconds(each) for each in pids]
    time.sleep(scaled(180, least=20))  # what they do by themselves meanwhile is what is measured
    minutes = (time.monotonic() - began) / 60
    own, servers = ((cpu_seconds(each) - was) / minutes for each, was in zip(pids, before, strict=True))
    assert own < CPU_A_MINUTE * max(1.0, servers / SERVER_A_MINUTE)


def test_memory(idle: tuple[AgentProcess, SimulatedNode], bare: subprocess.Popen[bytes]):
    """At most 20 MiB more than a gRPC server of the same interpreter that serves nothing."""
    agent, _ = idle
    assert agent.process
    assert costs(agent.process.pid).rss - costs(bare.pid).rss < ABOVE_A_SERVER
