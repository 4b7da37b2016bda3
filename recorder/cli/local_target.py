"""What a recording on this machine selects: containers by their runtimes, pods, units, found or refused.

Names are data of others: they are escaped in messages.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recorder.agent.tracked import Subject
from recorder.cli.container_name import SHORT_ID, container_name
from recorder.cli.escape import escape
from recorder.containers.cgroup import Cgroup
from recorder.containers.choice import PodChoice, called
from recorder.containers.container import Container
from recorder.containers.place import place_of
from recorder.containers.source import SourceStatus
from recorder.model.errors import ContainerNotFound, NotRecordable, RuntimeUnreachable, UsageError

SHOWN = 8
"""Candidates that a message names."""


class Target(Protocol):
    """to_come: it may be anywhere where containers appear, so that all of these are watched."""

    @property
    def to_come(self) -> bool: ...

    def wants(self, subject: Subject) -> bool:
        """Whether it selects this."""

    def may_want(self, subject: Subject) -> bool:
        """Whether it may select this, once its runtime has said whose it is."""

    def over(self, containers: Mapping[str, Container], *, seen: bool) -> bool:
        """Whether nothing more can come, while nothing of it runs. seen: something of it has run."""


@dataclass(frozen=True, slots=True)
class ContainerTarget:
    """One container. `running`: it has its cgroup; it may end, and its next start is another recording."""

    container: Container
    running: bool

    @property
    def to_come(self) -> bool:
        """Until it runs."""
        return not self.running

    def wants(self, subject: Subject) -> bool:
        """By its runtime's id."""
        return bool(subject.place and subject.place.container_id == self.container.id)

    def may_want(self, subject: Subject) -> bool:
        """As wants: nobody need be asked."""
        return self.wants(subject)

    def over(self, containers: Mapping[str, Container], *, seen: bool) -> bool:
        """As soon as it has ended, or its runtime knows it no more."""
        return seen or self.container.id not in containers


@dataclass(frozen=True, slots=True)
class PodTarget:
    """A pod's containers, or those of one name, restarts as well.

    parents: paths of the cgroups in which its containers have theirs.
    """

    choice: PodChoice
    parents: frozenset[str] = frozenset()

    @property
    def to_come(self) -> bool:
        """Never: they come in the pod's own cgroup."""
        return False

    def wants(self, subject: Subject) -> bool:
        """By its runtime, never the sandbox; what the runtime forgot before it was asked by its place."""
        container = subject.container
        if container is None:
            place = subject.place
            uid = self.choice.uid
            return bool(place and uid and place.pod_uid == uid and not self.choice.container)
        return self.choice.chooses(container)

    def may_want(self, subject: Subject) -> bool:
        """By its place."""
        return subject.container is None and subject.path.rpartition("/")[0] in self.parents

    def over(self, containers: Mapping[str, Container], *, seen: bool) -> bool:
        """When the pod is gone, its sandbox included."""
        return not any(map(self.choice.has, containers.values()))


@dataclass(frozen=True, slots=True)
class UnitTarget:
    """A unit of systemd; its next start is another recording."""

    unit: str

    @property
    def to_come(self) -> bool:
        """Never: it comes in its slice."""
        return False

    def wants(self, subject: Subject) -> bool:
        """By its name in the path."""
        return subject.unit == self.unit

    def may_want(self, subject: Subject) -> bool:
        """As wants: nobody need be asked."""
        return self.wants(subject)

    def over(self, containers: Mapping[str, Container], *, seen: bool) -> bool:
        """As soon as it has ended."""
        return seen


# --- finding them


def find_container(
    text: str, containers: Mapping[str, Container], statuses: Iterable[SourceStatus]
) -> Container:
    """The one container of an id, of a part of it, or of a name.

    Raises ContainerNotFound, UsageError if there are several, NotRecordable, RuntimeUnreachable.
    """
    everything = [each for each in containers.values() if not each.sandbox]
    found = called(text, everything)
    if not found:
        names = {_shown(each): each.name for each in everything}
        raise _not_found(f"container {escape(text)}", text, names, statuses)
    if len(found) > 1:
        raise UsageError(
            f"--container: {escape(text)} is the name of several, choose one by its id: "
            + _listed(sorted(map(_shown, found)))
        )
    return _recordable(found[0])


def find_pod(
    namespace: str, name: str, containers: Mapping[str, Container], statuses: Iterable[SourceStatus]
) -> tuple[PodTarget, list[Container]]:
    """A pod, and all its containers that are there, its sandbox among them.

    Raises ContainerNotFound, NotRecordable or RuntimeUnreachable.
    """
    pods = {each.pod: f"{each.pod.namespace}/{each.pod.name}" for each in containers.values() if each.pod}
    wanted = f"{namespace}/{name}"
    # Of two generations of a pod, the one whose sandbox is there.
    ready = {each.pod for each in containers.values() if each.sandbox}
    named = [pod for pod, text in pods.items() if text == wanted]
    found = next(iter(sorted(named, key=lambda pod: pod not in ready)), None)
    if found is None:
        names = {escape(each): each for each in pods.values()}
        raise _not_found(f"pod {escape(wanted)}", wanted, names, statuses)
    its = [_recordable(each) for each in containers.values() if each.pod == found]
    return PodTarget(PodChoice(found.namespace, found.name, uid=found.uid)), its


def container_cgroup(mount: Path, container: Container) -> Cgroup | None:
    """Its cgroup, if it is there: where its runtime put it, or below what that runtime itself runs in."""
    if container.cgroup_path:
        path = mount / container.cgroup_path.lstrip("/")
        if (path / "cgroup.procs").exists():
            return Cgroup(path, mount)
    for each in Cgroup(mount, mount).descendants():
        place = place_of(each.name)
        if place and place.container_id == container.id:
            return each
    return None


def _recordable(container: Container) -> Container:
    if container.not_recordable:
        raise NotRecordable(
            f"{_shown(container)} runs under the handler {escape(container.not_recordable)}, in a virtual"
            " machine or a user-space kernel: its calls never reach this kernel as its own"
        )
    return container


def _shown(container: Container) -> str:
    return f"{container_name(container.identity())} ({container.id[:SHORT_ID]})"


def _not_found(
    what: str, text: str, names: Mapping[str, str], statuses: Iterable[SourceStatus]
) -> ContainerNotFound | RuntimeUnreachable:
    """names: what is there, as it is shown, with what it is compared by."""
    asked = list(statuses)
    if not asked:
        return ContainerNotFound(
            f"no {what}: no container runtime is at its usual place; give its socket by --runtime-endpoint"
        )
    for each in asked:
        if not each.reachable and each.problem:
            return RuntimeUnreachable(
                f"no {what} is known, and {each.name} at {each.endpoint} does not answer: {each.problem}"
            )
    places = ", ".join(f"{each.name} at {each.endpoint}" for each in asked)
    if not names:
        return ContainerNotFound(f"no {what}: nothing runs, says {places}")
    close = difflib.get_close_matches(text, list(dict.fromkeys(names.values())), SHOWN, 0.5)
    first = [shown for match in close for shown, name in names.items() if name == match]
    return ContainerNotFound(
        f"no {what}, says {places}; there are " + _listed([*first, *sorted(set(names) - set(first))])
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
