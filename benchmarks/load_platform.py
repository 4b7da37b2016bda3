"""A platform for a loaded collector: all pods are where their agents say, and all results are taken.

It answers from memory after the time that an API server takes. What a request costs the client
(HTTP, TLS, JSON) is not in it: the benchmark says how many there were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from benchmarks.load_cluster import pod_named, recordings
from recorder.model.record import Pod
from recorder.model.recording import ProfileKind, Recording, RecordingName, RefusedRecording
from recorder.model.recording_status import RecordingEvent, RecordingStatus
from recorder.model.result import Application, Outcome, Placement, PublishedResult, ResultObject

READ, WRITE = 0.003, 0.010
"""Seconds: about what they take at an API server of the same machine (etcd syncs each write)."""


class LoadPlatform:
    """A `Platform`. `requests`: by method."""

    ready = True
    problem = ""

    def __init__(self, workloads: int) -> None:
        self._recordings = recordings(workloads)
        self._results: dict[tuple[ProfileKind, str], str] = {}
        self.requests: dict[str, int] = {}

    async def run(self, changed: Callable[[], None]) -> None:
        changed()
        await asyncio.Event().wait()

    def recordings(self) -> Mapping[str, Recording]:
        return self._recordings

    def refused(self) -> Mapping[str, RefusedRecording]:
        return {}

    def touched(self) -> frozenset[tuple[ProfileKind, str]]:
        return frozenset()

    async def placement(self, pod: Pod) -> Placement | None:
        await self._asked("placement", READ)
        found = pod_named(pod.name)
        return found.placement() if found and found.uid == pod.uid else None

    async def result(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        await self._asked("result", READ)
        uid = self._results.get((kind, name))
        return PublishedResult(kind, name, uid, True, {}, {}, {}) if uid else None

    async def apply(self, result: ResultObject, uid: str) -> Application:
        await self._asked("apply", WRITE)
        key = result.kind, result.name
        known = self._results.get(key)
        if known and known != uid:
            return Application(Outcome.TAKEN)
        # what the collector was told before it was started anew stays so
        self._results[key] = uid or f"{len(self._results):08x}-0000-4000-9000-000000000000"
        return Application(Outcome.UPDATED if known else Outcome.CREATED, self._results[key])

    async def remove(self, kind: ProfileKind, name: str, uid: str) -> None:
        await self._asked("remove", WRITE)
        if self._results.get((kind, name)) == uid:
            del self._results[kind, name]

    async def report(self, recording: RecordingName, status: RecordingStatus) -> None:
        await self._asked("report", WRITE)

    async def event(self, recording: RecordingName, event: RecordingEvent) -> None:
        await self._asked("event", WRITE)

    async def _asked(self, method: str, seconds: float) -> None:
        self.requests[method] = self.requests.get(method, 0) + 1
        await asyncio.sleep(seconds)
