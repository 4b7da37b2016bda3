"""The server: its Unix socket, health, reflection, its end."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from recorder.model.errors import AddressInUse, InvalidSettings, RemoteFailed, Unreachable
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection
from recorder.rpc.server import Listening
from recorder.rpc.unix_socket import UnixSocket
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.unit.rpc.servicer import SmallAgent, by_container, failure, on_socket, serving, status


@pytest.fixture
def path(tmp_path):
    """A socket's path, short enough."""
    return tmp_path / "agent.sock"


def test_the_socket_is_root_s_alone_and_clients_are_local(path):
    """Mode 0600, the server's owner; a client of it is known as local; it is gone after the end."""

    async def run():
        async with serving(Listening(socket=path)), on_socket(path) as connection:
            there = path.lstat()
            return stat.S_IMODE(there.st_mode), there.st_uid, await status(connection)

    assert asyncio.run(run()) == (0o600, os.geteuid(), "the Unix socket")
    assert list(path.parent.iterdir()) == []


def test_the_folder_is_made_for_its_owner_alone(tmp_path):
    """A folder that is not there is made with mode 0700."""
    path = tmp_path / "run" / "agent.sock"

    async def run():
        async with serving(Listening(socket=path)):
            return stat.S_IMODE(path.parent.stat().st_mode)

    assert asyncio.run(run()) == 0o700


def test_nobody_can_connect_before_the_mode_is_set(path):
    """While the server begins to listen, the path is not there; afterwards it is whole."""
    seen = []

    def listen(address):
        made = Path(address.removeprefix("unix:"))
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.fspath(made))
        server.listen()
        seen.append((path.exists(), stat.S_IMODE(made.parent.stat().st_mode)))
        return server

    UnixSocket(path).bind(listen)
    assert seen == [(False, 0o700)]
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


def killed_listener(path):
    """Leaves a socket whose process is dead, as SIGKILL does."""
    script = f"import socket,os,signal; s=socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); "
    subprocess.run([sys.executable, "-c", script + "os.kill(os.getpid(), signal.SIGKILL)"], check=False)
    assert path.is_socket()


def test_a_dead_process_s_socket_is_replaced(path):
    """After SIGKILL the next server serves at the same path."""
    killed_listener(path)

    async def run():
        async with serving(Listening(socket=path)), on_socket(path) as connection:
            return await status(connection)

    assert asyncio.run(run()) == "the Unix socket"


def test_a_living_one_is_refused_by_name_and_not_disturbed(path):
    """A second server says which process serves already; the first goes on."""

    async def run():
        async with serving(Listening(socket=path)), on_socket(path) as connection:
            with pytest.raises(AddressInUse) as refused:
                async with serving(Listening(socket=path)):
                    pass
            return str(refused.value), await status(connection)

    message, answer = asyncio.run(run())
    comm = Path("/proc/self/comm").read_text().strip()
    assert f"process {os.getpid()} ({comm}) serves at {path} already" in message
    assert answer == "the Unix socket"


def test_an_old_server_leaves_the_new_one_s_socket(path):
    """A server that ends late does not remove the socket of the one that has taken its place."""
    first, second = UnixSocket(path), UnixSocket(path)
    held = []

    def listen(address):
        held.append(socket.socket(socket.AF_UNIX))
        held[-1].bind(address.removeprefix("unix:"))
        held[-1].listen()

    first.bind(listen)
    held.pop().close()
    second.bind(listen)
    first.remove()
    assert path.is_socket()
    second.remove()
    assert not path.exists()


def test_two_that_start_at_once_do_not_both_serve(path, scaled):
    """Of processes that start at the same moment over a dead socket one serves, and the others are told."""
    script = (
        "import sys, socket\n"
        "from pathlib import Path\n"
        "from recorder.rpc.unix_socket import UnixSocket\n"
        "from recorder.model.errors import AddressInUse\n"
        "held = []\n"
        "def listen(address):\n"
        "    held.append(socket.socket(socket.AF_UNIX)); held[-1].bind(address[5:]); held[-1].listen()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n"
        "    UnixSocket(Path(sys.argv[1])).bind(listen)\n"
        "    print('serves', flush=True)\n"
        "except AddressInUse as error:\n"
        "    print('refused', error, flush=True)\n"
        "sys.stdin.readline()\n"
    )
    for _ in range(scaled(20, least=3)):
        if not path.exists():
            killed_listener(path)
        started = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(path)], stdin=-1, stdout=-1, text=True, cwd=Path.cwd()
            )
            for _ in range(3)
        ]
        for each in started:
            assert each.stdout.readline() == "ready\n"
        for each in started:
            each.stdin.write("\n")
            each.stdin.flush()
        said = [each.stdout.readline().split()[0] for each in started]
        for each in started:
            each.kill()
            each.communicate(timeout=10)
        assert sorted(said) == ["refused", "refused", "serves"]


def test_what_a_killed_start_has_left_is_removed(path):
    """A folder with a socket from a process that was killed before it was done is no hindrance, and goes."""
    left = path.parent / ".agent.sock.new"
    left.mkdir()
    killed_listener(left / "s")

    async def run():
        async with serving(Listening(socket=path)), on_socket(path) as connection:
            return await status(connection)

    assert asyncio.run(run()) == "the Unix socket"
    assert not left.exists()


def test_what_is_no_socket_is_left_alone(path):
    """A file at the path is neither replaced nor removed."""
    path.write_text("precious")
    with pytest.raises(AddressInUse, match="is no socket"):
        UnixSocket(path).bind(lambda address: None)
    assert path.read_text() == "precious"


def test_a_folder_that_others_may_write_to_is_refused(tmp_path):
    """Without the sticky bit others could put their own socket there."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(AddressInUse, match=r"mode 0777.*chmod go-w"):
        UnixSocket(folder / "agent.sock").bind(lambda address: None)


@pytest.mark.root
def test_a_folder_of_another_user_is_refused(tmp_path):
    """Its owner could replace the socket."""
    folder = tmp_path / "nobodys"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(AddressInUse, match="belongs to another user"):
        UnixSocket(folder / "agent.sock").bind(lambda address: None)


@pytest.mark.parametrize("path", ["agent.sock", "/" + "x" * 120])
def test_a_path_that_no_socket_can_have_is_refused(path):
    """Relative, or longer than the kernel takes."""
    with pytest.raises(InvalidSettings, match="absolute path of at most 100 bytes"):
        UnixSocket(Path(path))


def test_a_port_in_use_is_refused(server_files, authority):
    """Two servers do not share a port (SO_REUSEPORT is off), and the second says what is the matter."""

    async def run():
        tls = server_files.files(authority.certificate)
        async with serving(Listening(tcp="127.0.0.1:0", tls=tls)) as (server, _):
            with pytest.raises(AddressInUse, match="another process has the port"):
                async with serving(Listening(tcp=f"127.0.0.1:{server.tcp_port}", tls=tls)):
                    pass

    asyncio.run(run())


def test_nothing_is_left_of_a_start_that_failed(path, server_files, authority):
    """When the TCP port is taken, no socket stays behind."""

    async def run():
        tls = server_files.files(authority.certificate)
        async with serving(Listening(tcp="127.0.0.1:0", tls=tls)) as (server, _):
            with pytest.raises(AddressInUse):
                async with serving(Listening(socket=path, tcp=f"127.0.0.1:{server.tcp_port}", tls=tls)):
                    pass

    asyncio.run(run())
    assert list(path.parent.iterdir()) == []


def test_health_is_what_was_set(path):
    """NOT_SERVING until it is said, then SERVING, for the whole and for the service."""
    state = health_pb2.HealthCheckResponse

    async def run():
        async with serving(Listening(socket=path)) as (server, _), on_socket(path) as connection:
            stub = health_pb2_grpc.HealthStub(connection.channel)

            async def ask():
                return [
                    (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status
                    for name in ("", "recorder.rpc.v1.Agent")
                ]

            before = await ask()
            await server.set_serving(True)
            return before, await ask()

    assert asyncio.run(run()) == ([state.NOT_SERVING] * 2, [state.SERVING] * 2)


def test_health_is_watched(path):
    """A change is streamed to who watches."""
    state = health_pb2.HealthCheckResponse

    async def run():
        async with serving(Listening(socket=path)) as (server, _), on_socket(path) as connection:
            stub = health_pb2_grpc.HealthStub(connection.channel)
            stream = connection.listen(stub.Watch, health_pb2.HealthCheckRequest())
            before = (await anext(stream)).status
            await server.set_serving(True)
            after = (await anext(stream)).status
            await stream.aclose()
            return before, after

    assert asyncio.run(run()) == (state.NOT_SERVING, state.SERVING)


def services(path, *, reflection):
    async def run():
        async with serving(Listening(socket=path, reflection=reflection)), on_socket(path) as connection:
            stub = reflection_pb2_grpc.ServerReflectionStub(connection.channel)
            call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))

            async def first():
                return await anext(aiter(connection.listen(lambda _: call, None)))

            if not reflection:
                return await failure(first)
            return [each.name for each in (await first()).list_services_response.service]

    return asyncio.run(run())


def test_reflection_is_there_when_configured(path):
    """It lists the services, and is unknown otherwise."""
    assert "recorder.rpc.v1.Agent" in services(path, reflection=True)
    error = services(path, reflection=False)
    assert isinstance(error, RemoteFailed)


def test_reflection_costs_nothing_when_it_is_not_configured():
    """Its modules are not imported with the server's, nor are HTTP's."""
    script = (
        "import sys; import recorder.rpc.server, recorder.rpc.channel, recorder.rpc.requests; "
        "print([name for name in sys.modules"
        " if name.startswith(('grpc_reflection.v1alpha', 'http.', 'grpc_status.', 'tempfile'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_stop_lets_calls_end_and_then_ends_them(path):
    """The socket goes first; a stream goes on for the time that it has, then it is ended."""

    async def run():
        agent = SmallAgent()
        async with serving(Listening(socket=path), agent) as (server, _), on_socket(path) as connection:
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            stream = connection.listen(stub.Capture, by_container())
            await anext(stream)
            stopping = asyncio.create_task(server.stop(0.5))
            while path.exists():
                await asyncio.sleep(0)
            messages = 0

            async def rest():
                nonlocal messages
                async for _ in stream:
                    messages += 1

            error = await failure(rest)
            await stopping
            await asyncio.wait_for(agent.ended.wait(), 5)
            return messages, error

    messages, error = asyncio.run(run())
    assert messages > 1
    assert isinstance(error, Unreachable)


def test_what_the_client_s_address_says_is_used(path):
    """A connection by the text of an address."""

    async def run():
        async with serving(Listening(socket=path)), Connection(Address.parse(f"unix:{path}")) as connection:
            stub = agent_pb2_grpc.AgentStub(connection.channel)
            return (await connection.ask(stub.GetStatus, pb.GetStatusRequest())).node

    assert asyncio.run(run()) == "the Unix socket"
