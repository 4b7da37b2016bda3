"""A cluster with a collector: real API server, real `recorder collector`, simulated agents by real gRPC."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from recorder.model.record import Pod
from tests.cluster.access import Rules
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP, Object
from tests.cluster.kube import Loop, recording
from tests.collector.ground import Certificates
from tests.collector.process import QUICK, CollectorProcess
from tests.collector.simulated_agent import SimulatedAgent, SimulatedContainer
from tests.collector.wire import Wire

T = TypeVar("T")
SECONDS = 60.0
OPT_IN = {"spo.x-k8s.io/enable-recording": ""}
PROFILES = ["seccompprofiles", "apparmorprofiles", "selinuxprofiles"]

RIGHTS: Rules = (
    {"apiGroups": [GROUP], "resources": ["profilerecordings"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [GROUP], "resources": ["profilerecordings/status"], "verbs": ["patch"]},
    {
        "apiGroups": [GROUP],
        "resources": PROFILES,
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [GROUP], "resources": ["securityprofilesoperatordaemons"], "verbs": ["list"]},
    {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "verbs": ["list"],
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "get", "patch"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
)
"""What docs/kubernetes.md says that the collector needs: in tests it has no more."""


class Scene:
    """`namespace(labels)` makes one. Everything that was started ends with `close`."""

    def __init__(
        self,
        server: ApiServer,
        namespace: Callable[..., str],
        collector: CollectorProcess,
    ) -> None:
        self.server = server
        self.client = server.client
        self.namespace = namespace
        self.collector = collector
        self.loop = Loop()
        self.wire = Wire(collector.port)
        self._agents: dict[str, SimulatedAgent] = {}
        self._running: list[Future[Any]] = []
        self._serial = 0
        self.do(self.wire.start())

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """In the agents' loop."""
        return self.loop.do(coroutine)

    def agent(
        self, node: str = "node-a", *, certificate: str = "", boot: str = "boot-1", **able: Any
    ) -> SimulatedAgent:
        """An agent that connects and reports; `certificate`: of another node. One of the same node ends.

        able: what its hello says that the node can do.
        """
        if node in self._agents:
            self.stop(self._agents[node])

        async def make() -> SimulatedAgent:
            tls = self.collector.credentials(certificate or node)
            agent = SimulatedAgent(f"localhost:{self.wire.port}", node, tls, boot=boot)
            for name, value in able.items():
                setattr(agent, name, value)
            return agent

        made = self._agents[node] = self.do(make())
        self._running.append(self.loop.start(made.uplink.run()))
        return made

    def stop(self, agent: SimulatedAgent) -> None:
        """As if it had crashed; what it had seen is gone with it."""
        if self._agents.get(agent.node) is agent:
            del self._agents[agent.node]
            self.do(agent.uplink.close(0))

    def act(self, what: Callable[[], None]) -> None:
        """Something done to agents, in their loop."""

        async def run() -> None:
            what()

        self.do(run())

    def stored(self, *agents: SimulatedAgent) -> None:
        """Until the collector has all that these agents have."""
        for each in agents:
            self.do(each.until_stored(SECONDS))

    def planned(self, *agents: SimulatedAgent, recordings: int = 1) -> None:
        """Until these agents have a plan with so many recordings."""
        for each in agents:
            self.do(each.until_planned(lambda plan: len(plan.recordings) == recordings, SECONDS))

    def pod(
        self,
        place: str,
        name: str = "",
        *,
        template: str = "",
        node: str = "node-a",
        labels: Mapping[str, str] | None = None,
    ) -> Pod:
        """A pod that is scheduled: of that name, or (template) as a ReplicaSet makes them."""
        metadata: Object = {"namespace": place, "labels": dict({"app": "web"} if labels is None else labels)}
        metadata |= {"generateName": template} if template else {}
        metadata |= {"name": name} if name else {}
        made = self.client.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": {"nodeName": node, "containers": [{"name": "main", "image": "localhost/web:1"}]},
            }
        )["metadata"]
        return Pod(place, made["name"], made["uid"])

    def container(
        self, pod: Pod, name: str = "web", labels: Mapping[str, str] | None = None, **more: Any
    ) -> SimulatedContainer:
        """A container of a pod, with a serial number of its own."""
        self._serial += 1
        serial = more.pop("serial", self._serial)
        return SimulatedContainer(name, pod, {"app": "web"} if labels is None else labels, serial, **more)

    def record(self, place: str, name: str = "it", **spec: Any) -> str:
        """A ProfileRecording is applied; its uid."""
        return str(self.client.create(recording(place, name, **spec))["metadata"]["uid"])

    def profile(
        self, name: str, until: Callable[[Object], object] = bool, *, kind: str = "SeccompProfile"
    ) -> Object:
        """The profile of that name, once it is such."""
        found = self.client.wait(
            kind, name, lambda each: each is not None and bool(until(each)), seconds=SECONDS
        )
        assert found
        return found

    def status(self, place: str, until: Callable[[Object], object], name: str = "it") -> Object:
        """The recording's status, once it is such."""
        found = self.client.wait(
            "ProfileRecording",
            name,
            lambda each: each is not None and bool(until(each.get("status") or {})),
            place,
            seconds=SECONDS,
        )
        assert found
        return dict(found["status"])

    def told(self, place: str, *reasons: str, count: int = 1) -> list[Object]:
        """The Events of a namespace, once there are so many for each of these reasons."""
        end = time.monotonic() + SECONDS
        while True:
            found = self.client.objects("Event", place)
            seen = Counter(each["reason"] for each in found)
            if all(seen[each] >= count for each in reasons):
                return found
            assert time.monotonic() < end, [(each["reason"], each["message"]) for each in found]
            time.sleep(0.1)

    def without(self, kind: str, labels: str) -> None:
        """Until no object has these labels."""
        end = time.monotonic() + SECONDS
        while found := self.client.objects(kind, labels=labels):
            assert time.monotonic() < end, [(each["metadata"]["name"], state(each)) for each in found]
            time.sleep(0.1)

    def close(self) -> None:
        """End the agents; the collector is its fixture's."""
        for each in self._running:
            each.cancel()
        self.do(self.wire.close())
        self.loop.close()


@contextlib.contextmanager
def scene(
    server: ApiServer,
    namespace: Callable[..., str],
    certificates: Certificates,
    folder: Path,
    settings: tuple[str, ...] = QUICK,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Scene]:
    """With a collector that serves, by a service account that has RIGHTS."""
    account = server.service_account(namespace(server=server), "collector")
    server.grant(account, RIGHTS)
    kubeconfig = server.kubeconfig_of(account.token(), f"collector-{account.namespace}")
    process = CollectorProcess(folder, certificates, ("--kubeconfig", str(kubeconfig)), settings)
    process.environment |= environment or {}
    with process as collector:
        made = Scene(server, namespace, collector)
        try:
            yield made
        finally:
            made.close()


def condition(status: Object, kind: str) -> Object:
    """One condition; empty if there is none."""
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def names(profile: Object) -> list[str]:
    """What it allows."""
    rules = [each for each in profile["spec"]["syscalls"] if each["action"] == "SCMP_ACT_ALLOW"]
    return sorted(name for each in rules for name in each["names"])


def state(profile: Object) -> str:
    """recording or final."""
    return str(profile["metadata"]["annotations"]["recorder.x-k8s.io/state"])
