"""A node of which only the kernel is real: a CRI made of answers, and cgroups as a kubelet makes them.

A container costs a directory, and one fork for each program that runs in it: thousands can be had.
"""

import concurrent.futures
import itertools
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from tests.conftest import remove_cgroup
from tests.truth import oci
from tests.truth.calls import Call
from tests.truth.programs import word
from tests.unit.containers.fake_cri import SERVICE, FakeCri

PROGRAMS = ("five", "rawsys", "signals")
FOREVER = ("/signals", "100000000")
_serial = itertools.count((os.getpid() << 24) + 1)
"""An agent sees all of the machine: the ids of other nodes, in other test processes, are others."""


def _pid(number: int) -> int:
    """Of nobody, as a rule: what the runtime says of a container that has no process of its own."""
    return 1000 + number % (1 << 20)


@dataclass(frozen=True, slots=True)
class SimulatedPod:
    """`cgroup`: its directory; `sandbox`: the id of its sandbox."""

    name: str
    namespace: str
    uid: str
    sandbox: str
    cgroup: Path


@dataclass(frozen=True, slots=True)
class SimulatedContainer:
    """`cgroup`: its directory; `path`: as in /proc/PID/cgroup."""

    id: str
    name: str
    pod: SimulatedPod
    cgroup: Path
    path: str


@dataclass(slots=True)
class SimulatedNode:
    """Containers of pods: made, known to the runtime, run in, ended."""

    socket: Path
    kubepods: Path
    mount: Path
    rootfs: Path
    programs: Mapping[str, Path]
    runtime: "Runtime"
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> tuple[str, ...]:
        """An agent's flags to know of it."""
        return ("--runtimes-cri", str(self.socket), "--runtimes-poll", "1")

    def pod(self, labels: Mapping[str, str] | None = None, *, namespace: str = "shop") -> SimulatedPod:
        """A pod with its cgroup; its sandbox is known and has none."""
        number, uid = next(_serial), str(uuid.uuid4())
        name = f"pod-{number}"
        with self.runtime.lock:
            answers = self.runtime.answers
            sandbox = answers.add_sandbox(number, name, namespace, **(labels or {}))
            answers.sandboxes[sandbox].metadata.uid = uid
            answers.pids[sandbox] = _pid(number)
        cgroup = self.kubepods / f"pod{uid}"
        cgroup.mkdir()
        return SimulatedPod(name, namespace, uid, sandbox, cgroup)

    def container(self, pod: SimulatedPod, name: str = "", *, known: bool = True) -> SimulatedContainer:
        """A container without a process: the runtime knows it, then its cgroup is made."""
        number = next(_serial)
        identity = f"{number:064x}"
        cgroup = pod.cgroup / identity
        path = f"/{cgroup.relative_to(self.mount)}"
        made = SimulatedContainer(identity, name or f"c-{number}", pod, cgroup, path)
        if known:
            self.know(made)
        cgroup.mkdir()
        return made

    def know(self, made: SimulatedContainer) -> None:
        """The runtime knows it from now on."""
        with self.runtime.lock:
            answers = self.runtime.answers
            answers.add_container(int(made.id, 16), made.pod.sandbox, made.name)
            answers.pids[made.id] = _pid(int(made.id, 16))
            answers.info[made.id] = {"runtimeSpec": {"linux": {"cgroupsPath": made.path}}}

    def start(self, container: SimulatedContainer, *argv: str) -> subprocess.Popen[bytes]:
        """A program in it, as a runtime starts one: set-up, then an exec in a root of its own."""
        words = [self.programs["into_cgroup"], container.cgroup, self.rootfs, *argv]
        process = subprocess.Popen(
            [str(each) for each in words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._running.append(process)
        return process

    def call(self, container: SimulatedContainer, *calls: Call) -> None:
        """It makes these calls, and no others but exit_group; returns when it has."""
        process = self.start(container, "/rawsys", *map(word, calls))
        assert process.wait(60) == 0
        self._running.remove(process)

    def end(self, *containers: SimulatedContainer) -> None:
        """Whatever runs in them is killed, their cgroups go, and the runtime forgets them later."""
        for each in containers:
            remove_cgroup(each.cgroup)

    def forget(self, *containers: SimulatedContainer) -> None:
        """The runtime knows them no more."""
        with self.runtime.lock:
            for each in containers:
                self.runtime.answers.containers.pop(each.id, None)
                self.runtime.answers.pids.pop(each.id, None)
                self.runtime.answers.info.pop(each.id, None)

    def remove(self, *pods: SimulatedPod) -> None:
        """Pods with all that is in them."""
        for pod in pods:
            remove_cgroup(pod.cgroup)
            with self.runtime.lock:
                answers = self.runtime.answers
                answers.sandboxes.pop(pod.sandbox, None)
                for identity in [k for k, v in answers.containers.items() if v.pod_sandbox_id == pod.sandbox]:
                    for known in (answers.containers, answers.pids, answers.info):
                        known.pop(identity, None)

    def close(self) -> None:
        """All of it goes."""
        remove_cgroup(self.kubepods.parent, 30)
        for process in self._running:
            process.wait(10)


@dataclass
class Runtime(grpc.GenericRpcHandler):
    """Serves the answers of a FakeCri; events it has none of. `lock`: held while they are changed."""

    answers: FakeCri
    lock: threading.Lock = field(default_factory=threading.Lock)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """As grpc.GenericRpcHandler."""
        method = details.method.removeprefix(SERVICE)
        answer = getattr(self.answers, f"_{method}", None)
        if answer is None:
            return None  # UNIMPLEMENTED

        def unary(data: bytes, context: grpc.ServicerContext) -> bytes:
            with self.lock:
                found = answer(data)
                if not isinstance(found, grpc.StatusCode):
                    return found.SerializeToString()
            return context.abort(found, f"{method} of a fake")

        return grpc.unary_unary_rpc_method_handler(unary)


@contextmanager
def simulated_node(folder: Path, layout: oci.Layout, programs: Mapping[str, Path]) -> Iterator[SimulatedNode]:
    """A node whose cgroups are all below one; gone afterwards."""
    folder.mkdir(exist_ok=True)
    rootfs = oci.make_rootfs(folder / "root", {f"/{name}": programs[name] for name in PROGRAMS})
    socket, mount = folder / "cri.sock", layout.cgroup2
    runtime = Runtime(FakeCri(socket))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([runtime])
    server.add_insecure_port(f"unix:{socket}")
    kubepods = mount / f"recorder-node-{uuid.uuid4().hex[:12]}" / "kubepods"
    kubepods.mkdir(parents=True)
    made = SimulatedNode(socket, kubepods, mount, rootfs, programs, runtime)
    server.start()
    try:
        yield made
    finally:
        try:
            made.close()
        finally:
            server.stop(0).wait(10)
