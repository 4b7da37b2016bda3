"""Confirms with the platform what agents say of pods, before anything of them is in a result.

An agent speaks for its node alone; that a pod is on that node, and is one that a recording asks
for, is the platform's to say. A pod is asked for by name, once for all its containers; nobody
caches the cluster's pods.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from recorder.collector.platform import Platform
from recorder.collector.store.sighting import Confirmation, Decision, Outline, Sighting
from recorder.model.errors import PlatformUnreachable
from recorder.model.record import Pod
from recorder.model.recording import Recording
from recorder.model.result import Placement

__all__ = ["Confirmer", "ConfirmingStore", "disbelieved"]

_BATCH: Final = 256
_AT_ONCE: Final = 8
# Pods whose placement is remembered, and for how long: today's labels count.
_PODS: Final = 20_000
_FRESH: Final = 60.0
# A pod that is not there is asked for again: of a static pod the API server learns after its start.
_AGAIN: Final = (5.0, 15.0)


class ConfirmingStore(Protocol):
    """What is asked of the store."""

    async def unconfirmed(self, limit: int, after: int = 0) -> Sequence[Sighting]:
        """Return sightings of pods that were not asked for, by id, above `after`."""

    async def decide(self, decisions: Sequence[Decision]) -> Sequence[bool]:
        """Keep what was found."""

    async def outlines(self, recording: str, newer_than: int = 0, limit: int = 2000) -> Sequence[Outline]:
        """Return outlines with a greater revision, by revision."""


@dataclass(slots=True)
class _Asked:
    """What the platform said, and when; None: there was no such pod, `times` in a row."""

    placement: Placement | None
    at: float
    times: int = 1


class Confirmer:
    """`recording`: by id, None for one that is not known. `changed`: told of those of which was decided.

    `clock` is monotonic.
    """

    def __init__(
        self,
        platform: Platform,
        store: ConfirmingStore,
        recording: Callable[[str], Recording | None],
        changed: Callable[[frozenset[str]], None],
        clock: Callable[[], float],
    ) -> None:
        self._platform = platform
        self._store = store
        self._recording = recording
        self._changed = changed
        self._clock = clock
        self._asked: OrderedDict[Pod, _Asked] = OrderedDict()
        self.decided: Counter[str] = Counter()
        """How many sightings, by confirmation; refused ones by reason as well."""

    async def step(self) -> float | None:
        """Decide on all that waits; return when to ask again, None: when something new comes.

        PlatformUnreachable: what was not decided waits on.
        """
        after, deadline = 0, None
        while True:
            page = await self._store.unconfirmed(_BATCH, after)
            if not page:
                return deadline
            later = await self._decide(page)
            if later is not None:
                deadline = later if deadline is None else min(deadline, later)
            after = page[-1].id

    async def _decide(self, page: Sequence[Sighting]) -> float | None:
        pods = {pod for each in page if (pod := each.observation.identity.pod)}
        unreachable = await self._ask(pods)
        absent = {pod for pod in pods if pod in self._asked and self._asked[pod].placement is None}
        known = await self._known_before(absent, page) if absent else {}
        decisions: list[Decision] = []
        concerned: set[str] = set()
        deadline: float | None = None
        for each in page:
            pod = each.observation.identity.pod
            asked = self._asked.get(pod) if pod else None
            if pod is None or asked is None:
                continue
            placement = asked.placement or known.get(pod)
            if placement is None and asked.times <= len(_AGAIN):
                due = asked.at + _AGAIN[asked.times - 1]
                deadline = due if deadline is None else min(deadline, due)
                continue
            decisions.append(self._judge(each, pod, placement))
            concerned |= each.recordings
        if decisions:
            await self._store.decide(decisions)
            for decision in decisions:
                self.decided[decision.confirmation.value] += 1
            self._changed(frozenset(concerned))
        if unreachable:
            raise unreachable
        return deadline

    def _judge(self, sighting: Sighting, pod: Pod, placement: Placement | None) -> Decision:
        if placement is None:
            return Decision(
                sighting.id, Confirmation.MISSING, reason="the pod was gone before it could be asked for"
            )
        if reason := disbelieved(sighting, pod, placement):
            return Decision(sighting.id, Confirmation.REFUSED, reason=reason)
        not_for = frozenset(
            each for each in sighting.recordings if not self._selects(each, sighting, placement)
        )
        if not_for == sighting.recordings:
            reason = "no recording that it was reported for selects the pod"
            return Decision(sighting.id, Confirmation.REFUSED, reason=reason)
        return Decision(sighting.id, Confirmation.CONFIRMED, placement, not_for=not_for)

    def _selects(self, recording: str, sighting: Sighting, placement: Placement) -> bool:
        if not placement.node:
            return True
        known = self._recording(recording)
        container = sighting.observation.identity.name
        return known is not None and known.asks_for(placement.namespace, placement.labels, container)

    async def _ask(self, pods: Iterable[Pod]) -> PlatformUnreachable | None:
        """Ask for those of which nothing is known, or nothing fresh; return why some could not be asked."""
        now = self._clock()
        wanted = [pod for pod in sorted(pods) if self._is_stale(pod, now)]
        failure: PlatformUnreachable | None = None
        for index in range(0, len(wanted), _AT_ONCE):
            some = wanted[index : index + _AT_ONCE]
            answers = await asyncio.gather(
                *(self._platform.placement(pod) for pod in some), return_exceptions=True
            )
            for pod, answer in zip(some, answers, strict=True):
                if isinstance(answer, PlatformUnreachable):
                    failure = answer
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    self._note(pod, answer, now)
            if failure:
                return failure
        return None

    def _is_stale(self, pod: Pod, now: float) -> bool:
        asked = self._asked.get(pod)
        if asked is None:
            return True
        if asked.placement is not None:
            return now - asked.at > _FRESH
        return asked.times <= len(_AGAIN) and now - asked.at >= _AGAIN[asked.times - 1]

    def _note(self, pod: Pod, placement: Placement | None, now: float) -> None:
        before = self._asked.pop(pod, None)
        if placement is None and before is not None:
            if before.placement is not None:  # it was there: what it was then is true of it still
                self._asked[pod] = _Asked(before.placement, now)
                return
            self._asked[pod] = _Asked(None, now, before.times + 1)
        else:
            self._asked[pod] = _Asked(placement, now)
        while len(self._asked) > _PODS:
            self._asked.popitem(last=False)

    async def _known_before(self, absent: set[Pod], page: Sequence[Sighting]) -> dict[Pod, Placement]:
        """A pod that is gone may have been confirmed with another of its containers, before a restart."""
        found: dict[Pod, Placement] = {}
        asking = {
            each
            for sighting in page
            if sighting.observation.identity.pod in absent
            for each in sighting.recordings
        }
        for recording in sorted(asking):
            revision = 0
            while True:
                outlines = await self._store.outlines(recording, newer_than=revision)
                for each in outlines:
                    revision = each.revision
                    if each.placement is not None and each.pod in absent:
                        found[each.pod] = each.placement
                if not outlines:
                    break
        return found


def disbelieved(sighting: Sighting, pod: Pod, placement: Placement) -> str:
    """Return why what an agent says of a pod is not believed; empty: it is. Pure.

    A platform that knows no nodes knows no pods either, and the agent is believed.
    """
    if not placement.node:
        return ""
    if (placement.namespace, placement.name) != (pod.namespace, pod.name):
        return "the platform's pod has another name"
    if not pod.uid or placement.uid != pod.uid:
        return "the platform's pod of that name has another uid"
    if placement.node != sighting.observation.source.node:
        return "the pod is not on the agent's node"
    return ""
