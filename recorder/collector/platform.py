"""Where recordings come from and results go to: Kubernetes, or folders of one machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from recorder.model.record import Pod
from recorder.model.recording import ProfileKind, Recording, RecordingName, RefusedRecording
from recorder.model.recording_status import RecordingEvent, RecordingStatus
from recorder.model.result import Application, Placement, PublishedResult, ResultObject

__all__ = ["Platform"]


class Platform(Protocol):
    """All that the collector asks of the world. Values alone go through it.

    Its coroutines raise PlatformUnreachable while the platform cannot be asked (the API server is
    away, the folder cannot be written); the collector then tries again, and loses nothing.
    """

    @property
    def ready(self) -> bool:
        """Whether `recordings` is whole: the first listing was done. Stays true during outages."""

    @property
    def problem(self) -> str:
        """Why what is known of recordings may be out of date; empty: it is current."""

    async def run(self, changed: Callable[[], None]) -> None:
        """Follow what is asked until cancelled; `changed` is called after each change of recordings."""

    def recordings(self) -> Mapping[str, Recording]:
        """What is to be done now, by id (uid): valid, in a namespace that opted in, and ours."""

    def refused(self) -> Mapping[str, RefusedRecording]:
        """What is not done, and why, by id."""

    async def placement(self, pod: Pod) -> Placement | None:
        """The pod of that namespace and name as it is now; None: there is none, or it has another uid."""

    async def result(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        """The object of that name; None: there is none."""

    async def apply(self, result: ResultObject, uid: str) -> Application:
        """Make the object so. `uid`: the object that it must be; empty: there must be none yet.

        An object that somebody deleted is made anew. Never forced: fields that somebody else took
        are left as they are and reported as edits, until that person gives them back.
        """

    def touched(self) -> frozenset[tuple[ProfileKind, str]]:
        """Results that somebody else edited, gave back or deleted since this was last asked.

        `changed` of `run` is called for these too.
        """

    async def remove(self, kind: ProfileKind, name: str, uid: str) -> None:
        """Remove an object of ours if it still is that one; returns as well if it is not."""

    async def report(self, recording: RecordingName, status: RecordingStatus) -> None:
        """Write the recording's status, if it changed; returns if the recording is gone."""

    async def event(self, recording: RecordingName, event: RecordingEvent) -> None:
        """Tell an event. Best effort: repeats may be counted up instead of shown again."""
