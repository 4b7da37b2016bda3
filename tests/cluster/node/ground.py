"""A node's own ground: a network, a mount table and a cgroup, on this machine's kernel.

- The network is a namespace with one bridge, whose address is the node's. No link, route or iptables
  chain of it is in the machine's own.
- In the mount namespace /run is new, /sys/fs/bpf is a bpffs of its own, and what is written to /etc, /opt,
  /var/lib and /var/log is in the run's folder: paths are a node's, and nothing there is this machine's.
- A kubelet raises a few of the kernel's settings, which no namespace holds apart. It finds them as it wants
  them, in files that lie over those of /proc/sys: the kernel's own stay as they are.
- All containers, their shims and the daemons that begin them are in one cgroup, in each hierarchy.

The process that holds the namespaces and the daemons end with the tests (prctl(2), PR_SET_PDEATHSIG).
Containers would go on: `remains` ends them, and removes the folder.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.daemon import Daemon
from tests.cluster.errors import ClusterError
from tests.cluster.node.remains import PREFIX, Watcher
from tests.cluster.place import SERVICES
from tests.truth.oci import Layout
from tests.truth.remains import hierarchies

BRIDGE, NETWORK, HOST = "nodebr0", "10.44.0", "10.44.0.1"
OVERLAID = ("/etc", "/opt", "/var/lib", "/var/log")
# What kubelet 1.20 sets (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
SCRIPT = """
set -e
folder=$1 bridge=$2 address=$3 services=$4
ip link set lo up
ip link add "$bridge" type bridge
ip addr add "$address/24" dev "$bridge"
ip link set "$bridge" up
ip route add "$services" dev "$bridge"
for place in {overlaid}; do
    layer=$folder/written$place
    mkdir -p "$layer/upper" "$layer/work" "$place"
    mount -t overlay -o "lowerdir=$place,upperdir=$layer/upper,workdir=$layer/work" overlay "$place"
done
rm -f /etc/resolv.conf
echo "nameserver $address" > /etc/resolv.conf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock /run/containerd
mount -t bpf bpf /sys/fs/bpf
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
(cd "$folder/settings" && find . -type f) | while read -r name; do
    mount --bind "$folder/settings/$name" "/proc/sys/$name"
done
mount --make-rshared /
touch "$folder/held"
exec sleep infinity
"""
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Ground:
    """A Place for the API server, and where a node's daemons run; there from `start` until `close`."""

    routable = True

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout
        self.host = HOST
        self.cgroup = f"/{PREFIX}{folder.name}"
        self._watcher = Watcher(folder)
        words = ["unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-c"]
        script = SCRIPT.format(overlaid=" ".join(OVERLAID))
        self._holder = Daemon(
            "the node's namespaces",
            [*words, script, "ground", folder, BRIDGE, HOST, SERVICES],
            folder / "ground.log",
            (folder / "held").exists,
        )
        self._inside = ThreadPoolExecutor(1, "inside", initializer=self._enter)
        self._stack = contextlib.ExitStack()
        self.settings_before = {name: Path(f"/proc/sys/{name}").read_text() for name in SETTINGS}

    def start(self) -> None:
        """Make it; what is made is removed when this process ends, however it ends."""
        self._watcher.start()
        for mounted in hierarchies(self.layout):
            place = mounted / self.cgroup.lstrip("/")
            place.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # of a new cpuset they are empty
                if (mounted / name).exists() and (place / name).exists():
                    (place / name).write_text((mounted / name).read_text())
        (self.layout.cgroup2 / self.cgroup.lstrip("/") / "daemons").mkdir(exist_ok=True)
        for name, value in SETTINGS.items():
            file = self.folder / "settings" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")
        # crun refuses cgroup2 beside v1 while it has a controller
        self._stack.enter_context(self.layout.ground("crun"))
        self._holder.start()
        self._holder.wait(30)

    @property
    def pid(self) -> int:
        """Of a process that is in it."""
        if self._holder.pid is None:
            raise ClusterError(f"{self._holder.name} are gone\n{self._holder.last_words()}")
        return self._holder.pid

    @property
    def words(self) -> Sequence[str]:
        """Run in its network."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    @property
    def node_words(self) -> Sequence[str]:
        """Run in its network and among its mounts, and in its cgroup."""
        procs = self.layout.cgroup2 / self.cgroup.lstrip("/") / "daemons/cgroup.procs"
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt", "--"]
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(procs), *enter]

    def path(self, path: str) -> Path:
        """A file of the node, as this process finds it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def run(
        self, *words: object, stdin: bytes | None = None, check: bool = True, seconds: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the node to its end; ClusterError unless it succeeds."""
        return run([*self.node_words, *map(str, words)], stdin, check=check, seconds=seconds)

    # --- connections

    def _enter(self) -> None:
        """This thread, and each socket that it makes, is in the node's network from now on."""
        fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A connection to an address of the node, of a pod or of a Service; OSError."""
        made = self._inside.submit(socket.socket).result()
        try:
            made.settimeout(seconds)
            made.connect((host, port))
        except BaseException:
            made.close()
            raise
        return made

    def last_words(self) -> str:
        """What went wrong while it was made."""
        return self._holder.last_words()

    def close(self) -> None:
        """End all that runs in it, and remove all of it, the folder too; may be repeated."""
        self._inside.shutdown()
        self._holder.kill()
        self._watcher.close()
        self._stack.close()


def run(
    words: Sequence[str], stdin: bytes | None = None, *, check: bool = True, seconds: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; ClusterError unless it succeeds."""
    done = subprocess.run(
        words,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    if check and done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
        raise ClusterError(f"{' '.join(words)}: status {done.returncode}\n{said}")
    return done
