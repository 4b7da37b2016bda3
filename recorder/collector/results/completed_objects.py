"""The profiles that results complete, as they are on the platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from recorder.collector.platform import Platform
from recorder.collector.results.completed_result import completed_name
from recorder.collector.store.sighting import Sighting
from recorder.model.record import Record
from recorder.model.recording import Means, ProfileKind, Recording
from recorder.model.result import PublishedResult

__all__ = ["CompletedObjects"]

_MOST: Final = 16
"""Different profiles of one recording's containers that are read; of others there are the denials alone."""


class CompletedObjects:
    """Reads them."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def of(self, recording: Recording, sightings: Iterable[Sighting]) -> Mapping[str, PublishedResult]:
        """Return, by name, the objects of the profiles under which containers ran. PlatformUnreachable."""
        if (recording.kind, recording.means) != (ProfileKind.APPARMOR, Means.LOGS):
            return {}
        observations = [each.observation for each in sightings]
        # of all together, and of those of a partial result
        names = {completed_name(Record((each,))) for each in observations}
        found = {}
        for name in [completed_name(Record(tuple(observations))), *sorted(names)][: _MOST + 1]:
            if name and name not in found:
                published = await self._platform.result(ProfileKind.APPARMOR, name)
                if published is not None:
                    found[name] = published
        return found
