"""What a collector said of recordings and their containers, put together for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recorder.model.record import Observation, Record
from recorder.model.wire import from_observation
from recorder.rpc.v1 import collector_pb2 as pb

_COUNTED = pb.CONFIRMATION_CONFIRMED


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """One container's record, and what the collector says of it."""

    observation: Observation
    confirmation: pb.Confirmation
    reason: str
    not_recorded: str

    @property
    def counts(self) -> bool:
        """Whether it is in results."""
        return self.confirmation == _COUNTED and not self.not_recorded


@dataclass(frozen=True, slots=True)
class Group:
    """All containers of one name in a recording; `container` is empty for a recording without any."""

    recording: pb.RecordingSummary
    container: str
    containers: tuple[SeenContainer, ...]

    @property
    def counted(self) -> tuple[Observation, ...]:
        """What was seen of those that are in results."""
        return tuple(each.observation for each in self.containers if each.counts)

    @property
    def record(self) -> Record:
        """The same, as one record."""
        return Record(self.counted)

    @property
    def results(self) -> tuple[pb.ResultSummary, ...]:
        """Published for it, sorted by name."""
        return tuple(each for each in self.recording.results if each.container == self.container)


class SeenRecords:
    """Fed with messages, in their order; asked for groups at any time."""

    def __init__(self) -> None:
        self._recordings: dict[str, pb.RecordingSummary] = {}
        self._containers: dict[str, dict[int, SeenContainer]] = {}

    def take(self, message: pb.GetRecordsResponse | pb.WatchRecordsResponse) -> str:
        """Keep what it says; of which recording it says something, else empty. InvalidRecord for nonsense."""
        if message.HasField("recording"):
            self._recordings[message.recording.id] = message.recording
            return message.recording.id
        if message.HasField("container"):
            said = message.container
            seen = SeenContainer(
                from_observation(said.observation), said.confirmation, said.reason, said.not_recorded
            )
            self._containers.setdefault(said.recording_id, {})[said.id] = seen
            return said.recording_id
        if isinstance(message, pb.WatchRecordsResponse) and message.HasField("gone"):
            self._recordings.pop(message.gone.id, None)
            self._containers.pop(message.gone.id, None)
        return ""

    def groups(self) -> list[Group]:
        """All of them, by namespace, recording and container."""
        summaries = sorted(self._recordings.values(), key=lambda each: (each.namespace, each.name, each.id))
        return [group for each in summaries for group in self.groups_of(each.id)]

    def groups_of(self, recording_id: str) -> Iterator[Group]:
        """A recording's."""
        summary = self._recordings.get(recording_id)
        if summary is None:
            return
        by_name: dict[str, list[SeenContainer]] = {}
        for _, each in sorted(self._containers.get(recording_id, {}).items()):
            by_name.setdefault(each.observation.identity.name, []).append(each)
        for name in sorted(by_name) or [""]:
            yield Group(summary, name, tuple(by_name.get(name, ())))
