"""Docker by its API over a real socket: good answers, silence, nonsense."""

import asyncio
import contextlib
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.containers.container import Manager
from recorder.containers.docker import MAX_ANSWER, DockerSource
from recorder.containers.docker_sockets import sockets
from recorder.model.errors import RuntimeUnreachable
from tests.unit.containers.fake_cri import hex_id, until
from tests.unit.containers.fake_docker import SILENCE, docker

DIGEST = f"sha256:{'d' * 64}"
ONE = hex_id(1)


def with_docker(test, tmp_path, **what):
    async def body():
        async with docker(tmp_path / "d") as fake:
            source = DockerSource(tmp_path / "d", **what)
            await test(fake, source)
            await source.close()

    asyncio.run(body())


def test_a_container(tmp_path):
    """Name, labels, image, digest of its repository, restarts, pid; the runtime with its version."""

    async def test(fake, source):
        fake.add(ONE, "web")
        fake.answers[f"/images/sha256:{'e' * 64}/json"] = {"RepoDigests": ["web@" + DIGEST]}
        found = await source.find(ONE)
        assert (found.id, found.name, found.manager, found.pod) == (ONE, "web", Manager.DOCKER, None)
        assert (found.image, found.image_digest, dict(found.labels)) == ("web:1", DIGEST, {"app": "web"})
        assert (found.restart_count, found.pid) == (2, 77)
        assert (found.runtime, found.runtime_version) == ("runc", "1.1.9")
        assert source.status().version == "docker 24.0.7"
        (listed,) = await source.list()
        assert (listed.id, listed.name, listed.pid) == (ONE, "web", 0)

    with_docker(test, tmp_path)


def test_an_image_of_no_repository_has_its_own_digest(tmp_path):
    """It is asked for once."""

    async def test(fake, source):
        fake.add(ONE, "web")
        for _ in range(3):
            assert (await source.find(ONE)).image_digest == f"sha256:{'e' * 64}"
        assert sum(path.startswith("/images") for path in fake.requests) == 1

    with_docker(test, tmp_path)


def test_labels_of_a_pod_name_no_pod(tmp_path):
    """A container that says that it is of a pod is none of a pod: only the CRI knows pods."""

    async def test(fake, source):
        labels = {"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "kube-system"}
        fake.add(ONE, "web", Config={"Labels": labels, "Image": "web:1"})
        assert (await source.find(ONE)).pod is None

    with_docker(test, tmp_path)


def test_a_runtime_that_is_no_container_of_this_kernel(tmp_path):
    """By its name in the host configuration."""

    async def test(fake, source):
        fake.add(ONE, "web", HostConfig={"Runtime": "runsc"})
        assert (await source.find(ONE)).not_recordable == "runsc"

    with_docker(test, tmp_path)


def test_what_docker_does_not_know(tmp_path):
    """None for 404, and for what cannot be an id: it would go into a path."""

    async def test(fake, source):
        assert await source.find(ONE) is None
        requests = len(fake.requests)
        for odd in ("", "..", "a/b", "x" * 64, f"{ONE}/json?x", ONE.upper() + "\r\nX: y"):
            assert await source.find(odd) is None
        assert len(fake.requests) == requests

    with_docker(test, tmp_path)


def test_nobody_listens(tmp_path):
    """At once, with the socket's path; events as well."""

    async def body():
        source = DockerSource(tmp_path / "nobody")
        with pytest.raises(RuntimeUnreachable, match="nobody"):
            await source.list()
        with pytest.raises(RuntimeUnreachable, match="nobody"):
            await anext(source.watch())
        assert not source.status().reachable

    asyncio.run(body())


def test_a_server_that_is_silent(tmp_path):
    """The deadline of a request holds, also against one that sends a byte now and then."""

    async def test(fake, source):
        fake.add(ONE, "web")
        fake.answers[f"/containers/{ONE}/json"] = SILENCE
        began = time.monotonic()
        with pytest.raises(RuntimeUnreachable, match="timed out"):
            await source.find(ONE)
        assert time.monotonic() - began < 2

        async def drip(reader, writer):
            with contextlib.suppress(OSError):
                while True:
                    writer.write(b"HTTP/1.1 200 OK\r\n" if reader else b"X: y\r\n")
                    reader = None
                    await writer.drain()
                    await asyncio.sleep(0.05)

        server = await asyncio.start_unix_server(drip, str(tmp_path / "drip"))
        began = time.monotonic()
        with pytest.raises(RuntimeUnreachable):
            await DockerSource(tmp_path / "drip", deadline=0.2).list()
        assert time.monotonic() - began < 2
        server.close()

    with_docker(test, tmp_path, deadline=0.2)


NONSENSE = [
    b"",
    b"\x00" * 100,
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[[",
    b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_ANSWER + 2),
    "text",
    17,
    {"Id": hex_id(2)},
    {"Id": 3},
    [],
]


@pytest.mark.parametrize("answer", NONSENSE, ids=[str(each)[:20] for each in NONSENSE])
def test_nonsense(tmp_path, answer):
    """Whatever comes instead of a container is no container, and no other error."""

    async def test(fake, source):
        fake.answers[f"/containers/{ONE}/json"] = answer
        with pytest.raises(RuntimeUnreachable, match="does not answer as it should"):
            await source.find(ONE)

    with_docker(test, tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["Name", "Image", "Config", "State", "RestartCount", "HostConfig", "OCIRuntime"]),
        json_values,
    ),
    json_values,
    json_values,
)
def test_fields_of_another_type(tmp_path_factory, fields, listed, version):
    """A field that is not what it should be is not known; the rest is read."""

    async def test(fake, source):
        fake.answers[f"/containers/{ONE}/json"] = {"Id": ONE} | json.loads(json.dumps(fields))
        assert (await source.find(ONE)).id == ONE
        fake.answers["/containers/json"] = listed
        with contextlib.suppress(RuntimeUnreachable):
            await source.list()
        fake.answers["/version"] = version
        with contextlib.suppress(RuntimeUnreachable):
            await DockerSource(fake.socket).list()

    with_docker(test, tmp_path_factory.mktemp("d"))


def test_events_wake(tmp_path):
    """Each event is a sign; the end of the stream is an end, for the next try."""

    async def test(fake, source):
        signs = []

        async def listen():
            async for _ in source.watch():
                signs.append(1)

        task = asyncio.create_task(listen())
        await until(lambda: fake.listeners)
        before = len(signs)
        fake.tell()
        await until(lambda: len(signs) > before)
        for writer in list(fake.listeners):
            writer.close()
        await asyncio.wait_for(task, 5)
        fake.has_events = False
        with pytest.raises(RuntimeUnreachable, match="404"):
            await anext(source.watch())

    with_docker(test, tmp_path)


def test_the_usual_sockets(tmp_path):
    """Only sockets, each once."""

    async def body():
        (tmp_path / "run").mkdir()
        (tmp_path / "var").mkdir()
        (tmp_path / "var/run").symlink_to("../run")
        assert sockets(tmp_path) == []
        async with docker(tmp_path / "run/docker.sock"):
            assert sockets(tmp_path) == [tmp_path / "run/docker.sock"]

    asyncio.run(body())
