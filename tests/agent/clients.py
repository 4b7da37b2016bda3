"""Clients of an agent, each on a connection of its own: those that read, and those that never do."""

import contextlib
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from recorder.model.record import Observation
from recorder.model.wire import from_observation
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.agent.process import WAIT, AgentProcess

METRICS_FLAG = "--web-plain-metrics"
SMALL_WINDOW = (("grpc.http2.lookahead_bytes", 64), ("grpc.http2.bdp_probe", 0))
"""A client that takes next to nothing in advance: HTTP/2's flow control stops who sends to it."""


class Client:
    """One connection; `small`: it takes next to nothing of a stream before it is asked for."""

    def __init__(self, path: Path, *, small: bool = False) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        self._channel = grpc.insecure_channel(f"unix:{path}", options + (SMALL_WINDOW if small else ()))
        self.stub = agent_pb2_grpc.AgentStub(self._channel)

    def capture(self, timeout: float = 4 * WAIT, **request: object) -> "Stream":
        """A capture's stream; its first message was read."""
        stream = Stream(self.stub.Capture(pb.CaptureRequest(**request), timeout=timeout))
        assert stream.next().HasField("started")
        return stream

    def close(self) -> None:
        """Its streams end."""
        self._channel.close()


class Stream:
    """A capture as its client sees it; `last`: the newest snapshot."""

    def __init__(self, call: grpc.Call) -> None:
        self.call = call
        self.last = pb.Snapshot()

    def cancel(self) -> None:
        """The client goes; so does one that keeps its stream no more."""
        self.call.cancel()

    def next(self) -> pb.CaptureResponse:
        """The next message; grpc.RpcError."""
        message = next(self.call)
        if message.HasField("snapshot"):
            self.last = message.snapshot
        return message

    def until(self, what: Callable[[list[Observation]], object]) -> list[Observation]:
        """Reads until the observations are so; AssertionError if the capture ends before."""
        while not what(self.observations):
            assert not self.last.final, self.last
            self.next()
        return self.observations

    def final(self) -> list[Observation]:
        """Reads to the end of the capture."""
        while not self.last.final:
            self.next()
        return self.observations

    @property
    def observations(self) -> list[Observation]:
        """Of the newest snapshot."""
        return [from_observation(each) for each in self.last.record.observations]


@contextlib.contextmanager
def client(agent: AgentProcess, *, small: bool = False) -> Iterator[Client]:
    """A connection, closed at the end."""
    made = Client(agent.socket, small=small)
    try:
        yield made
    finally:
        made.close()


def by_cgroup(path: str) -> pb.Selection:
    """A cgroup's path below the mount."""
    return pb.Selection(cgroup=path)


def by_pod(namespace: str, name: str) -> pb.Selection:
    """All containers of a pod."""
    return pb.Selection(pod=pb.PodSelection(namespace=namespace, name=name))


@contextlib.contextmanager
def refused(reason: str, code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED) -> Iterator[None]:
    """What is done fails with that status, and says that."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert (caught.value.code(), reason in caught.value.details()) == (code, True), caught.value


def bound(agent: AgentProcess, name: str) -> pb.Bound:
    """As GetStatus has it."""
    return next(each for each in agent.status().bounds if each.name == name)


def ledger(agent: AgentProcess) -> dict[str, int]:
    """Of the whole agent."""
    return {each.cause: each.count for each in agent.status().ledger}


def with_metrics() -> tuple[str, str]:
    """An agent's flags to show metrics, on a port of the loopback that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return METRICS_FLAG, f"127.0.0.1:{one.getsockname()[1]}"


def metrics(agent: AgentProcess) -> dict[tuple[str, str], float]:
    """Samples of /metrics by name and the first label's value, as Prometheus reads them.

    The agent has an address in its settings.
    """
    address = agent.settings[agent.settings.index(METRICS_FLAG) + 1]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT) as page:
        families = text_string_to_metric_families(page.read().decode())
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }
