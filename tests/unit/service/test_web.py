"""The agent's HTTP pages, asked over real sockets: by http.client, by ssl, and by hand."""

import asyncio
import contextlib
import http.client
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager

import pytest

from recorder.model.errors import AddressInUse, InvalidSettings, PlatformUnreachable
from recorder.rpc.address import Address
from recorder.rpc.roles import Access, Roles
from recorder.service.web import Answer, WebLimits, WebServer, metrics_server, probe_server
from tests.unit.rpc.certificates import Authority

METRICS = b"# TYPE recorder_agent_up gauge\nrecorder_agent_up 1\n"
LOCAL = "127.0.0.1:0"


@asynccontextmanager
async def running(server):
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def asked(server, *calls):
    """What each call, a function of the port, gives in a thread while the server runs."""

    async def run():
        async with running(server):
            return [await asyncio.to_thread(call, server.port) for call in calls]

    return asyncio.run(run())


def request(method, path, *, body=None, context=None, headers=None):
    """A call: its status, headers and body."""

    def call(port):
        connection = (
            http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
            if context
            else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        )
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    return call


def exchange(data, *, wait=10.0):
    """A call: all that the server sends after these bytes, until it closes."""

    def call(port):
        with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    return call


def test_probes_have_no_body_and_say_yes_or_no():
    """200 while it holds and 503 while it does not, each by itself, for GET and HEAD, without a body."""
    state = {"healthy": True, "ready": False}
    server = probe_server(LOCAL, healthy=lambda: state["healthy"], ready=lambda: state["ready"])
    healthy, ready, head = asked(
        server, request("GET", "/healthz"), request("GET", "/readyz"), request("HEAD", "/healthz?verbose")
    )
    assert [each[0] for each in (healthy, ready, head)] == [200, 503, 200]
    for _, headers, body in (healthy, ready, head):
        assert body == b""
        assert headers == {"Content-Length": "0", "Cache-Control": "no-store", "Connection": "close"}


def test_metrics_and_their_head():
    """The bytes of the callable with their type; HEAD has the same headers and no body."""
    server = metrics_server(LOCAL, lambda: METRICS)
    (status, headers, body), (head_status, head_headers, head_body) = asked(
        server, request("GET", "/metrics"), request("HEAD", "/metrics")
    )
    assert (status, body, headers["Content-Length"]) == (200, METRICS, str(len(METRICS)))
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert (head_status, head_headers, head_body) == (200, headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_405(method):
    """Also with a body, which is not read as a request; the answer says what is allowed."""
    server = metrics_server(LOCAL, lambda: METRICS)
    [(status, headers, _)] = asked(
        server, request(method, "/metrics", body=b"GET /x HTTP/1.1\r\n\r\n" * 1000)
    )
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_other_paths_are_404():
    """Whatever the method, and also for paths that lead back to a page."""
    server = metrics_server(LOCAL, lambda: METRICS)
    paths = ["/", "/healthz", "/metrics/", "/x/../metrics", "//metrics"]
    assert {each[0] for each in asked(server, *(request("GET", path) for path in paths))} == {404}


@pytest.mark.parametrize(
    "line",
    [b"GET", b"get /metrics HTTP/1.1", b"GET metrics HTTP/1.1", b"GET /metrics HTTP/2.0", b"\x16\x03\x01"],
)
def test_what_is_no_request_is_400(line):
    """Lower case, no path, another version, a TLS handshake."""
    [answer] = asked(metrics_server(LOCAL, lambda: METRICS), exchange(line + b"\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_huge_head_is_431():
    """Headers above the bound are answered without being kept."""
    server = metrics_server(LOCAL, lambda: METRICS)
    huge = b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"
    [answer] = asked(server, exchange(huge))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_failing_page_is_500_and_the_next_works(caplog):
    """A fault of what makes the answer is logged, not told."""
    answers = iter([None, METRICS])

    def metrics():
        content = next(answers)
        if content is None:
            raise ValueError("a secret")
        return content

    first, second = asked(metrics_server(LOCAL, metrics), *[request("GET", "/metrics")] * 2)
    assert (first[0], first[2], second[0]) == (500, b"", 200)
    assert "a secret" in caplog.text


def test_a_client_that_says_nothing_is_dropped_in_time():
    """Also one that sends its head a byte at a time."""

    def silent(port):
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            assert connection.recv(1) == b""
        return time.monotonic() - begin

    def trickle(port):
        begin = time.monotonic()
        with (
            socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection,
            contextlib.suppress(OSError),
        ):
            while time.monotonic() < begin + 10:
                connection.send(b"G")
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        break
        return time.monotonic() - begin

    server = metrics_server(LOCAL, lambda: METRICS, limits=WebLimits(seconds=0.5))
    for seconds in asked(server, silent, trickle):
        assert 0.4 < seconds < 5


def test_a_client_that_does_not_read_is_dropped_in_time():
    """A large answer that nobody takes ends with its connection, and others are served meanwhile."""
    large = b"x" * (16 << 20)
    server = metrics_server(LOCAL, lambda: large, limits=WebLimits(seconds=1))

    def stalled(port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            status = request("HEAD", "/metrics")(port)[0]
            end = time.monotonic() + 10
            while server.open and time.monotonic() < end:
                time.sleep(0.05)
            return status, server.open

    assert asked(server, stalled) == [(200, 0)]


def test_many_connections_are_bounded_and_a_probe_gets_through(scaled):
    """Beyond the bound the oldest is dropped; a probe among them is answered, and no descriptor is left."""
    limits = WebLimits(connections=8, seconds=30)
    server = probe_server(LOCAL, healthy=lambda: True, ready=lambda: True, limits=limits)
    count = scaled(1000, least=60)

    def flood(port):
        held, most, statuses = [], 0, []
        try:
            for index in range(count):
                held.append(socket.create_connection(("127.0.0.1", port), timeout=10))
                most = max(most, server.open)
                if index % 20 == 19:
                    statuses.append(request("GET", "/healthz")(port)[0])
            return most, statuses, server.dropped
        finally:
            for each in held:
                each.close()

    before = len(os.listdir("/proc/self/fd"))
    [(most, statuses, dropped)] = asked(server, flood)
    assert most <= 8
    assert statuses == [200] * (count // 20)
    assert dropped >= count - 8
    assert len(os.listdir("/proc/self/fd")) <= before


def test_random_bytes_harm_nobody(scaled):
    """Each is answered with an error or dropped, and the page is there afterwards."""
    server = metrics_server(LOCAL, lambda: METRICS, limits=WebLimits(seconds=0.3))

    def noise(port):
        for _ in range(scaled(100, least=10)):
            with contextlib.suppress(OSError):
                exchange(os.urandom(1000), wait=3)(port)
        return request("GET", "/metrics")(port)[0]

    assert asked(server, noise) == [200]


def test_plain_metrics_are_for_loopback_alone():
    """Any other address needs TLS; a name other than localhost is no loopback."""
    for address in ("0.0.0.0:9090", "192.0.2.1:9090", "[::]:9090", "example.org:9090", "127.evil.org:1"):
        with pytest.raises(InvalidSettings, match="need TLS"):
            metrics_server(address, lambda: METRICS)
    for address in ("127.0.0.1:0", "127.1.2.3:0", "[::1]:0", "localhost:0"):
        metrics_server(address, lambda: METRICS)


def test_an_address_in_use_is_said():
    """With where to look."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = metrics_server(f"127.0.0.1:{taken.getsockname()[1]}", lambda: METRICS)
        with pytest.raises(AddressInUse, match="Address already in use"):
            asyncio.run(server.start())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def client(authority, signed):
    """A client's context with a certificate, or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.certificate)
    if signed:
        context.load_cert_chain(signed.certificate, signed.key)
    return context


def by_role(roles):
    """As an agent decides."""

    async def allows(client):
        return Access.of(client.peer, roles).may_status()

    return allows


def test_metrics_by_tls_are_for_the_role_status(authority, tmp_path):
    """403 without the role; no TLS without a certificate, or with one that is expired or of another CA."""
    stranger = Authority(tmp_path / "stranger")
    served = authority.sign("DNS:localhost")
    roles = Roles.parse({"prometheus.example.org": {"status": True}, "ci.example.org": {"capture": "*"}})
    server = metrics_server(
        "localhost:0", lambda: METRICS, tls=served.files(authority.certificate), allows=by_role(roles)
    )

    def attempt(signed):
        def call(port):
            try:
                return request("GET", "/metrics", context=client(authority, signed))(port)[0]
            except (ssl.SSLError, ConnectionError):
                return "refused"

        return call

    assert asked(
        server,
        attempt(authority.sign("DNS:prometheus.example.org")),
        attempt(authority.sign("DNS:ci.example.org")),
        attempt(authority.sign("", subject="prometheus.example.org")),
        attempt(None),
        attempt(stranger.sign("DNS:prometheus.example.org")),
        attempt(authority.sign("DNS:prometheus.example.org", expired=True)),
        attempt(authority.sign("DNS:prometheus.example.org", purpose="serverAuth")),
        attempt(authority.sign("URI:spiffe://x/y,DNS:Prometheus.example.org")),
    ) == [200, 403, 403, *["refused"] * 4, 200]


def test_metrics_for_tokens(authority, tmp_path):
    """Neither certificate nor token: 401; else each is asked about; 503 while nobody knows. No body."""
    stranger = Authority(tmp_path / "stranger")
    served = authority.sign("DNS:localhost")

    async def allows(seen):
        if seen.token in {"unknown-yet"}:
            raise PlatformUnreachable("the API server is away")
        return seen.token in {"good.token_1~+/="} or "prometheus.example.org" in seen.peer.names

    server = metrics_server(
        "localhost:0", lambda: METRICS, tls=served.files(authority.certificate), allows=allows, tokens=True
    )

    def attempt(header, signed=None):
        def call(port):
            headers = {"Authorization": header} if header else {}
            try:
                return request("GET", "/metrics", context=client(authority, signed), headers=headers)(port)
            except (ssl.SSLError, ConnectionError):
                return ("refused", {}, b"")

        return call

    answers = asked(
        server,
        attempt("Bearer good.token_1~+/="),
        attempt("bearer   good.token_1~+/="),
        attempt("Bearer bad"),
        attempt("Basic Z29vZDp0b2tlbg=="),
        attempt(""),
        attempt("Bearer unknown-yet"),
        attempt("", authority.sign("DNS:prometheus.example.org")),
        attempt("", authority.sign("DNS:other.example.org")),
        attempt("Bearer good.token_1~+/=", authority.sign("DNS:other.example.org")),
        attempt("Bearer good.token_1~+/=", stranger.sign("DNS:prometheus.example.org")),
    )
    assert [each[0] for each in answers] == [200, 200, 403, 401, 401, 503, 200, 403, 200, "refused"]
    assert {body for status, _, body in answers if status != 200} == {b""}
    assert answers[4][1]["WWW-Authenticate"] == "Bearer"


def test_a_token_where_none_count_is_nothing(authority):
    """A server of certificates alone does not read it."""
    served = authority.sign("DNS:localhost")
    seen = []

    async def allows(asking):
        seen.append(asking)
        return False

    server = metrics_server(
        "localhost:0", lambda: METRICS, tls=served.files(authority.certificate), allows=allows
    )
    context = client(authority, authority.sign("DNS:a.example.org"))
    [(status, _, _)] = asked(
        server, request("GET", "/metrics", context=context, headers={"Authorization": "Bearer t"})
    )
    assert (status, [each.token for each in seen]) == (403, [""])


def test_a_client_that_does_not_shake_hands_is_dropped(authority):
    """A TCP connection that begins no TLS costs its time, and others are served."""
    served = authority.sign("DNS:localhost")
    roles = Roles.parse({"prometheus.example.org": {"status": True}})
    server = metrics_server(
        LOCAL,
        lambda: METRICS,
        tls=served.files(authority.certificate),
        allows=by_role(roles),
        limits=WebLimits(seconds=1),
    )
    context = client(authority, authority.sign("DNS:prometheus.example.org"))

    def call(port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
            status = request("GET", "/metrics", context=context)(port)[0]
            return status, silent.recv(10)

    assert asked(server, call) == [(200, b"")]


def test_stop_ends_what_is_open():
    """Open connections are dropped, and the port is free again."""

    async def run():
        server = WebServer(
            {"/": lambda: Answer(200)}, Address(host="127.0.0.1"), limits=WebLimits(seconds=60)
        )
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while not server.open:
            await asyncio.sleep(0)
        await server.stop()
        ended = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        again = WebServer({}, Address(host="127.0.0.1", port=server.port))
        await again.start()
        await again.stop()
        return ended

    assert asyncio.run(run()) == b""
