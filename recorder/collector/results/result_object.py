"""From a draft to the object that is published: the same draft gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from recorder.collector.results.drafts import Draft
from recorder.collector.results.result_names import result_labels
from recorder.model.errors import InvalidProfile
from recorder.model.record import Identity, Observation, Outcome, Phase, Record
from recorder.model.recording import MergeStrategy, ProfileKind, Recording
from recorder.model.result import ResultObject
from recorder.profiles.annotations import MAX_TOTAL, PREFIX
from recorder.profiles.base import NO_BASE, Base, resolve_base
from recorder.profiles.result_marks import (
    ASKED,
    COLLECTOR_VERSION,
    COVERAGE,
    OWNER,
    RECORDED_BY,
    RECORDS,
    STATE,
    STATE_FINAL,
    STATE_RECORDING,
)
from recorder.profiles.seccomp import build
from recorder.profiles.seccomp_yaml import to_object

__all__ = ["SERVED_KINDS", "NotYet", "content_digest", "result_object"]

SERVED_KINDS: Final = (ProfileKind.SECCOMP,)
"""The kinds of which results are made."""

# What the platform adds about people's edits, and what people add, needs room too.
_MAX_ANNOTATIONS: Final = MAX_TOTAL - 8 * 1024
_MAX_TEXT: Final = 512
_LAST_SEEN: Final = f"{PREFIX}/last-seen"


@dataclass(frozen=True, slots=True)
class NotYet:
    """There is no object to publish; `reason` is a sentence for a person."""

    reason: str


def result_object(
    recording: Recording, draft: Draft, name: str, *, final: bool, version: str
) -> ResultObject | NotYet:
    """Return the object that a draft makes under a name.

    It is Disabled while it grows, since a profile that is enabled is installed at once; final, it
    is Enabled unless the recording asks otherwise. `version`: this program's. NotYet while nothing
    of the workload was seen, since a profile of the set-up alone lets nothing run.
    """
    if recording.kind not in SERVED_KINDS:
        return NotYet(f"results of the kind {recording.kind} are not made by version {version}")
    if not draft.record.calls(Phase.WORKLOAD):
        return NotYet(_nothing_seen(draft))
    try:
        profile = build(
            draft.record,
            name=name,
            base=_base(draft.record),
            enabled=final and not recording.disable,
            labels=result_labels(recording.name, draft.key),
        )
    except InvalidProfile as error:
        return NotYet(str(error))
    spec = to_object(profile)["spec"]
    assert isinstance(spec, dict)  # noqa: S101 -- to_object makes it
    own = _annotations(recording, draft, final=final, version=version)
    return ResultObject(
        kind=recording.kind,
        name=profile.name,
        labels=dict(profile.labels),
        annotations=_bounded({**profile.annotations, **own}),
        spec=spec,
    )


def content_digest(result: ResultObject) -> str:
    """Return the SHA-256, in hexadecimal, of what is worth a write: spec, labels, annotations.

    Not the version of this program, which an upgrade changes in every object; nor, while the
    result grows, the time at which something was last seen, which changes with every report.
    """
    left_out = {COLLECTOR_VERSION}
    if result.annotations.get(STATE) == STATE_RECORDING:
        left_out.add(_LAST_SEEN)
    kept = {key: value for key, value in result.annotations.items() if key not in left_out}
    content = {"annotations": kept, "labels": dict(result.labels), "spec": dict(result.spec)}
    return sha256(_json(content).encode()).hexdigest()


def _nothing_seen(draft: Draft) -> str:
    what = f"of the container {draft.key.container}"
    if not draft.record.calls(Phase.SETUP) and not draft.record.calls(Phase.WORKLOAD, Outcome.DENIED):
        seen = "no call was seen"
    else:
        seen = "nothing but its set-up, or calls that a filter denied, was seen"
    if draft.running:
        return f"{seen} {what} so far; the profile appears with the first call of the workload"
    return f"{seen} {what} before it ended; look whether its command could be started"


def _base(record: Record) -> Base:
    """The calls that the container runtimes of these nodes make themselves, in the container's place."""
    used = {
        (each.provenance.runtime, each.provenance.runtime_version)
        for each in record.observations
        if _worked(each)
    }
    bases = {base.name: base for base in (resolve_base("auto", *each) for each in used)}
    names = frozenset[str]().union(*(base.names for base in bases.values()))
    return Base(", ".join(sorted(bases)), names) if bases else NO_BASE


def _worked(observation: Observation) -> bool:
    return any(call.phase == Phase.WORKLOAD for call in observation.calls)


def _annotations(recording: Recording, draft: Draft, *, final: bool, version: str) -> dict[str, str]:
    found = {
        ASKED: recording.means.value,
        COLLECTOR_VERSION: version,
        RECORDED_BY: OWNER,
        RECORDS: str(draft.coverage),
        STATE: STATE_FINAL if final else STATE_RECORDING,
        f"{PREFIX}/image": _distinct(draft.record, lambda identity: identity.image),
        f"{PREFIX}/image-digest": _distinct(draft.record, lambda identity: identity.image_digest),
    }
    if _is_merged(recording, draft):
        seen = dict(draft.names_seen)
        found[COVERAGE] = json.dumps(
            {"version": "v1", "total": draft.coverage, "syscalls": seen}, separators=(",", ":")
        )
    return {key: value for key, value in found.items() if value}


def _is_merged(recording: Recording, draft: Draft) -> bool:
    """A result over all pods, or one that pods of one name share."""
    over_all = recording.merge is MergeStrategy.CONTAINERS and not draft.key.partial
    return over_all or draft.coverage > 1


def _distinct(record: Record, field: Callable[[Identity], str]) -> str:
    texts = sorted({field(each.identity) for each in record.observations if _worked(each)} - {""})
    whole = ", ".join(texts).encode("ascii", "backslashreplace").decode()
    if len(whole) <= _MAX_TEXT:
        return whole
    return f"{len(texts)} values, sha256:{_sha256(whole)}"


def _bounded(annotations: Mapping[str, str]) -> dict[str, str]:
    """Replace the longest of our own lists by their digests until all fit.

    The coverage stays whole: it is bounded by how many names there are.
    """
    kept = dict(sorted(annotations.items()))
    for key in _longest_first(kept):
        if sum(len(name.encode()) + len(value.encode()) for name, value in kept.items()) <= _MAX_ANNOTATIONS:
            break
        kept[key] = f"{len(kept[key])} characters, sha256:{_sha256(kept[key])}"
    return kept


def _longest_first(annotations: Mapping[str, str]) -> Iterator[str]:
    own = (key for key in annotations if key.startswith(f"{PREFIX}/"))
    yield from sorted(own, key=lambda key: (-len(annotations[key]), key))


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
