"""`recorder capture` with a real agent and real containers: selections, ends, and what outlives what."""

import concurrent.futures
import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from recorder.model.abi import Abi
from recorder.model.record import Observation, Record
from recorder.model.wire import from_json, from_message
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.collector import Collector
from tests.agent.node import FOREVER, Node
from tests.agent.observed import problems, workload
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, slots_used
from tests.conftest import remove_cgroup
from tests.member import Member
from tests.truth.calls import Call, calls, safe_calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
SLEEPING = calls(Abi.X86_64, "clock_nanosleep")
LATE = ("attached_late",)


@dataclass(slots=True)
class Capturing:
    """A `recorder capture` beside the test; what it says is read as it comes."""

    process: subprocess.Popen[bytes]
    output: Path
    said: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    def read(self) -> None:
        """Begin to read."""

        def lines() -> None:
            assert self.process.stderr
            self.said.extend(line.decode().rstrip() for line in self.process.stderr)

        self._reader = threading.Thread(target=lines, daemon=True)
        self._reader.start()

    def wait(self, status: int = 0) -> Record:
        """Its own end, and the result."""
        assert self._reader
        found = self.process.wait(60)
        self._reader.join(60)
        assert found == status, self.said
        return from_json(self.output.read_text())

    def stop(self) -> Record:
        """SIGTERM, and the result."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


Capture = Callable[..., AbstractContextManager[Capturing]]


@pytest.fixture
def capture(agent: AgentProcess, recorder_cli, tmp_path: Path) -> Capture:
    """`with capture(OPTION...) as capturing`: the agent has begun it."""
    serial = itertools.count()

    @contextlib.contextmanager
    def start(*options: str | Path) -> Iterator[Capturing]:
        output = tmp_path / f"capture-{next(serial)}.json"
        before = len(agent.status().captures)
        words = ("capture", "--agent", f"unix:{agent.socket}", "-f", "record", "-o", output, *options)
        with recorder_cli.started(*words) as process:
            capturing = Capturing(process, output)
            capturing.read()
            agent.wait_for(lambda status: len(status.captures) > before or process.poll() is not None)
            assert process.poll() is None, capturing.said
            yield capturing

    return start


@pytest.fixture
def served(agent: AgentProcess, pods: Node) -> AgentProcess:
    """An agent that knows the node, and has no collector."""
    agent.settings += pods.settings
    return agent.start()


def recorded(agent: AgentProcess, count: int) -> None:
    """Until the captures together record so many containers."""
    agent.wait_for(lambda status: sum(each.recorded for each in status.captures) == count)


def one(record: Record) -> Observation:
    (observation,) = record.observations
    return observation


def whole(observation: Observation, expected: frozenset[Call], *losses: str) -> list[str]:
    return problems(observation, expected, losses)


@pytest.mark.parametrize("by", ["name", "id", "beginning", "pod", "container of the pod"])
def test_a_container_that_runs(by, served, pods, capture):
    """However it is named: the call that it sleeps in, and all that it calls from now on."""
    pod = pods.pod({"app": "web"})
    identity = pods.start(pod, f"{pod.name}-web", *FOREVER)
    options = {
        "name": ("--container", f"{pod.name}-web"),
        "id": ("--container", identity),
        "beginning": ("--container", identity[:12]),
        "pod": ("--pod", f"shop/{pod.name}"),
        "container of the pod": ("--pod", f"shop/{pod.name}/{pod.name}-web"),
    }
    call = Call(Abi.X86_64, 102)
    with capture(*options[by]) as capturing:
        recorded(served, 1)
        assert pods.cri.exec(identity, ["/rawsys", word(call)]) == 0
        seen = one(capturing.stop())
    # its program sleeps again and again: no other call of it is to come
    assert whole(seen, SLEEPING | rawsys_calls([call]) | EXEC, *LATE) == []
    assert (seen.identity.pod.name, seen.identity.container_id) == (pod.name, identity)
    served.wait_for(lambda status: slots_used(status) == 0 and not status.attached)


def test_a_pod_that_is_to_come(served, pods, capture):
    """From the first call of each of its containers; it ends by itself when the pod is gone."""
    with capture("--pod", "shop/to-come") as capturing:
        pod = pods.pod(name="to-come")
        other = pods.pod()
        five = pods.start(pod, "five", "/five")
        forever = pods.start(pod, "forever", *FOREVER)
        pods.start(other, "five", "/five")
        served.wait_for(lambda status: sum(each.recorded for each in status.captures) >= 1)
        assert pods.cri.exec(forever, ["/five"]) == 0
        pods.remove(pod)
        seen = {each.identity.container_id: each for each in capturing.wait().observations}
    assert set(seen) == {five, forever}
    assert whole(seen[five], FIVE) == []
    assert whole(seen[forever], RUNNING | FIVE) == []


def test_a_container_that_ends(served, pods, capture):
    """The capture ends with it, by itself."""
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    with capture("--container", identity) as capturing:
        recorded(served, 1)
        pods.stop(identity)
        assert whole(one(capturing.wait()), SLEEPING, *LATE) == []


def test_duration(served, pods, capture):
    """It ends after so many seconds, whatever goes on."""
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    with capture("--container", identity, "--duration", "1.5") as capturing:
        began = time.monotonic()
        seen = one(capturing.wait())
        assert 0.5 < time.monotonic() - began < 5
    assert whole(seen, SLEEPING, *LATE) == []
    served.wait_for(lambda status: not status.captures and slots_used(status) == 0)


def test_captures_share_a_slot(agent, pods, uplinked, capture):
    """Three captures and a plan for one container: one slot; each ends on its own, with all up to its end."""
    agent.settings += pods.settings
    deck = [Call(Abi.X86_64, number) for number in (102, 104, 107, 108)]

    def theirs(collector: Collector) -> list[Observation]:
        return [each for each in collector.stored.values() if each.identity.container_id == identity]

    with uplinked(agent) as collector, contextlib.ExitStack() as stack:
        agent.start()
        pod = pods.pod()
        identity = pods.start(pod, "web", *FOREVER)
        captures = [stack.enter_context(capture("--container", identity)) for _ in range(3)]
        collector.send(plan(recording("it", "shop")))
        recorded(agent, 3)
        collector.wait_for(theirs)
        agent.wait_for(lambda status: slots_used(status) == 1)
        made: set[Call] = set()
        for call, capturing in zip(deck, captures, strict=False):
            assert pods.cri.exec(identity, ["/rawsys", word(call)]) == 0
            made.add(call)
            seen = one(capturing.stop())
            assert whole(seen, SLEEPING | rawsys_calls(made) | EXEC, *LATE) == []
            agent.wait_for(lambda status: slots_used(status) == 1)
        assert pods.cri.exec(identity, ["/rawsys", word(deck[-1])]) == 0
        pods.stop(identity)
        collector.wait_for(lambda collector: all(each.ended for each in theirs(collector)))
        (seen,) = theirs(collector)
        assert whole(seen, SLEEPING | rawsys_calls(deck) | EXEC, *LATE) == []
    assert not agent.status().captures


@pytest.mark.parametrize("how", ["kill", "keep armed"])
def test_it_outlives_the_agent(how, served, pods, capture, scaled):
    """The client finds the next agent, again and again; what was called while there was none is there."""
    if how == "keep armed":
        served.terminate()
        served.settings += ("--keep-armed",)
        served.start()
    deck = iter(safe_calls(Abi.X86_64))
    made: set[Call] = set()
    with capture("--pod", "shop/through") as capturing:
        pod = pods.pod(name="through")
        identity = pods.start(pod, "web", *FOREVER)
        recorded(served, 1)

        def call() -> None:
            made.add(new := next(deck))
            assert pods.cri.exec(identity, ["/rawsys", word(new)]) == 0

        ended = []
        for number in range(scaled(10, least=2)):
            call()
            served.kill() if how == "kill" else served.terminate()
            call()
            ended.append(pods.start(pod, f"meanwhile-{number}", "/five"))
            served.start()
            served.wait_for(lambda status: any(each.connected for each in status.captures))
            call()
        seen = {each.identity.container_id: each for each in capturing.stop().observations}
    assert set(seen) == {identity, *ended}
    assert whole(seen[identity], RUNNING | rawsys_calls(made)) == []
    for each in ended:
        assert whole(seen[each], FIVE) == []
    served.wait_for(lambda status: not status.captures)
    served.wait_released(pods.made)
    assert served.terminate() == 0
    if how == "kill":
        assert served.left() == []


def test_it_outlives_the_container_and_the_agent(served, pods, capture):
    """A container that ended before the agent was killed: the next agent has its record for the client."""
    with capture("--pod", "shop/through") as capturing:
        pod = pods.pod(name="through")
        identities = [pods.start(pod, f"c-{number}", "/five") for number in range(3)]
        for identity in identities:
            pods.wait_exited(identity)
        served.wait_released(identities)
        # the client stands still: what it has not read yet is the agent's to keep
        capturing.process.send_signal(signal.SIGSTOP)
        identities += [pods.start(pod, f"d-{number}", "/five") for number in range(3)]
        for identity in identities:
            pods.wait_exited(identity)
        served.wait_released(identities)
        served.restart()
        capturing.process.send_signal(signal.SIGCONT)
        served.wait_for(lambda status: any(each.connected for each in status.captures))
        seen = {each.identity.container_id: each for each in capturing.stop().observations}
    assert set(seen) == set(identities)
    assert [line for each in seen.values() for line in whole(each, FIVE)] == []


def test_an_orderly_end_tells_the_clients(served, pods, capture):
    """UNAVAILABLE, after which a client looks for the next agent; if none comes, it writes what it has."""
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    request = pb.CaptureRequest(selection=pb.Selection(container=identity), capture_id="a-client")
    stream = served.capture(request)
    assert next(stream).started.capture_id == "a-client"
    with capture("--container", identity, "--reconnect-for", "1") as capturing:
        recorded(served, 2)
        snapshots: list[pb.CaptureResponse] = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            ending = pool.submit(served.terminate)
            with pytest.raises(grpc.RpcError) as raised:
                snapshots.extend(each for each in stream if each.HasField("snapshot"))
            assert ending.result() == 0
        seen = one(capturing.wait(status=125))
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert workload(one(from_message(snapshots[-1].snapshot.record))) == SLEEPING
    assert workload(seen) == SLEEPING
    assert set(seen.ledger.losses()) == {"attached_late", "agent_lost"}
    assert served.left() == []


def test_a_cgroup(agent, capture, scratch_cgroup, built_programs):
    """Any one, with those below it, and without a runtime: from its first task to its removal."""
    agent.start()
    cgroup = scratch_cgroup()
    with capture("--cgroup", cgroup) as capturing:
        recorded(agent, 1)
        below = cgroup / "below"
        below.mkdir()
        made = [Call(Abi.X86_64, number) for number in (102, 104)]
        for folder, call in zip((cgroup, below), made, strict=True):
            with Member(folder, built_programs["rawsys"], word(call)) as member:
                assert member.wait() == 0
        remove_cgroup(cgroup)
        seen = one(capturing.wait())
    assert whole(seen, rawsys_calls(made) | EXEC) == []
    assert seen.identity.cgroup_path == f"/{cgroup.name}"


def test_a_unit(agent, capture, scratch_cgroup, built_programs):
    """By its name, whoever made its cgroup."""
    agent.start()
    cgroup = scratch_cgroup("it.service", scratch_cgroup(f"recordertest{os.getpid()}.slice"))
    with capture("--unit", "it") as capturing:
        recorded(agent, 1)
        with Member(cgroup, built_programs["five"]) as member:
            assert member.wait() == 0
        seen = one(capturing.stop())
    assert whole(seen, FIVE) == []
    assert seen.identity.name == "it.service"


def test_what_is_not_there(served, recorder_cli):
    """No container, no cgroup of that name: said so, with status 125, and nothing is left of the capture."""
    for selection, text in (
        (("--container", "nobody"), b"nobody"),
        (("--cgroup", "/no/such/cgroup"), b"/no/such/cgroup"),
    ):
        done = recorder_cli.run("capture", "--agent", f"unix:{served.socket}", *selection)
        assert (done.returncode, done.stdout) == (125, b"")
        assert text in done.stderr
    assert not served.status().captures
