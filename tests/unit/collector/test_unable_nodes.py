"""Nodes on which a profile of denials cannot be recorded: they have no such module, or nobody looks."""

import pytest

from recorder.collector.agents.node_abilities import NodeAbilities
from recorder.collector.results.unable_nodes import UnableNodes, unable_nodes
from recorder.model.kind import Kind
from recorder.model.recording import Means, ProfileKind
from tests.unit.collector.seen import recording

BOTH = frozenset({Kind.SYSCALLS, Kind.DENIALS})
WITH = NodeAbilities(BOTH, {}, {"selinux": "enforcing", "apparmor": ""})
WITHOUT = NodeAbilities(BOTH, {}, {"bpf": ""})
PARTLY = NodeAbilities(BOTH, {Kind.DENIALS: "not AppArmor's and SELinux's"}, {"selinux": "", "apparmor": ""})
OFF = NodeAbilities(
    frozenset({Kind.SYSCALLS}), {Kind.DENIALS: "switched off"}, {"selinux": "", "apparmor": ""}
)
OLDER = NodeAbilities(BOTH, {}, None)

KINDS = [
    (recording(kind=ProfileKind.SELINUX), "selinux"),
    (recording(kind=ProfileKind.SELINUX, means=Means.LOGS), "selinux"),
    (recording(kind=ProfileKind.APPARMOR, means=Means.LOGS), "apparmor"),
]


@pytest.mark.parametrize(("asked", "module"), KINDS)
@pytest.mark.parametrize(
    ("abilities", "why"),
    [
        (WITH, ""),
        (WITHOUT, "it has no MODULE"),
        (PARTLY, "not AppArmor's and SELinux's"),
        (OFF, "switched off"),
        (OLDER, ""),
    ],
)
def test_why_a_node_cannot(asked, module, abilities, why):
    """Each reason once; of an older agent's node the modules are not known."""
    nodes = {"a": WITH, "b": abilities}
    blind = (("b", why.replace("MODULE", module)),) if why else ()
    assert unable_nodes(asked, nodes, nodes.get) == UnableNodes(blind, False, (), module)
    alone = {"b": abilities}
    assert unable_nodes(asked, alone, alone.get).all_blind == bool(why)


def test_what_is_accessed_needs_no_module_to_be_seen():
    """Only to be installed."""
    able = NodeAbilities(BOTH | {Kind.ACCESSES}, {}, {"bpf": ""})
    found = unable_nodes(recording(kind=ProfileKind.APPARMOR), {"a": able}, {"a": able}.get)
    assert found == UnableNodes((), False, ("a",), "apparmor")
