"""Pods as a kubelet makes them, by the CRI of a containerd of one's own, and what others say of them.

The independent words are those of `ctr containers info`, which reads containerd's own metadata and not
its CRI, and the kernel's: where a container's cgroup is and who is in it.
"""

import contextlib
import json
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.truth.containerd import CRI_NAMESPACE, Containerd
from tests.truth.cri import NODE, Cri, Fields, decode

IMAGE = "localhost/test:1"
SLEEP = ("/bin/busybox", "sleep", "100000")
BRIEF = ("/bin/busybox", "true")
# What a kubelet writes itself; pods of a liar say the same of other pods.
OWN = "io.kubernetes.pod."


@dataclass
class Pod:
    """A pod that runs: its sandbox's id, and the configuration that containers are made with."""

    name: str
    namespace: str
    uid: str
    config: Fields
    sandbox: str
    containers: list[str] = field(default_factory=list)


def config_digest(archive: Path) -> str:
    """An image's own digest, that of its configuration, by the archive that it was written to."""
    with tarfile.open(archive) as tar:

        def read(name: str) -> Any:
            file = tar.extractfile(name)
            assert file
            return json.load(file)

        (manifest,) = read("index.json")["manifests"]
        found = read(f"blobs/sha256/{manifest['digest'].removeprefix('sha256:')}")["config"]["digest"]
        assert isinstance(found, str)
        return found


def entries(pairs: Mapping[str, str]) -> list[Fields]:
    return [{1: key, 2: value} for key, value in pairs.items()]


@dataclass
class Pods:
    """A kubelet's part: sandboxes with cgroup parents of its form, and containers in them."""

    containerd: Containerd
    cri: Cri
    archive: Path
    made: list[Pod] = field(default_factory=list)

    def pod(self, name: str, namespace: str = "tests", handler: str = "", **labels: str) -> Pod:
        """Its labels as Kubernetes has them, and the kubelet's own."""
        uid = f"{abs(hash((name, namespace))) % 10**12:012}-{len(self.made)}"
        own = {f"{OWN}name": name, f"{OWN}namespace": namespace, f"{OWN}uid": uid}
        config: Fields = {
            1: {1: name, 2: uid, 3: namespace},
            4: {1: ["127.0.0.1"]},  # else it copies the machine's resolv.conf, which may be missing
            6: entries(own | labels),
            7: entries({"kubernetes.io/config.source": "api"}),
            8: {1: self.parent(uid), 2: {1: {1: NODE}}},
        }
        answer = self.cri.call("RunPodSandbox", {1: config, 2: handler})
        made = Pod(name, namespace, uid, config, bytes(answer[1][0]).decode())
        self.made.append(made)
        return made

    def parent(self, uid: str) -> str:
        """A pod's cgroup, as a kubelet with cgroupfs that is itself in some cgroup has it."""
        return f"{self.containerd.cgroup_parent}/kubepods/burstable/pod{uid}"

    def container(self, pod: Pod, name: str, args: Sequence[str] = SLEEP, attempt: int = 0) -> str:
        """A container that is made and not started."""
        labels = {"io.kubernetes.container.name": name, f"{OWN}name": pod.name}
        config: Fields = {
            1: {1: name, 2: attempt},
            2: {1: IMAGE},
            3: list(args),
            9: entries(labels),
            10: entries({"io.kubernetes.container.restartCount": str(attempt)}),
        }
        answer = self.cri.call("CreateContainer", {1: pod.sandbox, 2: config, 3: pod.config})
        identity = bytes(answer[1][0]).decode()
        pod.containers.append(identity)
        return identity

    def running(self, pod: Pod, name: str, args: Sequence[str] = SLEEP, attempt: int = 0) -> str:
        """A container that is started."""
        identity = self.container(pod, name, args, attempt)
        self.cri.start_container(identity)
        return identity

    def wait_for_exit(self, identity: str, seconds: float = 30) -> None:
        """Until the runtime says that it has exited (state 2)."""
        deadline = time.monotonic() + seconds
        while True:
            (state,) = self.cri.call("ContainerStatus", {1: identity})[1]
            from_status = decode(bytes(state)).get(3, [0])[0]
            if from_status == 2:
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def path(self, pod: Pod, identity: str) -> str:
        """Where the container's cgroup is, below the cgroup v2 mount."""
        return f"{self.parent(pod.uid)}/{identity}"

    def folder(self, pod: Pod, identity: str) -> Path:
        """The same as a directory."""
        return self.containerd.layout.cgroup2 / self.path(pod, identity).lstrip("/")

    def pids(self, pod: Pod, identity: str) -> list[int]:
        """Who is in the container, by the kernel."""
        return [int(line) for line in (self.folder(pod, identity) / "cgroup.procs").read_text().split()]

    def info(self, identity: str) -> dict[str, Any]:
        """What containerd has stored, by `ctr containers info`."""
        said = self.containerd.ctr("containers", "info", identity, namespace=CRI_NAMESPACE).good()
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    def remove(self, pod: Pod) -> None:
        """Stop and remove a pod with all that is in it."""
        self.cri.call("StopPodSandbox", {1: pod.sandbox})
        self.cri.call("RemovePodSandbox", {1: pod.sandbox})
        self.made.remove(pod)
        folder = self.containerd.layout.cgroup2 / self.parent(pod.uid).lstrip("/")
        with contextlib.suppress(OSError):
            folder.rmdir()

    def remove_all(self) -> None:
        for pod in list(self.made):
            self.remove(pod)
