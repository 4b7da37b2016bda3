"""Plans as a collector sends them."""

import itertools
from collections.abc import Mapping, Sequence

from recorder.rpc.v1 import collector_pb2 as pb

_serial = itertools.count(1)


def recording(
    identity: str,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    *,
    containers: Sequence[str] = (),
    expressions: Sequence[tuple[str, str, Sequence[str]]] = (),
) -> pb.PlannedRecording:
    """One recording; without labels and expressions all containers of the namespace."""
    selector = pb.LabelSelector(
        match_labels=labels or {},
        match_expressions=[
            pb.LabelExpression(key=key, operator=operator, values=values)
            for key, operator, values in expressions
        ],
    )
    return pb.PlannedRecording(id=identity, namespace=namespace, selector=selector, containers=containers)


def plan(*recordings: pb.PlannedRecording) -> pb.Plan:
    """With a revision that no other has; without recordings the empty one."""
    return pb.Plan(revision=f"revision-{next(_serial)}", recordings=recordings)
