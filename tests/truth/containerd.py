"""A containerd of one's own: its root, state and socket in a temporary folder, nothing of the machine's.

It may be stopped, killed and started again while its containers go on, as they do on a node. Containers
are made by `ctr` here, or by whoever speaks to `socket`: the CRI plugin is on, for sandboxes on the host's
network, since no CNI is configured. All cgroups that are made through this class lie below `cgroup`.

Mounts stay in a mount namespace that ends with the last process of this containerd. What it leaves outside
is the folder /run/containerd, which containerd's shims want for their sockets.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.owner import owner
from tests.truth.oci import PARENT, TIMEOUT, Ended, Layout, OciError

SHIM = "containerd-shim-runc-v2"
NAMESPACE = "default"
CRI_NAMESPACE = "k8s.io"
PAUSE = "localhost/pause:1"  # of every sandbox: to be imported into CRI_NAMESPACE by who makes sandboxes
# As a user would write it. Lowering an OOM score needs CAP_SYS_RESOURCE, which not every root has.
CONFIGURATION = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/socket"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "{runtime}"
"""
RUNTIME = """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
BinaryName = "{binary}"
Root = "{folder}/runtime"
SystemdCgroup = {systemd}
"""
# What containerd mounts is not to be seen outside; shared within, as a node's mounts are.
HOLD = "mount --make-rshared / && echo held && read -r _"
# What a newly started one says when its services, CRI among them, are there.
BOOTED = b"containerd successfully booted"

_serial = itertools.count(1)


def _folder() -> Path:
    # a socket's path has 107 bytes at most
    return Path(tempfile.mkdtemp(prefix=f"containerd-{owner()}-", dir="/tmp"))


def _binary(runtime: str) -> str:
    found = shutil.which(runtime, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise OciError(f"{runtime} is not installed (make setup)")
    return found


@dataclass(slots=True)
class Containerd:
    """One containerd, there in the `with`; its containers run by `runtime`, runc or crun.

    crun needs its ground (`Layout.ground`). With `systemd_slice` (its name has no dash, which would mean a
    slice in a slice) containers are scopes in that slice, made by the machine's systemd; else `cgroup` has
    a folder for each.
    """

    runtime: str = "runc"
    layout: Layout = field(default_factory=Layout.detect)
    systemd_slice: str = ""
    folder: Path = field(default_factory=_folder)
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _holder: subprocess.Popen[bytes] | None = field(init=False, default=None)

    # --- where things are

    @property
    def socket(self) -> Path:
        """Where its gRPC services listen, CRI's runtime.v1 among them."""
        return self.folder / "socket"

    @property
    def log(self) -> Path:
        """What it has said since it was first started."""
        return self.folder / "log"

    @property
    def cgroup_parent(self) -> str:
        """The cgroup of all its containers, as a runtime or a sandbox's `cgroup_parent` names it."""
        return self.systemd_slice or f"{PARENT}/{self.folder.name}"

    @property
    def cgroup(self) -> Path:
        """The same as a directory on cgroup2, there from the beginning: a recorder may watch it."""
        where = self.systemd_slice or self.cgroup_parent.lstrip("/")
        return self.layout.cgroup2 / where

    def container_cgroup(self, identity: str) -> Path:
        """The directory on cgroup2 of a container that `run` or `begin` makes."""
        return self.cgroup / (f"ctr-{identity}.scope" if self.systemd_slice else identity)

    # --- its life

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        text = CONFIGURATION.format(folder=self.folder, pause=PAUSE, runtime=self.runtime)
        systemd = str(bool(self.systemd_slice)).lower()
        for name in ("runc", "crun"):
            if binary := _binary(name) if name == self.runtime else shutil.which(name):
                text += RUNTIME.format(name=name, binary=binary, folder=self.folder, systemd=systemd)
        (self.folder / "config.toml").write_text(text)
        for name in ("cni", "fifos"):
            (self.folder / name).mkdir()
        self.cgroup.mkdir(parents=True, exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLD],
            stdin=subprocess.PIPE,  # closed when we end, however we end
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout
        assert self._holder.stderr
        if self._holder.stdout.readline() != b"held\n":
            raise OciError(f"no mount namespace: {self._holder.stderr.read().decode().strip()}")
        self.start()

    def start(self) -> None:
        """Start it, also after `stop` or `kill`; returns when it serves."""
        assert self._holder
        assert self.process is None, "it runs already"
        before = self.log.stat().st_size if self.log.exists() else 0
        space = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", space, "containerd", "--config", str(self.folder / "config.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
            )
        deadline = time.monotonic() + TIMEOUT
        while BOOTED not in (said := self.log.read_bytes()[before:]):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise OciError(f"containerd does not start: {said[-3000:].decode(errors='replace')}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it as a service manager does, by SIGTERM; containers and their shims go on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL; containers and their shims go on."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """`stop` and `start`."""
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise OciError(f"containerd did not end within {TIMEOUT} s of signal {number}") from None
        finally:
            self.process = None

    def close(self) -> None:
        """End all of it: containerd, every container and shim; remove cgroups, sockets and files."""
        self.kill()
        deadline = time.monotonic() + TIMEOUT
        while pids := [*self.shims(), *self._members()]:
            if time.monotonic() > deadline:
                raise OciError(f"processes of containerd cannot be ended: {pids}")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for address in self.folder.glob("state/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        if self._holder is not None:
            assert self._holder.stdin
            self._holder.stdin.close()
            self._holder.wait(10)
        if self.systemd_slice:
            subprocess.run(["systemctl", "stop", self.systemd_slice], check=True, timeout=TIMEOUT)
        else:
            self.layout.remove(self.folder.name)
        shutil.rmtree(self.folder)

    def shims(self) -> list[int]:
        """Process ids of the shims of its containers."""
        ours = b"\0-address\0" + os.fsencode(self.socket) + b"\0"
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes()
                    if os.path.basename(words.partition(b"\0")[0]) == SHIM.encode() and ours in words:
                        found.append(int(entry.name))
        return found

    def _members(self) -> list[int]:
        pids: set[int] = set()
        for procs in [*self.cgroup.rglob("cgroup.procs")]:
            with contextlib.suppress(OSError):
                pids.update(map(int, procs.read_text().split()))
        return sorted(pids - {0})

    # --- images and containers, by ctr

    def ctr(self, *words: str, namespace: str = NAMESPACE, timeout: float = TIMEOUT) -> Ended:
        """Run one command of ctr to its end. Raises OciError if it hangs."""
        command = ["ctr", "--address", str(self.socket), "--namespace", namespace, *words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OciError(f"{' '.join(command)} did not end within {timeout} s") from None
        return Ended(done.returncode, done.stdout, done.stderr)

    def import_image(self, archive: Path, namespace: str = NAMESPACE) -> None:
        """Import what `tests.truth.image.write_image` has written."""
        self.ctr("images", "import", str(archive), namespace=namespace).good()

    def _run(self, how: Sequence[str], image: str, identity: str, args: Sequence[str]) -> Ended:
        where = ["--cgroup", f"{self.cgroup_parent}/{identity}"]
        if self.systemd_slice:
            where = ["--runc-systemd-cgroup", "--cgroup", f"{self.systemd_slice}:ctr:{identity}"]
        binary = ("--runc-binary", _binary(self.runtime), "--runc-root", str(self.folder / "runtime"))
        return self.ctr("run", *where, *binary, *how, image, identity, *args)

    def _fifos(self) -> list[str]:
        return ["--fifo-dir", str(self.folder / "fifos")]

    def run(self, image: str, identity: str, *args: str, options: Sequence[str] = ()) -> Ended:
        """Run a container in the foreground and delete it; the status is its own."""
        return self._run(["--rm", *self._fifos(), *options], image, identity, args)

    def begin(self, image: str, identity: str, *args: str, options: Sequence[str] = ()) -> None:
        """Start a container and leave it running."""
        self._run(["--detach", "--null-io", *options], image, identity, args).good()

    def exec(self, identity: str, *args: str) -> Ended:
        """Run another program in a running container; the status is that program's."""
        name = f"exec-{next(_serial)}"
        return self.ctr("tasks", "exec", *self._fifos(), "--exec-id", name, identity, *args)

    def status(self, identity: str) -> str:
        """RUNNING, STOPPED and so on; empty without a task."""
        lines = self.ctr("tasks", "list").good().stdout.splitlines()[1:]
        return {words[0]: words[2] for words in map(str.split, lines)}.get(identity, "")

    def delete(self, identity: str) -> None:
        """Kill a container's task, if it has one, and delete both."""
        if self.status(identity):
            self.ctr("tasks", "delete", "--force", identity).good()
        self.ctr("containers", "delete", identity).good()
