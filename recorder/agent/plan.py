"""The collector's plan: which containers are to be recorded, and for which recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recorder.containers.container import Container
from recorder.model.errors import LimitReached
from recorder.model.selector import LabelSelector, Requirement, selects
from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.v1 import agent_pb2
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["Plan", "PlannedRecording", "plan_of"]


_KINDS = (
    agent_pb2.KIND_UNSPECIFIED,
    agent_pb2.KIND_SYSCALLS,
    agent_pb2.KIND_DENIALS,
    agent_pb2.KIND_ACCESSES,
)


@dataclass(frozen=True, slots=True)
class PlannedRecording:
    """One recording: containers of a Kubernetes namespace, or (empty) those outside of Kubernetes.

    containers: names; empty: all. denials, accesses: what is denied to them, and what they use, is asked
    for as well.
    """

    id: str
    namespace: str
    selector: LabelSelector | None
    containers: frozenset[str] = frozenset()
    denials: bool = False
    accesses: bool = False

    def wants(self, container: Container) -> bool:
        """Whether the container, as it was when it was made, belongs to the recording."""
        if container.sandbox or (container.pod.namespace if container.pod else "") != self.namespace:
            return False
        if self.containers and container.name not in self.containers:
            return False
        return selects(self.selector, container.labels)


@dataclass(frozen=True, slots=True)
class Plan:
    """All recordings of a revision."""

    revision: str = ""
    recordings: tuple[PlannedRecording, ...] = ()

    def recordings_for(self, container: Container) -> tuple[str, ...]:
        """The ids of those that want it, sorted."""
        return tuple(sorted(each.id for each in self.recordings if each.wants(container)))

    @property
    def denials(self) -> bool:
        """Whether one of them asks for denials."""
        return any(each.denials for each in self.recordings)

    def wants_denials(self, container: Container) -> bool:
        """Whether one that wants it asks for denials."""
        return any(each.denials and each.wants(container) for each in self.recordings)

    @property
    def accesses(self) -> bool:
        """Whether one of them asks for accesses."""
        return any(each.accesses for each in self.recordings)

    def wants_accesses(self, container: Container) -> bool:
        """Whether one that wants it asks for accesses."""
        return any(each.accesses and each.wants(container) for each in self.recordings)

    def may_want(self, *, of_pod: bool) -> bool:
        """Whether a container of which nothing else is known may be wanted."""
        return any(bool(each.namespace) == of_pod for each in self.recordings)


def plan_of(message: pb.Plan, limit: int) -> Plan:
    """The plan of a message. Raises LimitReached, or InvalidFields for what is wrong in it."""
    if len(message.recordings) > limit:
        raise LimitReached(
            f"the plan has {len(message.recordings)} recordings, and this agent takes {limit}"
            " (memory.recordings)"
        )
    errors = list(_problems(message))
    if errors:
        raise InvalidFields(errors)
    return Plan(message.revision, tuple(_recording(each) for each in message.recordings))


def _recording(message: pb.PlannedRecording) -> PlannedRecording:
    return PlannedRecording(
        message.id,
        message.namespace,
        _selector(message.selector) if message.HasField("selector") else None,
        frozenset(message.containers),
        agent_pb2.KIND_DENIALS in message.kinds,
        agent_pb2.KIND_ACCESSES in message.kinds,
    )


def _selector(message: pb.LabelSelector) -> LabelSelector:
    return LabelSelector(
        dict(message.match_labels),
        tuple(Requirement(each.key, each.operator, tuple(each.values)) for each in message.match_expressions),
    )


def _problems(message: pb.Plan) -> Iterator[FieldError]:
    ids: set[str] = set()
    for index, each in enumerate(message.recordings):
        at = f"recordings[{index}]"
        if not each.id or each.id in ids:
            yield FieldError(f"{at}.id", "is empty, or another recording's", "each has an id of its own")
        ids.add(each.id)
        unknown = [kind for kind in each.kinds if kind not in _KINDS]
        if unknown:
            yield FieldError(
                f"{at}.kinds", f"has {unknown[0]}", "this agent records system calls, denials and accesses"
            )
        if each.HasField("selector"):
            for problem in _selector(each.selector).problems(f"{at}.selector"):
                yield FieldError(problem.field, problem.message, "the API server would refuse it")
