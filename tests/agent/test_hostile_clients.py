"""Clients and runtimes that mean harm: an error to each, a line in the log, and nothing to anybody else.

All tests share one agent and one capture of somebody else's, the bystander's: after each test it goes on,
and has every container that came meanwhile, exactly.
"""

import concurrent.futures
import contextlib
import http.client
import itertools
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.agent.settings import MemorySettings
from recorder.containers.runtime.v1 import api_pb2 as cri
from recorder.model.wire import from_message
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import FakeNode, FakePod, fake_node, own_cgroup
from tests.agent.observed import problems
from tests.agent.process import WAIT
from tests.agent.requests import begun, by, by_pod, capture, named, refusal, seen
from tests.agent.secured import CHANNEL, Secured, known, secured
from tests.mixing.hand import Hand, deal, expected
from tests.truth.programs import word
from tests.unit.containers.fake_cri import always
from tests.unit.rpc import http2
from tests.unit.rpc.certificates import Authority

pytestmark = pytest.mark.root

A, AB, STATUS = (f"spiffe://example.org/{name}" for name in ("a", "ab", "status"))
SERVICE = "/recorder.rpc.v1.Agent/"
MIB = 1 << 20
METHODS = ("ListContainers", "Capture", "GetStatus")
PLAYERS = 60
NO_NAMES = "no names from it for now"
NAMES = re.compile(rf"{NO_NAMES}|\bcri \([^)]*\) serves: ")
"""What the agent says of its runtime, each time that it changes."""


@dataclass(slots=True)
class Bystander:
    """A client of namespace a, by TLS, that captures a pod through all of this. `lived`: what each called."""

    node: FakeNode
    pod: FakePod
    rawsys: Path
    stream: Any
    hands: Iterator[Hand]
    lived: dict[str, Hand] = field(default_factory=dict)

    def live(self) -> str:
        """One more container of its pod, from the first call to the end."""
        hand = next(self.hands)
        name = f"c-{len(self.lived)}"
        identity = self.node.live(self.pod, name, self.rawsys, *map(word, hand))
        self.lived[identity] = hand
        return identity

    def check(self) -> None:
        """Its stream goes on, and has all containers so far, each whole and with its name."""

        def all_there(snapshot: pb.Snapshot) -> bool:
            found = {each.identity.container_id for each in snapshot.record.observations if each.ended}
            return found >= set(self.lived)

        record = from_message(seen(self.stream, all_there).record)
        for each in record.observations:
            identity = each.identity.container_id
            assert problems(each, expected(self.lived[identity])) == []
            assert each.identity.pod
            assert (each.identity.pod.namespace, each.identity.pod.name) == ("a", "bystander")


@dataclass(slots=True)
class Besieged:
    """The agent and its bystander. `pid`, `rss`: as they were at the beginning."""

    agent: Secured
    node: FakeNode
    bystander: Bystander
    pid: int
    rss: int

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.pid)

    @property
    def addresses(self) -> dict[str, Path | int]:
        """Whatever listens: a socket's path, or a port of 127.0.0.1."""
        agent = self.agent
        return {
            "socket": agent.agent.socket,
            "grpc": agent.grpc,
            "probes": agent.probes,
            "metrics": agent.metrics,
            "plain": agent.plain,
        }

    @property
    def said(self) -> int:
        """How many lines the agent has said so far."""
        return len(self.agent.agent.lines)

    def says(self, text: str, since: int, seconds: float = 10) -> list[str]:
        """All lines but for the first `since`, once one has this text."""
        lines = self.agent.agent.lines
        deadline = time.monotonic() + seconds
        while not any(text in line for line in lines[since:]):
            assert time.monotonic() < deadline, f"no {text!r} in {lines[since:]}"
            time.sleep(0.01)
        return lines[since:]

    def wait_named(self) -> None:
        """Until the last that the agent said of its runtime is that it serves: a list of it was good.

        The names of single containers, which it asks for apart, may be good before.
        """
        deadline = time.monotonic() + WAIT
        while NO_NAMES in (said := [each for each in self.agent.agent.lines if NAMES.search(each)])[-1]:
            assert time.monotonic() < deadline, said
            time.sleep(0.01)


@pytest.fixture(scope="module")
def besieged(
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
    cgroup2: Path,
    built_programs: dict[str, Path],
) -> Iterator[Besieged]:
    """Serves, and a capture has begun; in the end the same process still does, and has not grown."""
    folder = tmp_path_factory.mktemp("besieged")
    with (
        own_cgroup(cgroup2) as parent,
        fake_node(folder, parent, cgroup2) as node,
        secured(folder, authority, *node.settings) as agent,
    ):
        agent.agent.start()
        process = agent.agent.process
        assert process
        pod = node.pod("bystander", "a")
        with agent.peer(A) as stub:
            stream = stub.Capture(named(by_pod("a", "bystander"), "bystander"))
            assert not next(stream).started.resumed
            hands = itertools.chain.from_iterable(deal(PLAYERS, seed) for seed in itertools.count())
            bystander = Bystander(node, pod, built_programs["rawsys"], stream, hands)
            bystander.live()
            bystander.check()
            rss = psutil.Process(process.pid).memory_info().rss
            yield Besieged(agent, node, bystander, process.pid, rss)
            node.remove(pod)
            assert seen(stream, lambda snapshot: snapshot.final)
        assert agent.agent.process is process
        assert process.poll() is None
        said = "\n".join(agent.agent.lines)
        assert "Traceback" not in said, said
        assert not re.search(r"[^\x20-\x7e\n]", said), "what somebody else said reached the log unescaped"


@pytest.fixture(autouse=True)
def _goes_on(besieged: Besieged) -> Iterator[None]:
    """Before, during and after each test."""
    yield
    besieged.bystander.live()
    besieged.bystander.check()
    began = time.monotonic()
    with besieged.agent.root() as root:
        root.GetStatus(pb.GetStatusRequest(), timeout=5)
    probe(besieged, "/readyz")
    assert time.monotonic() - began < 5
    size = besieged.process.memory_info().rss
    print(f"{besieged.rss / MIB:.1f} MiB at the beginning, {size / MIB:.1f} MiB now")
    assert size < MemorySettings().process


def probe(besieged: Besieged, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", besieged.agent.probes, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path)
        assert connection.getresponse().status == 200


def connected(where: Path | int, seconds: float = 5) -> socket.socket:
    family = socket.AF_INET if isinstance(where, int) else socket.AF_UNIX
    made = socket.socket(family)
    made.settimeout(seconds)
    try:
        made.connect(("127.0.0.1", where) if isinstance(where, int) else str(where))
    except OSError:
        made.close()
        raise
    return made


def sent(where: Path | int, data: bytes, *, half: bool = False, seconds: float = 0.3) -> bytes:
    """All that comes for these bytes, for that time at most; `half`: and nothing more will come."""
    received = b""
    with connected(where) as connection, contextlib.suppress(OSError):
        connection.sendall(data)
        if half:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(seconds)
        while part := connection.recv(65536):
            received += part
    return received


# --- bytes


def random_frames(source: random.Random) -> bytes:
    """HTTP/2 frames of any kind, with anything in them."""
    kinds = [source.randbytes(3) for _ in range(20)]
    return b"".join(
        http2.frame(each[0] % 11, source.randbytes(each[1]), flags=each[2], stream=each[2] % 5)
        for each in kinds
    )


def noises(source: random.Random) -> list[bytes]:
    """Noise from the first byte on, and after more and more of a good beginning."""
    tls = bytes([22, 3, 1]) + source.randbytes(400)  # a handshake record
    method = SERVICE + source.choice(METHODS)
    begun_call = http2.PREFACE + http2.settings() + http2.headers(1, method)
    return [
        source.randbytes(2000),
        http2.PREFACE + random_frames(source),
        begun_call + http2.message(1, source.randbytes(200)),
        begun_call + random_frames(source),
        tls,
        b"GET /" + source.randbytes(300) + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + source.randbytes(300) + b"\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + source.randbytes(1000),
        b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 20_000,
    ]


def test_random_bytes(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """On everything that listens; the web ports say what is wrong, and so does the log."""
    source = random.Random(4)
    before = besieged.said
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in range(scaled(40, least=4)):
            work = [
                pool.submit(sent, where, noise, half=bool(number % 2))
                for where in besieged.addresses.values()
                for number, noise in enumerate(noises(source))
            ]
            besieged.bystander.live()
            for each in work:
                each.result(WAIT)
    answers = [sent(besieged.agent.probes, noise, half=True) for noise in noises(source)]
    assert {each[:12] for each in answers if each} >= {b"HTTP/1.1 400", b"HTTP/1.1 405", b"HTTP/1.1 431"}
    besieged.says(f"a client of 127.0.0.1:{besieged.agent.probes} was dropped", before)
    besieged.says("Handshake failed", before)


def test_unknown_methods_and_services(besieged: Besieged) -> None:
    """UNIMPLEMENTED, by either way in."""
    with (
        grpc.insecure_channel(f"unix:{besieged.agent.agent.socket}", CHANNEL) as channel,
    ):
        for method in (f"{SERVICE}Shutdown", "/x.Y/Z", "/", f"{SERVICE}../GetStatus", "/a" * 500):
            call = channel.unary_unary(method)
            code, _ = refusal(lambda call=call: call(b"", timeout=WAIT))
            assert code is grpc.StatusCode.UNIMPLEMENTED, method


# --- requests

TEXTS = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["web", "a", "..", "/", "/../../etc", "//", "\0", "\x1b[31m", "a" * 5000, "x.service", "f" * 64]
    ),
)
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


@st.composite
def capture_requests(draw: st.DrawFn) -> pb.CaptureRequest:
    """Every field with anything that it can hold, so that each may be right or wrong."""
    request = pb.CaptureRequest()
    selection = request.selection
    match draw(st.sampled_from(["container", "pod", "cgroup", "unit", "pid", "none"])):
        case "container":
            selection.container = draw(TEXTS)
        case "pod":
            selection.pod.namespace = draw(TEXTS)
            selection.pod.name = draw(TEXTS)
            selection.pod.container = draw(TEXTS)
        case "cgroup":
            selection.cgroup = draw(st.one_of(TEXTS, TEXTS.map(lambda text: f"/{text}")))
        case "unit":
            selection.unit = draw(TEXTS)
        case "pid":
            selection.pid = draw(st.integers(0, (1 << 32) - 1))
    request.kinds.extend(draw(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=20)))
    if draw(st.booleans()):
        request.duration.seconds = draw(st.one_of(NUMBERS, st.integers(-1, 2)))
        request.duration.nanos = draw(st.integers(-(1 << 31), (1 << 31) - 1))
    request.snapshots_per_second = draw(st.one_of(st.floats(), st.sampled_from([0.0, 1.0])))
    request.capture_id = draw(st.one_of(TEXTS, st.just("")))
    request.phases = draw(st.one_of(TEXTS, st.sampled_from(["", "exec", "container"])))
    return request


EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.OK,
}


def outcome(method: Any, request: Any) -> grpc.StatusCode:
    """OK: there was an answer, and the call was cancelled."""
    try:
        stream = method(request, timeout=WAIT)
        next(stream)
        stream.cancel()
    except grpc.RpcError as error:
        code, text = error.code(), error.details()
    else:
        return grpc.StatusCode.OK
    assert text
    assert text.isprintable()
    return code


def fuzzed(examples: int, **strategies: Any) -> Callable[[Any], Any]:
    """hypothesis without a data base, with so many examples."""

    def decorate(test: Any) -> Any:
        made = given(**strategies)(test)
        checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
        return settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=checks,
        )(made)

    return decorate


def test_fuzzed_captures(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """By root, who may do anything, and by a client: refused with a reason, or begun; never INTERNAL."""
    found: dict[grpc.StatusCode, int] = {}
    with besieged.agent.root() as root, besieged.agent.peer(AB) as peer:

        @fuzzed(scaled(1500, least=100), request=capture_requests(), local=st.booleans())
        def run(request: pb.CaptureRequest, local: bool) -> None:
            code = outcome((root if local else peer).Capture, request)
            assert code in EXPECTED, (code, request)
            found[code] = found.get(code, 0) + 1

        run()
    print(found)
    assert set(found) >= {grpc.StatusCode.INVALID_ARGUMENT}


def test_fuzzed_bytes_as_requests(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """Each RPC with bytes for a message: a message by chance, unknown fields, or INVALID_ARGUMENT."""
    with grpc.insecure_channel(f"unix:{besieged.agent.agent.socket}", CHANNEL) as channel:
        valid = by_pod("a", "bystander").SerializeToString()

        @fuzzed(
            scaled(1500, least=100),
            method=st.sampled_from(METHODS),
            data=st.one_of(
                st.binary(max_size=300), st.binary(max_size=20).map(lambda tail: valid[: -len(tail)] + tail)
            ),
        )
        def run(method: str, data: bytes) -> None:
            code = outcome(channel.unary_stream(SERVICE + method), data)
            assert code in EXPECTED, (code, data)

        run()


def test_streams_of_the_wrong_shape(besieged: Besieged) -> None:
    """No request at all, and several where there is to be one."""
    with grpc.insecure_channel(f"unix:{besieged.agent.agent.socket}", CHANNEL) as channel:
        for method in METHODS:
            call = channel.stream_stream(SERVICE + method)
            code, text = refusal(lambda call=call: call(iter(()), timeout=WAIT))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "without a request" in text
        listing = channel.stream_stream(SERVICE + "ListContainers")
        stream = listing(iter([b""] * 1000), timeout=WAIT)
        next(stream)  # the first is answered, the others are nobody's
        stream.cancel()


@pytest.mark.parametrize("how", ["large", "huge", "compressed", "metadata", "many headers"])
def test_messages_that_are_too_large(besieged: Besieged, how: str) -> None:
    """Refused before they are decoded, by every RPC, with RESOURCE_EXHAUSTED."""
    size = {"large": 65 << 10, "huge": 8 << 20, "compressed": 50 << 20}.get(how, 0)
    more: dict[str, Any] = {}
    if how == "compressed":
        more["compression"] = grpc.Compression.Gzip
    elif how == "metadata":
        more["metadata"] = [("x", "y" * 20_000)]
    elif how == "many headers":
        more["metadata"] = [(f"x{number}", "y" * 100) for number in range(200)]
    with grpc.insecure_channel(f"unix:{besieged.agent.agent.socket}", CHANNEL) as channel:
        for method in METHODS:
            call = channel.unary_stream(SERVICE + method)
            code, _ = refusal(lambda call=call: call(b"\x9a\x06" + bytes(size), timeout=WAIT, **more))
            # gRPC says INTERNAL for some headers that it does not take
            allowed = {grpc.StatusCode.RESOURCE_EXHAUSTED} | (
                {grpc.StatusCode.INTERNAL} if not size else set()
            )
            assert code in allowed, method


# --- certificates


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(params=["expired", "of another CA", "for servers alone", "none"])
def bad(request: pytest.FixtureRequest, besieged: Besieged, stranger: Authority) -> Any:
    """A certificate with the right name that is not to be trusted; None for none."""
    own = besieged.agent.authority
    match request.param:
        case "expired":
            return own.sign(f"URI:{STATUS}", expired=True)
        case "of another CA":
            return stranger.sign(f"URI:{STATUS}")
        case "for servers alone":
            return own.sign(f"URI:{STATUS}", purpose="serverAuth")
    return None


def test_wrong_certificates(besieged: Besieged, bad: Any) -> None:
    """No method is reached, and no page; one line in the log says so for each way in."""
    agent = besieged.agent
    before = besieged.said
    with agent.client(bad) as stub:
        code, _ = refusal(lambda: stub.GetStatus(pb.GetStatusRequest(), timeout=WAIT))
        assert code is grpc.StatusCode.UNAVAILABLE
    besieged.says("Handshake failed", before)
    connection = http.client.HTTPSConnection(
        "localhost", agent.metrics, timeout=WAIT, context=agent.context(bad)
    )
    with contextlib.closing(connection):
        with contextlib.suppress(OSError):  # with TLS 1.3 the refusal comes with the answer
            connection.request("GET", "/metrics")
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.getresponse()
    besieged.says(f"a client of 127.0.0.1:{agent.metrics} was dropped", before)


def test_a_name_without_a_role(besieged: Besieged) -> None:
    """A good certificate for the wrong name: refused by each RPC, and the log says who it was."""
    name = "spiffe://example.org/nobody-knows"
    before = besieged.said
    with besieged.agent.peer(name) as stub:
        for call in (
            lambda: stub.GetStatus(pb.GetStatusRequest(), timeout=WAIT),
            lambda: stub.ListContainers(pb.ListContainersRequest(), timeout=WAIT),
            lambda: capture(stub, by_pod("a", "bystander")),
        ):
            assert refusal(call)[0] is grpc.StatusCode.PERMISSION_DENIED
    for method in METHODS:
        besieged.says(f"{SERVICE}{method} for {name}: ACCESS_DENIED", before)


def test_a_client_does_not_take_just_any_server(besieged: Besieged, stranger: Authority) -> None:
    """Another name than the server's, another CA: the client itself goes."""
    files = besieged.agent.signed(STATUS)
    for more in ({"name": "other.example.org"}, {"ca": stranger.certificate}):
        with besieged.agent.client(files, **more) as stub:
            code, _ = refusal(lambda stub=stub: stub.GetStatus(pb.GetStatusRequest(), timeout=WAIT))
            assert code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_old_tls_is_refused(besieged: Besieged) -> None:
    """TLS 1.1, by a client with a good certificate that wants nothing newer."""
    for port in (besieged.agent.grpc, besieged.agent.metrics):
        context = besieged.agent.context(besieged.agent.signed(STATUS))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with connected(port) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(connection, server_hostname="localhost")


# --- connections


def test_clients_that_never_read(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """They let the server send nothing: each costs the one message that waits for it."""
    clients = scaled(200, least=20)
    socket_path = besieged.agent.agent.socket
    request = by_pod("a", "bystander").SerializeToString()
    data = b"".join(
        [
            http2.PREFACE,
            http2.settings(window=1),
            http2.headers(1, f"{SERVICE}Capture"),
            http2.message(1, request),
        ]
    )
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            stack.enter_context(connected(socket_path)).sendall(data)
        besieged.agent.agent.wait_for(lambda status: len(status.captures) == clients + 1)
        for _ in range(3):
            besieged.bystander.live()
            besieged.bystander.check()
        status = besieged.agent.agent.status()
        bounds = {each.name: each for each in status.bounds}
        assert bounds["queues"].used <= bounds["queues"].limit
        assert bounds["captures"].used == clients + 1
        print(f"{clients} clients: {bounds['queues'].used} bytes wait")
    besieged.agent.agent.wait_for(lambda status: len(status.captures) == 1)
    assert besieged.agent.agent.used("queues") == 0


def test_thousands_of_quick_connects(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """Connections that end at once, on everything that listens: no descriptor and no thread stays."""
    rounds = scaled(2000, least=200)
    descriptors, threads = besieged.process.num_fds(), besieged.process.num_threads()

    def storm(where: Path | int) -> int:
        made = 0
        for number in range(rounds):
            # a full queue of the kernel's refuses with EAGAIN on a Unix socket
            with contextlib.suppress(OSError), connected(where) as connection:
                made += 1
                if number % 3 == 0:
                    connection.sendall(http2.PREFACE)
        return made

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        work = [pool.submit(storm, where) for where in besieged.addresses.values()]
        besieged.bystander.live()
        assert sum(each.result(120) for each in work) > rounds
    deadline = time.monotonic() + WAIT
    while besieged.process.num_fds() > descriptors + 5:
        assert time.monotonic() < deadline, (descriptors, besieged.process.num_fds())
        time.sleep(0.05)
    assert besieged.process.num_threads() <= threads + 8


def test_connections_that_only_stand(besieged: Besieged) -> None:
    """More than the web ports hold: a probe is answered all the same."""
    with contextlib.ExitStack() as stack:
        for where in (besieged.agent.probes, besieged.agent.metrics, besieged.agent.plain):
            for _ in range(40):
                stack.enter_context(connected(where)).sendall(b"GET /healthz HTTP/1.1\r\n")
        probe(besieged, "/healthz")


def test_half_closed_streams(besieged: Besieged) -> None:
    """Clients that will say no more, in the middle of a frame, of a call, or with a capture: all ends."""
    request = by_pod("a", "bystander").SerializeToString()
    start = http2.PREFACE + http2.settings()
    call = start + http2.headers(1, f"{SERVICE}Capture")
    whole = call + http2.message(1, request)
    with contextlib.ExitStack() as stack:
        for data in (b"", start, start[:30], call, call[:-5], whole, whole[:-5]):
            client = stack.enter_context(connected(besieged.agent.agent.socket))
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        besieged.bystander.live()
        besieged.bystander.check()
        besieged.agent.agent.wait_for(lambda status: len(status.captures) == 1)


def test_a_capture_that_is_taken_over(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """Again and again by another connection of its client: the old stream ends, and nothing is lost."""
    node = besieged.node
    pod = node.pod("taken", "a")
    rawsys = besieged.bystander.rawsys
    hands = deal(PLAYERS, 99)
    lived: dict[str, Hand] = {}
    request = named(by_pod("a", "taken"), "taken")
    with contextlib.ExitStack() as stack:
        streams = []
        for number in range(scaled(40, least=8)):
            stub = stack.enter_context(besieged.agent.peer(A))
            stream, resumed = stack.enter_context(begun(stub, request))
            assert resumed == bool(number)
            streams.append(stream)
            hand = hands[number]
            lived[node.live(pod, f"c-{number}", rawsys, *map(word, hand))] = hand
        for stream in streams[:-1]:
            with pytest.raises(grpc.RpcError) as error:
                list(stream)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "taken this capture over" in error.value.details()
        node.remove(pod)
        record = from_message(seen(streams[-1], lambda snapshot: snapshot.final).record)
    assert {each.identity.container_id for each in record.observations} == set(lived)
    for each in record.observations:
        assert problems(each, expected(lived[each.identity.container_id])) == []


def test_clients_that_go_in_the_middle(besieged: Besieged, scaled: Callable[..., int]) -> None:
    """Captures that are cancelled at any moment: none stays, and the slot is given back."""
    pod = besieged.node.pod("left", "a")
    identity = besieged.node.container(pod, "main")
    known(besieged.agent, identity)
    source = random.Random(7)

    def come_and_go(delay: float) -> None:
        with besieged.agent.root() as stub:
            stream = capture(stub, by(container=identity))
            time.sleep(delay)  # not waiting for anything, but choosing when
            stream.cancel()

    with (
        besieged.node.run(pod, identity, "/bin/sleep", "1000"),
        concurrent.futures.ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(come_and_go, [source.uniform(0, 0.05) for _ in range(scaled(500, least=50))]))
        besieged.agent.agent.wait_for(lambda status: len(status.captures) == 1)
        besieged.agent.agent.wait_for(
            lambda _: (
                not any(
                    each.recorded
                    for each in besieged.agent.agent.containers()
                    if each.identity.container_id == identity
                )
            )
        )
    besieged.node.remove(pod)


# --- a runtime

LISTS = ("ListContainers", "ListPodSandbox")
QUESTIONS = ("ContainerStatus", "PodSandboxStatus")
NONSENSE: dict[str, tuple[tuple[str, ...], Any]] = {
    "noise": ((*LISTS, *QUESTIONS, "Version", "Status"), always(random.Random(5).randbytes(500))),
    "empty messages": (QUESTIONS, always(b"")),
    "another container": (
        QUESTIONS,
        always(cri.ContainerStatusResponse(status=cri.ContainerStatus(id="f" * 64)).SerializeToString()),
    ),
    "messages that are too large": ((*LISTS, *QUESTIONS), always(bytes(17 << 20))),
    "failures": ((*LISTS, *QUESTIONS), always(grpc.StatusCode.INTERNAL)),
    "silence": ((*LISTS, *QUESTIONS), always(None)),
}
"""Which methods of the runtime's answer what."""


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_runtime_that_answers_nonsense(besieged: Besieged, kind: str) -> None:
    """It is said once, in status and log; recording goes on, and names come when the runtime is sane."""
    node, agent = besieged.node, besieged.agent.agent
    methods, reply = NONSENSE[kind]
    besieged.wait_named()  # a fault that goes on is not said again
    before = besieged.said
    node.do(lambda: node.cri.replies.update(dict.fromkeys(methods, reply)))
    try:
        besieged.bystander.live()
        agent.wait_for(lambda status: not status.runtimes[0].reachable and bool(status.runtimes[0].problem))
        with besieged.agent.peer(AB) as stub:
            stub.ListContainers(pb.ListContainersRequest(), timeout=5)
        said = besieged.says(NO_NAMES, before, WAIT)
        assert len(said) < 50
    finally:
        node.do(node.cri.replies.clear)
    besieged.bystander.check()


def test_a_runtime_whose_names_are_no_names(besieged: Besieged) -> None:
    """Control characters, megabytes, thousands of labels, JSON without end: bounded, and nobody's problem."""
    node = besieged.node
    evil = "\x1b[31m\n\r\0\u202e"
    labels = {f"label-{number}": evil * 50 for number in range(3000)}
    pod = node.pod(f"pod{evil}", f"a{evil}", **labels)
    first = node.container(pod, f"name{evil}" * 10_000)
    second = node.container(pod, "deep")
    info = {"info": "[" * 100_000, "pid": "many", "runtimeSpec": {"linux": {"cgroupsPath": "/../../../etc"}}}
    node.do(lambda: node.cri.info.update({second: info}))
    with besieged.agent.root() as stub:
        deadline = time.monotonic() + WAIT
        found: dict[str, Any] = {}
        while not {first, second} <= set(found):
            assert time.monotonic() < deadline
            answer = stub.ListContainers(pb.ListContainersRequest(), timeout=WAIT)
            found = {each.identity.container_id: each for each in answer.containers}
        assert max(each.ByteSize() for each in found.values()) < 128 << 10
        for each in (found[first], found[second]):
            assert len(each.identity.name) <= 1024
        for request in (by(container=first), by(container=second), by(container=f"name{evil}")):
            outcome(stub.Capture, request)
    with besieged.agent.peer(AB) as stub:  # `a` with something behind it is not the namespace a
        visible = stub.ListContainers(pb.ListContainersRequest(), timeout=WAIT).containers
        assert not {first, second} & {each.identity.container_id for each in visible}
    node.remove(pod)
