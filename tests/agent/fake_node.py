"""A node whose pods are made up, with real cgroups and programs: a CRI runtime that tells what it is told.

Much cheaper than containerd, and able to lie: names, namespaces and ids are the test's to choose.
"""

import asyncio
import contextlib
import itertools
import os
import subprocess
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import remove_cgroup
from tests.unit.containers.fake_cri import FakeCri

WAIT = 30.0
NOBODY = (1 << 22) - 1
"""The pid that the runtime tells: none is that high here, so nobody looks into /proc for it."""
JOIN = ("/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"')
UNSHARE = ("/usr/bin/unshare", "--mount", "--propagation", "unchanged")

_serial = itertools.count(1)


@dataclass(slots=True)
class FakePod:
    """`sandbox`: its id; `cgroup`: its directory."""

    name: str
    namespace: str
    sandbox: str
    cgroup: Path
    containers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FakeNode:
    """`parent`: a cgroup of the test's own, below the cgroup2 mount; the runtime serves in a thread."""

    cri: FakeCri
    parent: Path
    mount: Path
    loop: asyncio.AbstractEventLoop
    pods: list[FakePod] = field(default_factory=list)

    @property
    def settings(self) -> tuple[str, ...]:
        """An agent's flags to know of it."""
        return ("--runtimes-cri", str(self.cri.socket), "--runtimes-poll", "1")

    def do(self, work: Callable[[], Awaitable[Any] | Any]) -> Any:
        """Something in the runtime's thread."""

        async def run() -> Any:
            made = work()
            return await made if asyncio.iscoroutine(made) else made

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT)

    def _name(self, cgroup: Path) -> str:
        return f"/{cgroup.relative_to(self.mount)}"

    def pod(self, name: str, namespace: str, **labels: str) -> FakePod:
        """A pod whose sandbox is ready; it has no cgroup for its sandbox, which does not matter here."""
        number = next(_serial)
        cgroup = self.parent / "kubepods" / f"pod{uuid.uuid4()}"
        cgroup.mkdir()
        sandbox = self.do(lambda: self.cri.add_sandbox(number, name, namespace, **labels))
        pod = FakePod(name, namespace, sandbox, cgroup)
        self.pods.append(pod)
        return pod

    def container(self, pod: FakePod, name: str, *, number: int = 0) -> str:
        """A container that nothing runs in yet, with its cgroup: its id, which `number` may choose."""
        identity = self.told(pod, name, number=number)
        (pod.cgroup / identity).mkdir()
        self.do(self.cri.tell)
        return identity

    def told(self, pod: FakePod, name: str, *, number: int = 0) -> str:
        """One that the runtime tells of, and that has no cgroup."""
        number = number or next(_serial) | uuid.uuid4().int << 128 & (1 << 256) - 1

        def add() -> str:
            identity: str = self.cri.add_container(number, pod.sandbox, name)
            path = self._name(pod.cgroup / identity)
            self.cri.info[identity] = {"pid": NOBODY, "runtimeSpec": {"linux": {"cgroupsPath": path}}}
            return identity

        identity = str(self.do(add))
        pod.containers.append(identity)
        return identity

    @contextlib.contextmanager
    def run(
        self, pod: FakePod, identity: str, *argv: str | Path, **more: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program in a container, in a mount namespace of its own, by which its set-up is told apart.

        It may still be on its way there. Killed at the end of the `with` if it still runs. Not by a fork of
        the test's process, which has gRPC's threads.
        """
        words = [*JOIN, pod.cgroup / identity / "cgroup.procs", *UNSHARE, *argv]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, **more) as process:
            try:
                yield process
            finally:
                process.kill()

    def live(self, pod: FakePod, name: str, *argv: str | Path) -> str:
        """A container from its first call to its end, cgroup included; the runtime remembers it. Its id."""
        identity = self.container(pod, name)
        with self.run(pod, identity, *argv) as process:
            assert process.wait(WAIT) == 0
        remove_cgroup(pod.cgroup / identity)
        return identity

    def remove(self, pod: FakePod) -> None:
        """Cgroups first, then what the runtime knows."""
        remove_cgroup(pod.cgroup)

        def forget() -> None:
            for identity in pod.containers:
                self.cri.containers.pop(identity, None)
            self.cri.sandboxes.pop(pod.sandbox, None)
            self.cri.tell()

        self.do(forget)
        self.pods.remove(pod)


@contextlib.contextmanager
def own_cgroup(mount: Path) -> Iterator[Path]:
    """A cgroup that nobody else has; gone afterwards."""
    path = mount / f"recorder-node-{os.getpid()}-{next(_serial)}"
    path.mkdir()
    try:
        yield path
    finally:
        remove_cgroup(path)


@contextlib.contextmanager
def fake_node(folder: Path, parent: Path, mount: Path) -> Iterator[FakeNode]:
    """A node whose runtime's socket is in `folder`; `parent` is an empty cgroup, and empty afterwards."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = FakeNode(FakeCri(folder / "cri.sock"), parent, mount, loop)
    (parent / "kubepods").mkdir()
    try:
        made.do(made.cri.start)
        yield made
    finally:
        made.do(made.cri.stop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        loop.close()
        remove_cgroup(parent / "kubepods")
