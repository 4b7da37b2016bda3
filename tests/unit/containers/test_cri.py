"""One CRI endpoint, by a runtime made up of answers over a real socket: good ones, late ones, nonsense."""

import asyncio
import contextlib
import json
import logging

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.containers.container import Manager
from recorder.containers.cri import CriSource
from recorder.containers.cri_endpoint import endpoints
from recorder.containers.runtime.v1 import api_pb2 as pb
from recorder.model.errors import RuntimeUnreachable
from recorder.model.record import ContainerKind, Pod
from tests.unit.containers.fake_cri import always, hex_id, serving, until

DIGEST = f"sha256:{'d' * 64}"


def with_runtime(test, tmp_path, deadline=5.0, **what):
    """Run `test(fake, source)` with a served fake."""

    async def body():
        async with serving(tmp_path / "s", **what) as fake:
            source = CriSource(tmp_path / "s", deadline=deadline)
            try:
                return await test(fake, source)
            finally:
                await source.close()

    return asyncio.run(body())


def test_a_container_is_named_by_metadata(tmp_path):
    """Pod, container and attempt by metadata; labels of that meaning name nothing, others are the pod's."""

    async def test(fake, source):
        lies = {"io.kubernetes.pod.namespace": "kube-system", "io.kubernetes.container.name": "liar"}
        pod = fake.add_sandbox(1, "web-0", "shop", app="web", **lies)
        web = fake.add_container(2, pod, "web", attempt=3, labels=lies)
        found = await source.find(web)
        assert found.name == "web"
        assert found.pod == Pod("shop", "web-0", "uid-web-0")
        assert dict(found.labels) == {"app": "web"}
        assert (found.restart_count, found.pid, found.manager) == (3, 1002, Manager.CRI)
        assert (found.image, found.image_digest) == ("docker.io/library/web:1", DIGEST)
        assert (found.runtime, found.kind, found.sandbox) == ("runc", ContainerKind.UNSPECIFIED, False)
        identity = found.identity()
        assert (identity.container_id, identity.pod, identity.restart_count) == (web, found.pod, 3)

    with_runtime(test, tmp_path)


def test_a_sandbox_is_a_container_of_its_pod(tmp_path):
    """It has a container's cgroup; a plan never records it."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0", app="web")
        found = await source.find(pod)
        assert (found.sandbox, found.pid, found.pod.name, dict(found.labels)) == (
            True,
            1001,
            "web-0",
            {"app": "web"},
        )

    with_runtime(test, tmp_path)


def test_what_the_runtime_does_not_know(tmp_path):
    """None, and nothing else, for NOT_FOUND of both container and sandbox."""

    async def test(fake, source):
        assert await source.find(hex_id(7)) is None
        assert fake.calls["ContainerStatus"] == fake.calls["PodSandboxStatus"] == 1

    with_runtime(test, tmp_path)


def test_a_sandbox_is_asked_for_once(tmp_path):
    """A container of a known pod costs one call."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        ids = [fake.add_container(number, pod, f"c{number}") for number in range(2, 12)]
        for each in ids:
            assert (await source.find(each)).pod.name == "web-0"
        assert (fake.calls["ContainerStatus"], fake.calls["PodSandboxStatus"]) == (10, 1)

    with_runtime(test, tmp_path)


def test_the_sandbox_is_found_without_private_json(tmp_path):
    """A runtime whose verbose answer says nothing: the list has the field."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        web = fake.add_container(2, pod, "web")
        status = pb.ContainerStatus(id=web, metadata=pb.ContainerMetadata(name="web"))
        fake.replies["ContainerStatus"] = always(
            pb.ContainerStatusResponse(status=status).SerializeToString()
        )
        found = await source.find(web)
        assert (found.pod.name, found.pid, found.runtime) == ("web-0", 0, "")

    with_runtime(test, tmp_path)


def test_the_list_has_what_lives(tmp_path):
    """Created and running containers, and sandboxes that are ready."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        gone = fake.add_sandbox(2, "old-0")
        fake.sandboxes[gone].state = pb.SANDBOX_NOTREADY
        run = fake.add_container(3, pod, "run")
        made = fake.add_container(4, pod, "made", state=pb.CONTAINER_CREATED)
        fake.add_container(5, pod, "done", state=pb.CONTAINER_EXITED)
        fake.add_container(6, gone, "old", state=pb.CONTAINER_EXITED)
        fake.add_container(7, hex_id(99), "orphan")
        found = {each.id: each for each in await source.list()}
        assert set(found) == {pod, run, made}
        assert found[pod].sandbox
        assert not found[run].sandbox

    with_runtime(test, tmp_path)


@pytest.mark.parametrize(
    ("label", "kind"),
    [("INIT", 2), ("REGULAR", 1), ("EPHEMERAL", 3), ("whatever", 0), (None, 0)],
)
def test_the_kind_is_told_by_a_label_or_not_at_all(tmp_path, label, kind):
    """It is never guessed."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        labels = {"io.kubernetes.container.type": label} if label else {}
        found = await source.find(fake.add_container(2, pod, "web", labels=labels))
        assert found.kind == kind

    with_runtime(test, tmp_path)


@pytest.mark.parametrize(
    ("image", "reference", "told", "digest"),
    [
        # asked for by tag; by id, as the kubelet does, with the name in a newer field; of no repository
        (
            pb.ImageSpec(image="docker.io/library/web:1"),
            f"docker.io/library/web@{DIGEST}",
            "docker.io/library/web:1",
            DIGEST,
        ),
        (
            pb.ImageSpec(image=DIGEST, user_specified_image="web:1"),
            f"docker.io/library/web@{DIGEST}",
            "web:1",
            DIGEST,
        ),
        (pb.ImageSpec(image=DIGEST), DIGEST, DIGEST, DIGEST),
        (pb.ImageSpec(image=DIGEST), f"reg/web@{DIGEST}", f"reg/web@{DIGEST}", DIGEST),
        (pb.ImageSpec(image="web:1"), "web:1", "web:1", ""),
    ],
)
def test_images(tmp_path, image, reference, told, digest):
    """The image by the name that a person wrote, where it is known; a digest only where it is one."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        found = await source.find(fake.add_container(2, pod, "web", image=image, image_ref=reference))
        assert (found.image, found.image_digest) == (told, digest)

    with_runtime(test, tmp_path)


KATA = {
    "runtimes": {"vm": {"runtimeType": "io.containerd.kata.v2"}, "runc": {}},
    "defaultRuntimeName": "runc",
}


@pytest.mark.parametrize(
    ("handler", "config", "info", "reason"),
    [
        ("kata-qemu", {}, {}, "kata-qemu"),
        ("runsc", {}, {}, "runsc"),
        ("gVisor", {}, {}, "gVisor"),
        ("vm", KATA, {"runtimeType": ""}, "vm (kata)"),
        ("", {}, {"runtimeType": "io.containerd.runsc.v1"}, "runsc"),
        ("", KATA | {"defaultRuntimeName": "vm"}, {"runtimeType": ""}, "vm (kata)"),
        (
            "fast",
            {},
            {"runtimeOptions": {"BinaryName": "/opt/kata/bin/kata-runtime"}},
            "fast (/opt/kata/bin/kata-runtime)",
        ),
        ("crun", {}, {}, ""),
        ("", KATA, {}, ""),
    ],
)
def test_a_virtual_machine_or_user_space_kernel_is_not_recordable(tmp_path, handler, config, info, reason):
    """By the handler's name, by its type or by its program: in the list, for a container, for its sandbox."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0", handler=handler)
        web = fake.add_container(2, pod, "web")
        fake.info = {pod: info, web: info}
        assert (await source.find(web)).not_recordable == reason
        assert (await source.find(pod)).not_recordable == reason
        if not info:
            assert {each.not_recordable for each in await source.list()} == {reason}

    with_runtime(test, tmp_path, config={"containerd": config})


def test_the_default_handler_has_a_name(tmp_path):
    """As the runtime's configuration has it, with the program of that name."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        fake.info[pod] = {"runtimeType": ""}
        found = await source.find(pod)
        assert (found.runtime_handler, found.runtime) == ("fast", "crun")
        assert source.status().handlers == ("fast", "runc")

    runtimes = {
        "fast": {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "/usr/bin/crun"}},
        "runc": {"runtimeType": "io.containerd.runc.v2"},
    }
    with_runtime(test, tmp_path, config={"containerd": {"runtimes": runtimes, "defaultRuntimeName": "fast"}})


def test_the_status_says_who_it_is(tmp_path):
    """Unreachable before it was asked; the reason after a failure; its version again when it is back."""

    async def test(fake, source):
        assert not source.status().reachable
        await source.list()
        assert (source.status().reachable, source.status().version) == (True, "containerd 1.7.0")
        fake.replies["ListContainers"] = always(grpc.StatusCode.INTERNAL)
        with pytest.raises(RuntimeUnreachable, match="INTERNAL"):
            await source.list()
        assert not source.status().reachable
        assert "ListContainers" in source.status().problem
        fake.replies.clear()
        fake.version = "2.0.0"
        await source.list()
        assert source.status().version == "containerd 2.0.0"
        assert source.status().problem == ""

    with_runtime(test, tmp_path)


def test_nobody_listens(tmp_path):
    """At once, and with the socket's path."""

    async def body():
        source = CriSource(tmp_path / "nobody")
        with pytest.raises(RuntimeUnreachable, match="nobody"):
            await source.list()
        with pytest.raises(RuntimeUnreachable):
            await source.find(hex_id(1))
        await source.close()

    asyncio.run(body())


def test_a_server_without_the_service(tmp_path):
    """Docker's containerd has the CRI switched off: it knows no container, and the status says so."""

    async def test(fake, source):
        for method in ("Version", "Status", "ContainerStatus"):
            fake.replies[method] = always(grpc.StatusCode.UNIMPLEMENTED)
        assert await source.list() == []
        assert await source.find(hex_id(1)) is None
        assert "runtime.v1" in source.status().problem

    with_runtime(test, tmp_path)


@pytest.mark.parametrize("method", ["Version", "ContainerStatus", "PodSandboxStatus", "ListContainers"])
def test_a_runtime_that_hangs(tmp_path, method):
    """Each call ends with its deadline."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        web = fake.add_container(2, pod, "web")
        fake.replies[method] = always(None)
        async with asyncio.timeout(5):
            ask = source.list() if method == "ListContainers" else source.find(web)
            with pytest.raises(RuntimeUnreachable, match=f"{method}.*DEADLINE"):
                await ask

    with_runtime(test, tmp_path, deadline=0.2)


def test_a_container_of_another_id(tmp_path):
    """An answer about somebody else is never taken for one about this one."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        web, other = fake.add_container(2, pod, "web"), fake.add_container(3, pod, "other")
        status = pb.ContainerStatusResponse(status=pb.ContainerStatus(id=other))
        fake.replies["ContainerStatus"] = always(status.SerializeToString())
        with pytest.raises(RuntimeUnreachable, match="another"):
            await source.find(web)
        del fake.replies["ContainerStatus"]
        status = pb.PodSandboxStatusResponse(status=pb.PodSandboxStatus(id=hex_id(9)))
        fake.replies["PodSandboxStatus"] = always(status.SerializeToString())
        with pytest.raises(RuntimeUnreachable, match="another"):
            await source.find(web)

    with_runtime(test, tmp_path)


def test_a_list_without_an_end(tmp_path):
    """A message over the bound is refused before it is read."""

    async def test(fake, source):
        huge = pb.ListContainersResponse(containers=[pb.Container(id="x" * 100_000)] * 200)
        fake.replies["ListContainers"] = always(huge.SerializeToString())
        with pytest.raises(RuntimeUnreachable, match="RESOURCE_EXHAUSTED"):
            await source.list()

    with_runtime(test, tmp_path)


METHODS = ["Version", "Status", "ContainerStatus", "PodSandboxStatus", "ListContainers", "ListPodSandbox"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "info",
                    "pid",
                    "sandboxID",
                    "runtimeSpec",
                    "linux",
                    "cgroupsPath",
                    "runtimeOptions",
                    "BinaryName",
                    "runtimeType",
                    "containerd",
                    "runtimes",
                    "defaultRuntimeName",
                    "runc",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nonsense(tmp_path_factory, caplog, data):
    """Random and mangled bytes, and JSON of any form: an answer, None, or RuntimeUnreachable, and no log."""
    method = data.draw(st.sampled_from(METHODS))
    cut = data.draw(st.integers(0, 300))
    junk = data.draw(st.binary(max_size=60))
    where = data.draw(st.integers(0, 200))
    told = data.draw(values)

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        web = fake.add_container(2, pod, "web")
        fake.info[web] = told if isinstance(told, dict) else {"x": told}
        fake.config = told if isinstance(told, dict) else {}
        request = {
            "ContainerStatus": pb.ContainerStatusRequest(container_id=web),
            "PodSandboxStatus": pb.PodSandboxStatusRequest(pod_sandbox_id=pod),
        }.get(method, pb.VersionRequest())
        good = getattr(fake, f"_{method}")(request.SerializeToString()).SerializeToString()
        fake.replies[method] = always(good[:where] + junk + good[where : where + cut])
        for ask in (source.list, lambda: source.find(web), lambda: source.find(pod)):
            with contextlib.suppress(RuntimeUnreachable):
                await ask()

    caplog.clear()
    with_runtime(test, tmp_path_factory.mktemp("n"))
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_private_json_without_an_end(tmp_path):
    """Deeply nested JSON, and a text that is none, are as good as nothing."""

    async def test(fake, source):
        pod = fake.add_sandbox(1, "web-0")
        web = fake.add_container(2, pod, "web")
        for text in ("[" * 100_000, '{"a":' * 100_000, "", "no JSON", json.dumps([1]), "9" * 5_000):
            status = pb.ContainerStatus(id=web, metadata=pb.ContainerMetadata(name="web"))
            answer = pb.ContainerStatusResponse(status=status, info={"info": text})
            fake.replies["ContainerStatus"] = always(answer.SerializeToString())
            found = await source.find(web)
            assert (found.name, found.pod.name, found.pid) == ("web", "web-0", 0)

    with_runtime(test, tmp_path)


def test_events_wake(tmp_path):
    """Each event is a sign; one that is no message as well."""

    async def test(fake, source):
        signs = []

        async def listen():
            async for _ in source.watch():
                signs.append(1)

        task = asyncio.create_task(listen())
        await until(lambda: fake.streams)
        for count in range(1, 4):
            fake.tell()
            await until(lambda: len(signs) == count)  # noqa: B023
        await fake.stop()
        with pytest.raises(RuntimeUnreachable, match="GetContainerEvents"):
            await task

    with_runtime(test, tmp_path)


def test_a_runtime_without_events(tmp_path):
    """It never yields, and asks again when the runtime is another version."""

    async def test(fake, source):
        signs = []

        async def listen():
            async for _ in source.watch():
                signs.append(1)

        task = asyncio.create_task(listen())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.3)
        fake.replies["ListContainers"] = always(grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(RuntimeUnreachable):
            await source.list()
        fake.replies.clear()
        fake.version = "1.7.1"
        await source.list()
        await asyncio.wait_for(task, 5)
        assert signs == []

    with_runtime(test, tmp_path, version="1.6.20", has_events=False)


def test_the_usual_sockets(tmp_path):
    """Each once, though /var/run leads to /run; only sockets count."""

    async def body():
        for folder in ("run/containerd", "run/crio", "var", "run/k3s/containerd"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "var/run").symlink_to("../run")
        (tmp_path / "run/crio/crio.sock").touch()
        assert endpoints(tmp_path) == []
        async with serving(tmp_path / "run/containerd/containerd.sock"):
            assert endpoints(tmp_path) == [tmp_path / "run/containerd/containerd.sock"]

    asyncio.run(body())
