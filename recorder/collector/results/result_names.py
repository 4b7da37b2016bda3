"""What a result is called, and the labels that say whose it is.

Profiles are cluster-scoped, so two recordings may want one name: `a-b` with the
container `c`, and `a` with `b-c`; or recordings of one name in two namespaces. Each
result therefore has several names that it may have, in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from recorder.collector.results.drafts import ResultKey
from recorder.model.recording import RecordingName
from recorder.profiles.label import MAX_LABEL, is_object_name
from recorder.profiles.result_marks import CONTAINER_LABEL, NAMESPACE_LABEL, PARTIAL_LABEL, RECORDING_LABEL

__all__ = ["candidate_names", "label_value", "result_labels", "same_subject"]

# A name that has to be cut anyway leaves room for what makes a file's name of it (255 bytes on
# Linux): an operator installs a profile as NAME.json, a folder of results has NAME.yaml.
_MAX_CUT: Final = 240
_DIGITS: Final = 8
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def candidate_names(
    recording: RecordingName, container: str, suffix: str, *, namespace_always: bool = False
) -> tuple[str, ...]:
    """Return the names that a result may have, best first; each is one that an object can have.

    `<recording>-<container>[-<suffix>]`; that with `<namespace>-` in front; and that with
    eight hexadecimal digits of the SHA-256 of `namespace/recording/container/suffix` behind.
    `namespace_always`: the first is left out. Outside of Kubernetes there is no namespace to
    put in front. Characters that no name can have become hyphens; what is too long is cut and
    ends in the digits.
    """
    digits = _digest("/".join((recording.namespace, recording.name, container, suffix)))
    plain = tuple(part for part in (recording.name, container, suffix) if part)
    spaced = (recording.namespace, *plain) if recording.namespace else plain
    wanted = [spaced, (*spaced, digits)] if namespace_always else [plain, spaced, (*spaced, digits)]
    return tuple(dict.fromkeys(_fitting(parts, digits) for parts in wanted))


def _fitting(parts: tuple[str, ...], digits: str) -> str:
    name = "-".join(parts)
    if is_object_name(name):
        return name
    cleaned = (part if is_object_name(part) else _cleaned(part) for part in parts)
    name = "-".join(part for part in cleaned if part)
    if is_object_name(name):
        return name
    kept = name[: _MAX_CUT - len(digits) - 1].rstrip("-.")
    return f"{kept}-{digits}" if kept else digits


def _cleaned(part: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def label_value(text: str) -> str:
    """Return a text as a label's value: itself if it may be one.

    Else, with hyphens for the characters that it cannot have, cut to 63 characters of
    which the last eight are digits of its SHA-256, so that different texts stay different.
    """
    if len(text) <= MAX_LABEL and _LABEL.fullmatch(text):
        return text
    digits = _digest(text)
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[: MAX_LABEL - len(digits) - 1].strip("-_.")
    return f"{kept}-{digits}" if kept else digits


def result_labels(recording: RecordingName, key: ResultKey) -> dict[str, str]:
    """Return a result's labels, sorted; without a namespace outside of Kubernetes."""
    labels = _subject(recording, key.container)
    if key.partial:
        labels[PARTIAL_LABEL] = "true"
    return dict(sorted(labels.items()))


def same_subject(labels: Mapping[str, str], recording: RecordingName, container: str) -> bool:
    """Whether an object's labels are those of this namespace, recording and container.

    Of an object of ours it then is an earlier result of the same, and may be continued.
    """
    subject = _subject(recording, container)
    names = (RECORDING_LABEL, CONTAINER_LABEL, NAMESPACE_LABEL)
    return all(labels.get(name) == subject.get(name) for name in names)


def _subject(recording: RecordingName, container: str) -> dict[str, str]:
    labels = {RECORDING_LABEL: label_value(recording.name)}
    if container:
        labels[CONTAINER_LABEL] = label_value(container)
    if recording.namespace:
        labels[NAMESPACE_LABEL] = label_value(recording.namespace)
    return labels
