"""A node's containerd: CRI with runc and crun, a CNI bridge, and images from archives."""

import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.daemon import Daemon
from tests.cluster.errors import ClusterError
from tests.cluster.node.ground import BRIDGE, NETWORK, Ground
from tests.truth.containerd import PAUSE

SOCKET = "/run/containerd/containerd.sock"
NAMESPACE = "k8s.io"
# Lowering an OOM score needs CAP_SYS_RESOURCE, which not every root has.
CONFIGURATION = """
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
"""
RUNTIME = """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
BinaryName = "{binary}"
"""
RUNTIMES = ("runc", "crun")
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


@dataclass(frozen=True, slots=True)
class RuntimePrograms:
    """Where they are. `oci`: runc and crun by name."""

    containerd: Path
    cni: Path
    oci: Mapping[str, Path]


def find_program(name: str) -> Path:
    """A program of this machine, also where root alone has it on PATH; ClusterError."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise ClusterError(f"{name} is not installed (make cluster)")
    return Path(found)


def find_runtime_programs() -> RuntimePrograms:
    """Those of this machine; ClusterError if one is missing."""
    cni = next((folder for folder in CNI_FOLDERS if (folder / "bridge").exists()), None)
    if cni is None:
        raise ClusterError("containernetworking-plugins is not installed (make cluster)")
    return RuntimePrograms(find_program("containerd"), cni, {name: find_program(name) for name in RUNTIMES})


class Runtime:
    """containerd on a node; its containers go on while it is restarted."""

    def __init__(self, ground: Ground, programs: RuntimePrograms) -> None:
        self._ground = ground
        self._programs = programs
        configuration = ground.folder / "containerd.toml"
        self.daemon = Daemon(
            "containerd",
            [programs.containerd, "--config", configuration],
            ground.folder / "containerd.log",
            self._answers,
            before=lambda: ground.node_words,
        )
        text = CONFIGURATION.format(
            folder=ground.folder, socket=SOCKET, pause=PAUSE, cni=programs.cni
        ) + "".join(RUNTIME.format(name=name, binary=binary) for name, binary in programs.oci.items())
        configuration.write_text(text)
        self._write_network()

    def _write_network(self) -> None:
        folder = self._ground.folder / "cni"
        folder.mkdir()
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": BRIDGE,
                    "isGateway": True,
                    "hairpinMode": True,  # a pod reaches itself through its own Service
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self._ground.folder / "addresses"),
                        "ranges": [[{"subnet": f"{NETWORK}.0/24"}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        (folder / "10-pods.conflist").write_text(json.dumps(network))

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.settimeout(2)
                made.connect(str(self._ground.path(SOCKET)))
        except OSError:
            return False
        return self.ctr("version", check=False) == 0

    def ctr(self, *words: object, check: bool = True) -> int:
        """Run ctr; its status, if that is not checked."""
        command = ["ctr", "--address", SOCKET, "--namespace", NAMESPACE, *words]
        return self._ground.run(*command, check=check, seconds=300).returncode

    def import_image(self, archive: Path) -> None:
        """An OCI archive, or what `podman save` and `buildah push oci-archive:` write."""
        self.ctr("images", "import", archive)
