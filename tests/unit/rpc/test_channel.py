"""What a client is told when it gets no answer."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.model.errors import LimitReached, NotPermitted, TimedOut, Unreachable, UsageError
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection, open_channel
from recorder.rpc.limits import Limits
from recorder.rpc.server import Listening
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.unit.rpc.servicer import SmallAgent, by_container, failure, on_socket, serving, status


def refused(address, *tls, seconds=5):
    async def run():
        async with Connection(address, *tls) as connection:
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            return await failure(lambda: connection.ask(stub.GetStatus, pb.GetStatusRequest(), seconds))

    return asyncio.run(run())


def test_no_socket(tmp_path):
    """No agent is running: how to start it."""
    error = refused(Address(path=tmp_path / "agent.sock"))
    assert isinstance(error, Unreachable)
    assert f"there is no socket {tmp_path}/agent.sock; start it (recorder agent" in str(error)


def test_a_dead_socket(tmp_path):
    """An agent that was killed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "agent.sock"))
    error = refused(Address(path=tmp_path / "agent.sock"))
    assert isinstance(error, Unreachable)
    assert "ended without removing its socket" in str(error)


@pytest.mark.root
def test_somebody_else_s_socket(open_folder):
    """Who is not root is told to be."""
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from recorder.rpc.channel import Connection\n"
        "from recorder.rpc.address import Address\n"
        "from recorder.rpc.v1 import agent_pb2 as pb, agent_pb2_grpc\n"
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "async def run():\n"
        "    async with Connection(Address(path=Path(sys.argv[1]))) as connection:\n"
        "        stub = agent_pb2_grpc.AgentStub(connection.channel)\n"
        "        await connection.ask(stub.GetStatus, pb.GetStatusRequest())\n"
        "try:\n"
        "    asyncio.run(run())\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    path = open_folder / "agent.sock"

    async def run():
        async with serving(Listening(socket=path)):
            return await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", script, str(path)],
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
                cwd=Path.cwd(),
            )

    done = asyncio.run(run())
    assert done.stdout.startswith(NotPermitted.__name__), done
    assert "is for root alone: run this as root" in done.stdout


def test_a_closed_port(server_files, client_files, authority):
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refused(Address(host="127.0.0.1", port=port), client_files.files(), authority.certificate)
    assert isinstance(error, Unreachable)
    assert f"nobody listens on 127.0.0.1:{port}" in str(error)


def test_no_such_host(client_files, authority):
    """A name that cannot be resolved (RFC 6761: .invalid never is)."""
    error = refused(
        Address(host="nowhere.invalid", port=1), client_files.files(), authority.certificate, seconds=20
    )
    assert isinstance(error, Unreachable)
    assert "there is no host nowhere.invalid" in str(error)


def test_an_agent_that_hangs(tmp_path):
    """The deadline is kept, for an answer and for a stream's first message."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(path))
        silent.listen()
        error = refused(Address(path=path), seconds=0.3)

        async def first():
            async with on_socket(path) as connection:
                stub = agent_pb2_grpc.AgentStub(connection.channel)
                await anext(aiter(connection.listen(stub.Capture, by_container(), 0.3)))

        second = asyncio.run(failure(first))
    for each in (error, second):
        assert isinstance(each, TimedOut)
        assert "did not answer within 0.3 s" in str(each)


def test_an_agent_that_is_killed_in_a_stream(tmp_path):
    """A stream whose server goes away ends with an error, not as if it were over."""
    path = tmp_path / "agent.sock"
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from recorder.rpc.server import Listening\n"
        "from tests.unit.rpc.servicer import serving\n"
        "async def run():\n"
        "    async with serving(Listening(socket=Path(sys.argv[1]))):\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=-1, text=True) as agent:
        try:
            assert agent.stdout.readline() == "ready\n"

            async def run():
                async with on_socket(path) as connection:
                    stub = agent_pb2_grpc.AgentStub(connection.channel)
                    stream = connection.listen(stub.Capture, by_container())
                    await anext(stream)
                    agent.kill()

                    async def rest():
                        async for _ in stream:
                            pass

                    return await failure(rest)

            error = asyncio.run(run())
        finally:
            agent.kill()
    assert isinstance(error, Unreachable)


def test_a_stream_that_ends_is_over(tmp_path):
    """All messages, and no error."""

    async def run():
        agent = SmallAgent()
        agent.count = 3
        async with (
            serving(Listening(socket=tmp_path / "s"), agent),
            on_socket(tmp_path / "s") as connection,
        ):
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            return [
                each.WhichOneof("event") async for each in connection.listen(stub.Capture, by_container())
            ]

    assert asyncio.run(run()) == ["started", "snapshot", "snapshot", "snapshot"]


def test_a_stream_that_is_left_is_cancelled(tmp_path):
    """Closing the generator ends the call on the server."""

    async def run():
        async with (
            serving(Listening(socket=tmp_path / "s")) as (server, agent),
            on_socket(tmp_path / "s") as connection,
        ):
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            stream = connection.listen(stub.Capture, by_container())
            await anext(stream)
            await stream.aclose()
            await asyncio.wait_for(agent.ended.wait(), 5)
            while server.calls.open:
                await asyncio.sleep(0.01)
            return await status(connection)

    assert asyncio.run(run()) == "the Unix socket"


def test_a_message_that_is_too_large(tmp_path):
    """The client's own bound is said as a bound."""

    async def run():
        agent = SmallAgent()
        agent.size = 100_000
        async with (
            serving(Listening(socket=tmp_path / "s"), agent),
            on_socket(tmp_path / "s", Limits(send_bytes=50_000)) as connection,
        ):
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            stream = connection.listen(stub.Capture, by_container())
            await anext(stream)
            return await failure(lambda: anext(stream))

    error = asyncio.run(run())
    assert isinstance(error, LimitReached)
    assert "larger than" in str(error)


def test_certificates_belong_to_tcp(client_files, authority, tmp_path):
    """A socket with certificates, and TCP without, are mistakes of the one who asks."""
    with pytest.raises(UsageError, match="needs no certificates"):
        open_channel(Address(path=tmp_path / "s"), client_files.files(), authority.certificate)
    with pytest.raises(UsageError, match="by TLS alone"):
        open_channel(Address(host="node", port=1))
