"""A slot of the kernel side, with all that the agent knows of whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from recorder.agent.access_log import AccessLog
from recorder.agent.sights import Sights
from recorder.containers.container import Container, Manager
from recorder.containers.place import Place
from recorder.kernel.backend import Reading, Target
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation, Source

__all__ = ["Asker", "Subject", "Tracked"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What may be recorded: a cgroup by its path, with what is known of it.

    place: if its path is a container's by its shape; container: None as long as nobody said,
    or if the runtime does not know it; unit: systemd's, for what is in no container.
    """

    path: str
    place: Place | None = None
    container: Container | None = None
    unit: str = ""

    def identity(self) -> Identity:
        """Who it is, as far as it is known."""
        if self.container:
            return self.container.identity()
        name = self.place.container_id if self.place else self.unit or self.path
        return Identity(
            name=name, cgroup_path=self.path, container_id=self.place.container_id if self.place else ""
        )

    @property
    def sandbox(self) -> bool:
        """Whether it is a pod's own container."""
        return bool(self.container and self.container.sandbox)

    @property
    def of_pod(self) -> bool:
        """Whether it is, or by its place may be, a container of Kubernetes."""
        if self.container:
            return self.container.pod is not None
        return bool(self.place and (self.place.pod_uid or self.place.manager == Manager.CRI))


class Asker(Protocol):
    """Who wants containers recorded: a capture, the plan.

    durable: what it is owed outlives the agent. capture_id: of such a capture, else empty.
    open: containers that are to come may be its. units: names of systemd units that are to come.
    denials, accesses: what is denied to some of its own, or what they use, is asked for as well.
    """

    @property
    def durable(self) -> bool: ...

    @property
    def capture_id(self) -> str: ...

    @property
    def open(self) -> bool: ...

    @property
    def units(self) -> frozenset[str]: ...

    @property
    def denials(self) -> bool: ...

    @property
    def accesses(self) -> bool: ...

    def wants_denials(self, subject: Subject) -> bool:
        """Whether what is denied to this one of its own is asked for."""

    def wants_accesses(self, subject: Subject) -> bool:
        """Whether what this one of its own uses is asked for."""

    def wants(self, subject: Subject) -> bool:
        """Whether it is one of its own, by what is known now."""

    def recordings(self, subject: Subject) -> tuple[str, ...]:
        """Of the plan, those that want it: what is owed to them outlives the agent."""

    def touched(self, tracked: Tracked) -> None:
        """There is something new of one of its own, or one came."""

    def missed(self, container: Container) -> None:
        """One of its own runs, and found no slot."""

    def ended(self, tracked: Tracked, observation: Observation) -> None:
        """All that there will be of one of its own; its slot is given back afterwards."""


@dataclass(slots=True, eq=False)
class Tracked:
    """A slot in use.

    late: tasks were in it before its recording began; base: the ledger of the kernel side as a
    whole at its begin; identified: it is known whose it is, or that nobody knows; denials:
    somebody asked for what is denied to it; denials_late: after it had begun; denials_missed: how
    many were lost of nobody knows whom when it began; accesses, accesses_late, accesses_missed: the same
    for what it uses; access_log: that, while somebody asks; access_unwatched: the kernel side does not
    see it, since nobody had asked.
    """

    target: Target
    subject: Subject
    phases: str
    late: bool = False
    base: Ledger = field(default_factory=Ledger)
    identified: bool = False
    askers: set[Asker] = field(default_factory=set)
    sights: Sights = field(default_factory=Sights)
    reading: Reading | None = None
    revision: int = 0  # rises with each change of what is seen
    observation: Observation | None = None  # of this revision, once it was made
    dirty: bool = True
    ended: bool = False
    leaving: bool = False  # it is being dropped or handed on
    denials: bool = False
    denials_late: bool = False
    denials_missed: int = 0
    accesses: bool = False
    accesses_late: bool = False
    accesses_missed: int = 0
    access_log: AccessLog | None = None
    access_unwatched: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """Slot and generation."""
        return self.target.slot, self.target.generation

    @property
    def unknown(self) -> bool:
        """It is a container's, and nobody knows whose."""
        return self.subject.place is not None and self.subject.container is None

    def owed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Whom a next agent owes it: ids of the plan's recordings, and of captures."""
        recordings = {name for asker in self.askers for name in asker.recordings(self.subject)}
        captures = {asker.capture_id for asker in self.askers if asker.capture_id}
        return tuple(sorted(recordings)), tuple(sorted(captures))

    def changed(self) -> None:
        """What was made of it is out of date."""
        self.revision += 1
        self.observation = None

    def news(self) -> None:
        """There is something new of it: who asked is told."""
        self.changed()
        for asker in self.askers:
            asker.touched(self)

    def source(self, node: str, boot: str) -> Source | None:
        """What its observations are of; None before its first reading."""
        if self.reading is None:
            return None
        return Source(node, boot, self.target.cgroup_id, self.reading.epoch)
