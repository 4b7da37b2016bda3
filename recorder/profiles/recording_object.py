"""ProfileRecording objects (security-profiles-operator.x-k8s.io) as recordings.

v1 and v1alpha1 have the same fields and spell the values of `recorder` and `mergeStrategy`
differently. Both spellings are taken under both versions: an object is stored as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from recorder.model.errors import InvalidProfile, InvalidRecording
from recorder.model.kind import Kind
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RecordingName
from recorder.model.selector import LabelSelector, Requirement
from recorder.profiles.annotations import PREFIX
from recorder.profiles.api_group import GROUP
from recorder.profiles.fields import Fields
from recorder.profiles.label import MAX_LABEL, is_object_name
from recorder.profiles.strict_yaml import NotYamlError, load_yaml

__all__ = ["API_VERSIONS", "KIND", "KINDS", "UPDATE", "recording_of", "recording_yaml"]

API_VERSIONS: Final = (f"{GROUP}/v1", f"{GROUP}/v1alpha1")
KIND: Final = "ProfileRecording"
KINDS: Final = f"{PREFIX}/kinds"
"""The annotation that says what is looked for besides calls: `denials`. The API has no field for it."""
UPDATE: Final = f"{PREFIX}/update"
"""The annotation that names the AppArmorProfile which is to be changed where it stands."""

_MEANS: Final = {**{each.value: each for each in Means}, "bpf": Means.BPF, "logs": Means.LOGS}
_MERGES: Final = {
    **{each.value: each for each in MergeStrategy},
    "none": MergeStrategy.NONE,
    "containers": MergeStrategy.CONTAINERS,
}
_KINDS: Final = {each.value: each for each in (Kind.SYSCALLS, Kind.DENIALS)}
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def recording_of(
    value: Mapping[str, object], *, uid: str | None = None, beside: bool = False, strict: bool = False
) -> Recording:
    """Return the recording that an object asks for.

    `uid`, if it is given, is used instead of the object's own. beside: as `Recording.beside`.
    strict: unknown fields are refused; else they are a newer API's, which the API server has
    checked. InvalidRecording begins with the path of the field that is wrong.
    """
    if not isinstance(value, Mapping):
        raise InvalidRecording("a ProfileRecording is an object with apiVersion, kind, metadata and spec")
    try:
        return _recording(dict(value), uid, beside, strict)
    except InvalidProfile as error:
        raise InvalidRecording(str(error)) from error


def recording_yaml(text: str, *, uid: str | None = None) -> Recording:
    """Return the recording of a file with one object. As `recording_of`, and unknown fields are refused.

    Without `metadata.namespace` it is for containers outside of Kubernetes.
    """
    try:
        value = load_yaml(text)
    except NotYamlError as error:
        raise InvalidRecording(str(error)) from error
    if not isinstance(value, dict):
        raise InvalidRecording(
            "the file holds no object; a recording begins with"
            f" 'apiVersion: {API_VERSIONS[0]}' and 'kind: {KIND}'"
        )
    return recording_of(value, uid=uid, strict=True)


def _recording(value: dict[str, object], uid: str | None, beside: bool, strict: bool) -> Recording:
    top = Fields(value)
    # Items of a list from an API server may lack these two.
    top.text("apiVersion", API_VERSIONS, None if strict else API_VERSIONS[0])
    top.text("kind", (KIND,), None if strict else KIND)
    metadata, spec = top.child("metadata"), top.child("spec")
    top.ignore("status")
    annotations = metadata.table("annotations")
    kind = ProfileKind(spec.text("kind", [each.value for each in ProfileKind]))
    means = _MEANS[spec.text("recorder", _MEANS)]
    recording = Recording(
        name=_name(metadata, uid),
        kind=kind,
        means=means,
        merge=_MERGES[spec.text("mergeStrategy", _MERGES, MergeStrategy.NONE.value)],
        selector=_selector(spec.child("podSelector"), strict),
        containers=_containers(spec),
        disable=_flag(spec, value["spec"], "disableProfileAfterRecording"),
        generation=metadata.integer("generation", 2**63 - 1, 0),
        beside=beside,
        denials=Kind.DENIALS in _kinds(metadata, annotations),
        update=_update(metadata, annotations, completes=(kind, means) == (ProfileKind.APPARMOR, Means.LOGS)),
    )
    if strict:
        spec.end()
        top.end()
    return recording


def _name(metadata: Fields, uid: str | None) -> RecordingName:
    name = metadata.text("name")
    if not is_object_name(name):
        raise InvalidRecording(
            f"{metadata.at('name')}: {name[:80]!r} is no name of an object: at most 253 lower-case letters,"
            " digits, '-' and '.', with a letter or a digit at each end"
        )
    namespace = metadata.text("namespace", default="")
    if namespace and (len(namespace) > MAX_LABEL or not _NAMESPACE.fullmatch(namespace)):
        raise InvalidRecording(
            f"{metadata.at('namespace')}: {namespace[:80]!r} is no namespace: at most {MAX_LABEL} lower-case"
            " letters, digits and '-', with a letter or a digit at each end; leave it out for containers"
            " outside of Kubernetes"
        )
    own = metadata.text("uid", default="")
    return RecordingName(namespace, name, own if uid is None else uid)


def _kinds(metadata: Fields, annotations: Mapping[str, str]) -> frozenset[Kind]:
    """Those of the annotation; a word that is not known is refused, since it may be a newer recorder's."""
    kinds = set()
    for word in annotations.get(KINDS, "").split(","):
        name = word.strip()
        if name and name not in _KINDS:
            raise InvalidRecording(
                f"{metadata.at('annotations')}[{KINDS}]: {name[:40]!r} is none of {', '.join(_KINDS)};"
                " separate several by commas"
            )
        kinds |= {_KINDS[name]} if name else set()
    return frozenset(kinds)


def _update(metadata: Fields, annotations: Mapping[str, str], *, completes: bool) -> str:
    name = annotations.get(UPDATE, "")
    at = f"{metadata.at('annotations')}[{UPDATE}]"
    if name and not completes:
        raise InvalidRecording(f"{at}: only a recording of kind AppArmorProfile by Logs completes a profile")
    if name and not is_object_name(name):
        raise InvalidRecording(f"{at}: {name[:80]!r} is no name of an AppArmorProfile")
    return name


def _selector(fields: Fields, strict: bool) -> LabelSelector:
    selector = LabelSelector(
        fields.table("matchLabels"),
        tuple(_requirement(each, strict) for each in fields.children("matchExpressions")),
    )
    if strict:
        fields.end()
    problems = selector.problems(fields.path)
    if problems:
        raise InvalidRecording("; ".join(f"{each.field}: {each.message}" for each in problems))
    return selector


def _requirement(fields: Fields, strict: bool) -> Requirement:
    requirement = Requirement(fields.text("key"), fields.text("operator"), fields.texts("values"))
    if strict:
        fields.end()
    return requirement


def _containers(spec: Fields) -> tuple[str, ...]:
    names = spec.texts("containers")
    if "" in names:
        raise InvalidRecording(
            f"{spec.at('containers')}[{names.index('')}]: is empty; leave `containers` out to record all"
        )
    return tuple(sorted(set(names)))


def _flag(fields: Fields, value: object, name: str) -> bool:
    found = value.get(name) if isinstance(value, dict) else None
    fields.ignore(name)
    if found is None:
        return False
    if not isinstance(found, bool):
        raise InvalidRecording(f"{fields.at(name)}: {str(found)[:40]!r} is neither true nor false")
    return found
