"""Clients that do not read, and clients that send noise: what they cost, and that others are served."""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recorder.rpc.server import Listening
from tests.unit.rpc import http2
from tests.unit.rpc.servicer import (
    CAPTURE,
    by_container,
    on_socket,
    on_tcp,
    serving,
    stalled,
    status,
    stub_of,
)

MIB = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


AGENT = """
import asyncio, sys
from pathlib import Path
from recorder.rpc.limits import Limits
from recorder.rpc.server import Listening
from tests.unit.rpc.servicer import SmallAgent, serving

async def run():
    agent = SmallAgent()
    agent.size = int(sys.argv[2])
    async with serving(Listening(socket=Path(sys.argv[1])), agent):
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(agent.sent, flush=True)

asyncio.run(run())
"""


@contextlib.contextmanager
def agent_process(path, size):
    """A small agent in a process of its own; `sent()` says how many snapshots it has made."""
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, str(path), str(size)], stdin=-1, stdout=-1, text=True, cwd=Path.cwd()
    ) as agent:

        def sent():
            agent.stdin.write("\n")
            agent.stdin.flush()
            return int(agent.stdout.readline())

        try:
            assert agent.stdout.readline() == "ready\n"
            yield psutil.Process(agent.pid), sent
        finally:
            agent.kill()


def settled(sent):
    """The count once it rises no more for half a second."""
    before, end = -1, time.monotonic() + 60
    while (now := sent()) != before:
        assert time.monotonic() < end, "it never stops to send"
        before = now
        time.sleep(0.5)
    return now


def test_clients_that_never_read_cost_a_bounded_amount(path, scaled):
    """Each lets the server send 2 GiB at once and reads nothing: it gets what the socket holds, and the
    server keeps a message or two for it. The memory is given back, and others are served meanwhile."""
    size, clients = MIB, scaled(50, least=8)
    with agent_process(path, size) as (process, sent), contextlib.ExitStack() as open_sockets:

        async def asks():
            async with on_socket(path) as connection:
                return await status(connection)

        asyncio.run(asks())
        before = process.memory_info().rss
        for _ in range(clients):
            client = open_sockets.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            client.sendall(http2.greedy_call(1, CAPTURE, by_container().SerializeToString()))
        made = settled(sent)
        grown = process.memory_info().rss - before
        assert asyncio.run(asks()) == "the Unix socket"
        assert sent() == made
        per_client, messages = grown / clients / size, made / clients
        print(f"{clients} clients: {messages:.1f} messages and {per_client:.2f} messages' memory for each")
        assert messages <= 4
        assert per_client <= 4


def test_calls_that_never_read_cost_a_bounded_amount(path, scaled):
    """The same with gRPC's own client: many stalled streams of one connection."""
    size, streams = 100_000, scaled(200, least=20)
    with agent_process(path, size) as (process, sent):

        async def run():
            async with on_socket(path) as connection:
                await status(connection)
                before = process.memory_info().rss
                calls = await stalled(connection, streams)
                made = await asyncio.to_thread(settled, sent)
                grown = process.memory_info().rss - before
                answer = await status(connection)
                for call in calls:
                    call.cancel()
                return made / streams, grown / streams / size, answer

        messages, per_stream, answer = asyncio.run(run())
        print(f"{streams} streams: {messages:.1f} messages and {per_stream:.2f} messages' memory for each")
        assert answer == "the Unix socket"
        assert messages <= 4
        assert per_stream <= 4


def noise(path_or_port, data):
    """Send bytes as a client may, and read what comes until the end, for a second at most."""
    family = socket.AF_INET if isinstance(path_or_port, int) else socket.AF_UNIX
    where = ("127.0.0.1", path_or_port) if isinstance(path_or_port, int) else str(path_or_port)
    with socket.socket(family) as connection, contextlib.suppress(OSError):
        connection.settimeout(0.3)
        connection.connect(where)
        connection.sendall(data)
        while connection.recv(65536):
            pass


def test_random_bytes_on_the_sockets_harm_nobody(path, scaled, server_files, client_files, authority):
    """Noise, noise after a good beginning, random frames, calls of random bytes; a stream goes on."""
    rounds = scaled(100, least=10)

    def random_frames():
        kinds = [os.urandom(3) for _ in range(20)]
        return b"".join(
            http2.frame(each[0] % 11, os.urandom(each[1]), flags=each[2], stream=each[2] % 5)
            for each in kinds
        )

    def call_of_noise():
        return http2.headers(1, CAPTURE) + http2.message(1, os.urandom(200))

    beginnings = [b"", http2.PREFACE, http2.PREFACE + http2.settings()]
    rests = [lambda: os.urandom(2000), random_frames, call_of_noise]

    async def run():
        tls = server_files.files(authority.certificate)
        async with (
            serving(Listening(socket=path, tcp="127.0.0.1:0", tls=tls)) as (server, _),
            on_socket(path) as local,
            on_tcp(server, client_files.files(), authority.certificate) as remote,
        ):
            stream = remote.listen(stub_of(remote).Capture, by_container())
            await anext(stream)
            for _ in range(rounds):
                sends = [
                    asyncio.to_thread(noise, where, beginning + rest())
                    for where, (beginning, rest) in itertools.product(
                        (path, server.tcp_port), zip(beginnings, rests, strict=True)
                    )
                ]
                await asyncio.gather(*sends)
                assert (await anext(stream)).HasField("snapshot")
                assert await status(local) == "the Unix socket"
            await stream.aclose()
            async with asyncio.timeout(10):
                while server.calls.open:
                    await asyncio.sleep(0.01)

    asyncio.run(run())
