"""What a capture selects, and when there is no more of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recorder.agent.tracked import Subject
from recorder.containers.choice import PodChoice
from recorder.containers.container import Container
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = [
    "AllSelection",
    "CgroupSelection",
    "ContainerSelection",
    "PodSelection",
    "ProcessSelection",
    "Selection",
    "UnitSelection",
    "shown",
]


class Selection:
    """What a capture selects: something that is there, and that is over when it has ended."""

    __slots__ = ()

    @property
    def open(self) -> bool:
        """Whether what it selects may be still to come."""
        return False

    @property
    def units(self) -> frozenset[str]:
        """Of systemd, that are to come."""
        return frozenset()

    @property
    def container_id(self) -> str:
        """Of the one container that it selects; empty: it is none."""
        return ""

    def wants(self, subject: Subject) -> bool:
        """Whether it selects this."""
        raise NotImplementedError

    def over(self, containers: Iterable[Container]) -> bool:
        """Whether nothing more can come when all of it has ended: what begins again is another recording."""
        return True


@dataclass(frozen=True, slots=True)
class ContainerSelection(Selection):
    """One container by its whole id. `running`: it has its cgroup already."""

    id: str
    running: bool

    @property
    def container_id(self) -> str:
        """Its id."""
        return self.id

    @property
    def open(self) -> bool:
        """Until it runs."""
        return not self.running

    def wants(self, subject: Subject) -> bool:
        """By its runtime's id."""
        return bool(subject.place and subject.place.container_id == self.id)


@dataclass(frozen=True, slots=True)
class PodSelection(Selection):
    """The containers of a pod, or one of them by its name; restarts as well."""

    choice: PodChoice

    @property
    def open(self) -> bool:
        """Always: a pod's containers come one after the other."""
        return True

    def wants(self, subject: Subject) -> bool:
        """By what the runtime says of the pod; never its sandbox."""
        return subject.container is not None and self.choice.chooses(subject.container)

    def over(self, containers: Iterable[Container]) -> bool:
        """The pod is gone, its sandbox included."""
        return not any(map(self.choice.has, containers))


@dataclass(frozen=True, slots=True)
class AllSelection(Selection):
    """All containers of the node."""

    @property
    def open(self) -> bool:
        """Always."""
        return True

    def wants(self, subject: Subject) -> bool:
        """Whatever its runtime calls a container, but for sandboxes."""
        return subject.container is not None and not subject.sandbox

    def over(self, containers: Iterable[Container]) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, slots=True)
class CgroupSelection(Selection):
    """A cgroup that is there, with those below it."""

    path: str

    def wants(self, subject: Subject) -> bool:
        """By its path."""
        return subject.path == self.path


@dataclass(frozen=True, slots=True)
class ProcessSelection(Selection):
    """A process, and what it starts: followed by a kernel side of its own, in whichever cgroups."""

    pid: int

    def wants(self, subject: Subject) -> bool:
        """No cgroup's slot."""
        return False


@dataclass(frozen=True, slots=True)
class UnitSelection(Selection):
    """A systemd unit. `running`: it has its cgroup already."""

    unit: str
    running: bool

    @property
    def open(self) -> bool:
        """Until it runs."""
        return not self.running

    @property
    def units(self) -> frozenset[str]:
        """Itself, until it runs."""
        return frozenset() if self.running else frozenset({self.unit})

    def wants(self, subject: Subject) -> bool:
        """By its name in the path."""
        return subject.unit == self.unit


def shown(selection: pb.Selection) -> str:
    """As a person would write it."""
    by = selection.WhichOneof("by")
    if by == "pod":
        pod = selection.pod
        return f"pod {pod.namespace}/{pod.name}" + (f"/{pod.container}" if pod.container else "")
    if by == "all":
        return "all containers"
    return f"{by} {getattr(selection, by)}" if by else ""
