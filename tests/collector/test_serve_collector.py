"""The collector put together: reports become results, pages answer, failures end it."""

import asyncio
import contextlib
import http.client
import os
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import yaml

from recorder.cli.records_seen import SeenRecords
from recorder.collector.collector import Collector
from recorder.collector.folders.platform import Folders
from recorder.collector.service import NAME
from recorder.collector.settings import (
    ListenSettings,
    MemorySettings,
    ResultSettings,
    Settings,
    StoreSettings,
    WebSettings,
)
from recorder.model.access import Signal, SignalRight
from recorder.model.errors import AddressInUse, InvalidCertificate, StorageError, StoreDamaged
from recorder.model.recording import ProfileKind
from recorder.rpc.tls import channel_credentials
from recorder.rpc.v1 import agent_pb2, collector_pb2_grpc
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.ground import WAIT, Certificates, FakeReviewer, RawAgent, container, observed
from tests.collector.platform import FakePlatform, recording
from tests.unit.collector.test_folders_recordings import text
from tests.unit.profiles.accessed import did, files

LOCAL = "127.0.0.1:0"


@pytest.fixture
def settings(tmp_path: Path, certificates: Certificates) -> Settings:
    """All that it can serve, on ports of its choice."""
    server = certificates.server
    return Settings(
        listen=ListenSettings(
            socket=tmp_path / "collector.sock",
            agents=LOCAL,
            address=LOCAL,
            certificate=server.certificate,
            key=server.key,
            client_ca=certificates.authority.certificate,
        ),
        web=WebSettings(
            address=LOCAL,
            metrics_address=LOCAL,
            metrics_readers=("prometheus.example.org",),
            plain_metrics=LOCAL,
        ),
        store=StoreSettings(path=tmp_path / "store" / "collector.db"),
        results=ResultSettings(settle=0.2, first_write=0.1, last_write=0.2),
        memory=MemorySettings(agents=16),
    )


@contextlib.asynccontextmanager
async def running(settings, platform, reviewer=None):
    collector = Collector(settings, platform, reviewer)
    await collector.start()
    try:
        yield collector
    finally:
        await collector.stop()


async def until(what):
    async with asyncio.timeout(WAIT):
        while not (found := what()):
            await asyncio.sleep(0.01)
        return found


@contextlib.asynccontextmanager
async def agent(collector, certificates, node):
    """By mutual TLS."""
    signed = certificates.node(node)
    credentials = channel_credentials(
        signed.files(certificates.authority.certificate), certificates.authority.certificate
    )
    [port] = [server.tcp_port for server in collector._servers if not server._socket]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        made = RawAgent(node, channel)
        await made.hello(node)
        yield made


def get(port, path, *, context=None, bearer=""):
    """Status and body."""
    made = (
        http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    with contextlib.closing(made):
        made.request("GET", path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
        answer = made.getresponse()
        return answer.status, answer.read()


def pages(collector):
    """Ports of the probes, of metrics by TLS, and of plain ones."""
    return [each.port for each in collector._web]


def placed(platform, number, node):
    identity = container(number)
    platform.add_pod(identity.pod.name, "ns", identity.pod.uid, node, labels={"app": "web"})


def test_from_a_report_to_a_result(settings, certificates):
    """The plan goes to the agent, its report is acknowledged and published; final after its end."""

    async def run():
        platform = FakePlatform()
        asked = recording("web", labels={"app": "web"})
        placed(platform, 1, "node-a")
        async with running(settings, platform) as collector, agent(collector, certificates, "node-a") as one:
            platform.add(asked)
            plan = await one.plan()
            while not plan.recordings:
                plan = await one.plan()
            assert [each.id for each in plan.recordings] == [asked.id]
            assert await one.answer(observed(1, (0, 1)), asked.id) == ""
            growing = await until(lambda: platform.objects.get((ProfileKind.SECCOMP, "web-app")))
            assert growing.part("spec")["state"] == "Disabled"
            assert await one.answer(observed(1, (0, 1, 2), ended=True), asked.id) == ""
            await until(lambda: growing.part("spec")["state"] == "Enabled")
            rules = growing.part("spec")["syscalls"]
            [allowed] = [each["names"] for each in rules if each["action"] == "SCMP_ACT_ALLOW"]
            assert {"read", "write", "open"} <= set(allowed)
            assert collector.ready

    asyncio.run(run())


def test_in_folders_accesses_become_a_profile_and_a_status(settings, certificates, tmp_path):
    """Without Kubernetes: a recording is a file, and so are the AppArmorProfile and the status."""

    async def run():
        (tmp_path / "recordings").mkdir()
        asked = text("web").replace("SeccompProfile", "AppArmorProfile")
        (tmp_path / "recordings" / "web.yaml").write_text(asked)
        folders = Folders(
            tmp_path / "recordings", tmp_path / "results", tmp_path / "state" / "f.json", poll=0.05
        )
        profile = tmp_path / "results" / "web-app_apparmorprofile.yaml"

        def read(path=profile):
            return yaml.safe_load(path.read_text()) if path.exists() else None

        async with running(settings, folders) as collector, agent(collector, certificates, "node-a") as one:
            plan = await one.plan()
            while not plan.recordings:
                plan = await one.plan()
            (planned,) = plan.recordings
            assert planned.kinds == [agent_pb2.KIND_ACCESSES]
            seen = observed(1, (), identity=container(1, ""))
            for part in (files("rx /bin/app\nr /etc/a"), files("r /etc/b").join(signals)):
                assert await one.answer(replace(seen, accesses=part), planned.id) == ""
            paths = await until(
                lambda: (found := read()) and found["spec"]["abstract"]["filesystem"].get("readOnlyPaths")
            )
            assert paths[0] == "/etc/a"
            assert await one.answer(replace(seen, ended=True), planned.id) == ""
            await until(lambda: read()["spec"]["state"] == "Enabled")
            found = read()
            assert (found["kind"], found["metadata"]["name"]) == ("AppArmorProfile", "web-app")
            assert found["spec"]["abstract"] == {
                "executable": {"allowedExecutables": ["/bin/app"]},
                "filesystem": {"readOnlyPaths": ["/etc/a", "/etc/b"]},
            }
            status = await until(
                lambda: (
                    (told := read(tmp_path / "results" / "web.status.yaml"))
                    and told["status"].get("results", [{}])[0].get("state") == "final"
                    and told["status"]
                )
            )
            assert (status["results"][0]["kind"], status["results"][0]["rules"]) == ("AppArmorProfile", 3)
            reasons = {each["type"]: each["reason"] for each in status["conditions"]}
            assert reasons["PartlyExpressed"] == "NotExpressible"
            seen = SeenRecords()
            async with grpc.aio.insecure_channel(f"unix:{settings.listen.socket}") as channel:
                asked = pb.GetRecordsRequest(filter=pb.RecordsFilter(recording="web", accesses=True))
                async for message in collector_pb2_grpc.CollectorStub(channel).GetRecords(asked):
                    seen.take(message)
            (group,) = seen.groups()
            assert group.containers[0].accesses == 4
            assert group.record.observations[0].accesses == files("rx /bin/app\nr /etc/a\nr /etc/b").join(
                signals
            )

    signals = did((Signal(15), SignalRight.SEND))
    asyncio.run(run())


def test_the_next_one_goes_on_from_the_store(settings, certificates):
    """What was acknowledged and not written yet is written by it, without any agent."""

    async def run():
        platform = FakePlatform()
        asked = recording("web", labels={"app": "web"})
        platform.add(asked)
        platform.unreachable = True
        placed(platform, 1, "node-a")
        async with running(settings, platform) as collector, agent(collector, certificates, "node-a") as one:
            await one.plan()
            assert await one.answer(observed(1, (0, 1), ended=True), asked.id) == ""
        assert platform.objects == {}
        platform.unreachable = False
        async with running(settings, platform):
            made = await until(lambda: platform.objects.get((ProfileKind.SECCOMP, "web-app")))
            await until(lambda: made.part("spec")["state"] == "Enabled")

    asyncio.run(run())


def test_pages(settings, certificates):
    """Probes without a body; metrics by a certificate that is named, a token that may, or the loopback."""

    class Reviewer(FakeReviewer):
        async def may_scrape(self, person):
            self._ask("scrape", person.name)
            return person.name == "prometheus"

    async def run():
        platform = FakePlatform()
        reviewer = Reviewer(tokens={"good": "prometheus", "bad": "anna"})
        ca = certificates.authority.certificate

        def context(names=""):
            made = ssl.create_default_context(cafile=str(ca))
            if names:
                signed = certificates.names(names)
                made.load_cert_chain(signed.certificate, signed.key)
            return made

        async with running(settings, platform, reviewer) as collector:
            await until(lambda: collector.ready)
            probes, secure, plain = pages(collector)

            def ask():
                named = context("DNS:prometheus.example.org")
                return [
                    get(probes, "/healthz"),
                    get(probes, "/readyz"),
                    get(secure, "/metrics", context=named)[0],
                    get(secure, "/metrics", context=context("URI:spiffe://recorder/node/a"))[0],
                    get(secure, "/metrics", context=context(), bearer="good")[0],
                    get(secure, "/metrics", context=context(), bearer="bad")[0],
                    get(secure, "/metrics", context=context(), bearer="unknown")[0],
                    get(secure, "/metrics", context=context())[0],
                    get(plain, "/metrics")[0],
                ]

            answers = await asyncio.to_thread(ask)
            assert answers == [(200, b""), (200, b""), 200, 403, 200, 403, 403, 401, 200]
            reviewer.away = True
            away = await asyncio.to_thread(get, secure, "/metrics", context=context(), bearer="another")
            assert away[0] == 503
            page = (await asyncio.to_thread(get, plain, "/metrics"))[1].decode()
            assert "\nrecorder_collector_ready 1.0\n" in page
            assert '\nrecorder_collector_bound_limit{bound="agents"} 16.0\n' in page

    asyncio.run(run())


def test_it_is_not_ready_before_the_recordings_are_known(settings):
    """Healthy, though: it may take the API server its time."""

    async def run():
        platform = FakePlatform()
        platform.ready = False
        async with running(settings, platform) as collector:
            probes = pages(collector)[0]
            assert (await asyncio.to_thread(get, probes, "/healthz"))[0] == 200
            assert (await asyncio.to_thread(get, probes, "/readyz"))[0] == 503
            platform.ready = True
            platform.add(recording("web"))
            await until(lambda: collector.ready)
            assert (await asyncio.to_thread(get, probes, "/readyz"))[0] == 200

    asyncio.run(run())


def test_a_part_that_fails_ends_it(settings):
    """`wait` raises what it raised, and it is not healthy any more."""

    class Broken(FakePlatform):
        async def run(self, changed):
            changed()
            await self.broken.wait()
            raise StoreDamaged("the disk is gone")

    async def run():
        platform = Broken()
        platform.broken = asyncio.Event()
        async with running(settings, platform) as collector:
            probes = pages(collector)[0]
            platform.broken.set()
            with pytest.raises(StoreDamaged, match="the disk is gone"):
                await asyncio.wait_for(collector.wait(), WAIT)
            assert isinstance(collector.failure, StoreDamaged)
            assert (await asyncio.to_thread(get, probes, "/healthz"))[0] == 503

    asyncio.run(run())


def left():
    """What a collector left in its process; its thread has a moment to end."""
    for each in threading.enumerate():
        if each.name.startswith("store"):
            each.join(WAIT)
    threads = [each.name for each in threading.enumerate() if each.name.startswith("store")]
    files = [os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if _open(each)]
    return threads, [each for each in files if "collector.db" in each or "collector.sock" in each]


def _open(descriptor):
    with contextlib.suppress(OSError):
        return bool(os.readlink(f"/proc/self/fd/{descriptor}"))
    return False


@pytest.mark.parametrize("fault", ["address", "probes", "certificate", "store", "damaged"])
def test_what_cannot_start_leaves_nothing(settings, tmp_path, fault):
    """The store is closed, and no port, socket or thread is left; the next one starts."""
    settings.store.path.parent.mkdir()
    good = settings
    if fault == "certificate":
        (tmp_path / "wrong").write_text("no key")
        settings = replace(settings, listen=replace(settings.listen, key=tmp_path / "wrong"))
        expected = InvalidCertificate
    elif fault == "store":
        (tmp_path / "file").write_text("")
        settings = replace(settings, store=StoreSettings(path=tmp_path / "file" / "c.db"))
        expected = StorageError
    elif fault == "damaged":
        settings.store.path.write_bytes(b"no database" * 500)
        expected = StoreDamaged
    else:
        expected = AddressInUse

    async def run():
        busy = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        taken = f"127.0.0.1:{busy.sockets[0].getsockname()[1]}"
        tried = settings
        if fault == "address":
            tried = replace(settings, listen=replace(settings.listen, agents=taken))
        if fault == "probes":
            tried = replace(settings, web=replace(settings.web, address=taken))
        collector = Collector(tried, FakePlatform())
        with pytest.raises(expected):
            await collector.start()
        busy.close()
        assert not settings.listen.socket.exists()

    asyncio.run(run())
    assert left() == ([], [])

    async def again():
        store = replace(good.store, set_aside_damaged=fault == "damaged")
        async with running(replace(good, store=store), FakePlatform()) as collector:
            await until(lambda: collector.ready)

    asyncio.run(again())
    assert left() == ([], [])


def test_the_service_is_known_by_reflection_when_it_is_configured(settings):
    """For grpcurl and the like; else not."""
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: PLC0415

    async def services(configured):
        tried = replace(settings, listen=replace(settings.listen, reflection=configured))
        async with running(tried, FakePlatform()):
            channel = grpc.aio.insecure_channel(
                f"unix:{settings.listen.socket}", options=[("grpc.default_authority", "localhost")]
            )
            async with channel:
                stub = reflection_pb2_grpc.ServerReflectionStub(channel)
                call = stub.ServerReflectionInfo()
                await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
                answer = await call.read()
                return {each.name for each in answer.list_services_response.service}

    assert NAME in asyncio.run(services(True))
    with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
        asyncio.run(services(False))
