"""`recorder record` of containers and pods without an agent: exact, and named by their runtime."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from recorder.model.record import Observation, Phase, Record
from recorder.model.wire import from_json
from tests.agent.node import FOREVER, IMAGE, Node, node, write_images
from tests.agent.observed import OF_A_RUNTIME, of_phase, problems
from tests.command import Command
from tests.truth import oci
from tests.truth.calls import calls
from tests.truth.podman import Podman
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
SLEEPING = calls(Abi.X86_64, "clock_nanosleep")
OWN = sorted(calls(Abi.X86_64, "getpgrp", "getsid", "times", "getuid", "getgid", "geteuid"))
LATE = ("attached_late",)
WAIT = 60.0  # seconds
# Its own storage and sockets stand where a machine's are, for the recorder alone.
USUAL = {"root": "/var/lib/containers/storage", "run": "/run/containers/storage"}


@dataclass(slots=True)
class Recording:
    """A `recorder record` beside the test; what it says is read as it comes."""

    process: subprocess.Popen[bytes]
    output: Path
    lines: list[str] = field(default_factory=list)
    _said: threading.Condition = field(default_factory=threading.Condition)
    _reader: threading.Thread | None = None

    def read(self) -> None:
        """Begin to read."""

        def lines() -> None:
            assert self.process.stderr
            for line in self.process.stderr:
                with self._said:
                    self.lines.append(line.decode().rstrip("\n"))
                    self._said.notify_all()

        self._reader = threading.Thread(target=lines, daemon=True)
        self._reader.start()

    def says(self, text: str) -> None:
        """Until it has said a line with that text, and not less."""
        deadline = time.monotonic() + WAIT
        with self._said:
            while not any(text in line for line in self.lines):
                assert self.process.poll() is None or (self._reader and self._reader.is_alive()), self.lines
                assert time.monotonic() < deadline, self.lines
                self._said.wait(0.2)

    def wait(self, status: int = 0) -> Record:
        """Its own end, and the result."""
        found = self.process.wait(WAIT)
        assert self._reader
        self._reader.join(WAIT)
        assert found == status, self.lines
        return from_json(self.output.read_text())

    def stop(self) -> Record:
        """Ctrl-C, and the result."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()


Recorded = Callable[..., AbstractContextManager[Recording]]


@pytest.fixture
def recording(recorder_cli: Command, tmp_path: Path) -> Recorded:
    """`with recording(OPTION...) as recorded`: it has begun."""

    @contextlib.contextmanager
    def begin(*options: str | Path, around: tuple[str, ...] = ()) -> Iterator[Recording]:
        output = tmp_path / "record.json"
        words = [*around, *recorder_cli.words, "record", "-f", "record", "-o", output, *options]
        with subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE) as process:
            recorded = Recording(process, output)
            recorded.read()
            try:
                recorded.says("recorder: recording ")
                yield recorded
            finally:
                if process.poll() is None:
                    process.kill()

    return begin


def version(runtime: str) -> str:
    """What the runtime says of itself: its version."""
    said = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


def by_name(record: Record) -> dict[str, Observation]:
    """The observations, of which no two have one name."""
    found = {each.identity.name: each for each in record.observations}
    assert len(found) == len(record.observations)
    return found


# --- pods


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, built_programs: dict[str, Path]) -> list[Path]:
    """What a node imports."""
    return write_images(tmp_path_factory.mktemp("images"), built_programs)


@pytest.fixture(scope="module")
def shared_node(layout: oci.Layout, images: list[Path]) -> Iterator[Node]:
    """containerd with CRI, for all tests here."""
    with node(layout, images) as made:
        yield made


@pytest.fixture
def pods(shared_node: Node) -> Iterator[Node]:
    """Without pods before and after the test."""
    yield shared_node
    shared_node.clear()


def endpoint(pods: Node) -> tuple[str, str]:
    """The option for containerd's socket."""
    return "--runtime-endpoint", str(pods.containerd.socket)


def at_usual_place(socket: Path) -> tuple[str, ...]:
    """What runs a command for which a socket is where containerd's usually is."""
    lay = f"mount -t tmpfs none /run/containerd && ln -s {socket} /run/containerd/containerd.sock"
    return ("unshare", "--mount", "sh", "-c", f'mkdir -p /run/containerd && {lay} && exec "$@"', "sh")


def test_a_pod(pods, recording, scaled):
    """One container runs already, others come, one of them fails and is restarted; the end is the pod's."""
    pod = pods.pod({"app": "web"})
    other = pods.pod({"app": "web"})
    pods.start(pod, "main", *FOREVER)
    count = scaled(40, least=4)
    expected = {"main": SLEEPING}
    with recording(*endpoint(pods), "--pod", f"{pod.namespace}/{pod.name}") as recorded:
        for number in range(count):
            name, own = f"short-{number}", OWN[number % len(OWN)]
            pods.start(pod, name, "/rawsys", word(own))
            pods.start(other, name, "/five")
            expected[name] = rawsys_calls([own]) | EXEC
        again = [
            pods.wait_exited(pods.start(pod, "again", "/brief", attempt=attempt)) for attempt in range(2)
        ]
        pods.remove(pod)
        record = recorded.wait()
    assert [line for line in recorded.lines if "not recorded" in line] == []
    restarts = [each for each in record.observations if each.identity.name == "again"]
    rest = by_name(Record(tuple(each for each in record.observations if each not in restarts)))
    assert rest.keys() == expected.keys()
    for name, seen in rest.items():
        assert problems(seen, expected[name], LATE if name == "main" else ()) == []
        identity = seen.identity
        assert (identity.pod.namespace, identity.pod.name, identity.pod.uid) == (
            pod.namespace,
            pod.name,
            pod.uid,
        )
        assert dict(identity.labels) == {"app": "web"}
        assert identity.image == IMAGE
        assert (seen.provenance.runtime, seen.provenance.runtime_version) == ("runc", version("runc"))
        assert seen.provenance.phases == "container"
        if name != "main":
            assert of_phase(seen, Phase.SETUP) >= OF_A_RUNTIME
    assert {each.identity.container_id: each.identity.restart_count for each in restarts} == {
        identity: attempt for attempt, identity in enumerate(again)
    }
    for each in restarts:
        assert problems(each, EXPECTED["brief"] | EXEC) == []


def test_one_container_of_a_pod(pods, recording):
    """It comes later than the recording, at the runtime's usual place; its neighbours are not recorded."""
    pod = pods.pod()
    pods.start(pod, "main", *FOREVER)
    where = f"{pod.namespace}/{pod.name}/late"
    with recording("--pod", where, around=at_usual_place(pods.containerd.socket)) as recorded:
        assert any("the pod has no container late now (main)" in line for line in recorded.lines)
        pods.start(pod, "before", "/brief")
        identity = pods.start(pod, "late", "/five")
        pods.start(pod, "after", "/brief")
        pods.wait_exited(identity)
        recorded.says("/late: recorded from its first call on")
        record = recorded.stop()
    (seen,) = record.observations
    assert seen.identity.container_id == identity
    assert problems(seen, FIVE) == []


@pytest.mark.parametrize("by", ["name", "id", "beginning"])
def test_a_container_that_runs(pods, recording, by):
    """However it is named: the call that it sleeps in and what comes from now on; the end is its own."""
    pod = pods.pod()
    identity = pods.start(pod, f"{pod.name}-web", *FOREVER)
    other = pods.start(pods.pod(), "other", *FOREVER)
    named = {"name": f"{pod.name}-web", "id": identity, "beginning": identity[:12]}[by]
    with recording(*endpoint(pods), "--container", named) as recorded:
        for each in (other, identity):
            assert pods.cri.exec(each, ["/brief" if each == other else "/five"]) == 0
        pods.stop(identity)
        record = recorded.wait()
    (seen,) = record.observations
    assert problems(seen, SLEEPING | FIVE, LATE) == []
    assert seen.identity.container_id == identity
    assert seen.identity.pod.uid == pod.uid


def test_a_container_that_does_not_run_yet(pods, recording):
    """Made, and started after the recording has begun: it is whole, and its neighbours are not in it."""
    pod = pods.pod()
    identity = pods.create(pod, "made", "/five")
    with recording(*endpoint(pods), "--container", identity) as recorded:
        recorded.says("it is recorded from its first call on")
        pods.start(pod, "other", "/brief")
        pods.cri.start_container(identity)
        record = recorded.wait()
    (seen,) = record.observations
    assert seen.identity.container_id == identity
    assert problems(seen, FIVE) == []
    assert of_phase(seen, Phase.SETUP) >= OF_A_RUNTIME


def test_a_pod_while_containerd_is_away(pods, recording):
    """containerd is killed and comes back: the container of meanwhile is there, the pod's end is noticed."""
    pod = pods.pod()
    pods.start(pod, "main", *FOREVER)
    with recording(*endpoint(pods), "--pod", f"{pod.namespace}/{pod.name}") as recorded:
        pods.containerd.kill()
        pods.containerd.start()
        pods.start(pod, "after", "/five")
        recorded.says("/after: recorded from its first call on")
        pods.remove(pod)
        seen = by_name(recorded.wait())
    assert problems(seen["after"], FIVE) == []
    assert problems(seen["main"], SLEEPING, LATE) == []


def test_an_end_by_time(pods, recording):
    """--duration ends it, the container goes on; --strict fails for what was missed before it began."""
    pod = pods.pod()
    identity = pods.start(pod, "main", *FOREVER)
    with recording(*endpoint(pods), "--container", identity, "--duration", "1", "--strict") as recorded:
        record = recorded.wait(125)
    assert recorded.lines[-1].startswith("recorder: INCOMPLETE: ")
    (seen,) = record.observations
    assert problems(seen, SLEEPING, LATE) == []
    assert not pods.exited(identity)


# --- Podman


@pytest.fixture
def podman(oci_runtime: str, layout: oci.Layout) -> Iterator[Podman]:
    """podman with each runtime, and the cgroup of its containers."""
    with Podman(oci_runtime, layout) as podman:
        podman.cgroup.mkdir(parents=True)
        yield podman


def test_a_container_of_podman(podman, recording, tmp_path, built_programs):
    """By its name, at its usual place, without a daemon; the base is that of its runtime's version."""
    inside = {f"/{name}": built_programs[name] for name in ("five", "signals")}
    rootfs = oci.make_rootfs(tmp_path / "root", inside)
    identity = podman.run(rootfs, FOREVER, "--detach", "--name", "web").good().stdout.strip()
    binds = " && ".join(
        f"mkdir -p {usual} && mount --bind {podman.folder / own} {usual}" for own, usual in USUAL.items()
    )
    around = ("unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh")
    with recording("--container", "web", "-f", "oci", "--duration", "0.5", around=around) as recorded:
        assert recorded.process.wait(WAIT) == 0
        recorded.says(f"recorder: added: base {podman.runtime}-")
    with recording("--container", "web", around=around) as recorded:
        podman.call("exec", "web", "/five").good()
        podman.call("kill", "web").good()
        record = recorded.wait()
    (seen,) = record.observations
    assert problems(seen, SLEEPING | FIVE, LATE) == []
    assert (seen.identity.name, seen.identity.container_id, seen.identity.pod) == ("web", identity, None)
    found = (seen.provenance.runtime, seen.provenance.runtime_version)
    assert found == (podman.runtime, version(podman.runtime))
