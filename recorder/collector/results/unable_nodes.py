"""Which nodes cannot do what a recording asks for, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from recorder.collector.agents.node_abilities import NodeAbilities
from recorder.collector.served import MODULES, SERVED
from recorder.model.recording import Recording

__all__ = ["NONE_UNABLE", "UnableNodes", "unable_nodes"]


@dataclass(frozen=True, slots=True)
class UnableNodes:
    """Nodes, sorted.

    blind: those whose agents cannot record what is asked for, with the reason. all_blind: so are all
    that were asked about. bare: those without the security module that `module` names, where no result
    can be installed.
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
    kind = SERVED.get((recording.kind, recording.means))
    if kind is None:
        return NONE_UNABLE
    module = MODULES.get(recording.kind, "")
    known = {node: found for node in nodes if (found := abilities(node)) is not None}
    blind = tuple((node, why) for node, each in sorted(known.items()) if (why := each.why_not(kind)))
    bare = tuple(
        node
        for node, each in sorted(known.items())
        if module and each.modules is not None and module not in each.modules
    )
    return UnableNodes(blind, bool(known) and len(blind) == len(known), bare, module)
