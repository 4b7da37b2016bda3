"""What a collector said of recordings and their containers, put together for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.record import Observation, Record
from recorder.model.wire import from_observation
from recorder.rpc.v1 import collector_pb2 as pb

_COUNTED = pb.CONFIRMATION_CONFIRMED


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """One container's record, and what the collector says of it. accesses: how many it has seen."""

    observation: Observation
    confirmation: pb.Confirmation
    reason: str
    not_recorded: str
    accesses: int = 0

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
        self._more: dict[tuple[str, int], list[Mapping[AccessKey, Seen]]] = {}
        self._keys: dict[AccessKey, AccessKey] = {}  # replicas mostly access the same

    def take(self, message: pb.GetRecordsResponse | pb.WatchRecordsResponse) -> str:
        """Keep what it says; of which recording it says something, else empty. InvalidRecord for nonsense."""
        if message.HasField("recording"):
            self._recordings[message.recording.id] = message.recording
            return message.recording.id
        if message.HasField("container"):
            said = message.container
            containers = self._containers.setdefault(said.recording_id, {})
            observation = from_observation(said.observation)
            if said.more:
                # joined where they are asked for: each join sorts all that there is
                entries = {
                    self._keys.setdefault(key, key): seen
                    for key, seen in observation.accesses.entries.items()
                }
                self._more.setdefault((said.recording_id, said.id), []).append(entries)
                return ""
            self._more.pop((said.recording_id, said.id), None)
            containers[said.id] = SeenContainer(
                observation, said.confirmation, said.reason, said.not_recorded, said.accesses
            )
            return said.recording_id
        if isinstance(message, pb.WatchRecordsResponse) and message.HasField("gone"):
            self._recordings.pop(message.gone.id, None)
            self._containers.pop(message.gone.id, None)
            self._more = {key: more for key, more in self._more.items() if key[0] != message.gone.id}
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
        for number, seen in sorted(self._containers.get(recording_id, {}).items()):
            each = self._with_accesses(seen, self._more.get((recording_id, number), ()))
            by_name.setdefault(each.observation.identity.name, []).append(each)
        for name in sorted(by_name) or [""]:
            yield Group(summary, name, tuple(by_name.get(name, ())))

    @staticmethod
    def _with_accesses(seen: SeenContainer, more: Sequence[Mapping[AccessKey, Seen]]) -> SeenContainer:
        if not more:
            return seen
        entries: dict[AccessKey, Seen] = {}
        for each in more:
            entries.update(each)
        cut_at = seen.observation.accesses.cut_at
        return replace(seen, observation=replace(seen.observation, accesses=Accesses(entries, cut_at)))
