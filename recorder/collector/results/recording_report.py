"""A recording's status on its way to the platform: at once if its shape changed, else now and then."""

from __future__ import annotations

from collections.abc import Sequence

from recorder.collector.platform import Platform
from recorder.collector.results.recording_status_of import (
    Circumstances,
    Reported,
    recording_status,
    refused_status,
)
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.results.write_schedule import WriteSchedule
from recorder.model.recording import Recording, RefusedRecording
from recorder.model.recording_status import RecordingStatus

__all__ = ["RecordingReport"]


class RecordingReport:
    """One recording's. One that is not ours to write to is reported only if it was ours and has results."""

    def __init__(self, recording: Recording, platform: Platform, policy: ResultPolicy) -> None:
        self._recording = recording
        self._refused: RefusedRecording | None = None
        self._platform = platform
        self._schedule = WriteSchedule(policy.first_write, policy.last_write)
        self._told: RecordingStatus | None = None

    @property
    def due(self) -> float | None:
        """When it is to be written; None: it is written as it is."""
        return self._schedule.due

    def update(self, recording: Recording, refused: RefusedRecording | None) -> None:
        """What is reported of."""
        self._recording, self._refused = recording, refused

    async def report(self, reported: Sequence[Reported], circumstances: Circumstances, now: float) -> None:
        """Write the status if it is time to. PlatformUnreachable: it is still due."""
        refused = self._refused
        if refused is not None and refused.silent and not reported:
            return
        if refused is not None:
            status = refused_status(refused, reported, circumstances)
        else:
            status = recording_status(self._recording, reported, circumstances)
        if status == self._told:
            self._schedule.due = None
            return
        if self._told is None or _shape(status) != _shape(self._told):
            self._schedule.at_once(now)
        else:
            self._schedule.changed(now)
        if self._schedule.due is not None and self._schedule.due <= now:
            await self._platform.report(self._recording.name, status)
            self._told = status
            self._schedule.looked(now, wrote=True)


def _shape(status: RecordingStatus) -> object:
    """What a person waits for: conditions, and which results there are, in which state."""
    return (
        status.observed_generation,
        [(each.type, each.status, each.reason) for each in status.conditions],
        [(each.name, each.state) for each in status.results],
    )
