"""Kubernetes as the collector's platform."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.operators import exists
from lightkube.resources.core_v1 import Namespace
from lightkube.resources.core_v1 import Pod as PodResource

from recorder.kube.connection import FIELD_MANAGER, asking, is_missing
from recorder.kube.edited import edits_of
from recorder.kube.fields import given_back, standing_edits
from recorder.kube.neighbour import Neighbour
from recorder.kube.recordings import OPT_IN, Namespaces, Recordings
from recorder.kube.reflector import Reflector
from recorder.kube.resources import PROFILES, ProfileRecording
from recorder.kube.results import Results, is_ours
from recorder.kube.status import Events, Statuses
from recorder.model.errors import PlatformUnreachable
from recorder.model.record import Pod
from recorder.model.recording import ProfileKind, Recording, RecordingName, RefusedRecording
from recorder.model.recording_status import RecordingEvent, RecordingStatus
from recorder.model.result import Application, Placement, PublishedResult, ResultObject
from recorder.profiles.result_marks import EDITED, RECORDING_LABEL

__all__ = ["KubernetesPlatform"]


class KubernetesPlatform:
    """Satisfies the collector's `Platform`.

    namespaces: of recordings; empty: all. kinds: of results that are watched for people's
    edits. host: the machine's or pod's name, for Events. What is kept in memory is the
    recordings and the names of namespaces that opted in; of pods and profiles nothing.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        namespaces: Sequence[str] = (),
        kinds: Sequence[ProfileKind] = tuple(ProfileKind),
        host: str = "",
    ) -> None:
        self._client = client
        self._results = Results(client)
        self._statuses = Statuses(client)
        self._events = Events(client, host)
        self._neighbour = Neighbour(client)
        self._opted_in = Namespaces()
        self._recordings = Recordings(self._opted_in, self._neighbour)
        self._watched = [_Watched(kind) for kind in kinds]
        self._reflectors = [
            Reflector(client, Namespace, self._opted_in, labels={OPT_IN: exists()}),
            *(
                Reflector(client, ProfileRecording, self._recordings.of(each), namespace=each)
                for each in (namespaces or ("",))
            ),
        ]
        self._watchers = [
            Reflector(client, PROFILES[each.kind], each, labels={RECORDING_LABEL: exists()})
            for each in self._watched
        ]
        self._valid: dict[str, Recording] = {}
        self._refused: dict[str, RefusedRecording] = {}

    @property
    def ready(self) -> bool:
        """As Platform.ready."""
        return self._neighbour.known and all(each.listed for each in self._reflectors)

    @property
    def problem(self) -> str:
        """Why what is known may be out of date; empty: it is current."""
        return "; ".join(each.problem for each in (*self._reflectors, *self._watchers) if each.problem)

    async def run(self, changed: Callable[[], None]) -> None:
        """As Platform.run."""

        def judged() -> None:
            if not self.ready:
                return
            known = self._valid.keys() | self._refused.keys()
            self._valid, self._refused = self._recordings.all()
            self._statuses.forget(known - self._valid.keys() - self._refused.keys())
            changed()

        def touched() -> None:
            if any(each.touched for each in self._watched):
                changed()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._neighbour.run(judged))
            for each in self._reflectors:
                tasks.create_task(each.run(judged))
            for each in self._watchers:
                tasks.create_task(each.run(touched))

    def recordings(self) -> Mapping[str, Recording]:
        """As Platform.recordings."""
        return self._valid

    def refused(self) -> Mapping[str, RefusedRecording]:
        """As Platform.refused."""
        return self._refused

    async def placement(self, pod: Pod) -> Placement | None:
        """As Platform.placement."""
        what = f"reading the pod {pod.namespace}/{pod.name}"
        try:
            with asking(what):
                found = await self._client.get(PodResource, pod.name, namespace=pod.namespace)
        except ApiError as error:
            if is_missing(error):
                return None
            raise PlatformUnreachable(f"{what}: {error}") from error
        metadata = found.metadata
        node = found.spec.nodeName if found.spec else None
        if metadata is None or metadata.uid != pod.uid or not node:  # without a node it runs nowhere
            return None
        return Placement(
            namespace=pod.namespace,
            name=pod.name,
            uid=pod.uid,
            node=node,
            generate_name=metadata.generateName or "",
            labels=metadata.labels or {},
        )

    async def result(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        """As Platform.result."""
        return await self._results.read(kind, name)

    async def apply(self, result: ResultObject, uid: str) -> Application:
        """As Platform.apply."""
        return await self._results.apply(result, uid)

    def touched(self) -> frozenset[tuple[ProfileKind, str]]:
        """As Platform.touched."""
        found = frozenset((each.kind, name) for each in self._watched for name in each.touched)
        for each in self._watched:
            each.touched.clear()
        return found

    async def remove(self, kind: ProfileKind, name: str, uid: str) -> None:
        """As Platform.remove."""
        await self._results.remove(kind, name, uid)

    async def report(self, recording: RecordingName, status: RecordingStatus) -> None:
        """As Platform.report."""
        live = self._recordings.object(recording.uid)
        await self._statuses.write(recording, status, live, beside=self._neighbour.records)

    async def event(self, recording: RecordingName, event: RecordingEvent) -> None:
        """As Platform.event."""
        await self._events.tell(recording, event)


class _Watched:
    """Results of one kind, as a reflector shows them; kept are the names of those that people touched."""

    def __init__(self, kind: ProfileKind) -> None:
        self.kind = kind
        self.touched: set[str] = set()

    def put(self, each: dict[str, Any]) -> None:
        """As reflector.Kept.put."""
        if not is_ours(each):
            return
        said = edits_of((each["metadata"].get("annotations") or {}).get(EDITED, ""))
        if standing_edits(each, FIELD_MANAGER) != said or given_back(each):
            self.touched.add(each["metadata"]["name"])

    def drop(self, each: dict[str, Any]) -> None:
        """As reflector.Kept.drop."""
        if is_ours(each):
            self.touched.add(each["metadata"]["name"])

    def keep(self, uids: set[str]) -> None:
        """As reflector.Kept.keep: what is gone is made again when it is written."""
