"""The recorder, installed as docs say it: an image, `kubectl apply -k`, and what a cluster has of its own."""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.client import Object
from tests.cluster.kube import recording
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.pods import Pods
from tests.cluster.scene import OPT_IN

HERE = Path(__file__).parent
PLACE = "profile-recorder"
AGENT = "recorder-agent"
COLLECTOR = "recorder-collector"
STORE = "/var/lib/store"  # the node's: a volume of the one storage that there is
USER = 65532
SECONDS = 120.0
PREFIX = "recorder.x-k8s.io"


@dataclass
class Installation:
    """What is installed; `kustomize`: the program."""

    cluster: Cluster
    kustomize: Path
    pods: Pods = field(init=False)
    kills: Counter[str] = field(default_factory=Counter)  # by uid of the pod
    _revision: str = ""

    def __post_init__(self) -> None:
        self.pods = Pods(self.cluster)

    @property
    def client(self) -> Any:
        """The admin's plain requests."""
        return self.cluster.client

    def build(self, folder: Path) -> bytes:
        """What `kubectl apply -k FOLDER` would apply."""
        return self.cluster.ground.run(self.kustomize, "build", folder).stdout

    def apply(self, manifests: bytes) -> str:
        """As `kubectl apply -f -`; what it says."""
        # 1.20 has no schema that a newer kubectl could validate with
        return self.cluster.kubectl("apply", "--validate=false", "-f", "-", stdin=manifests).stdout.decode()

    def make_volume(self) -> None:
        """The PersistentVolume that the collector's claim is bound to."""
        folder = self.cluster.ground.path(STORE)
        folder.mkdir(exist_ok=True)
        os.chown(folder, USER, USER)
        self.client.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": "store"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "8Gi"},
                    "hostPath": {"path": STORE},
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            }
        )

    def install(self) -> None:
        """Until the collector and the agent are ready."""
        self.make_volume()
        self.apply(self.build(HERE / "overlay"))
        self.pods.rolled_out("StatefulSet", COLLECTOR, PLACE, SECONDS)
        self.pods.rolled_out("DaemonSet", AGENT, PLACE, SECONDS)

    # --- our pods

    def pod(self, component: str) -> Object:
        """The pod of the agent or the collector."""
        (found,) = self.pods.of(PLACE, f"app.kubernetes.io/component={component}")
        return found

    def kill(self, component: str) -> None:
        """SIGKILL to the first process of our container in that pod; what is in it ends with it."""
        pod = self.pod(component)
        self.kills[pod["metadata"]["uid"]] += 1
        (status,) = pod["status"]["containerStatuses"]
        identity = status["containerID"].removeprefix("containerd://")
        self.cluster.runtime.ctr("tasks", "kill", "--signal", "SIGKILL", identity)

    def status(self) -> dict[str, Any]:
        """What the agent says of itself: `recorder status --json` in its pod."""
        name = self.pod("agent")["metadata"]["name"]
        _, said, _ = self.pods.exec(name, PLACE, "recorder", "status", "--json")
        return dict(json.loads(said))

    def connected(self) -> None:
        """Until the agent has the collector."""
        self._until(lambda status: status.get("uplink", {}).get("connected"))

    def planned(self) -> None:
        """Until the agent's plan is newer than the last that was waited for, and has all recordings."""

        def is_new(status: dict[str, Any]) -> bool:
            plan = status.get("plan", {})
            count = len(self.client.objects("ProfileRecording"))
            return plan.get("revision") != self._revision and int(plan.get("recordings", 0)) == count

        self._revision = self._until(is_new)["plan"]["revision"]

    def _until(self, holds: Any) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while not holds(status := self.status()):
            assert time.monotonic() < end, status
            time.sleep(0.1)
        return status

    # --- for a failed test

    url = "our pods"

    def log_sizes(self) -> list[int]:
        """Nothing: logs are asked for from the test's beginning on."""
        return []

    def last_words(self, since: Sequence[int] = ()) -> str:
        """What our pods say, those before the last restart too."""
        del since
        said = []
        for each in self.client.objects("Pod", PLACE):
            name = each["metadata"]["name"]
            for more in ([], ["--previous"]):
                words = ("logs", "-n", PLACE, name, "--all-containers", "--tail=60", *more)
                done = self.cluster.kubectl(*words, check=False)
                if done.returncode == 0:
                    said.append(f"--- {' '.join(words)}\n{done.stdout.decode(errors='replace')}")
            said.append(f"--- {name}: {json.dumps(each.get('status', {}).get('containerStatuses'))}")
        return "\n".join(said)

    # --- recordings and results

    def opted_in(self, name: str) -> str:
        """A namespace whose recordings are done."""
        self.client.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": OPT_IN}}
        )
        self.client.wait("ServiceAccount", "default", lambda found: found is not None, name)
        return name

    def record(self, place: str, name: str, labels: Mapping[str, str] | None = None, **spec: Any) -> None:
        """A ProfileRecording of the pods app=NAME, or of those with these labels."""
        selector = {"matchLabels": dict(labels or {"app": name})}
        self.client.create(recording(place, name, podSelector=selector, **spec))

    def profile(self, name: str, until: Any = bool, seconds: float = SECONDS) -> Object:
        """The SeccompProfile of that name, once it is such."""
        found = self.client.wait(
            "SeccompProfile", name, lambda each: each is not None and bool(until(each)), seconds=seconds
        )
        assert found
        return dict(found)


def mark(profile: Object, name: str) -> str:
    """One annotation of ours."""
    return str(profile["metadata"]["annotations"].get(f"{PREFIX}/{name}", ""))


def recorded(profile: Object) -> set[str]:
    """What the workload was seen to do."""
    return set(filter(None, mark(profile, "recorded").replace(" ", "").split(",")))


def is_final(profile: Object) -> bool:
    """Whether it will not change any more."""
    return mark(profile, "state") == "final"
