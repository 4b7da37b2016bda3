"""One recording's changes of a profile where it stands: when a result is final, and again while refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recorder.collector.results.drafts import Group
from recorder.collector.results.profile_update import ProfileUpdates, UpdateAnswer
from recorder.collector.results.recording_events import RecordingEvents
from recorder.collector.store.sighting import Sighting
from recorder.collector.store.stored import StoredResult
from recorder.model.record import Observation, Record
from recorder.model.record_unit import unit_of
from recorder.model.recording import Recording
from recorder.profiles.result_marks import STATE_FINAL

__all__ = ["RecordingUpdates"]

_MORE = "update"
"""The key of a result's `more` that has the answer."""


class RecordingUpdates:
    """The answers, by group of containers. retry: seconds after which one that was refused is tried again."""

    def __init__(self, updates: ProfileUpdates, events: RecordingEvents, retry: float) -> None:
        self._updates = updates
        self._events = events
        self._retry = retry
        self._answers: dict[Group, UpdateAnswer] = {}
        self._again: dict[Group, float] = {}

    def begin(self, recording: Recording, rows: Iterable[StoredResult], now: float) -> None:
        """Begin anew with what became of them before; what is final and was not asked for then is due."""
        self._answers.clear()
        self._again.clear()
        for row in rows:
            if row.partial or not recording.update:
                continue
            group, before = Group(row.container, row.suffix), row.more.get(_MORE, {})
            if before.get("profile") == recording.update:
                self._note(group, UpdateAnswer.from_json(before), now)
            elif row.state == STATE_FINAL:
                self._again[group] = now

    @property
    def answers(self) -> tuple[UpdateAnswer, ...]:
        """Those of now: what was not done first."""
        return tuple(sorted(self._answers.values(), key=lambda each: (each.done, each.reason, each.message)))

    @property
    def deadline(self) -> float | None:
        """When one is to be tried again."""
        return min(self._again.values(), default=None)

    def due(self, now: float) -> tuple[Group, ...]:
        """Those that are to be tried again."""
        return tuple(sorted(group for group, when in self._again.items() if when <= now))

    async def update(
        self, recording: Recording, group: Group, sightings: Sequence[Sighting], now: float
    ) -> Mapping[str, object]:
        """Do it, if the recording asks for it; return what is to be kept with the result.

        PlatformUnreachable: it can be called again.
        """
        if not recording.update:
            return {}
        answer = await self._updates.update(recording, _records(sightings))
        before = self._answers.get(group)
        if answer.reason == "NothingToAdd" and before is not None and before.done:
            answer = before
        self._note(group, answer, now)
        if answer.added:
            self._events.tell(recording.name, "ProfileUpdated", answer.message, once=answer.message)
        elif not answer.done:
            self._events.tell(
                recording.name, "ProfileNotUpdated", answer.message, warning=True, once=answer.message
            )
        return {_MORE: {"profile": recording.update, **answer.to_json()}}

    def _note(self, group: Group, answer: UpdateAnswer, now: float) -> None:
        self._answers[group] = answer
        self._again.pop(group, None)
        if not answer.done:
            self._again[group] = now + self._retry


def _records(sightings: Iterable[Sighting]) -> tuple[Record, ...]:
    units: dict[object, list[Observation]] = {}
    for each in sightings:
        units.setdefault(unit_of(each.observation), []).append(each.observation)
    return tuple(Record(tuple(each)) for each in units.values())
