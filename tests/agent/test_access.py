"""What a client may see and do, by its certificate or by the Unix socket: nothing of others, by any RPC."""

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recorder.model.wire import from_message
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import FakeNode, fake_node, own_cgroup
from tests.agent.observed import workload
from tests.agent.process import WAIT
from tests.agent.requests import begun, by, by_pod, capture, named, refusal, seen
from tests.agent.secured import CHANNEL, ROLES, Secured, known, secured
from tests.truth.programs import EXEC, EXPECTED
from tests.unit.rpc.certificates import Authority

pytestmark = pytest.mark.root

A, B, AB = (f"spiffe://example.org/{name}" for name in ("a", "b", "ab"))
ALL, HOST, STATUS, PLAN, BOTH = (
    f"spiffe://example.org/{name}" for name in ("all", "host", "status", "plan", "both")
)
STRANGER = "spiffe://example.org/stranger"
DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, cgroup2: Path
) -> Iterator[tuple[Secured, FakeNode]]:
    """An agent, and a node with pods in the namespaces a and b."""
    folder = tmp_path_factory.mktemp("access")
    with (
        own_cgroup(cgroup2) as parent,
        fake_node(folder, parent, cgroup2) as node,
        secured(folder, authority, *node.settings) as agent,
    ):
        agent.agent.start()
        yield agent, node


@pytest.fixture
def agent(served: tuple[Secured, FakeNode]) -> Secured:
    return served[0]


@pytest.fixture
def node(served: tuple[Secured, FakeNode]) -> Iterator[FakeNode]:
    """Without pods before and after the test."""
    yield served[1]
    for pod in list(served[1].pods):
        served[1].remove(pod)


def pods_in(snapshot: pb.Snapshot) -> set[tuple[str, str]]:
    """Namespace and pod of all observations."""
    return {(each.identity.pod.namespace, each.identity.pod.name) for each in snapshot.record.observations}


def listed(stub: Any) -> set[tuple[str, str]]:
    """Namespace and name of all containers, as ListContainers tells."""
    answer = stub.ListContainers(pb.ListContainersRequest(), timeout=WAIT)
    return {(each.identity.pod.namespace, each.identity.name) for each in answer.containers}


@contextlib.contextmanager
def sleeping(node: FakeNode, pod: Any, identity: str) -> Iterator[None]:
    """A program that runs in the container."""
    with node.run(pod, identity, "/bin/sleep", "1000"):
        yield


# --- ListContainers


def test_each_sees_its_namespaces_alone(agent: Secured, node: FakeNode, scratch_cgroup: Any) -> None:
    """By role: pods of its namespaces, what is of no pod, all of it, or a refusal; root sees all."""
    pods = {namespace: node.pod("web", namespace) for namespace in ("a", "b", "c")}
    known(agent, *(node.container(pod, f"in-{namespace}") for namespace, pod in pods.items()))
    of_no_pod = scratch_cgroup()
    outside = ("", f"/{of_no_pod.name}")
    of = {namespace: (namespace, f"in-{namespace}") for namespace in pods}
    with agent.root() as root, begun(root, by(cgroup=f"/{of_no_pod.name}")):
        for name, expected in {
            A: {of["a"]},
            B: {of["b"]},
            AB: {of["a"], of["b"]},
            ALL: set(of.values()),
            HOST: {outside},
            BOTH: {outside, *of.values()},
        }.items():
            with agent.peer(name) as stub:
                assert listed(stub) == expected, name
        assert listed(root) == {outside, *of.values()}
        for name in (STATUS, PLAN, STRANGER):
            with agent.peer(name) as stub:
                code, text = refusal(lambda stub=stub: listed(stub))
                assert code is DENIED, name
                assert "capture, or host" in text


# --- Capture: what is refused, and in which words


def test_pods_of_others_are_refused_whether_they_exist_or_not(agent: Secured, node: FakeNode) -> None:
    """The same words for a pod that is there, one that is not, and a namespace that is not."""
    pod = node.pod("web", "b")
    known(agent, node.container(pod, "main"))
    for name in (A, HOST, STATUS, PLAN, STRANGER):
        with agent.peer(name) as stub:
            answers = {
                refusal(lambda stub=stub, request=request: capture(stub, request))
                for request in (by_pod("b", "web"), by_pod("b", "web", "main"), by_pod("b", "no"))
            }
            ((code, text),) = answers
            assert code is DENIED
            assert "'b'" in text
            assert "web" not in text.replace(name, "")
            _, other = refusal(lambda stub=stub: capture(stub, by_pod("no-namespace", "web")))
            assert other == text.replace("'b'", "'no-namespace'")


def test_containers_of_others_are_refused_as_if_they_were_not_there(agent: Secured, node: FakeNode) -> None:
    """By name, by id, by the beginning of an id: the same words and the same questions to the runtime."""
    pod = node.pod("web", "b")
    identity = node.container(pod, "hidden")
    known(agent, identity)
    absent = ("nothing-of-this-name", "f" * 64, "f" * 12)
    present = ("hidden", identity, identity[:12])
    node.do(lambda: setattr(node.cri, "has_events", False))
    for name in (A, HOST, AB.replace("ab", "a")):
        with agent.peer(name) as stub:
            answers, asked = set(), []
            for text in (*present, *absent):
                before = node.cri.calls["ListContainers"]
                answers.add(refusal(lambda stub=stub, text=text: capture(stub, by(container=text))))
                asked.append(node.cri.calls["ListContainers"] > before)
            ((code, words),) = answers
            assert code is DENIED
            assert not any(text in words for text in (*present, *absent))
            assert asked == [True] * len(asked), "the time that it takes tells which is there"
    for name in (STATUS, PLAN, STRANGER):
        with agent.peer(name) as stub:
            assert (
                len({refusal(lambda s=stub, t=t: capture(s, by(container=t))) for t in (*present, *absent)})
                == 1
            )
    with agent.peer(BOTH) as stub:  # who sees everything may know that there is none
        assert refusal(lambda: capture(stub, by(container="f" * 12)))[0] is grpc.StatusCode.NOT_FOUND


def test_what_is_of_no_pod_needs_host(agent: Secured, node: FakeNode, scratch_cgroup: Any) -> None:
    """Cgroups (a pod's as well), units and processes: the same words whether they exist or not."""
    pod = node.pod("web", "a")
    identity = node.container(pod, "main")
    path = f"/{(pod.cgroup / identity).relative_to(node.mount)}"
    requests = [
        by(cgroup=f"/{scratch_cgroup().name}"),
        by(cgroup=path),
        by(cgroup="/no/such/cgroup"),
        by(unit="no-such-unit.service"),
        by(pid=os.getpid()),
        by(pid=NO_PID),
    ]
    for name in (A, ALL, STATUS, PLAN, STRANGER):
        with agent.peer(name) as stub:
            answers = {refusal(lambda s=stub, r=request: capture(s, r)) for request in requests}
            ((code, text),) = answers
            assert code is DENIED
            assert "role host" in text
    with agent.peer(HOST) as stub:
        with begun(stub, requests[0]) as (_, resumed):
            assert not resumed
        assert refusal(lambda: capture(stub, requests[2]))[0] is grpc.StatusCode.NOT_FOUND


NO_PID = (1 << 22) - 1


def test_a_wrong_field_is_told_before_anything_else_and_tells_nothing(agent: Secured, node: FakeNode) -> None:
    """INVALID_ARGUMENT for anybody, in words that have only what the client itself said."""
    node.container(node.pod("web", "b"), "main")
    for name in (A, STRANGER):
        with agent.peer(name) as stub:
            code, text = refusal(lambda stub=stub: capture(stub, by_pod("b", "WEB")))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "selection.pod.name" in text


def test_status_needs_its_role_and_has_no_names(agent: Secured, node: FakeNode) -> None:
    """GetStatus for the role status and for root alone; it says what is captured, not what was seen."""
    for name in (A, ALL, HOST, PLAN, BOTH, STRANGER):
        with agent.peer(name) as stub:
            code, text = refusal(lambda s=stub: s.GetStatus(pb.GetStatusRequest(), timeout=WAIT))
            assert code is DENIED
            assert "role status" in text
    node.container(node.pod("web", "b", color="secret-label"), "secret-name")
    with agent.peer(STATUS) as stub, agent.root() as root:
        for each in (stub, root):
            answer = str(each.GetStatus(pb.GetStatusRequest(), timeout=WAIT))
            assert "secret" not in answer
            assert "captures" in answer


def test_a_certificate_without_a_name_has_no_roles(agent: Secured) -> None:
    """A common name that is a role's, an e-mail, a wildcard: none of them is the name."""
    for names, subject in (
        ("", "local"),
        ("email:local@example.org", "x"),
        ("DNS:*.local", "x"),
        ("IP:127.0.0.1", "local"),
    ):
        files = agent.authority.sign(names, subject=subject)
        with agent.client(files) as stub:
            assert refusal(lambda stub=stub: listed(stub))[0] is DENIED, (names, subject)


def test_any_certificate_may_ask_for_health(agent: Secured) -> None:
    """Whether it serves is nobody's secret among those who have a certificate."""
    files = agent.signed(STRANGER)
    credentials = grpc.ssl_channel_credentials(
        agent.authority.certificate.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    with grpc.secure_channel(f"localhost:{agent.grpc}", credentials, CHANNEL) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT).status == 1


def test_metrics_need_the_role_status(agent: Secured, node: FakeNode) -> None:
    """By TLS: 200 with it, 403 without; no name of a container, pod or namespace is in them."""
    known(agent, node.container(node.pod("pod-of-b", "b", color="label-of-b"), "container-of-b"))
    for name in ROLES | {STRANGER: ""}:
        connection = http.client.HTTPSConnection(
            "localhost", agent.metrics, timeout=WAIT, context=agent.context(agent.signed(name))
        )
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == (200 if name == STATUS else 403), name
        assert b"of-b" not in body
        assert bool(body) == (name == STATUS)


# --- Capture: what is shown


def test_names_that_others_have_too(agent: Secured, node: FakeNode) -> None:
    """A name, and the beginning of an id, that is in two namespaces: each client has its own of them."""
    beginning = 0xABCDEF012345 << 208
    pods = {namespace: node.pod("web", namespace) for namespace in ("a", "b")}
    identities = {
        namespace: node.container(pod, "twin", number=beginning + number)
        for number, (namespace, pod) in enumerate(pods.items(), 1)
    }
    known(agent, *identities.values())
    with contextlib.ExitStack() as stack:
        for namespace, pod in pods.items():
            stack.enter_context(sleeping(node, pod, identities[namespace]))
        for name, namespace in ((A, "a"), (B, "b")):
            stub = stack.enter_context(agent.peer(name))
            for request in (by(container="twin"), by(container="abcdef012345"), by_pod(namespace, "web")):
                with begun(stub, request) as (stream, _):
                    snapshot = seen(stream, lambda found: bool(found.record.observations))
                    assert pods_in(snapshot) == {(namespace, "web")}
                    (observation,) = snapshot.record.observations
                    assert observation.identity.container_id == identities[namespace]
        stub = stack.enter_context(agent.peer(AB))
        code, text = refusal(lambda: capture(stub, by(container="twin")))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "several" in text


def test_a_pod_of_the_same_name_in_another_namespace(
    agent: Secured, node: FakeNode, built_programs: dict[str, Path]
) -> None:
    """Containers that come and go in both: the capture has those of its namespace, whole, and no others."""
    mine, other = node.pod("web", "a"), node.pod("web", "b")
    with agent.peer(A) as stub, begun(stub, by_pod("a", "web")) as (stream, _):
        program = built_programs["five"]
        lived = {node.live(mine, f"c-{number}", program) for number in range(3)}
        for number in range(3):
            node.live(other, f"c-{number}", program)
        node.remove(mine)
        snapshot = seen(stream, lambda found: found.final)
    record = from_message(snapshot.record)
    assert {each.identity.container_id for each in record.observations} == lived
    assert {each.identity.pod.namespace for each in record.observations if each.identity.pod} == {"a"}
    for each in record.observations:
        assert workload(each) == EXPECTED["five"] | EXEC


# --- Capture: whose it is


def test_a_capture_is_its_peers_alone(agent: Secured, node: FakeNode) -> None:
    """Another peer that asks with the same id has a capture of its own, and the first goes on."""
    pod = node.pod("web", "a")
    identity = node.container(pod, "main")
    known(agent, identity)
    request = named(by_pod("a", "web"), "mine")
    with contextlib.ExitStack() as stack:
        stack.enter_context(sleeping(node, pod, identity))
        streams = []
        # `local` is a name like any other: not that of the Unix socket's peer
        stubs = [stack.enter_context(agent.peer(name)) for name in (A, AB, ALL, "local")]
        for stub in (*stubs, stack.enter_context(agent.root())):
            stream, resumed = stack.enter_context(begun(stub, request))
            assert not resumed
            streams.append(stream)
        more = node.container(pod, "more")
        stack.enter_context(sleeping(node, pod, more))
        for stream in streams:
            seen(stream, lambda found: len(found.record.observations) == 2)
        # its own peer, by another connection, goes on with it
        with agent.peer(A) as again, begun(again, request) as (_, resumed):
            assert resumed
        # and nobody can end another's by a short duration
        short = named(request, "mine")
        short.duration.FromMilliseconds(1)
        with agent.peer(B) as stub:
            assert refusal(lambda: capture(stub, short))[0] is DENIED
        third = node.container(pod, "third")
        stack.enter_context(sleeping(node, pod, third))
        for stream in streams[1:]:
            seen(stream, lambda found: len(found.record.observations) == 3)


def test_a_captures_words_do_not_tell_of_others_captures(agent: Secured, node: FakeNode) -> None:
    """Another selection under an id that somebody else uses is no conflict."""
    for name in ("web", "db"):
        node.container(node.pod(name, "a"), "main")
    web, db = (named(by_pod("a", name), "same") for name in ("web", "db"))
    with agent.peer(A) as first, agent.peer(AB) as second, begun(first, web):
        with begun(second, db) as (_, resumed):
            assert not resumed
        assert refusal(lambda: capture(first, db))[0] is grpc.StatusCode.INVALID_ARGUMENT


# --- after a restart


def test_a_capture_by_name_stays_in_its_namespace_over_a_restart(agent: Secured, node: FakeNode) -> None:
    """The next agent goes on with that container, not with another one of the name, or of a like id."""
    pods = {namespace: node.pod("web", namespace) for namespace in ("b", "a")}
    identities = {
        namespace: node.container(pod, "cafe", number=(0xCAFE if namespace == "b" else 0xBEEF) << 240)
        for namespace, pod in pods.items()
    }
    known(agent, *identities.values())
    with contextlib.ExitStack() as stack:
        for namespace, pod in pods.items():
            stack.enter_context(sleeping(node, pod, identities[namespace]))
        with agent.root() as root, begun(root, named(by_pod("b", "web"), "others")) as (stream, _):
            seen(stream, lambda found: bool(found.record.observations))
            with agent.peer(A) as stub, begun(stub, named(by(container="cafe"), "own")) as (own, _):
                seen(own, lambda found: bool(found.record.observations))
                agent.agent.kill()
        agent.agent.start()
        with agent.peer(A) as stub, begun(stub, named(by(container="cafe"), "own")) as (own, resumed):
            assert resumed
            snapshot = seen(own, lambda found: bool(found.record.observations))
            assert pods_in(snapshot) == {("a", "web")}
            assert snapshot.selected == 1


def test_a_role_that_is_gone_takes_its_captures_along(agent: Secured, node: FakeNode) -> None:
    """Who lost the namespace at the agent's next start does not go on with what it had begun before."""
    pod = node.pod("web", "a")
    identity = node.container(pod, "main")
    known(agent, identity)
    requests = [named(by(container="main"), "by-name"), named(by_pod("a", "web"), "by-pod")]
    before = agent.agent.settings
    with sleeping(node, pod, identity):
        for request in requests:
            with agent.peer(A) as stub, begun(stub, request) as (stream, _):
                seen(stream, lambda found: bool(found.record.observations))
        agent.agent.kill()
        agent.agent.settings = tuple(
            each.replace(f"{A}=capture:a", f"{A}=capture:b") for each in agent.agent.settings
        )
        assert agent.agent.settings != before
        try:
            agent.agent.start()
            known(agent, identity)
            with agent.peer(A) as stub:
                for request in requests:
                    assert refusal(lambda r=request, s=stub: capture(s, r))[0] is DENIED
        finally:
            agent.agent.kill()
            agent.agent.settings = before
            agent.agent.start()


# --- the Unix socket


def test_the_socket_is_for_root_alone(agent: Secured) -> None:
    """Mode 0600 of root; nobody cannot connect to it, wherever it is."""
    found = agent.agent.socket.stat()
    assert (found.st_mode & 0o7777, found.st_uid) == (0o600, 0)

    def connect() -> int:
        # the socket itself, whatever folders are above it
        os.chdir(agent.agent.socket.parent)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(agent.agent.socket.name)
            except PermissionError:
                return 13
        return 0

    pid = os.fork()
    if pid == 0:
        os._exit(connect())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 13


def test_tcp_without_tls_is_nobody(agent: Secured) -> None:
    """A plain connection to the TLS port reaches no method."""
    with grpc.insecure_channel(f"127.0.0.1:{agent.grpc}", CHANNEL) as channel:
        call = channel.unary_unary("/recorder.rpc.v1.Agent/GetStatus")
        assert refusal(lambda: call(b"", timeout=5))[0] is grpc.StatusCode.UNAVAILABLE
