"""Which containers a person means: one by its id or name, or those of a pod."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recorder.containers.container import Container

__all__ = ["SHORT_ID", "PodChoice", "called"]

SHORT_ID = 12
"""Characters of an id that are enough, if no other container's begins so: container runtimes show so many."""


def called(text: str, containers: Iterable[Container]) -> list[Container]:
    """Those of this id, of one that begins so, or of this name (a sandbox has none of its own)."""
    return [
        each
        for each in containers
        if each.id == text
        or (each.name == text and not each.sandbox)
        or (len(text) >= SHORT_ID and each.id.startswith(text))
    ]


@dataclass(frozen=True, slots=True)
class PodChoice:
    """A pod's containers, or those of one name. uid: of this pod, not of another of its name; empty: any."""

    namespace: str
    name: str
    container: str = ""
    uid: str = ""

    def has(self, container: Container) -> bool:
        """Whether it is the pod's, be it its sandbox."""
        pod = container.pod
        same = pod is not None and (pod.namespace, pod.name) == (self.namespace, self.name)
        return same and (not self.uid or (pod is not None and pod.uid == self.uid))

    def chooses(self, container: Container) -> bool:
        """Whether it is one to be recorded; never a sandbox."""
        named = not self.container or container.name == self.container
        return self.has(container) and named and not container.sandbox
