"""Whatever goes wrong on the way, the final profiles are those of an undisturbed run, byte for byte.

One trace with fixed times is replayed: first undisturbed, then under each fault. Pods and
recordings have the same names each time; their uids are the API server's and differ.
"""

import contextlib
import functools
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from recorder.model.record import Observation
from tests.cluster.api_server import ApiServer
from tests.cluster.scene import OPT_IN, SECONDS, Scene, scene
from tests.collector.process import killed_now_and_then
from tests.collector.simulated_agent import SimulatedAgent, SimulatedContainer

NODES = 4
TICKS = 12
TICK = 0.1  # seconds
RESULTS = 2 * NODES + 1 + 1  # two containers of each templated pod by themselves, one alone, one union
FINAL = '"recorder.x-k8s.io/state": "final"'
CALLS = [
    "close",
    "fstat",
    "getcwd",
    "getpid",
    "lseek",
    "mkdir",
    "openat",
    "pipe2",
    "poll",
    "rename",
    "rmdir",
    "sendto",
    "stat",
    "uname",
    "unlink",
]
LOSSES = {3: "program_missed", 7: "attached_late"}
SETTINGS = ("--results-settle", "3s", "--results-first-write", "200ms", "--results-last-write", "1s")
Fault = Callable[[Scene], contextlib.AbstractContextManager[None]]


class Trace:
    """Pods of a template on each node, two runs of each of their containers, and a pod without a template."""

    def __init__(self, cluster: Scene, place: str) -> None:
        self.cluster = cluster
        self.place = place
        self.agents = [cluster.agent(f"node-{number}") for number in range(NODES)]
        self.said: list[tuple[SimulatedAgent, SimulatedContainer, Observation]] = []
        self.runs: list[tuple[int, SimulatedAgent, SimulatedContainer]] = []
        for number, agent in enumerate(self.agents):
            pod = cluster.pod(place, f"web-{number}", template="web-", node=agent.node)
            for serial, name in enumerate(("web", "sidecar"), 1):
                for restart in (0, 1):
                    container = cluster.container(
                        pod, name, serial=100 * number + 10 * serial + restart, restart=restart
                    )
                    self.runs.append((number + restart * TICKS // 2, agent, container))
        alone = cluster.pod(place, "alone", node="node-0")
        self.runs.append((0, self.agents[0], cluster.container(alone, "alone", serial=990)))

    def replay(self) -> None:
        """All that happens, from the first tick to the last, and until the collector has it."""
        self.cluster.planned(*self.agents, recordings=2)
        for tick in range(TICKS):
            self.cluster.act(lambda tick=tick: self.tick(tick))
            time.sleep(TICK)

    def tick(self, tick: int) -> None:
        """What happens in one."""
        for begins, agent, container in self.runs:
            age = tick - begins
            if not 0 <= age <= TICKS // 2:
                continue
            if age == 0:
                agent.see(container, "execve", "read", "write", at=tick)
            elif age == TICKS // 2 or tick == TICKS - 1:
                agent.end(container)
            else:
                agent.see(container, CALLS[(container.serial + age) % len(CALLS)], at=tick)
            if container.serial % 10 in LOSSES:
                agent.lose(container, LOSSES[container.serial % 10])
            assert container.observation
            self.said.append((agent, container, container.observation))

    def stop(self) -> None:
        """The agents are gone."""
        for each in self.agents:
            self.cluster.stop(each)


def objects(cluster: Scene, place: str) -> dict[str, str]:
    """Each profile of the namespace: what a person or SPO reads of it, as one text."""
    found = {}
    for each in cluster.client.objects("SeccompProfile", labels=f"spo.x-k8s.io/recording-namespace={place}"):
        metadata = {key: each["metadata"].get(key) for key in ("name", "labels", "annotations")}
        found[metadata["name"]] = json.dumps({"spec": each["spec"], "metadata": metadata}, sort_keys=True)
    return found


def run(
    cluster: Scene,
    place: str,
    expected: dict[str, str] | None,
    fault: Fault | None = None,
    then: Callable[[Trace], None] | None = None,
) -> dict[str, str]:
    """One replay with two recordings, one of each strategy: the final profiles, once they are as expected.

    Without `expected`: once all are final. Nothing is left of the run but what is returned.
    """
    cluster.record(place, "each")
    cluster.record(place, "all", mergeStrategy="Containers", containers=["web"])
    trace = Trace(cluster, place)
    try:
        with fault(cluster) if fault else contextlib.nullcontext():
            trace.replay()
            if then:
                then(trace)
        cluster.stored(*trace.agents)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            found = objects(cluster, place)
            final = len(found) == RESULTS and all(FINAL in text for text in found.values())
            if found == expected or (expected is None and final):
                break
            time.sleep(0.2)
        return found
    finally:
        trace.stop()
        for name in ("each", "all"):
            cluster.client.delete("ProfileRecording", name, place)
        cluster.client.delete_all("SeccompProfile", labels=f"spo.x-k8s.io/recording-namespace={place}")
        for pod in cluster.client.objects("Pod", place):
            path = cluster.client.path("Pod", place, pod["metadata"]["name"])
            cluster.client.request("DELETE", path, {"gracePeriodSeconds": 0})


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """What is not as expected, a line for each value of each profile."""
    return [
        f"{name} {path}: {there.get(path)!r}, not {wanted.get(path)!r}"
        for name in sorted(found.keys() | expected.keys())
        for there, wanted in [(values(found.get(name, "null")), values(expected.get(name, "null")))]
        for path in sorted(there.keys() | wanted.keys())
        if there.get(path) != wanted.get(path)
    ]


def values(text: str) -> dict[str, object]:
    """Each value of an object by its path."""

    def walk(path: str, value: object) -> Iterator[tuple[str, object]]:
        if isinstance(value, dict):
            for key, each in value.items():
                yield from walk(f"{path}.{key}", each)
        else:
            yield path, value

    return dict(walk("", json.loads(text)))


# --- faults


def killed(times: int, seed: int) -> Fault:
    """The collector, by SIGKILL."""
    chance = random.Random(seed)

    def fault(cluster: Scene) -> contextlib.AbstractContextManager[None]:
        return killed_now_and_then(cluster.collector, times, lambda _: chance.uniform(0.05, 0.8))

    return fault


@contextlib.contextmanager
def meanwhile(do: Callable[[], None]) -> Iterator[None]:
    """Something that happens while the trace is replayed; it is over at the end, and may fail the test."""
    failures: list[BaseException] = []

    def run_it() -> None:
        try:
            do()
        except BaseException as error:  # noqa: BLE001 -- it is raised in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run_it, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(180)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.fixture(scope="module")
def wall_clock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose wall clock a file moves."""
    folder = tmp_path_factory.mktemp("clock")
    source = Path(__file__).parents[1] / "collector/wall_clock.c"
    library = folder / "wall_clock.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source], check=True)
    (folder / "offset").write_text("0")
    return {"LD_PRELOAD": str(library), "WALL_CLOCK": str(folder / "offset")}


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="module")
def cluster(
    api_server: ApiServer, new_namespace: Callable[..., str], certificates, wall_clock, small_disk
) -> Iterator[Scene]:
    """One collector for all faults, on a small disk and with a clock that can be moved."""
    with scene(api_server, new_namespace, certificates, small_disk / "c", SETTINGS, wall_clock) as made:
        yield made


@pytest.fixture(scope="module")
def place(cluster: Scene, new_namespace: Callable[..., str]) -> str:
    return new_namespace(OPT_IN)


@pytest.fixture(scope="module")
def undisturbed(cluster: Scene, place: str) -> dict[str, str]:
    """What comes out when nothing happens."""
    found = run(cluster, place, None)
    assert len(found) == RESULTS, sorted(found)
    return found


def test_nothing_happens(cluster, place, undisturbed):
    """A second undisturbed run gives the same."""
    assert differences(run(cluster, place, undisturbed), undisturbed) == []


def test_the_collector_is_killed(cluster, place, undisturbed, scaled):
    """SIGKILL, again and again, while agents send and after it."""
    left, seed = scaled(30, 6), 1
    while left > 0:
        times = min(left, 5)
        assert differences(run(cluster, place, undisturbed, killed(times, seed)), undisturbed) == []
        left, seed = left - times, seed + 1


def test_the_api_server_is_away(cluster, place, undisturbed, scaled):
    """For a minute, from the middle of the trace on."""
    seconds = scaled(60, 8)

    def fault(cluster: Scene) -> contextlib.AbstractContextManager[None]:
        def do() -> None:
            time.sleep(TICKS * TICK / 3)
            with cluster.server.outage():
                time.sleep(seconds)

        return meanwhile(do)

    assert differences(run(cluster, place, undisturbed, fault), undisturbed) == []


def test_agents_and_collector_are_cut_from_each_other(cluster, place, undisturbed):
    """For longer than containers live."""

    def fault(cluster: Scene) -> contextlib.AbstractContextManager[None]:
        def do() -> None:
            time.sleep(2 * TICK)
            cluster.do(cluster.wire.cut())
            time.sleep(TICKS * TICK)
            cluster.do(cluster.wire.mend())

        return meanwhile(do)

    assert differences(run(cluster, place, undisturbed, fault), undisturbed) == []


def test_the_disk_is_full(cluster, place, undisturbed, small_disk):
    """The collector acknowledges nothing then, says so, and goes on when there is room."""
    # its log is gone then, so that the next commit needs room
    assert cluster.collector.stop() == 0
    cluster.collector.start()
    said = len(cluster.collector.lines)

    def fault(cluster: Scene) -> contextlib.AbstractContextManager[None]:
        def do() -> None:
            time.sleep(2 * TICK)
            hog = small_disk / "hog"
            with hog.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            try:
                cluster.collector.wait_for("is full: make room on it", after=said)
            finally:
                hog.unlink()

        return meanwhile(do)

    assert differences(run(cluster, place, undisturbed, fault), undisturbed) == []


@pytest.mark.parametrize("seconds", [-7200, 7200])
def test_the_clock_jumps(cluster, place, undisturbed, wall_clock, seconds):
    """The collector's wall clock goes back or forward by two hours in the middle."""
    offset = Path(wall_clock["WALL_CLOCK"])

    def fault(cluster: Scene) -> contextlib.AbstractContextManager[None]:
        def do() -> None:
            time.sleep(TICKS * TICK / 3)
            offset.write_text(str(seconds))

        return meanwhile(do)

    try:
        assert differences(run(cluster, place, undisturbed, fault), undisturbed) == []
    finally:
        offset.write_text("0")


def test_states_come_twice_late_and_out_of_order(cluster, place, undisturbed):
    """Each state that was ever sent is sent again, in another order, before the results are final."""

    def repeat(trace: Trace) -> None:
        order = trace.said * 2
        random.Random(3).shuffle(order)
        for agent, container, observation in order:
            cluster.act(functools.partial(agent.repeat, container, observation))

    assert differences(run(cluster, place, undisturbed, then=repeat), undisturbed) == []
