"""What a node can do, from its agent's hello; and which nodes cannot do what a recording asks for."""

import pytest

from recorder.collector.agents.node_abilities import NodeAbilities, abilities_of
from recorder.collector.results.unable_nodes import NONE_UNABLE, UnableNodes, unable_nodes
from recorder.model.kind import Kind
from recorder.model.recording import ProfileKind
from recorder.rpc.v1 import agent_pb2
from recorder.rpc.v1 import collector_pb2 as pb
from tests.unit.collector.seen import recording

SYSCALLS, DENIALS, ACCESSES = agent_pb2.KIND_SYSCALLS, agent_pb2.KIND_DENIALS, agent_pb2.KIND_ACCESSES
APPARMOR = recording(kind=ProfileKind.APPARMOR)


def problem(kind, text):
    return agent_pb2.KindProblem(kind=kind, problem=text)


def module(name, mode=""):
    return agent_pb2.SecurityModule(name=name, mode=mode)


def test_what_a_hello_says():
    """Kinds, reasons, modules with their modes; equal ones are one value."""
    hello = pb.Hello(
        kinds=[SYSCALLS, DENIALS, 77],
        problems=[problem(ACCESSES, "no BTF"), problem(77, "new")],
        modules=[module("apparmor"), module("selinux", "permissive")],
    )
    found = abilities_of(hello)
    assert found == NodeAbilities(
        frozenset({Kind.SYSCALLS, Kind.DENIALS}),
        {Kind.ACCESSES: "no BTF"},
        {"apparmor": "", "selinux": "permissive"},
    )
    assert abilities_of(hello) is found
    assert found.why_not(Kind.ACCESSES) == "no BTF"
    assert found.why_not(Kind.DENIALS) == ""


def test_an_older_agent_is_to_be_upgraded():
    """It says nothing of what it does not know; calls it records in any case."""
    found = abilities_of(pb.Hello(kinds=[SYSCALLS]))
    assert found.modules is None
    assert found.why_not(Kind.ACCESSES) == "its agent is older than this kind of record: upgrade it"
    assert abilities_of(pb.Hello()).why_not(Kind.SYSCALLS) == ""


def test_texts_of_an_agent_are_bounded_and_plain():
    """It may say what it likes."""
    hello = pb.Hello(
        problems=[problem(ACCESSES, "\x1b[2J" + "x" * 10_000)] * 100,
        modules=[module("A B"), module("selinux", "\n"), *(module(f"m{n}") for n in range(100))],
    )
    found = abilities_of(hello)
    assert found.problems[Kind.ACCESSES].startswith("\\x1b[2Jxxx")
    assert len(found.problems[Kind.ACCESSES]) == 256
    assert len(found.modules) == 15
    assert found.modules["selinux"] == ""


BLIND = NodeAbilities(frozenset({Kind.SYSCALLS}), {Kind.ACCESSES: "off"}, {"apparmor": ""})
BARE = NodeAbilities(frozenset({Kind.SYSCALLS, Kind.ACCESSES}), {}, {"bpf": ""})
ABLE = NodeAbilities(frozenset({Kind.SYSCALLS, Kind.ACCESSES}), {}, {"apparmor": ""})


@pytest.mark.parametrize(
    ("asked", "nodes", "expected"),
    [
        (APPARMOR, {"a": ABLE}, UnableNodes(module="apparmor")),
        (APPARMOR, {"b": BLIND, "a": ABLE}, UnableNodes((("b", "off"),), False, (), "apparmor")),
        (APPARMOR, {"b": BLIND, "gone": None}, UnableNodes((("b", "off"),), True, (), "apparmor")),
        (APPARMOR, {"c": BARE, "b": BARE}, UnableNodes((), False, ("b", "c"), "apparmor")),
        (APPARMOR, {"gone": None}, UnableNodes(module="apparmor")),
        (recording(), {"b": BLIND}, NONE_UNABLE),
    ],
)
def test_nodes_that_cannot(asked, nodes, expected):
    """Those that cannot record it, with the reason, and those where the result cannot be installed."""
    assert unable_nodes(asked, nodes, nodes.get) == expected
