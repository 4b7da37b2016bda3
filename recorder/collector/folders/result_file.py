"""A result as a file: whose each of its fields is, and what a person changed in it.

A field is a key of `spec` or a label. Two annotations keep what is needed to know more the
next time: `applied` has a digest of each field as it was written (empty: the field is a
person's), `edited` tells people which fields are theirs. Taking a field out of `edited`, or the
whole annotation, gives it back. What is not of the recorder, such as further labels and keys, stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from recorder.model.recording import ProfileKind
from recorder.model.result import Edit, PublishedResult, ResultObject
from recorder.profiles.annotations import PREFIX
from recorder.profiles.profile_object import object_yaml
from recorder.profiles.result_fields import Path, name_of, path_of, value_at
from recorder.profiles.result_marks import EDITED, OWNER, RECORDED_BY
from recorder.profiles.seccomp_yaml import API_VERSION
from recorder.profiles.strict_yaml import NotYamlError, load_yaml

__all__ = ["APPLIED", "Merged", "ResultFile"]

APPLIED: Final = f"{PREFIX}/applied"
_OWN: Final = (APPLIED, EDITED)


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be written, and what was left to people."""

    text: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class ResultFile:
    """The object of a file, {} if it is none. `owner`: who has the file, as its user's name."""

    value: Mapping[str, Any]
    owner: str = ""

    @classmethod
    def parse(cls, text: str, owner: str = "") -> ResultFile:
        """Never raises: what is no object is not ours, and stays."""
        try:
            value = load_yaml(text)
        except NotYamlError:
            value = None
        return cls(value if isinstance(value, dict) else {}, owner)

    @property
    def ours(self) -> bool:
        """Whether the recorder wrote it, and knows what."""
        annotations = self._table("annotations")
        return annotations.get(RECORDED_BY) == OWNER and APPLIED in annotations

    @property
    def touched(self) -> bool:
        """Whether a person changed a field, or gave one back, since it was written last."""
        applied, edited = self._applied(), self._edited()
        return self.ours and any(
            name not in edited if not digest else _digest(value_at(self.value, path_of(name))) != digest
            for name, digest in applied.items()
        )

    @property
    def kind(self) -> ProfileKind | None:
        """The object's; None: it is none of ours."""
        kind = self.value.get("kind")
        return ProfileKind(kind) if kind in list(ProfileKind) else None

    @property
    def name(self) -> str:
        """The object's; empty: it has none."""
        return str(_mapping(self.value.get("metadata")).get("name", ""))

    def annotation(self, key: str) -> str:
        """Its text; empty if there is none."""
        text = self._table("annotations").get(key)
        return text if isinstance(text, str) else ""

    def published(self, kind: ProfileKind, name: str, uid: str) -> PublishedResult:
        """As the platform tells of it."""
        spec = self.value.get("spec")
        labels, annotations = (
            {key: text for key, text in self._table(each).items() if isinstance(text, str)}
            for each in ("labels", "annotations")
        )
        return PublishedResult(
            kind, name, uid, self.ours, labels, annotations, spec if isinstance(spec, dict) else {}
        )

    def merged(self, result: ResultObject) -> Merged:
        """The result's fields, but for those that are a person's, in the object as it is."""
        applied, edited = self._applied(), self._edited()
        theirs: dict[str, str] = {}
        wanted = dict(_fields(result))
        for path, value in wanted.items():
            name = name_of(path)
            known = applied.get(name)
            given_back = known == "" and name not in edited
            if value_at(self.value, path) == value or given_back:
                continue
            if name in edited:
                theirs[name] = edited[name]
            elif known is None:  # not ours before: whatever stands there is somebody's
                if value_at(self.value, path) is not None:
                    theirs[name] = self.owner
            elif _digest(value_at(self.value, path)) != known:
                theirs[name] = self.owner
        removed = {
            path
            for name, digest in applied.items()
            if digest
            and (path := path_of(name)) not in wanted
            and _digest(value_at(self.value, path)) == digest
        }
        digests = {
            name_of(path): "" if name_of(path) in theirs else _digest(value) for path, value in wanted.items()
        }
        own = {APPLIED: _json(digests), **({EDITED: _json(theirs)} if theirs else {})}
        kept = {path: value_at(self.value, path) for path in wanted if name_of(path) in theirs}
        text = object_yaml(self._object(result, {**wanted, **kept}, removed, own))
        return Merged(text, tuple(sorted(Edit(name, who) for name, who in theirs.items())))

    def _object(
        self, result: ResultObject, fields: Mapping[Path, Any], removed: set[Path], own: Mapping[str, str]
    ) -> dict[str, object]:
        spec = self.value.get("spec")
        labels = {**self._table("labels"), **{path[-1]: fields[path] for path in fields if path[0] != "spec"}}
        annotations = {**self._table("annotations"), **result.annotations}
        for each in _OWN:
            annotations.pop(each, None)
        metadata = self.value.get("metadata")
        written = {
            path[-1]: fields[path] for path in fields if path[0] == "spec" and fields[path] is not None
        }
        more = {
            key: each
            for key, each in (spec if isinstance(spec, dict) else {}).items()
            if key not in written and ("spec", key) not in {*removed, *fields}
        }
        return {
            **{key: each for key, each in self.value.items() if key not in _TOP},
            "apiVersion": API_VERSION,
            "kind": result.kind.value,
            "metadata": {
                **{key: each for key, each in _mapping(metadata).items() if key not in _METADATA},
                "name": result.name,
                "labels": {
                    key: labels[key]
                    for key in sorted(labels)
                    if ("metadata", "labels", key) not in removed and labels[key] is not None
                },
                "annotations": dict(sorted({**annotations, **own}.items())),
            },
            "spec": {**written, **more},
        }

    def _table(self, name: str) -> dict[str, Any]:
        table = _mapping(_mapping(self.value.get("metadata")).get(name))
        return {key: each for key, each in table.items() if isinstance(key, str)}

    def _applied(self) -> dict[str, str]:
        return {
            name: digest for name, digest in _texts(self._table("annotations").get(APPLIED)) if path_of(name)
        }

    def _edited(self) -> dict[str, str]:
        return dict(_texts(self._table("annotations").get(EDITED)))


_TOP = ("apiVersion", "kind", "metadata", "spec")
_METADATA = ("name", "labels", "annotations")


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _texts(text: object) -> Iterator[tuple[str, str]]:
    """Of an annotation that a person may have changed: what is not understood is not there."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return
    for key, each in _mapping(value).items():
        if isinstance(each, str):
            yield key, each


def _fields(result: ResultObject) -> Iterator[tuple[Path, Any]]:
    for key, value in result.spec.items():
        yield ("spec", key), value
    for key, label in result.labels.items():
        yield ("metadata", "labels", key), label


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
