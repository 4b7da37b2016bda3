"""Changes an AppArmorProfile where it stands: what it lacks, by its own complain mode, is added.

Profiles are cluster-scoped and a recording is of a namespace, so who may make recordings there must
not change any profile by it: only one that is a result of a recording of the same namespace, that
nobody records any more, and that is in complain mode. What an enforced profile refused is never
added: else whoever is refused something would get it by trying.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from recorder.collector.platform import Platform
from recorder.collector.results.result_names import label_value
from recorder.model.errors import InvalidProfile
from recorder.model.escape import escape
from recorder.model.record import Record
from recorder.model.recording import ProfileKind, Recording
from recorder.model.result import Outcome, PublishedResult, ResultObject
from recorder.profiles import apparmor_yaml
from recorder.profiles.annotations import PREFIX
from recorder.profiles.apparmor_profile import AppArmorProfile
from recorder.profiles.denied_profile import CompletedProfile, completed_profile, only_complained
from recorder.profiles.result_marks import (
    COMPLETED_BY,
    EDITED,
    NAMESPACE_LABEL,
    PLATFORM_MARKS,
    RECORDING_LABEL,
)

__all__ = ["ProfileUpdates", "UpdateAnswer", "published_profile"]

KIND: Final = ProfileKind.APPARMOR
_ABSTRACT: Final = "spec.abstract"


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """What became of it. done: the profile has now all that can be added. added: what was new this time.

    reason: CamelCase, as a condition's.
    """

    done: bool
    reason: str
    message: str
    added: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"done": self.done, "reason": self.reason, "message": self.message}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> UpdateAnswer:
        """Read what `to_json` gave. KeyError for anything else."""
        return cls(bool(value["done"]), str(value["reason"]), str(value["message"]))


class ProfileUpdates:
    """recorded: which live recording makes the profile of a name as its result; empty: none."""

    def __init__(self, platform: Platform, recorded: Callable[[ProfileKind, str], Awaitable[str]]) -> None:
        self._platform = platform
        self._recorded = recorded

    async def update(self, recording: Recording, units: Sequence[Record]) -> UpdateAnswer:
        """Add to `recording.update` what it complained of. PlatformUnreachable: it can be called again."""
        name = recording.update
        published = await self._platform.result(KIND, name)
        refusal = _refusal(recording, published)
        if refusal is None and (by := await self._recorded(KIND, name)):
            refusal = UpdateAnswer(
                False,
                "StillRecorded",
                f"{name} is a result of the recording {by}, which would write it again without what is added:"
                " delete that recording first",
            )
        if refusal is not None or published is None:
            return refusal or UpdateAnswer(False, "NotFound", f"there is no AppArmorProfile {name}")
        try:
            base = published_profile(published)
        except InvalidProfile as error:
            return UpdateAnswer(False, "NotUnderstood", f"{name} is left as it is: {error}")
        try:
            done = completed_profile([only_complained(each) for each in units], name, base)
        except InvalidProfile as error:
            return UpdateAnswer(
                True, "NothingToAdd", f"nothing is to be added to {name}: {escape(str(error))}"
            )
        if not done.added:
            return UpdateAnswer(True, "NothingToAdd", f"{name} has all that it allowed in complain mode")
        return await self._apply(recording, published, done)

    async def _apply(
        self, recording: Recording, published: PublishedResult, done: CompletedProfile
    ) -> UpdateAnswer:
        name = published.name
        answer = await self._platform.apply(_changed(recording, published, done.profile), published.uid)
        if answer.outcome is Outcome.REFUSED:
            return UpdateAnswer(False, "Refused", f"{name} is refused: {answer.message}")
        if answer.outcome is Outcome.TAKEN:
            return UpdateAnswer(False, "Changed", f"{name} was made anew by somebody meanwhile")
        taken = [each.manager for each in answer.edits if each.field == _ABSTRACT]
        if taken:
            return _edited(name, taken[0])
        return UpdateAnswer(True, "Updated", f"{name}: added {'; '.join(done.added)}", done.added)


def published_profile(published: PublishedResult) -> AppArmorProfile:
    """Return the profile of an object; InvalidProfile if it has what is not known here."""
    value = {
        "apiVersion": apparmor_yaml.API_VERSION,
        "kind": apparmor_yaml.KIND,
        "metadata": {"name": published.name},
        "spec": json.loads(json.dumps(dict(published.spec))),
    }
    return apparmor_yaml.from_object(value)


def _edited(name: str, manager: str) -> UpdateAnswer:
    return UpdateAnswer(
        False,
        "Edited",
        f"{_ABSTRACT} of {name} was edited by {manager}, and is left as it is: add to it by hand what the"
        f" result to review has, or give it back (annotation {EDITED})",
    )


def _editor(published: PublishedResult) -> str:
    """Who took the rules over, as far as the object says; empty: nobody."""
    try:
        said = json.loads(published.annotations.get(EDITED, ""))
    except ValueError:
        return ""
    manager = said.get(_ABSTRACT) if isinstance(said, dict) else None
    return manager if isinstance(manager, str) else ""


def _refusal(recording: Recording, published: PublishedResult | None) -> UpdateAnswer | None:
    name, namespace = recording.update, recording.name.namespace
    if published is None:
        return UpdateAnswer(False, "NotFound", f"there is no AppArmorProfile {name}")
    if not published.ours or RECORDING_LABEL not in published.labels:
        return UpdateAnswer(
            False,
            "NotOurs",
            f"{name} is no result of a recording, so that it is not changed from here: take what is to be"
            " added from the result, or use recorder profile update",
        )
    of = published.labels.get(NAMESPACE_LABEL, "")
    if of != (label_value(namespace) if namespace else ""):
        return UpdateAnswer(
            False, "OtherNamespace", f"{name} is of another namespace, whose recordings alone may change it"
        )
    if published.spec.get("mode") != "Complain":
        return UpdateAnswer(
            False,
            "NotInComplainMode",
            f"{name} enforces: only what a profile allows in complain mode is added where it stands; set"
            " spec.mode to Complain, and record again",
        )
    editor = _editor(published)
    return _edited(name, editor) if editor else None


def _changed(recording: Recording, published: PublishedResult, profile: AppArmorProfile) -> ResultObject:
    """The object with the profile's rules; all else of ours as it is, since what is left out is removed."""
    spec = apparmor_yaml.to_object(profile)["spec"]
    assert isinstance(spec, dict)  # noqa: S101 -- to_object makes it
    annotations = {
        key: text
        for key, text in published.annotations.items()
        if key.startswith(f"{PREFIX}/") and key not in PLATFORM_MARKS
    }
    return ResultObject(
        kind=KIND,
        name=published.name,
        labels={key: text for key, text in published.labels.items() if key.startswith(_OUR_LABELS)},
        annotations={**annotations, COMPLETED_BY: str(recording.name)},
        spec={**_ours(published.spec), "abstract": spec["abstract"]},
    )


_OUR_LABELS: Final = f"{RECORDING_LABEL.partition('/')[0]}/"
_FIELDS: Final = ("state", "mode", "abstract")


def _ours(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: spec[key] for key in _FIELDS if key in spec}
