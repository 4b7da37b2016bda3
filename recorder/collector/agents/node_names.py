"""Which node a certificate is for: the one name in it that matches a pattern.

A pattern is a URI or a DNS name with `{node}` in the node's place, such as
`spiffe://example.org/node/{node}` or `{node}.nodes.example.org`. Names of other kinds, and a
URI where the pattern is a DNS name, never match; a node's name is what Kubernetes takes for
one (DNS labels with dots between them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from recorder.model.errors import AccessDenied, InvalidSettings
from recorder.rpc.names import is_subdomain, shown
from recorder.rpc.peer import Peer, dns_name, uri_name

__all__ = ["DEFAULT_PATTERNS", "PLACE", "NodeNames"]

PLACE = "{node}"
DEFAULT_PATTERNS = ("spiffe://recorder/node/{node}", "{node}.node.recorder")


class NodeNames:
    """Patterns, checked. Raises InvalidSettings with the one that is wrong."""

    def __init__(self, patterns: Sequence[str] = DEFAULT_PATTERNS) -> None:
        self.patterns = tuple(patterns)
        if not patterns:
            raise InvalidSettings(f"no pattern of agents' names is given; one is {DEFAULT_PATTERNS[0]}")
        self._compiled = [_compiled(pattern) for pattern in patterns]

    def node_of(self, peer: Peer) -> str:
        """The node that the peer's certificate is for. AccessDenied if it is for none, or for several."""
        nodes = {node for name in peer.names for pattern in self._compiled if (node := _match(pattern, name))}
        if len(nodes) == 1:
            return nodes.pop()
        wrong = f"names {len(nodes)} nodes" if nodes else "names no node"
        raise AccessDenied(
            f"a certificate with {shown(str(peer))} {wrong}; an agent's has exactly one name like "
            f"{' or '.join(self.patterns)}"
        )


def _match(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.fullmatch(name)
    return found[1] if found and is_subdomain(found[1]) else ""


def _compiled(pattern: str) -> re.Pattern[str]:
    before, place, after = pattern.partition(PLACE)
    example = f"{before}node{after}"
    if not place or PLACE in after or not (uri_name(example) or dns_name(example) == example):
        raise InvalidSettings(
            f"{shown(pattern)} is no pattern of an agent's name; expected is a URI, or a DNS name in lower "
            f"case, with {PLACE} once in it, such as {' or '.join(DEFAULT_PATTERNS)}"
        )
    return re.compile(f"{re.escape(before)}([a-z0-9.-]+){re.escape(after)}", re.ASCII)
