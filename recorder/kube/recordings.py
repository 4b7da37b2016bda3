"""Which recordings are to be done: valid, in a namespace that opted in, and ours to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recorder.kube.neighbour import Neighbour
from recorder.model.errors import InvalidRecording
from recorder.model.recording import Recording, RecordingName, RefusedRecording
from recorder.profiles.recording_object import recording_of

__all__ = ["OPT_IN", "Namespaces", "Recordings"]

OPT_IN = "spo.x-k8s.io/enable-recording"
"""A namespace with this label, whatever its value, is recorded."""
MAX_TEXT = 512
"""Characters of a person's own words that go into a message."""


class Namespaces:
    """The namespaces that opted in; kept by a reflector of those that bear the label."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._names.values()

    def put(self, each: dict[str, Any]) -> None:
        """As Kept.put."""
        self._names[each["metadata"]["uid"]] = each["metadata"]["name"]

    def drop(self, each: dict[str, Any]) -> None:
        """As Kept.drop: it is gone, or lost its label."""
        self._names.pop(each["metadata"]["uid"], None)

    def keep(self, uids: set[str]) -> None:
        """As Kept.keep."""
        for uid in self._names.keys() - uids:
            del self._names[uid]


class Recordings:
    """ProfileRecording objects, kept by reflectors; each namespace of `namespaces`, or all, has one."""

    def __init__(self, opted_in: Namespaces, neighbour: Neighbour) -> None:
        self._opted_in = opted_in
        self._neighbour = neighbour
        self._objects: dict[str, dict[str, Any]] = {}

    def of(self, namespace: str) -> Kept:
        """What a reflector of one namespace (empty: all) keeps."""
        return Kept(self._objects, namespace)

    def object(self, uid: str) -> Mapping[str, Any] | None:
        """The object as it was last seen."""
        return self._objects.get(uid)

    def all(self) -> tuple[dict[str, Recording], dict[str, RefusedRecording]]:
        """Those that are to be done and those that are not, by uid."""
        valid: dict[str, Recording] = {}
        refused: dict[str, RefusedRecording] = {}
        for uid, each in self._objects.items():
            judged = self._judge(each)
            if isinstance(judged, Recording):
                valid[uid] = judged
            else:
                refused[uid] = judged
        return valid, refused

    def _judge(self, each: dict[str, Any]) -> Recording | RefusedRecording:
        metadata = each["metadata"]
        name = RecordingName(metadata["namespace"], metadata["name"], metadata["uid"])
        generation = int(metadata.get("generation", 0))

        def refuse(reason: str, message: str, *, silent: bool = False) -> RefusedRecording:
            return RefusedRecording(name, reason, message, generation, silent)

        beside = self._neighbour.records
        if beside and not self._neighbour.yields(metadata.get("annotations") or {}):
            return refuse("AnotherRecorder", self._neighbour.message, silent=True)
        if name.namespace not in self._opted_in:
            return refuse(
                "NotOptedIn",
                f"the namespace {name.namespace} does not bear the label {OPT_IN}: nothing of it is recorded;"
                f" kubectl label namespace {name.namespace} {OPT_IN}=true",
            )
        try:
            return recording_of(each, beside=beside)
        except InvalidRecording as error:
            return refuse("Invalid", str(error)[:MAX_TEXT])


class Kept:
    """The objects of one namespace, or of all, in a store that several share."""

    def __init__(self, objects: dict[str, dict[str, Any]], namespace: str) -> None:
        self._objects = objects
        self._namespace = namespace

    def put(self, each: dict[str, Any]) -> None:
        """As reflector.Kept.put. An object that is being deleted counts as deleted."""
        metadata = each["metadata"]
        if metadata.get("deletionTimestamp"):
            self._objects.pop(metadata["uid"], None)
            return
        metadata.pop("managedFields", None)
        self._objects[metadata["uid"]] = each

    def drop(self, each: dict[str, Any]) -> None:
        """As reflector.Kept.drop."""
        self._objects.pop(each["metadata"]["uid"], None)

    def keep(self, uids: set[str]) -> None:
        """As reflector.Kept.keep."""
        gone = [
            uid
            for uid, each in self._objects.items()
            if uid not in uids and self._namespace in ("", each["metadata"]["namespace"])
        ]
        for uid in gone:
            del self._objects[uid]
