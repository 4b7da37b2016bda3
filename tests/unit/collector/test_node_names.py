"""Which node a certificate is for."""

import pytest

from recorder.collector.agents.node_names import NodeNames
from recorder.model.errors import AccessDenied, InvalidSettings
from recorder.rpc.peer import Peer

MINE = ("spiffe://example.org/recorder/{node}/agent", "{node}.nodes.example.org")


@pytest.mark.parametrize(
    ("names", "node"),
    [
        (("spiffe://example.org/recorder/node-1/agent",), "node-1"),
        (("node-1.nodes.example.org",), "node-1"),
        (("ip-10-0-0-1.eu.compute.internal.nodes.example.org",), "ip-10-0-0-1.eu.compute.internal"),
        (("other.example.org", "node-1.nodes.example.org"), "node-1"),
        (("spiffe://example.org/recorder/a/agent", "a.nodes.example.org"), "a"),
    ],
)
def test_the_one_name_that_matches(names, node):
    """Other names in the certificate do not matter."""
    assert NodeNames(MINE).node_of(Peer(names)) == node


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("nodes.example.org",),
        (".nodes.example.org",),
        ("node-1.nodes.example.org.evil.org",),
        ("node-1xnodes.example.org",),
        ("a..b.nodes.example.org",),
        ("-a.nodes.example.org",),
        ("under_score.nodes.example.org",),
        ("spiffe://example.org/recorder/a/b/agent",),
        ("spiffe://example.org/recorder//agent",),
        ("spiffe://example.org/recorder/A/agent",),
        ("spiffe://example.org/recorder/a%2fb/agent",),
        ("spiffe://evil.org/spiffe://example.org/recorder/a/agent",),
        ("a.nodes.example.org", "b.nodes.example.org"),
        ("a.nodes.example.org", "spiffe://example.org/recorder/b/agent"),
    ],
)
def test_no_name_or_two_are_no_node(names):
    """With what is expected in the message."""
    with pytest.raises(AccessDenied, match="exactly one name"):
        NodeNames(MINE).node_of(Peer(names))


def test_a_pattern_can_be_the_node_s_name_itself():
    """For a CA that signs agents' certificates alone."""
    assert NodeNames(["{node}"]).node_of(Peer(("node-1.example.org",))) == "node-1.example.org"


@pytest.mark.parametrize(
    "patterns",
    [
        (),
        ("node.example.org",),
        ("{node}.{node}.example.org",),
        ("{node}.Example.org",),
        ("{node} .example.org",),
        ("*.{node}.example.org",),
        ("{node}..example.org",),
        ("not a uri:{node}",),
    ],
)
def test_a_pattern_that_can_match_nothing_or_anything_is_refused(patterns):
    """When it is configured, not when the first agent comes."""
    with pytest.raises(InvalidSettings):
        NodeNames(patterns)
