"""A cluster of one node on which pods run: what the fixture `node` gives."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.api_server import ApiServer, Programs
from tests.cluster.client import Client
from tests.cluster.daemon import Daemon
from tests.cluster.node.ground import Ground, run
from tests.cluster.node.kubelet import NAME, SECCOMP, NodePrograms, make_kubelet, make_proxy, make_scheduler
from tests.cluster.node.names import Names
from tests.cluster.node.runtime import Runtime, RuntimePrograms
from tests.truth.oci import Layout

# Without Secrets for service accounts, as from Kubernetes 1.24 on.
CONTROLLERS = "*,-serviceaccount-token"


@dataclass(frozen=True, slots=True)
class ClusterPrograms:
    """All that it consists of."""

    control: Programs
    node: NodePrograms
    runtime: RuntimePrograms


class Cluster:
    """api: its API server, of which `client` is the admin's; runtime: containerd; from `start` until `close`.

    RuntimeClasses `runc` and `crun` are there.
    """

    def __init__(self, folder: Path, programs: ClusterPrograms, layout: Layout) -> None:
        self.folder = folder
        self.ground = Ground(folder, layout)
        self.runtime = Runtime(self.ground, programs.runtime)
        self.api = ApiServer(folder, programs.control, self.ground, CONTROLLERS)
        self.client: Client = self.api.client
        config = self.api.kubeconfig
        self.kubelet = make_kubelet(self.ground, programs.node.kubelet, config, self.api.answers)
        self._scheduler = make_scheduler(self.ground, programs.node.scheduler, config, self.api.answers)
        self._proxy = make_proxy(self.ground, programs.node.proxy, config, self.api.answers)
        self._names = Names(self.ground, programs.node.dnsmasq, self.client)

    @property
    def url(self) -> str:
        """Of the API server, in the node's network."""
        return self.api.url

    @property
    def daemons(self) -> Sequence[Daemon]:
        """All, in the order in which they are started."""
        mine = (self.kubelet, self._scheduler, self._proxy, self._names.daemon)
        return (self.runtime.daemon, *self.api.daemons, *mine)

    def start(self) -> None:
        """Start all, and wait until pods can run."""
        self.ground.start()
        self._names.start()  # a kubelet asks for names of clouds, and waits for an answer
        self.runtime.daemon.start()
        self.api.start()
        self.runtime.daemon.wait()
        for daemon in (self.kubelet, self._scheduler, self._proxy):
            daemon.start()
        self._names.follow()
        for name in ("runc", "crun"):
            self.client.create(
                {
                    "apiVersion": "node.k8s.io/v1",
                    "kind": "RuntimeClass",
                    "metadata": {"name": name},
                    "handler": name,
                }
            )
        for daemon in (self.kubelet, self._scheduler, self._proxy):
            daemon.wait()
        self.client.wait("Node", NAME, _is_ready, seconds=120)

    def close(self) -> None:
        """End all, and remove all that was made."""
        self._names.close()
        for daemon in (self._proxy, self._scheduler, self.kubelet):
            daemon.kill()
        self.api.close()
        self.runtime.daemon.kill()
        self.ground.close()

    def restart(self, *daemons: Daemon) -> None:
        """End them by SIGKILL, and start them again, until they serve."""
        for daemon in daemons:
            daemon.kill()
        for daemon in daemons:
            daemon.start()
        for daemon in daemons:
            daemon.wait()

    def kubectl(
        self, *words: object, stdin: bytes | None = None, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl as the admin, in the node's network; ClusterError unless it succeeds."""
        command = ["kubectl", f"--kubeconfig={self.api.kubeconfig}", *map(str, words)]
        return run([*self.ground.words, *command], stdin, check=check, seconds=seconds)

    def install_seccomp(self, name: str, profile: bytes) -> str:
        """Put a Localhost profile on the node; what a pod's `localhostProfile` says."""
        file = self.ground.path(f"{SECCOMP}/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(profile)
        return name

    def log_sizes(self) -> list[int]:
        """For `last_words`, of the logs as they are now."""
        return [daemon.log_size() for daemon in self.daemons]

    def last_words(self, since: Sequence[int] = ()) -> str:
        """The ends of the logs."""
        begin = since or [0] * len(self.daemons)
        return "\n".join(daemon.last_words(size) for daemon, size in zip(self.daemons, begin, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_ready(node: dict[str, Any] | None) -> bool:
    conditions = (node or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
