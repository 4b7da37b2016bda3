"""A recording's status, and its Events.

Server-side apply fails where the CRD does not declare a field, as SPO's does not declare ours.
A patch is pruned; where it was, what the status says goes into one annotation. It is a
JSON patch since only that can test whose status it is: metadata is not looked at in a
merge patch of the subresource (measured with Kubernetes 1.20). Beside another recorder it is
a merge patch nevertheless: what is the other's in the status has to stay, as it is by then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.resources.core_v1 import Event
from lightkube.types import PatchType

from recorder.kube.connection import FIELD_MANAGER, asking, is_ending, is_missing
from recorder.kube.resources import VERSION, ProfileRecording
from recorder.model.errors import PlatformUnreachable
from recorder.model.recording import RecordingName
from recorder.model.recording_status import RecordingEvent, RecordingStatus
from recorder.profiles.annotations import PREFIX
from recorder.profiles.api_group import GROUP
from recorder.profiles.status_object import said, status_object

__all__ = ["STATUS", "Events", "Statuses"]

STATUS = f"{PREFIX}/status"
"""A recording's annotation where its CRD has no room for our status."""

_MAX_ANNOTATION = 16 << 10
_MAX_MESSAGE = 1024  # Event.message, apimachinery's validation
_CONFLICT = 409
_NOT_IT = (404, _CONFLICT, 422)
"""What an object that is gone, or has another uid, is answered with; 422: the test of a JSON patch failed."""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _annotated(live: Mapping[str, Any] | None) -> dict[str, Any]:
    """The status that was put into the annotation: its times of transition are still known."""
    try:
        found = json.loads(((live or {}).get("metadata", {}).get("annotations") or {}).get(STATUS, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Statuses:
    """Writes statuses, each only if it differs from what was written last."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._written: dict[str, dict[str, Any]] = {}

    def forget(self, uids: set[str]) -> None:
        """Recordings that are gone."""
        for uid in self._written.keys() & uids:
            del self._written[uid]

    async def write(
        self,
        name: RecordingName,
        status: RecordingStatus,
        live: Mapping[str, Any] | None,
        *,
        beside: bool = False,
    ) -> None:
        """Raises PlatformUnreachable. `live`: the object as it was last seen.

        beside: another recorder works in the cluster, and counts its own pods in activeWorkloads.
        """
        before = (live or {}).get("status") or {}
        body = status_object(status, before if "conditions" in before else _annotated(live), _now())
        if not status.active_workloads and "activeWorkloads" not in before:
            del body["activeWorkloads"]
        if self._written.get(name.uid) == said(body) or said(before) == said(body):
            return
        if beside:
            ours = {key: value for key, value in body.items() if key != "activeWorkloads"}
            answer = await self._patch(ProfileRecording.Status, name, {"status": ours}, PatchType.MERGE)
        else:
            patch = [
                {"op": "test", "path": "/metadata/uid", "value": name.uid},
                {"op": "add", "path": "/status", "value": {**before, **body}},
            ]
            answer = await self._patch(ProfileRecording.Status, name, patch, PatchType.JSON)
        if answer is None:
            return
        if "conditions" not in (answer.get("status") or {}):  # SPO's CRD: pruned
            text = json.dumps(body, sort_keys=True, separators=(",", ":"))
            if len(text) > _MAX_ANNOTATION:
                long = [each for each in ("results", "denials") if body.get(each)]
                brief = {**body, **{each: f"{len(body[each])}, too many for an annotation" for each in long}}
                text = json.dumps(brief, sort_keys=True, separators=(",", ":"))
            note = {"metadata": {"uid": name.uid, "annotations": {STATUS: text}}}
            await self._patch(ProfileRecording, name, note, PatchType.MERGE)
        self._written[name.uid] = said(body)

    async def _patch(self, resource: Any, name: RecordingName, body: Any, how: PatchType) -> Any:
        """The object as it is then; None if it is gone, or another of the same name."""
        what = f"writing the status of {name}"
        try:
            with asking(what):
                return await self._client.patch(
                    resource,
                    name.name,
                    body,
                    namespace=name.namespace,
                    patch_type=how,
                    field_manager=FIELD_MANAGER,
                )
        except ApiError as error:
            if error.status.code in _NOT_IT:
                return None
            raise PlatformUnreachable(f"{what}: {error}") from error


class Events:
    """Tells Events. One that is told again is counted up."""

    def __init__(self, client: AsyncClient, host: str) -> None:
        self._client = client
        self._host = host

    async def tell(self, recording: RecordingName, event: RecordingEvent) -> None:
        """Raises PlatformUnreachable. Nothing is told in a namespace that is gone, or going."""
        text = "\0".join((recording.uid, event.reason, event.message))
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = f"{recording.name[:200]}.{digest}"
        now = _now()
        body = {
            "metadata": {"name": name, "namespace": recording.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "ProfileRecording",
                "namespace": recording.namespace,
                "name": recording.name,
                "uid": recording.uid,
            },
            "reason": event.reason,
            "message": event.message[:_MAX_MESSAGE],
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": FIELD_MANAGER, "host": self._host},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        told: Any = Event.from_dict(body)
        what = f"telling an event of {recording}"
        try:
            with asking(what):
                try:
                    await self._client.create(told)
                except ApiError as error:
                    if error.status.code != _CONFLICT:
                        raise
                    known = await self._client.get(Event, name, namespace=recording.namespace)
                    again = {"count": (known.count or 1) + 1, "lastTimestamp": now}
                    await self._client.patch(
                        Event, name, again, namespace=recording.namespace, patch_type=PatchType.MERGE
                    )
        except ApiError as error:
            if not (is_missing(error) or is_ending(error)):
                raise PlatformUnreachable(f"{what}: {error}") from error
