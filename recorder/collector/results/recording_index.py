"""What is known of one recording's sightings without reading them: which groups changed, and what runs.

It is brought up to date from the outlines of what changed since, and holds nothing of
sightings that have ended but the newest revision of their group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recorder.collector.results.drafts import Group, group_of
from recorder.collector.store.sighting import Confirmation, Outline
from recorder.model.record import Pod
from recorder.model.recording import Recording

__all__ = ["GroupState", "OutlineStore", "RecordingIndex", "RunningContainer"]

_PAGE = 2000


class OutlineStore(Protocol):
    """What is asked of the store."""

    async def outlines(self, recording: str, newer_than: int = 0, limit: int = 2000) -> Sequence[Outline]:
        """Return outlines with a greater revision, by revision; those of one revision together."""


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A container that has not ended. `workload`: its pod's name, else its own."""

    node: str
    pod: Pod | None
    workload: str


@dataclass(slots=True)
class GroupState:
    """What results of a group depend on.

    newest: revision of its last change; ended: the same of containers that have ended; since: revision
    of the first change that was not `taken`, 0: none. running: by sighting.
    """

    newest: int = 0
    ended: int = 0
    since: int = 0
    running: dict[int, RunningContainer] = field(default_factory=dict)

    def taken(self, revision: int) -> None:
        """Results hold what it was at that revision."""
        self.since = 0 if self.newest <= revision else revision + 1


class RecordingIndex:
    """One recording's groups, and the sightings that count for none, with the reason."""

    def __init__(self, recording: Recording, accept: frozenset[Confirmation]) -> None:
        self._recording = recording
        self._accept = accept
        self._group_of: dict[int, Group] = {}
        self._refusals: dict[int, str] = {}
        self._unrecorded: dict[int, tuple[str, str]] = {}
        self.groups: dict[Group, GroupState] = {}
        self.nodes: dict[str, set[int]] = {}
        """What runs, by node."""
        self.missing: set[int] = set()
        self.revision = 0

    async def refresh(self, store: OutlineStore) -> set[Group]:
        """Take in what changed; return the groups that did."""
        stirred: set[Group] = set()
        while True:
            page = await store.outlines(self._recording.id, newer_than=self.revision, limit=_PAGE)
            stirred.update(self.absorb(page))
            if len(page) < _PAGE:
                return stirred

    def absorb(self, outlines: Iterable[Outline]) -> set[Group]:
        """Take in outlines, in the order of their revisions; return the groups that changed."""
        stirred = set()
        for each in outlines:
            self._forget(each.id)
            self.revision = max(self.revision, each.revision)
            group = self._absorb(each)
            if group is not None:
                stirred.add(group)
        return stirred

    def running(self, sighting: int) -> RunningContainer:
        """Return what runs, of a sighting of `nodes`."""
        return self.groups[self._group_of[sighting]].running[sighting]

    def refusals(self) -> Counter[str]:
        """How many sightings were not believed, by reason."""
        return Counter(self._refusals.values())

    def not_recorded(self) -> tuple[tuple[str, str], ...]:
        """Containers that were asked for and cannot be recorded, with the reason; sorted."""
        return tuple(sorted(set(self._unrecorded.values())))

    def _absorb(self, outline: Outline) -> Group | None:
        if outline.confirmation is Confirmation.REFUSED:
            self._refusals[outline.id] = outline.reason
            return None
        if outline.not_recorded and not outline.recorded:
            if not outline.ended:
                self._unrecorded[outline.id] = (outline.container, outline.not_recorded)
            return None
        if outline.pod is not None and outline.confirmation not in self._accept:
            if outline.confirmation is Confirmation.MISSING:
                self.missing.add(outline.id)
            return None
        group = group_of(self._recording, outline.container, outline.pod, outline.placement)
        state = self.groups.setdefault(group, GroupState())
        state.newest = max(state.newest, outline.revision)
        state.since = state.since or outline.revision
        if outline.ended:
            state.ended = max(state.ended, outline.revision)
        elif self._asks_for(outline):
            workload = outline.pod.name if outline.pod else outline.container
            state.running[outline.id] = RunningContainer(outline.node, outline.pod, workload)
            self._group_of[outline.id] = group
            self.nodes.setdefault(outline.node, set()).add(outline.id)
        return group

    def _asks_for(self, outline: Outline) -> bool:
        """An edited recording may not ask any more for what is still running: nobody reports its end."""
        recording = self._recording
        if outline.placement is None or not outline.placement.node:  # no labels are known
            return not recording.containers or outline.container in recording.containers
        return recording.asks_for(recording.name.namespace, outline.placement.labels, outline.container)

    def _forget(self, sighting: int) -> None:
        self._refusals.pop(sighting, None)
        self._unrecorded.pop(sighting, None)
        self.missing.discard(sighting)
        group = self._group_of.pop(sighting, None)
        if group is not None:
            node = self.groups[group].running.pop(sighting).node
            self.nodes[node].discard(sighting)
            if not self.nodes[node]:
                del self.nodes[node]
