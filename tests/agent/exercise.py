"""A life of an agent with all that it does: its own seccomp profile is recorded from it, and proven by it.

Plan and captures, late and from the first call; adoption after SIGKILL and after an orderly end; TLS
on every way in, with files that change; a collector by a name of the DNS, that goes and comes back;
the spool; runtimes that are down; clients that mean harm; `--check` and `--remove`.
"""

import contextlib
import http.client
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from recorder.model.record import Observation, Record
from recorder.model.wire import from_message
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import FakeNode, FakePod, fake_node, own_cgroup
from tests.agent.name_server import name_server
from tests.agent.observed import problems
from tests.agent.plans import plan, recording
from tests.agent.process import WAIT
from tests.agent.requests import begun, by, by_pod, capture, named, refusal, seen
from tests.agent.secure_collector import SecureCollector
from tests.agent.secured import CHANNEL, Secured, known, secured
from tests.command import Command
from tests.truth.programs import EXEC, EXPECTED
from tests.unit.containers.fake_docker import FakeDocker
from tests.unit.rpc.certificates import Authority

A, BOTH, STATUS = (f"spiffe://example.org/{name}" for name in ("a", "both", "status"))
COLLECTOR = "collector.recorder.test"
FIVE = EXPECTED["five"] | EXEC


@contextlib.contextmanager
def begins_with(prefix: Sequence[str]) -> Iterator[None]:
    """Every `recorder` that a test runs meanwhile, the agent above all, has these words before its own."""
    words = [*prefix, *Command().words]
    with mock.patch.object(Command, "words", new_callable=mock.PropertyMock, return_value=words):
        yield


@dataclass(slots=True)
class Exercise:
    """An agent that is not started, and what is around it. `run` raises AssertionError if it cannot live."""

    agent: Secured
    node: FakeNode
    docker: FakeDocker
    collector: SecureCollector
    five: Path

    def run(self) -> None:
        """The whole life: some fifteen seconds."""
        agent = self.agent.agent
        assert agent.run("--check").returncode == 0
        agent.start()
        self._serves_everybody()
        self._captures()
        self._follows_a_plan()
        self._survives()
        self._meets_harm()
        self._ends_in_order()
        self._is_removed()

    def whole(self, observations: Sequence[Observation], identity: str) -> None:
        """The container `five` is there, and exactly so."""
        (found,) = (each for each in observations if each.identity.container_id == identity)
        assert problems(found, FIVE) == []

    def five_in(self, pod: FakePod, name: str) -> str:
        return self.node.live(pod, name, self.five)

    def _get(self, port: int, path: str, name: str = "") -> int:
        made: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        if name:
            context = self.agent.context(self.agent.signed(name))
            made = http.client.HTTPSConnection("localhost", port, timeout=WAIT, context=context)
        with contextlib.closing(made):
            made.request("GET", path)
            answer = made.getresponse()
            answer.read()
            return answer.status

    def _serves_everybody(self) -> None:
        agent = self.agent
        assert self._get(agent.probes, "/healthz") == self._get(agent.probes, "/readyz") == 200
        assert self._get(agent.plain, "/metrics") == self._get(agent.metrics, "/metrics", STATUS) == 200
        assert self._get(agent.metrics, "/metrics", A) == 403
        with grpc.insecure_channel(f"unix:{agent.agent.socket}", CHANNEL) as channel:
            assert ProtoReflectionDescriptorDatabase(channel).get_services()
        with agent.peer(STATUS) as stub:
            assert stub.GetStatus(pb.GetStatusRequest(), timeout=WAIT).node

    def _captures(self) -> None:
        """By pod from the first call, and by container, cgroup and pid of what runs already."""
        agent, node = self.agent, self.node
        pod = node.pod("captured", "a")
        with agent.peer(A) as stub, begun(stub, by_pod("a", "captured")) as (stream, _):
            identity = self.five_in(pod, "five")
            # each OCI runtime that is there is asked for its version
            for binary in filter(None, map(shutil.which, ("runc", "crun"))):
                self._of_runtime(pod, binary)
            snapshot = seen(stream, lambda found: any(each.ended for each in found.record.observations))
            self.whole(from_message(snapshot.record).observations, identity)
        identity = node.container(pod, "late")
        known(agent, identity)
        path = f"/{(pod.cgroup / identity).relative_to(node.mount)}"
        with node.run(pod, identity, "/bin/sleep", "1000") as process, agent.peer(BOTH) as stub:
            until(lambda: bool((pod.cgroup / identity / "cgroup.procs").read_text()))
            for request in (by(container=identity), by(cgroup=path), by(pid=process.pid)):
                with begun(stub, request) as (stream, _):
                    seen(stream, lambda found: bool(found.record.observations))
        node.remove(pod)

    def _of_runtime(self, pod: FakePod, binary: str) -> None:
        """A container that another OCI runtime has made."""
        identity = self.node.told(pod, Path(binary).name)
        options = {"runtimeOptions": {"BinaryName": binary}}
        self.node.do(lambda: self.node.cri.info[identity].update(options))
        self.node.do(self.node.cri.tell)
        until(
            lambda: any(
                each.identity.container_id == identity and each.runtime_version
                for each in self.agent.agent.containers()
            )
        )

    def _stored(self, identity: str) -> None:
        """The collector has it, exactly."""

        def there(collector: Any) -> bool:
            return any(
                each.ended and each.identity.container_id == identity for each in collector.stored.values()
            )

        self.collector.wait_for(there)
        self.whole(tuple(self.collector.stored.values()), identity)

    def _follows_a_plan(self) -> None:
        """Of a collector that is reached by its name, is slow, goes, and comes back with other files."""
        self.follow(plan(recording("it", "shop")))
        pod = self.node.pod("planned", "shop")
        self._stored(self.five_in(pod, "five"))
        self.collector.stop()
        while_away = self.five_in(pod, "while-away")
        until(lambda: any(self.agent.agent.spool.iterdir()))
        self.renew()
        self.collector.start()
        self._stored(while_away)
        self.node.remove(pod)

    def follow(self, new: Any) -> None:
        """Until the agent follows the plan."""
        self.collector.send(new)
        assert self.agent.agent.says(f"plan {new.revision}:")

    def renew(self) -> None:
        """New files for the same names: the agent reads them at the next connection."""
        own = self.agent.authority.sign("DNS:localhost,IP:127.0.0.1")
        flags = self.agent.agent.settings
        for flag, new in (("--listen-certificate", own.certificate), ("--listen-key", own.key)):
            new.replace(flags[flags.index(flag) + 1])
        with self.agent.peer(STATUS) as stub:
            assert stub.GetStatus(pb.GetStatusRequest(), timeout=WAIT).node
        assert self.agent.agent.says("TLS files have changed and are in use")

    def _survives(self) -> None:
        """SIGKILL, and SIGTERM with --keep-armed, with a plan and a capture; a runtime is down meanwhile."""
        agent, node = self.agent.agent, self.node
        pod = node.pod("survivor", "shop")
        request = named(by_pod("shop", "survivor"), "survivor")
        ended = []
        for number, end in enumerate((agent.kill, self._keep_armed)):
            with self.agent.root() as stub, begun(stub, request):
                ended.append(self.five_in(pod, f"before-{number}"))
            end()
            ended.append(self.five_in(pod, f"between-{number}"))
            node.do(node.cri.stop)
            agent.start()
            agent.wait_for(lambda status: not all(each.reachable for each in status.runtimes))
            node.do(node.cri.start)
        with self.agent.root() as stub, begun(stub, request) as (stream, resumed):
            assert resumed

            def all_there(snapshot: pb.Snapshot) -> bool:
                found = {each.identity.container_id for each in snapshot.record.observations if each.ended}
                return found >= set(ended)

            record: Record = from_message(seen(stream, all_there).record)
        for identity in ended:
            self.whole(record.observations, identity)
            self._stored(identity)
        node.remove(pod)

    def _keep_armed(self) -> None:
        assert self.agent.agent.terminate() == 0

    def _meets_harm(self) -> None:
        """Noise, no certificate, no request, a client that goes."""
        agent = self.agent
        source = random.Random(1)
        for port in (agent.grpc, agent.probes, agent.metrics, agent.plain):
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as client:
                client.sendall(source.randbytes(1000))
        with agent.client(None) as stub:
            refusal(lambda: stub.GetStatus(pb.GetStatusRequest(), timeout=WAIT))
        with agent.root() as stub:
            refusal(lambda: capture(stub, by(container="\x1b")))
            refusal(lambda: capture(stub, by(cgroup="/no/such/cgroup")))
            with begun(stub, by(unit="no-such.service")):
                pass
        second = agent.agent.run()
        assert second.returncode != 0

    def _ends_in_order(self) -> None:
        """With recordings that run, and a collector that is away: they are in the spool."""
        pod = self.node.pod("last", "shop")
        identity = self.node.container(pod, "last")
        agent = self.agent.agent
        agent.settings = tuple(each for each in agent.settings if each != "--keep-armed")
        agent.kill()
        agent.start()
        with self.node.run(pod, identity, "/bin/sleep", "1000"):
            agent.wait_for(lambda _: any(each.recorded for each in agent.containers()))
            self.collector.stop()
            assert agent.terminate(10) == 0
        self.node.remove(pod)

    def _is_removed(self) -> None:
        """What one that was killed has left, and what no agent of this version would leave."""
        agent = self.agent.agent
        agent.start()
        agent.kill()
        (agent.pins / "of-another-version" / "maps").mkdir(parents=True)
        assert agent.run("--remove").returncode == 0
        assert not agent.pins.exists()


def until(what: Callable[[], bool]) -> None:
    """Until it is so; AssertionError."""
    deadline = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def exercise(
    folder: Path, mount: Path, programs: dict[str, Path], prefix: Callable[[Path], Sequence[str]]
) -> Iterator[Exercise]:
    """All that a life needs. `prefix` of a folder: words before the agent's own, such as what confines it."""
    authority = Authority(folder / "authority")
    storage = folder / "storage"
    (storage / "overlay-containers").mkdir(parents=True)
    (storage / "overlay-containers" / "containers.json").write_text("[]")
    own = authority.sign("DNS:test-node")
    collector = SecureCollector("127.0.0.1:0")
    collector.signed, collector.authority = authority.sign(f"DNS:{COLLECTOR}"), authority
    docker = FakeDocker(folder / "docker.sock")
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(fake_node(folder, stack.enter_context(own_cgroup(mount)), mount))
        stack.callback(lambda: node.do(docker.stop))
        node.do(docker.start)
        stack.callback(collector.close)
        collector.start()
        names = stack.enter_context(name_server(COLLECTOR, folder))
        flags = {
            "--collector-endpoint": f"{COLLECTOR}:{collector.port}",
            "--collector-certificate": own.certificate,
            "--collector-key": own.key,
            "--collector-ca": authority.certificate,
            "--runtimes-docker": docker.socket,
            "--runtimes-podman": storage,
        }
        words = [word for pair in flags.items() for word in map(str, pair)]
        stack.enter_context(begins_with([*names.prefix, *prefix(folder)]))
        agent = stack.enter_context(secured(folder, authority, *node.settings, *words, "--keep-armed"))
        yield Exercise(agent, node, docker, collector, programs["five"])
        assert names.asked, "nobody asked for the collector's name"
