"""What a capture selects, and when there is no more of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from recorder.agent.tracked import Subject
from recorder.containers.container import Container
from recorder.rpc.v1 import agent_pb2 as pb

__all__ = [
    "CgroupSelection",
    "ContainerSelection",
    "PodSelection",
    "ProcessSelection",
    "Selection",
    "UnitSelection",
    "shown",
]


class Selection(Protocol):
    """open: what it selects may be still to come. units: of systemd, that are to come."""

    @property
    def open(self) -> bool: ...

    @property
    def units(self) -> frozenset[str]: ...

    @property
    def container_id(self) -> str: ...

    def wants(self, subject: Subject) -> bool:
        """Whether it selects this."""

    def over(self, containers: Iterable[Container]) -> bool:
        """Whether, once all that was recorded has ended, nothing more can come."""


@dataclass(frozen=True, slots=True)
class ContainerSelection:
    """One container by its whole id. `running`: it has its cgroup already."""

    container_id: str
    running: bool

    @property
    def open(self) -> bool:
        """Until it runs."""
        return not self.running

    @property
    def units(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def wants(self, subject: Subject) -> bool:
        """By its runtime's id."""
        return bool(subject.place and subject.place.container_id == self.container_id)

    def over(self, containers: Iterable[Container]) -> bool:
        """One that is started again is another recording."""
        return True


@dataclass(frozen=True, slots=True)
class PodSelection:
    """The containers of a pod, or one of them by its name; restarts as well."""

    namespace: str
    name: str
    container: str = ""

    @property
    def container_id(self) -> str:
        """Of no single container."""
        return ""

    @property
    def open(self) -> bool:
        """Always: a pod's containers come one after the other."""
        return True

    @property
    def units(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def wants(self, subject: Subject) -> bool:
        """By what the runtime says of the pod; never its sandbox."""
        container = subject.container
        return bool(container and self._of_pod(container) and not container.sandbox) and (
            not self.container or (container is not None and container.name == self.container)
        )

    def over(self, containers: Iterable[Container]) -> bool:
        """The pod is gone, its sandbox included."""
        return not any(map(self._of_pod, containers))

    def _of_pod(self, container: Container) -> bool:
        pod = container.pod
        return pod is not None and (pod.namespace, pod.name) == (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class CgroupSelection:
    """A cgroup that is there, with those below it."""

    path: str

    @property
    def container_id(self) -> str:
        """Of no single container."""
        return ""

    @property
    def open(self) -> bool:
        """Never."""
        return False

    @property
    def units(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def wants(self, subject: Subject) -> bool:
        """By its path."""
        return subject.path == self.path

    def over(self, containers: Iterable[Container]) -> bool:
        """One of the same path that is made later is another."""
        return True


@dataclass(frozen=True, slots=True)
class ProcessSelection:
    """A process, and what it starts: followed by a kernel side of its own, in whichever cgroups."""

    pid: int

    @property
    def container_id(self) -> str:
        """Of no container."""
        return ""

    @property
    def open(self) -> bool:
        """Never: it runs."""
        return False

    @property
    def units(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def wants(self, subject: Subject) -> bool:
        """No cgroup's slot."""
        return False

    def over(self, containers: Iterable[Container]) -> bool:
        """A process that has ended is not started again."""
        return True


@dataclass(frozen=True, slots=True)
class UnitSelection:
    """A systemd unit. `running`: it has its cgroup already."""

    unit: str
    running: bool

    @property
    def container_id(self) -> str:
        """Of no single container."""
        return ""

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

    def over(self, containers: Iterable[Container]) -> bool:
        """Its next start is another recording."""
        return True


def shown(selection: pb.Selection) -> str:
    """As a person would write it."""
    by = selection.WhichOneof("by")
    if by == "pod":
        pod = selection.pod
        return f"pod {pod.namespace}/{pod.name}" + (f"/{pod.container}" if pod.container else "")
    return f"{by} {getattr(selection, by)}" if by else ""
