"""A platform in memory, with the faults of a real one: the truth that the collector's tests compare with.

Objects have one owner for each field, as server-side apply has: a field that somebody else
set to another value is a conflict. Nothing here is taken from the product's own platforms.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from recorder.model.errors import PlatformUnreachable
from recorder.model.record import Pod
from recorder.model.recording import (
    Means,
    MergeStrategy,
    ProfileKind,
    Recording,
    RecordingName,
    RefusedRecording,
)
from recorder.model.recording_status import RecordingEvent, RecordingStatus
from recorder.model.result import Application, Edit, Outcome, Placement, PublishedResult, ResultObject
from recorder.model.selector import LabelSelector

MANAGER = "profile-recorder"
RECORDED_BY = "recorder.x-k8s.io/recorded-by"
EDITED = "metadata.annotations[recorder.x-k8s.io/edited]"


def recording(
    name: str = "r",
    namespace: str = "ns",
    uid: str = "",
    *,
    merge: MergeStrategy = MergeStrategy.NONE,
    labels: Mapping[str, str] | None = None,
    containers: tuple[str, ...] = (),
    disable: bool = False,
    beside: bool = False,
    kind: ProfileKind = ProfileKind.SECCOMP,
    generation: int = 1,
    denials: bool = False,
) -> Recording:
    """A recording whose uid is `uid-<namespace>-<name>` unless given; no labels: it selects every pod."""
    return Recording(
        name=RecordingName(namespace, name, uid or f"uid-{namespace}-{name}"),
        kind=kind,
        means=Means.BPF,
        merge=merge,
        selector=LabelSelector(labels or {}),
        containers=containers,
        disable=disable,
        generation=generation,
        beside=beside,
        denials=denials,
    )


@dataclass
class Held:
    """An object that the platform has. `owners`: the manager of each field, by its path.

    theirs: fields of ours that others took, with who; the annotation `edited` says the same to people.
    """

    kind: ProfileKind
    name: str
    uid: str
    fields: dict[str, Any] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Any]:
        """Values below `spec.` (by key), or within `metadata.labels[...]` and the like."""
        if prefix == "spec":
            return {path[5:]: value for path, value in self.fields.items() if path.startswith("spec.")}
        opening = f"metadata.{prefix}["
        return {
            path[len(opening) : -1]: value for path, value in self.fields.items() if path.startswith(opening)
        }

    @property
    def ours(self) -> bool:
        """Whether our manager wrote to it, and says so."""
        return MANAGER in self.owners.values() and RECORDED_BY in self.part("annotations")

    def published(self) -> PublishedResult:
        """As `Platform.result` gives it."""
        return PublishedResult(
            kind=self.kind,
            name=self.name,
            uid=self.uid,
            ours=self.ours,
            labels=self.part("labels"),
            annotations=self.part("annotations"),
            spec=self.part("spec"),
        )


def fields_of(result: ResultObject) -> dict[str, Any]:
    """Each field that an application of it sets, by its path."""
    return {
        **{f"spec.{key}": value for key, value in result.spec.items()},
        **{f"metadata.labels[{key}]": value for key, value in result.labels.items()},
        **{f"metadata.annotations[{key}]": value for key, value in result.annotations.items()},
    }


class FakePlatform:
    """Platform in memory. What a test changes: see the methods after `event`.

    unreachable: every coroutine fails. failures: how many of the next calls of a method fail
    *before* they do anything; lost_answers: how many fail *after* they did it. refuses: reasons
    by kind for which objects are not taken. delay: awaited in each coroutine, to give others a turn.
    """

    def __init__(self) -> None:
        self.ready = True
        self.problem = ""
        self.unreachable = False
        self.failures: Counter[str] = Counter()
        self.lost_answers: Counter[str] = Counter()
        self.refuses: dict[ProfileKind, str] = {}
        self.calls: Counter[str] = Counter()
        self.asked: list[Pod] = []
        self.pods: dict[tuple[str, str], Placement] = {}
        self.objects: dict[tuple[ProfileKind, str], Held] = {}
        self.applied: list[ResultObject] = []
        self.times: list[float] = []  # of what was applied
        self.clock: Callable[[], float] = time.monotonic
        self.removed: list[str] = []
        self.statuses: dict[str, RecordingStatus] = {}
        self.events: list[tuple[RecordingName, RecordingEvent]] = []
        self._recordings: dict[str, Recording] = {}
        self._refused: dict[str, RefusedRecording] = {}
        self._touched: set[tuple[ProfileKind, str]] = set()
        self._changed: Callable[[], None] = lambda: None
        self._uids = itertools.count(1)

    # Platform

    async def run(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        changed()
        await asyncio.Event().wait()

    def recordings(self) -> Mapping[str, Recording]:
        return dict(self._recordings)

    def refused(self) -> Mapping[str, RefusedRecording]:
        return dict(self._refused)

    async def placement(self, pod: Pod) -> Placement | None:
        await self._begin("placement")
        self.asked.append(pod)
        placement = self.pods.get((pod.namespace, pod.name))
        if placement is None or (pod.uid and placement.uid != pod.uid):
            placement = None
        self._end("placement")
        return placement

    async def result(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        await self._begin("result")
        held = self.objects.get((kind, name))
        self._end("result")
        return held.published() if held else None

    async def apply(self, result: ResultObject, uid: str) -> Application:
        await self._begin("apply")
        application = self._apply(result, uid)
        self._end("apply")
        return application

    def touched(self) -> frozenset[tuple[ProfileKind, str]]:
        touched, self._touched = frozenset(self._touched), set()
        return touched

    async def remove(self, kind: ProfileKind, name: str, uid: str) -> None:
        await self._begin("remove")
        held = self.objects.get((kind, name))
        if held and held.uid == uid:
            del self.objects[kind, name]
            self.removed.append(name)
        self._end("remove")

    async def report(self, recording: RecordingName, status: RecordingStatus) -> None:
        await self._begin("report")
        if recording.uid in self._recordings or recording.uid in self._refused:
            self.statuses[recording.uid] = status
        self._end("report")

    async def event(self, recording: RecordingName, event: RecordingEvent) -> None:
        await self._begin("event")
        self.events.append((recording, event))
        self._end("event")

    # What tests do

    def add(self, recording: Recording) -> Recording:
        """Make or edit a recording; one that was refused is not refused any more."""
        self._refused.pop(recording.id, None)
        self._recordings[recording.id] = recording
        self._changed()
        return recording

    def refuse(self, recording: Recording, reason: str, message: str = "", *, silent: bool = False) -> None:
        """Refuse a recording: as when its namespace loses the label (NotOptedIn)."""
        self._recordings.pop(recording.id, None)
        self._refused[recording.id] = RefusedRecording(
            recording.name, reason, message or reason, recording.generation, silent
        )
        self._changed()

    def delete(self, recording: Recording) -> None:
        """Delete a recording."""
        self._recordings.pop(recording.id, None)
        self._refused.pop(recording.id, None)
        self.statuses.pop(recording.id, None)
        self._changed()

    def add_pod(
        self,
        name: str,
        namespace: str = "ns",
        uid: str = "",
        node: str = "node-a",
        *,
        generate_name: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Pod:
        """A pod of the platform; returns it as the kubelet names it."""
        uid = uid or f"pod-{namespace}-{name}"
        self.pods[namespace, name] = Placement(namespace, name, uid, node, generate_name, dict(labels or {}))
        return Pod(namespace, name, uid)

    def label_pod(self, pod: Pod, labels: Mapping[str, str]) -> None:
        """Give a pod other labels than it had."""
        self.pods[pod.namespace, pod.name] = replace(self.pods[pod.namespace, pod.name], labels=dict(labels))

    def delete_pod(self, pod: Pod) -> None:
        """Delete a pod."""
        del self.pods[pod.namespace, pod.name]

    def object(self, name: str, kind: ProfileKind = ProfileKind.SECCOMP) -> PublishedResult:
        """The object of a name, which must be there."""
        return self.objects[kind, name].published()

    def names(self) -> list[str]:
        """The names of all objects."""
        return sorted(name for _, name in self.objects)

    def squat(self, name: str, manager: str = "somebody", kind: ProfileKind = ProfileKind.SECCOMP) -> Held:
        """An object of that name that is not ours."""
        held = Held(kind, name, self._uid(), {"spec.defaultAction": "SCMP_ACT_LOG"})
        held.owners = dict.fromkeys(held.fields, manager)
        self.objects[kind, name] = held
        return held

    def edit(self, name: str, path: str, value: Any, manager: str = "kubectl-edit") -> None:
        """A person sets a field of an object; None removes it, so that nobody owns it."""
        held = self.objects[ProfileKind.SECCOMP, name]
        if value is None:
            held.fields.pop(path, None)
            held.owners.pop(path, None)
        else:
            held.fields[path] = value
            held.owners[path] = manager
        self._touch(held.kind, name)

    def give_back(self, name: str) -> None:
        """A person removes the annotation `edited` of an object."""
        self.edit(name, EDITED, None)

    def delete_object(self, name: str, kind: ProfileKind = ProfileKind.SECCOMP) -> None:
        """A person deletes an object."""
        del self.objects[kind, name]
        self._touch(kind, name)

    def event_reasons(self, recording: Recording) -> list[str]:
        """The reasons of the events on a recording, in order."""
        return [event.reason for name, event in self.events if name.uid == recording.id]

    # Inside

    async def _begin(self, method: str) -> None:
        self.calls[method] += 1
        await asyncio.sleep(0)
        if self.unreachable:
            raise PlatformUnreachable(f"the fake platform is away ({method}); wait until it is back")
        if self.failures[method] > 0:
            self.failures[method] -= 1
            raise PlatformUnreachable(f"the fake platform failed before {method}")

    def _end(self, method: str) -> None:
        if self.lost_answers[method] > 0:
            self.lost_answers[method] -= 1
            raise PlatformUnreachable(f"the fake platform's answer to {method} was lost")

    def _uid(self) -> str:
        return f"object-{next(self._uids)}"

    def _apply(self, result: ResultObject, uid: str) -> Application:
        if reason := self.refuses.get(result.kind):
            return Application(Outcome.REFUSED, message=reason)
        held = self.objects.get((result.kind, result.name))
        if held and held.uid != uid:
            return Application(Outcome.TAKEN, message="an object of that name is there, or another one")
        outcome = Outcome.UPDATED if held else Outcome.CREATED
        if held is None:
            held = self.objects[result.kind, result.name] = Held(result.kind, result.name, self._uid())
        self.applied.append(result)
        self.times.append(self.clock())
        wanted = fields_of(result)
        if held.theirs and EDITED not in held.fields:  # given back
            for path in held.theirs:
                held.owners.pop(path, None)
            held.theirs = {}
        for path, value in wanted.items():
            if held.owners.get(path, MANAGER) != MANAGER and held.fields[path] != value:
                held.theirs[path] = held.owners[path]
        held.theirs = {path: manager for path, manager in held.theirs.items() if path in wanted}
        mine = {path: value for path, value in wanted.items() if path not in held.theirs}
        if held.theirs:
            mine[EDITED] = json.dumps(held.theirs, sort_keys=True)
        for path in [path for path, owner in held.owners.items() if owner == MANAGER and path not in mine]:
            del held.fields[path], held.owners[path]
        held.fields.update(mine)
        held.owners.update(dict.fromkeys(mine, MANAGER))
        edits = tuple(Edit(path, manager) for path, manager in sorted(held.theirs.items()))
        return Application(outcome, held.uid, edits)

    def _touch(self, kind: ProfileKind, name: str) -> None:
        self._touched.add((kind, name))
        self._changed()
