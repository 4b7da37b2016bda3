"""Which nodes cannot do what a recording asks for, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from recorder.collector.agents.node_abilities import NodeAbilities
from recorder.collector.served import MODULES, SERVED
from recorder.model.kind import Kind
from recorder.model.recording import Recording

__all__ = ["NONE_UNABLE", "UnableNodes", "unable_nodes"]


@dataclass(frozen=True, slots=True)
class UnableNodes:
    """Nodes, sorted.

    blind: those that cannot record what is asked for, with the reason: their agents, or for want of the
    security module whose denials it is made of. all_blind: so are all that were asked about. bare: those
    without the security module that `module` names, where no result can be installed.
    """

    blind: tuple[tuple[str, str], ...] = ()
    all_blind: bool = False
    bare: tuple[str, ...] = ()
    module: str = ""


NONE_UNABLE: Final = UnableNodes()


def unable_nodes(
    recording: Recording, nodes: Collection[str], abilities: Callable[[str], NodeAbilities | None]
) -> UnableNodes:
    """Return those of these nodes; of one whose agent is away nothing is known."""
    kind = SERVED[recording.kind, recording.means]
    module = MODULES.get(recording.kind, "")
    known = {node: found for node in nodes if (found := abilities(node)) is not None}
    lacking = {
        node
        for node, each in known.items()
        if module and each.modules is not None and module not in each.modules
    }
    blind = dict.fromkeys(lacking, f"it has no {module}") if module and kind is Kind.DENIALS else {}
    for node, each in known.items():
        if why := each.why_not(kind) or (module and kind is Kind.DENIALS and each.problems.get(kind)):
            blind[node] = why
    bare = tuple(sorted(lacking - blind.keys()))
    return UnableNodes(tuple(sorted(blind.items())), bool(known) and len(blind) == len(known), bare, module)
