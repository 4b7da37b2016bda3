"""From a draft to the object that is published: the same draft gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from recorder.collector.results.apparmor_result import AppArmorResult
from recorder.collector.results.completed_result import CompletedResult
from recorder.collector.results.denial_summary import summarized
from recorder.collector.results.drafts import Draft
from recorder.collector.results.result_kind import Drawn, NotYet, ResultKind, Wanted
from recorder.collector.results.result_names import result_labels
from recorder.collector.results.result_summary import ResultSummary
from recorder.collector.results.seccomp_result import SeccompResult
from recorder.collector.results.selinux_result import SelinuxResult
from recorder.model.record import Identity, Observation
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording
from recorder.model.result import PublishedResult, ResultObject
from recorder.profiles.annotations import MAX_TOTAL, PREFIX
from recorder.profiles.result_marks import (
    ASKED,
    COLLECTOR_VERSION,
    OWNER,
    RECORDED_BY,
    RECORDS,
    STATE,
    STATE_FINAL,
    STATE_RECORDING,
)

__all__ = ["MAX_SPEC", "content_digest", "drawn_result"]

_KINDS: Final[Mapping[tuple[ProfileKind, Means], ResultKind]] = MappingProxyType(
    {
        (ProfileKind.SECCOMP, Means.BPF): SeccompResult(),
        (ProfileKind.SECCOMP, Means.LOGS): SeccompResult(),
        (ProfileKind.APPARMOR, Means.BPF): AppArmorResult(),
        (ProfileKind.APPARMOR, Means.LOGS): CompletedResult(),
        (ProfileKind.SELINUX, Means.BPF): SelinuxResult(),
        (ProfileKind.SELINUX, Means.LOGS): SelinuxResult(),
    }
)

_NOTHING: Final[Mapping[str, PublishedResult]] = MappingProxyType({})

MAX_SPEC: Final = 448 * 1024
"""Bytes of a spec, as JSON. etcd takes 1.5 MiB, and API servers keep the owner of each item beside it."""

_TOO_LARGE: Final = (
    "the profile would have {size} bytes, and objects may have {most}: the workload uses too many different"
    " names; record parts of its work by themselves, or load what `recorder records` gives"
)

# What the platform adds about people's edits, and what people add, needs room too.
_MAX_ANNOTATIONS: Final = MAX_TOTAL - 8 * 1024
_MAX_TEXT: Final = 512
_LAST_SEEN: Final = f"{PREFIX}/last-seen"


def drawn_result(
    recording: Recording,
    draft: Draft,
    name: str,
    *,
    final: bool,
    version: str,
    existing: Mapping[str, PublishedResult] = _NOTHING,
) -> tuple[ResultObject | NotYet, ResultSummary]:
    """Return the object that a draft makes under a name, and its figures.

    It is Disabled while it grows, since a profile that is enabled is installed at once; final, it
    is Enabled unless the recording asks otherwise. `version`: this program's.
    existing: by name, the profiles that results complete. Whether it is NotYet
    does not depend on the name, nor does what it says.
    """
    kind = _KINDS[recording.kind, recording.means]
    labels = result_labels(recording.name, draft.key)
    merged = recording.merge is MergeStrategy.CONTAINERS and not draft.key.partial
    drawn = kind.draw(Wanted(draft, name, labels, final and not recording.disable, merged, existing))
    summary = drawn.summary
    if recording.denials:  # a container's record has them also if another recording asks for them
        summary = replace(summary, denials=summarized(draft.record))
    if isinstance(drawn.content, NotYet):
        return drawn.content, summary
    size = len(_json(drawn.content.spec))
    if size > MAX_SPEC:
        return NotYet(_TOO_LARGE.format(size=size, most=MAX_SPEC), stuck=True), summary
    own = _annotations(recording, drawn, final=final, version=version)
    made = ResultObject(
        kind=recording.kind,
        name=name,
        labels=labels,
        annotations=_bounded({**drawn.content.annotations, **own}),
        spec=drawn.content.spec,
    )
    return made, summary


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


def _annotations(recording: Recording, drawn: Drawn, *, final: bool, version: str) -> dict[str, str]:
    found = {
        ASKED: recording.means.value,
        COLLECTOR_VERSION: version,
        RECORDED_BY: OWNER,
        RECORDS: str(drawn.summary.coverage),
        STATE: STATE_FINAL if final else STATE_RECORDING,
        f"{PREFIX}/image": _distinct(drawn.worked, lambda identity: identity.image),
        f"{PREFIX}/image-digest": _distinct(drawn.worked, lambda identity: identity.image_digest),
    }
    return {key: value for key, value in found.items() if value}


def _distinct(worked: Iterable[Observation], field: Callable[[Identity], str]) -> str:
    texts = sorted({field(each.identity) for each in worked} - {""})
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
