"""What a node can record, and which security modules it has, as its agent's hello says. Texts are bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from recorder.model.kind import Kind
from recorder.rpc.v1 import agent_pb2
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["UNKNOWN", "NodeAbilities", "abilities_of"]

_KINDS: Final[Mapping[int, Kind]] = MappingProxyType(
    {
        agent_pb2.KIND_SYSCALLS: Kind.SYSCALLS,
        agent_pb2.KIND_DENIALS: Kind.DENIALS,
        agent_pb2.KIND_ACCESSES: Kind.ACCESSES,
    }
)
_MAX_MODULES: Final = 16
_MAX_TEXT: Final = 256
_WORD: Final = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NodeAbilities:
    """kinds: what can be recorded. problems: why others cannot, as sentences, or not as a whole.

    modules: of security, that are active, with their mode (of selinux: enforcing, permissive; else
    empty); None: the agent is older than this, and says nothing of them.
    """

    kinds: frozenset[Kind] = frozenset()
    problems: Mapping[Kind, str] = field(default_factory=dict, hash=False)
    modules: Mapping[str, str] | None = field(default=None, hash=False)

    def why_not(self, kind: Kind) -> str:
        """Return why it cannot be recorded there; empty: it can. Every agent records calls."""
        if kind in self.kinds or kind is Kind.SYSCALLS:
            return ""
        return self.problems.get(kind) or "its agent is older than this kind of record: upgrade it"


UNKNOWN: Final = NodeAbilities()


def abilities_of(hello: pb.Hello) -> NodeAbilities:
    """Return what a hello says. Many nodes say the same, and have one value."""
    kinds = frozenset(_KINDS[each] for each in hello.kinds if each in _KINDS)
    problems = tuple(
        (_KINDS[each.kind], _plain(each.problem))
        for each in hello.problems[: 2 * len(_KINDS)]
        if each.kind in _KINDS and each.problem
    )
    modules = tuple(
        (each.name, each.mode if _WORD.fullmatch(each.mode) else "")
        for each in hello.modules[:_MAX_MODULES]
        if _WORD.fullmatch(each.name)
    )
    tells = bool(hello.problems or hello.modules)
    return _abilities(kinds, problems, modules if tells else None)


@lru_cache(maxsize=1024)
def _abilities(
    kinds: frozenset[Kind],
    problems: Iterable[tuple[Kind, str]],
    modules: Iterable[tuple[str, str]] | None,
) -> NodeAbilities:
    told = None if modules is None else MappingProxyType(dict(modules))
    return NodeAbilities(kinds, MappingProxyType(dict(problems)), told)


def _plain(text: str) -> str:
    return text[:_MAX_TEXT].encode("unicode_escape").decode("ascii")[:_MAX_TEXT]
