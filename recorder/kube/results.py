"""Profiles in the cluster: read, applied without force, removed.

An application is server-side apply with a field manager of our own. It carries the
object's uid and the version that it was made from, so that nothing that happened in
between is overwritten: the API server refuses it then, and it is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

from lightkube import ApiError, AsyncClient
from lightkube.models.meta_v1 import StatusCause
from lightkube.types import PatchType

from recorder.kube.connection import FIELD_MANAGER, asking, denied_by_webhook, is_missing
from recorder.kube.edited import edited_annotation
from recorder.kube.fields import (
    APPLIED,
    Fields,
    applied_annotation,
    bookkeeping,
    conflict_name,
    fields_of,
    given_back,
    standing_edits,
)
from recorder.kube.ownership import owns, without_claims
from recorder.kube.resources import PROFILES
from recorder.model.errors import PlatformUnreachable
from recorder.model.recording import ProfileKind
from recorder.model.result import Application, Edit, Outcome, PublishedResult, ResultObject
from recorder.profiles.result_fields import Path, name_of, path_of, value_at
from recorder.profiles.result_marks import EDITED, RECORDED_BY

__all__ = ["Results", "is_ours"]

_ATTEMPTS = 5
_CONFLICT = 409
_REFUSALS = (400, 403, 413, 422)


def is_ours(live: Mapping[str, Any]) -> bool:
    """Whether an object is this recorder's: its field manager, and its annotation, are on it."""
    metadata = live["metadata"]
    managers = {each.get("manager") for each in metadata.get("managedFields") or ()}
    return FIELD_MANAGER in managers and RECORDED_BY in (metadata.get("annotations") or {})


class Results:
    """Reads and writes profiles. Every method raises PlatformUnreachable."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._applying: WeakValueDictionary[tuple[ProfileKind, str], asyncio.Lock] = WeakValueDictionary()

    async def read(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        """The object of that name; None: there is none."""
        live = await self._get(kind, name)
        if live is None:
            return None
        metadata = live["metadata"]
        return PublishedResult(
            kind=kind,
            name=name,
            uid=metadata["uid"],
            ours=is_ours(live),
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            spec=live.get("spec") or {},
        )

    async def apply(self, result: ResultObject, uid: str) -> Application:
        """As Platform.apply.

        An application cannot say that there must be no object yet, and two by one manager do not
        conflict: so two of ours that want one name take turns, and the later one finds the object.
        """
        async with self._applying.setdefault((result.kind, result.name), asyncio.Lock()):
            return await self._apply(result, uid)

    async def _apply(self, result: ResultObject, uid: str) -> Application:
        conflicts: dict[str, Edit] = {}
        back = False
        for _ in range(_ATTEMPTS):
            live = await self._get(result.kind, result.name)
            if live is not None and live["metadata"]["uid"] != uid:
                return Application(Outcome.TAKEN, live["metadata"]["uid"])
            if live is None:
                return await self._create(result)
            if given_back(live) and not back:
                conflicts = await self._take_back(result, live)
                back = True
                continue  # with the object as it is now
            edits = _edits(result, live) | conflicts
            try:
                answer = await self._patch(result, _configuration(result, live, tuple(edits.values())))
            except ApiError as error:
                if error.status.code != _CONFLICT:
                    return _refused(error)
                conflicts |= _conflicts(error, fields_of(result))
                if own := bookkeeping(each.field or "" for each in _causes(error)):
                    conflicts |= edits
                    await self._unclaim(result, live, own)
                continue
            return Application(Outcome.UPDATED, answer["metadata"]["uid"], tuple(sorted(edits.values())))
        raise PlatformUnreachable(
            f"{result.kind} {result.name}: others changed it each time that it was to be written"
        )

    async def remove(self, kind: ProfileKind, name: str, uid: str) -> None:
        """As Platform.remove. It is ours no longer if somebody else has edited it."""
        live = await self._get(kind, name)
        if live is None or live["metadata"]["uid"] != uid or not is_ours(live):
            return
        if not standing_edits(live, FIELD_MANAGER):
            try:
                with asking(f"removing {kind} {name}"):
                    await self._client.delete(PROFILES[kind], name)
            except ApiError as error:
                if not is_missing(error):
                    raise PlatformUnreachable(f"removing {kind} {name}: {error}") from error

    async def _get(self, kind: ProfileKind, name: str) -> dict[str, Any] | None:
        what = f"reading {kind} {name}"
        try:
            with asking(what):
                return dict(await self._client.get(PROFILES[kind], name))
        except ApiError as error:
            if not is_missing(error):
                raise PlatformUnreachable(f"{what}: {error}") from error
            return None

    async def _create(self, result: ResultObject) -> Application:
        """Apply as if there were none: an object that somebody makes at the same moment is left alone."""
        try:
            answer = await self._patch(result, _configuration(result, None, ()))
        except ApiError as error:
            if error.status.code == _CONFLICT:
                return Application(Outcome.TAKEN)
            if is_missing(error):
                raise PlatformUnreachable(
                    f"there is no kind {result.kind} in this cluster: kubectl apply -k deploy/crds"
                ) from error
            return _refused(error)
        metadata = answer["metadata"]
        if any(each.get("manager") != FIELD_MANAGER for each in metadata.get("managedFields") or ()):
            await self._withdraw(result, metadata["uid"])
            return Application(Outcome.TAKEN, metadata["uid"])
        return Application(Outcome.CREATED, metadata["uid"])

    async def _withdraw(self, result: ResultObject, uid: str) -> None:
        """Take all that is ours off an object that turned out to be somebody else's."""
        try:
            await self._patch(result, {"metadata": {"name": result.name, "uid": uid}})
        except ApiError as error:
            if not is_missing(error):
                raise PlatformUnreachable(f"withdrawing from {result.kind} {result.name}: {error}") from error

    async def _take_back(self, result: ResultObject, live: Mapping[str, Any]) -> dict[str, Edit]:
        """Drop others' claims on the fields that a person gave back; return the edits that stay.

        What is there now counts as no edit. Without the annotation all is given back, also what was
        edited since.
        """
        fields, taken, stay = fields_of(result), given_back(live), _edits(result, live)
        if EDITED not in (live["metadata"].get("annotations") or {}):
            taken, stay = [*taken, *stay], {}
        paths = [path for path in map(path_of, taken) if path in fields]
        await self._unclaim(result, live, paths, {APPLIED: None})
        return stay

    async def _unclaim(
        self,
        result: ResultObject,
        live: Mapping[str, Any],
        paths: Sequence[Path],
        annotations: Mapping[str, None] = MappingProxyType({}),
    ) -> None:
        """Drop others' claims on these fields, and these annotations; the object must be as it was read."""
        metadata = live["metadata"]
        body = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "managedFields": without_claims(metadata.get("managedFields") or (), paths, FIELD_MANAGER),
                "annotations": dict(annotations),
            }
        }
        what = f"taking back {result.kind} {result.name}"
        try:
            with asking(what):
                await self._client.patch(
                    PROFILES[result.kind],
                    result.name,
                    body,
                    patch_type=PatchType.MERGE,
                    field_manager=FIELD_MANAGER,
                )
        except ApiError as error:  # changed or gone meanwhile: the next look finds out
            if error.status.code != _CONFLICT and not is_missing(error):
                raise PlatformUnreachable(f"{what}: {error}") from error

    async def _patch(self, result: ResultObject, body: dict[str, Any]) -> dict[str, Any]:
        resource = PROFILES[result.kind]
        with asking(f"applying {result.kind} {result.name}"):
            return dict(
                await self._client.patch(
                    resource,
                    result.name,
                    resource(**body),
                    patch_type=PatchType.APPLY,
                    field_manager=FIELD_MANAGER,
                )
            )


def _configuration(
    result: ResultObject, live: Mapping[str, Any] | None, edits: Sequence[Edit]
) -> dict[str, Any]:
    """What is applied: all of the result but what is somebody's, of which our part stays as it is."""
    taken = {each.field for each in edits}
    fields: Fields = {}
    for path, value in fields_of(result).items():
        if name_of(path) not in taken:
            fields[path] = value
        elif live and owns(live["metadata"].get("managedFields") or (), path, FIELD_MANAGER):
            kept = value_at(live, path)  # leaving it out would remove our items of a list
            if kept is not None:
                fields[path] = kept
    ours = {path: value for path, value in fields.items() if name_of(path) not in taken}
    fields["metadata", "annotations", APPLIED] = applied_annotation(ours, edits)
    if edits:
        fields["metadata", "annotations", EDITED] = edited_annotation(edits)
    metadata: dict[str, Any] = {"name": result.name, "labels": {}, "annotations": {}}
    if live:
        metadata["uid"] = live["metadata"]["uid"]
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    spec: dict[str, Any] = {}
    for path, value in fields.items():
        (spec if path[0] == "spec" else metadata[path[1]])[path[-1]] = value
    return {"metadata": metadata, "spec": spec}


def _edits(result: ResultObject, live: Mapping[str, Any]) -> dict[str, Edit]:
    """People's edits of fields that the result has, by field."""
    names = {name_of(path) for path in fields_of(result)}
    return {each.field: each for each in standing_edits(live, FIELD_MANAGER) if each.field in names}


def _causes(error: ApiError) -> list[StatusCause]:
    """Where a refusal says that somebody else owns a field; none if it was refused for its version."""
    details = error.status.details
    causes = (details.causes if details else None) or ()
    return [each for each in causes if each.reason == "FieldManagerConflict"]


def _conflicts(error: ApiError, fields: Fields) -> dict[str, Edit]:
    """The fields of ours that a refusal says somebody else owns."""
    found: dict[str, Edit] = {}
    for cause in _causes(error):
        name = conflict_name(cause.field or "", fields)
        if name:
            found[name] = Edit(name, _manager(cause.message or ""))
    return found


def _manager(message: str) -> str:
    """Of `conflict with "kubectl-edit" using v1 at ...`."""
    parts = message.split('"')
    return parts[1] if len(parts) > 2 else "unknown"


def _refused(error: ApiError) -> Application:
    if error.status.code in _REFUSALS or denied_by_webhook(error):
        return Application(Outcome.REFUSED, message=str(error)[:1024])
    raise PlatformUnreachable(f"the API server answers {error.status.code}: {error}") from error
