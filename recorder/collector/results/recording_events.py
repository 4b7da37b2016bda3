"""Events on recordings: each is told once, also if the platform is away when it happens."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from recorder.collector.platform import Platform
from recorder.model.recording import RecordingName
from recorder.model.recording_status import RecordingEvent

__all__ = ["RecordingEvents"]

_MAX_WAITING: Final = 1000
_MAX_TOLD: Final = 20_000
_MAX_MESSAGE: Final = 1024  # characters, of events.k8s.io's note


class RecordingEvents:
    """Waiting events, and which were told. Beyond a thousand that wait, the oldest is dropped and counted."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._waiting: deque[tuple[RecordingName, RecordingEvent]] = deque()
        self._told: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many are to be told."""
        return len(self._waiting)

    def tell(
        self, recording: RecordingName, reason: str, message: str, *, warning: bool = False, once: str = ""
    ) -> None:
        """Tell one, unless it was told. `once`: what makes it the same event, with its reason."""
        mark = (recording.uid, reason, once)
        if mark in self._told:
            return
        self._told[mark] = None
        if len(self._told) > _MAX_TOLD:
            self._told.popitem(last=False)
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        text = message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 3] + "..."
        self._waiting.append((recording, RecordingEvent(reason, text, warning)))

    async def flush(self) -> None:
        """Hand on what waits. PlatformUnreachable: the rest waits on."""
        while self._waiting:
            await self._platform.event(*self._waiting[0])
            self._waiting.popleft()
