"""A Kubernetes node without a kubelet: containerd with CRI; pods and their cgroups as a kubelet has them.

Whatever runs here runs programs of tests/programs, so that each container's calls are known.
"""

import itertools
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.truth import oci
from tests.truth.containerd import CRI_NAMESPACE, NAMESPACE, PAUSE, Containerd
from tests.truth.cri import Cri, Sandbox, decode
from tests.truth.image import write_image

IMAGE = "localhost/known:1"
PROGRAMS = ("five", "brief", "rawsys", "signals", "waiter")
FOREVER = ("/signals", "100000000")
HOST_NETWORK = {1: {1: 2}}  # LinuxSandboxSecurityContext: namespace_options.network: NODE
EXITED = 2  # ContainerState

_serial = itertools.count(1)


def fresh(word: str = "pod") -> str:
    """A name that no other has."""
    return f"{word}-{next(_serial)}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that runs: `sandbox` is what CRI wants to hear of it again."""

    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    cgroup: str
    sandbox: Sandbox


@dataclass(slots=True)
class Node:
    """Its pods have their cgroups below `kubepods`, which is there from the beginning.

    What is made here goes with its containerd.
    """

    containerd: Containerd
    cri: Cri
    made: set[str] = field(default_factory=set)  # ids of all containers; a machine may have others' as well
    _pods: list[Pod] = field(default_factory=list)

    @property
    def kubepods(self) -> str:
        """A kubelet's own directory, in another's cgroup as in kind."""
        return f"{self.containerd.cgroup_parent}/kubepods"

    @property
    def settings(self) -> tuple[str, ...]:
        """An agent's flags to know of it."""
        return ("--runtimes-cri", str(self.containerd.socket))

    def pod(
        self,
        labels: Mapping[str, str] | None = None,
        *,
        name: str = "",
        namespace: str = "shop",
        handler: str = "",
    ) -> Pod:
        """A pod whose sandbox runs."""
        name, uid = name or fresh(), str(uuid.uuid4())
        labels = dict(labels or {})
        cgroup = f"{self.kubepods}/pod{uid}"
        own = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace}
        config = {
            1: {1: name, 2: uid, 3: namespace},
            4: {1: ["127.0.0.1"]},
            6: _map(labels | own),
            8: {1: cgroup, 2: HOST_NETWORK},
        }
        answer = self.cri.call("RunPodSandbox", {1: config, 2: handler})
        pod = Pod(name, namespace, uid, labels, cgroup, Sandbox(_text(answer[1][0]), config))
        self._pods.append(pod)
        return pod

    def create(self, pod: Pod, name: str, *args: str, attempt: int = 0, kind: str = "") -> str:
        """A container that does not run yet: its id. `kind`: INIT, as old kubelets label it."""
        labels = {"io.kubernetes.container.name": name}
        if kind:
            labels["io.kubernetes.container.type"] = kind
        config = {1: {1: name, 2: attempt}, 2: {1: IMAGE}, 3: list(args), 9: _map(labels)}
        answer = self.cri.call("CreateContainer", {1: pod.sandbox.identity, 2: config, 3: pod.sandbox.config})
        identity = _text(answer[1][0])
        self.made.add(identity)
        return identity

    def start(self, pod: Pod, name: str, *args: str, attempt: int = 0, kind: str = "") -> str:
        """A container that runs, or has run: its id."""
        identity = self.create(pod, name, *args, attempt=attempt, kind=kind)
        self.cri.start_container(identity)
        return identity

    def exited(self, identity: str) -> bool:
        """Whether the runtime says that a container has ended."""
        (status,) = self.cri.call("ContainerStatus", {1: identity})[1]
        assert isinstance(status, bytes)
        return decode(status).get(3, [0]) == [EXITED]

    def wait_exited(self, identity: str) -> str:
        """Until it has ended by itself; its id."""
        deadline = time.monotonic() + oci.TIMEOUT
        while not self.exited(identity):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return identity

    def stop(self, identity: str) -> None:
        """End a container by SIGKILL; the runtime still knows it."""
        self.cri.call("StopContainer", {1: identity})

    def cgroup(self, pod: Pod, identity: str) -> Path:
        """A container's directory on cgroup2."""
        return self.containerd.layout.cgroup2 / pod.cgroup.lstrip("/") / identity

    def remove(self, pod: Pod) -> None:
        """Stop it and remove it, with its containers."""
        self.cri.remove_sandbox(pod.sandbox)
        self._pods.remove(pod)

    def clear(self) -> None:
        """All pods."""
        for pod in list(self._pods):
            self.remove(pod)


@contextmanager
def node(layout: oci.Layout, archives: Sequence[Path], runtime: str = "runc") -> Iterator[Node]:
    """A node whose containerd has these images; gone afterwards."""
    with Containerd(runtime, layout) as containerd:
        for archive in archives:
            for namespace in (CRI_NAMESPACE, NAMESPACE):
                containerd.import_image(archive, namespace)
        with Cri(containerd.socket) as cri:
            made = Node(containerd, cri)
            (layout.cgroup2 / made.kubepods.lstrip("/")).mkdir(parents=True)
            yield made


def write_images(folder: Path, programs: Mapping[str, Path]) -> list[Path]:
    """Archives of the image with the programs, and of that of the sandboxes."""
    rootfs = oci.make_rootfs(folder / "root", {f"/{name}": programs[name] for name in PROGRAMS})
    return [
        write_image(folder / f"{number}.tar", name, rootfs, FOREVER)
        for number, name in enumerate((IMAGE, PAUSE))
    ]


def _map(pairs: Mapping[str, str]) -> list[dict[int, str]]:
    return [{1: key, 2: value} for key, value in pairs.items()]


def _text(value: int | bytes) -> str:
    assert isinstance(value, bytes)
    return value.decode()
