"""Agents, the kubelet and containerd go and come back while pods run, and nothing of what they do is lost."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.cluster.client import Object
from tests.cluster.installed.installation import (
    AGENT,
    PLACE,
    SECONDS,
    Installation,
    is_final,
    mark,
    recorded,
)
from tests.cluster.node.pods import container, phase, pod, restarts
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED, word

pytestmark = pytest.mark.root
SIGNALS = "/var/lib/signals"  # on the node: by files in it, pods and tests tell each other how far they are
# before, while it is away, afterwards
STEPS = ("getpriority", "getrlimit", "getpgrp")
# at each step it makes one call, by a program that it starts
SCRIPT = """
for step in $*; do
    until [ -e $0/go-$step ]; do /bin/sleep 0.1; done
    /programs/rawsys $step
    : > $0/done-$step
done
exec /bin/sleep 100000
"""


@dataclass
class Fault:
    """A recording with a pod that runs all the while."""

    installation: Installation
    place: str
    name: str
    folder: Path

    @property
    def agent(self) -> Object:
        return self.installation.pod("agent")

    def begin(self) -> None:
        self.installation.record(self.place, self.name, mergeStrategy="Containers")
        self.installation.planned()
        numbers = [_number(each) for each in STEPS]
        mount = {"name": "signals", "mountPath": "/signals"}
        volume = {"name": "signals", "hostPath": {"path": f"{SIGNALS}/{self.name}"}}
        steady = container("steady", "/bin/sh", "-c", SCRIPT, "/signals", *numbers, volumeMounts=[mount])
        self.folder.mkdir(parents=True)
        self.installation.pods.run(
            pod(self.place, "steady", steady, labels={"app": self.name}, volumes=[volume])
        )
        self.step(0)

    def step(self, which: int, seconds: float = SECONDS) -> None:
        """Have the call made."""
        number = _number(STEPS[which])
        (self.folder / f"go-{number}").touch()
        end = time.monotonic() + seconds
        while not (self.folder / f"done-{number}").exists():
            assert time.monotonic() < end
            time.sleep(0.02)

    def start_another(self, until: Callable[[Object | None], bool]) -> None:
        """A pod that lives for milliseconds."""
        labels = {"app": self.name}
        made = pod(self.place, "short", container("short", "five"), labels=labels, restartPolicy="Never")
        self.installation.pods.run(made, until)

    def end(self, *, short: bool = True) -> None:
        """All calls were recorded, and nothing is said to be lost."""
        self.step(2)
        calls_ = set(STEPS)
        name = f"{self.name}-steady"
        self.installation.profile(name, lambda each: calls_ <= recorded(each))
        for each in self.installation.pods.of(self.place):
            self.installation.client.delete("Pod", each["metadata"]["name"], self.place)
        found = self.installation.profile(name, is_final)
        assert mark(found, "verdict") == "complete"
        assert mark(found, "records") == "1"
        if short:
            found = self.installation.profile(f"{self.name}-short", is_final)
            assert recorded(found) == {str(each) for each in EXPECTED["five"] | EXEC}
            assert mark(found, "verdict") == "complete"
        status = self.installation.client.get("ProfileRecording", self.name, self.place)["status"]
        assert status["ledger"] == []


def _number(name: str) -> str:
    (call,) = calls(Abi.X86_64, name)
    return word(call)


@pytest.fixture
def fault(installation: Installation, request: pytest.FixtureRequest) -> Iterator[Fault]:
    """Begun: its pod runs, is recorded, and has made its first call."""
    name = request.node.name.removeprefix("test_").replace("_", "-")
    place = installation.opted_in(f"{name}-{os.getpid()}")
    made = Fault(installation, place, name, installation.cluster.ground.path(f"{SIGNALS}/{name}"))
    made.begin()
    yield made
    client = installation.client
    client.delete("ProfileRecording", name, place)
    client.delete("Namespace", place)
    client.delete_all("SeccompProfile", labels=f"spo.x-k8s.io/recording-namespace={place}")
    client.wait("Namespace", place, lambda found: found is None, seconds=90)


def ended(found: Object | None) -> bool:
    return phase(found) == "Succeeded"


@contextlib.contextmanager
def no_agent(installation: Installation) -> Iterator[None]:
    """Within it no node takes an agent: its pod is deleted."""

    def select(label: str | None) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": {"nowhere": label}}}}}
        installation.client.patch("DaemonSet", AGENT, patch, PLACE)

    select("at-all")
    try:
        installation.pods.gone(PLACE, "app.kubernetes.io/component=agent")
        yield
    finally:
        select(None)
    installation.pods.rolled_out("DaemonSet", AGENT, PLACE, SECONDS)
    installation.connected()


def test_deleted_agent(fault: Fault) -> None:
    """Its pod is away for a while: what runs, and what begins and ends meanwhile, is recorded."""
    before = fault.agent["metadata"]["uid"]
    with no_agent(fault.installation):
        fault.step(1)
        fault.start_another(ended)
    assert fault.agent["metadata"]["uid"] != before
    fault.end()


def test_killed_agent(fault: Fault) -> None:
    """By SIGKILL, as when memory runs out; the kubelet starts it again."""
    installation = fault.installation
    before = fault.agent
    installation.kill("agent")
    fault.step(1)
    fault.start_another(ended)
    name = before["metadata"]["name"]
    installation.pods.wait(name, PLACE, lambda found: restarts(found) == restarts(before) + 1)
    installation.pods.rolled_out("DaemonSet", AGENT, PLACE, SECONDS)
    fault.end()


def test_upgraded_agent(fault: Fault) -> None:
    """To another image, by a rollout: the new one goes on where the old one was."""
    installation = fault.installation
    before = fault.agent["metadata"]["uid"]
    (made_from,) = {each["image"] for each in fault.agent["spec"]["containers"]}
    other = f"{made_from}-next"
    installation.cluster.runtime.ctr("images", "tag", "--force", made_from, other)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": other}]}}}}
    installation.client.patch("DaemonSet", AGENT, patch, PLACE, how="strategic")
    fault.step(1)
    fault.start_another(ended)
    installation.pods.rolled_out("DaemonSet", AGENT, PLACE, SECONDS)
    assert fault.agent["metadata"]["uid"] != before
    assert fault.agent["spec"]["containers"][0]["image"] == other
    fault.end()


def test_killed_collector(fault: Fault) -> None:
    """The agent keeps what it sees until it is back; its identity is the one that it had."""
    installation = fault.installation
    before = installation.pod("collector")
    ca = installation.client.get("ConfigMap", "recorder-ca", PLACE)["data"]
    installation.kill("collector")
    fault.step(1)
    fault.start_another(ended)
    name = before["metadata"]["name"]
    installation.pods.wait(name, PLACE, lambda found: restarts(found) == restarts(before) + 1)
    installation.connected()
    assert installation.client.get("ConfigMap", "recorder-ca", PLACE)["data"] == ca
    fault.end()


def test_restarted_kubelet_and_containerd(fault: Fault) -> None:
    """Both are killed: pods run on, and what they call while neither is there is recorded."""
    cluster = fault.installation.cluster
    daemons = (cluster.runtime.daemon, cluster.kubelet)
    for each in daemons:
        each.kill()
    try:
        fault.step(1)
    finally:
        for each in daemons:
            each.start()
            each.wait()
    fault.start_another(ended)
    fault.end()
