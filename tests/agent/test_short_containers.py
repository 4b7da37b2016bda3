"""Containers of a real containerd, recorded by plan from their first call, and named as in Kubernetes."""

import concurrent.futures
import contextlib
import shutil
import uuid
from collections.abc import Iterator

import pytest

from recorder.model.abi import Abi
from recorder.model.record import ContainerKind, Observation, Phase
from tests.agent.collector import Collector
from tests.agent.node import FOREVER, IMAGE, Node, Pod, node
from tests.agent.observed import OF_A_RUNTIME, of_phase, problems, workload
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess, slots_used
from tests.conftest import remove_cgroup
from tests.kernel_objects import held_by
from tests.truth.calls import Call, calls
from tests.truth.containerd import NAMESPACE
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
BRIEF = EXPECTED["brief"] | EXEC
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
SLEEPING = calls(Abi.X86_64, "clock_nanosleep")


@pytest.fixture
def followed(agent: AgentProcess, pods: Node, uplinked) -> Iterator[Collector]:
    """The agent knows the node, and is connected to a collector whose plan is empty."""
    agent.settings += pods.settings
    with uplinked(agent) as collector:
        agent.start()
        yield collector


def follow(agent: AgentProcess, collector: Collector, *recordings) -> None:
    """Returns when the agent follows this plan."""
    new = plan(*recordings)
    collector.send(new)
    assert agent.says(f"plan {new.revision}:")


def ended(collector: Collector, *identities: str, seconds: float = 30) -> dict[str, Observation]:
    """The containers' whole records, by id, once the collector has them all."""

    def found(collector: Collector) -> dict[str, Observation]:
        return {
            each.identity.container_id: each
            for each in collector.stored.values()
            if each.ended and each.identity.container_id in identities
        }

    collector.wait_for(lambda collector: len(found(collector)) == len(set(identities)), seconds)
    return found(collector)


def assert_named(observation: Observation, pod: Pod, name: str, **more: object) -> None:
    identity = observation.identity
    assert (identity.pod.namespace, identity.pod.name, identity.pod.uid) == (pod.namespace, pod.name, pod.uid)
    assert identity.name == name
    assert dict(identity.labels) == pod.labels
    assert (identity.image, identity.cgroup_path) == (IMAGE, f"{pod.cgroup}/{identity.container_id}")
    assert {key: getattr(identity, key) for key in more} == more
    assert observation.provenance.runtime in ("runc", "crun")


def own(collector: Collector, pods: Node) -> dict[str, Observation]:
    """What the collector has of the containers of the node, by id: an agent sees all of the machine."""
    return {
        each.identity.container_id: each
        for each in collector.stored.values()
        if each.identity.container_id in pods.made
    }


def recordings_of(collector: Collector, observation: Observation) -> set[str]:
    return collector.recordings[observation.source]


def test_containers_that_end_within_milliseconds(agent, followed, pods, scaled):
    """Each is recorded whole, its set-up apart, and named, though it ended before anybody could look."""
    follow(agent, followed, recording("it", "shop", {"app": "web"}))
    pod = pods.pod({"app": "web"})
    programs = {"five": FIVE, "brief": BRIEF}
    count = scaled(500, least=20)

    def start(number: int) -> tuple[str, str]:
        program = ("five", "brief")[number % 2]
        return pods.start(pod, f"{program}-{number}", f"/{program}"), program

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        started = dict(pool.map(start, range(count)))
    seen = ended(followed, *started)
    assert len(seen) == count
    for identity, program in started.items():
        assert problems(seen[identity], programs[program]) == []
        assert of_phase(seen[identity], Phase.SETUP) >= OF_A_RUNTIME
        assert_named(seen[identity], pod, seen[identity].identity.name)
        assert seen[identity].identity.name.startswith(program)
        assert recordings_of(followed, seen[identity]) == {"it"}
    agent.wait_released(started)


def test_containers_that_are_removed_at_once(agent, followed, pods, scaled):
    """Whether the runtime could still be asked for the name or not: each record is whole."""
    follow(agent, followed, recording("it", "shop"))
    pod = pods.pod()

    def live(number: int) -> str:
        identity = pods.wait_exited(pods.start(pod, f"c-{number}", "/five"))
        pods.cri.remove_container(identity)
        return identity

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        identities = list(pool.map(live, range(scaled(100, least=10))))
    seen = ended(followed, *identities)
    for identity in identities:
        named = seen[identity].identity.pod is not None
        assert named or seen[identity].identity.name == identity
        assert problems(seen[identity], FIVE, [] if named else ["identity_unknown"]) == []
    unnamed = sum(each.identity.pod is None for each in seen.values())
    counts = {each.cause: each.count for each in agent.status().ledger}
    assert counts.get("identity_unknown", 0) >= unnamed


def test_init_containers_and_those_beside_each_other(agent, followed, pods):
    """A pod as the kubelet runs it: two init containers, one after the other, then two at a time."""
    follow(agent, followed, recording("it", "shop"))
    pod = pods.pod({"app": "web", "tier": "front"})
    first, second, web, log = (Call(Abi.X86_64, number) for number in (111, 110, 102, 107))
    init = [
        pods.start(pod, f"init-{word(call)}", "/rawsys", word(call), kind="INIT") for call in (first, second)
    ]
    both = [pods.create(pod, f"run-{word(call)}", "/rawsys", "1000x", word(call)) for call in (web, log)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(pods.cri.start_container, both))
    seen = ended(followed, *init, *both)
    for identity, call in zip((*init, *both), (first, second, web, log), strict=True):
        assert problems(seen[identity], rawsys_calls([call]) | EXEC) == []
        kind = ContainerKind.INIT if identity in init else ContainerKind.UNSPECIFIED
        word_of = "init" if identity in init else "run"
        assert_named(seen[identity], pod, f"{word_of}-{word(call)}", kind=kind)


def test_restarts_stand_side_by_side(agent, followed, pods):
    """Each attempt is a record of its own, under the same name and with its count."""
    follow(agent, followed, recording("it", "shop"))
    pod = pods.pod()
    made = [Call(Abi.X86_64, number) for number in (102, 104, 107, 108)]
    identities = []
    for attempt, call in enumerate(made):
        identities.append(pods.start(pod, "web", "/rawsys", word(call), attempt=attempt))
    seen = ended(followed, *identities)
    for attempt, (identity, call) in enumerate(zip(identities, made, strict=True)):
        assert problems(seen[identity], rawsys_calls([call]) | EXEC) == []
        assert_named(seen[identity], pod, "web", restart_count=attempt)
    assert len({each.source for each in seen.values()}) == len(made)


def test_what_is_run_in_a_container_counts(agent, followed, pods):
    """A probe's program (ExecSync) is workload; the runtime that brings it in is not."""
    follow(agent, followed, recording("it", "shop"))
    pod = pods.pod()
    identity = pods.start(pod, "web", *FOREVER)
    made = [Call(Abi.X86_64, number) for number in (102, 104, 107)]
    for call in made:
        assert pods.cri.exec(identity, ["/rawsys", word(call)]) == 0
    pods.stop(identity)
    seen = ended(followed, identity)[identity]
    assert problems(seen, RUNNING | rawsys_calls(made)) == []


def test_a_container_that_runs_already(agent, followed, pods):
    """Recorded from now on, with the call that it sleeps in, and what it did before is counted as lost."""
    pod = pods.pod({"app": "web"})
    identity = pods.start(pod, "web", *FOREVER)
    other = pods.start(pod, "other", *FOREVER)
    follow(agent, followed, recording("it", "shop", {"app": "web"}, containers=["web"]))
    followed.wait_for(
        lambda collector: any(workload(each) >= SLEEPING for each in own(collector, pods).values())
    )
    (seen,) = own(followed, pods).values()
    assert (seen.identity.container_id, seen.ended) == (identity, False)
    assert workload(seen) == SLEEPING
    call = Call(Abi.X86_64, 102)
    assert pods.cri.exec(identity, ["/rawsys", word(call)]) == 0
    assert pods.cri.exec(other, ["/five"]) == 0
    pods.stop(identity)
    seen = ended(followed, identity)[identity]
    assert problems(seen, SLEEPING | rawsys_calls([call]) | EXEC, ["attached_late"]) == []
    assert_named(seen, pod, "web")
    assert set(own(followed, pods)) == {identity}


def test_label_selectors(agent, followed, pods):
    """Expressions select as Kubernetes does; a container may be of several recordings, or of none."""
    follow(
        agent,
        followed,
        recording("front", "shop", expressions=[("tier", "In", ["front", "edge"])]),
        recording("stable", "shop", {"app": "web"}, expressions=[("canary", "DoesNotExist", [])]),
        recording("not-db", "shop", expressions=[("app", "NotIn", ["db"]), ("app", "Exists", [])]),
        recording("elsewhere", "other"),
    )
    cases = {
        frozenset({"front", "stable", "not-db"}): ("shop", {"app": "web", "tier": "front"}),
        frozenset({"front", "not-db"}): ("shop", {"app": "web", "tier": "edge", "canary": ""}),
        frozenset({"not-db"}): ("shop", {"app": "api"}),
        frozenset({"elsewhere"}): ("other", {"app": "db"}),
        frozenset(): ("shop", {"app": "db", "tier": "back"}),
    }
    started = {}
    for expected, (namespace, labels) in cases.items():
        pod = pods.pod(labels, namespace=namespace)
        started[pods.start(pod, "c", "/five")] = expected
    wanted = [identity for identity, expected in started.items() if expected]
    seen = ended(followed, *wanted)
    for identity in wanted:
        assert problems(seen[identity], FIVE) == []
        assert recordings_of(followed, seen[identity]) == started[identity]
    agent.wait_for(lambda status: slots_used(status) == 0)
    assert set(own(followed, pods)) & set(started) == set(wanted)


def test_slots_that_nobody_asked_for_are_given_back(agent, followed, pods):
    """Other pods' containers have one for a moment; after the empty plan nothing is attached."""
    follow(agent, followed, recording("it", "shop", {"app": "web"}))
    pod = pods.pod({"app": "other"})
    for number in range(3):
        pods.start(pod, f"c-{number}", *FOREVER)
    agent.wait_for(lambda status: slots_used(status) == 0)
    assert agent.status().attached
    assert any(each.kind == "link" for each in held_by(agent.process.pid))
    assert own(followed, pods) == {}
    web = pods.pod({"app": "web"})
    identity = pods.start(web, "c", *FOREVER)
    agent.wait_for(lambda status: slots_used(status) == 1)
    follow(agent, followed)
    agent.wait_for(lambda status: slots_used(status) == 0 and not status.attached)
    assert not agent.status().attached
    assert pods.cri.exec(identity, ["/five"]) == 0
    assert not any(workload(each) >= EXPECTED["five"] for each in own(followed, pods).values())
    assert not any(each.kind == "link" for each in held_by(agent.process.pid))


@contextlib.contextmanager
def ctr_container(pods: Node, *args: str) -> Iterator[str]:
    """A container of `ctr` where `ctr` puts it by itself, in a cgroup of its namespace's name."""
    identity = f"ctr-{uuid.uuid4().hex[:8]}"
    cgroup = pods.containerd.layout.cgroup2 / NAMESPACE / identity
    try:
        pods.containerd.ctr("run", "--detach", "--null-io", IMAGE, identity, *args).good()
        yield identity
    finally:
        pods.containerd.delete(identity)
        for mounted in (pods.containerd.layout.cgroup2, *pods.containerd.layout.v1):
            remove_cgroup(mounted / NAMESPACE / identity)
        with contextlib.suppress(OSError):
            cgroup.parent.rmdir()


def test_containers_of_ctr(agent, followed, pods, scaled):
    """Outside of Kubernetes: named by their ids, and what `ctr tasks exec` runs in them counts."""
    follow(agent, followed, recording("host"), recording("shop", "shop"))
    with ctr_container(pods, *FOREVER) as identity:
        made = [Call(Abi.X86_64, number) for number in (102, 104, 107)][: scaled(30, least=2)]
        for call in made:
            pods.containerd.exec(identity, "/rawsys", word(call)).good()
    seen = ended(followed, identity)[identity]
    assert problems(seen, RUNNING | rawsys_calls(made)) == []
    assert (seen.identity.name, seen.identity.pod) == (identity, None)
    assert recordings_of(followed, seen) == {"host"}


def test_crun(agent, uplinked, layout, images, scaled):
    """The same with another runtime, which sets containers up in one process."""
    if shutil.which("crun") is None:
        pytest.skip("crun is not installed (make setup)")
    with layout.ground("crun"), node(layout, images, "crun") as pods:
        agent.settings += pods.settings
        with uplinked(agent) as collector:
            agent.start()
            follow(agent, collector, recording("it", "shop"))
            pod = pods.pod({"app": "web"})
            identities = [pods.start(pod, f"c-{number}", "/five") for number in range(scaled(100, least=5))]
            seen = ended(collector, *identities)
            for number, identity in enumerate(identities):
                assert problems(seen[identity], FIVE) == []
                assert_named(seen[identity], pod, f"c-{number}")
                assert seen[identity].provenance.runtime == "crun"
