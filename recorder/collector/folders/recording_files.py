"""A folder of ProfileRecordings: one in each .yaml or .yml file.

A file's recording is known by its namespace and name, wherever it stands (one without a usable name by
the file's); its uid and its generation are kept in a file of ours, so that a restart does not make
another recording of it. What looks like a change for one look alone (an editor that writes a file in
steps, or by another name) is none: a file that is gone, or cannot be read as a recording, counts when a
second look finds the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.collector.folders import plain_file
from recorder.collector.folders.plain_file import Stamp
from recorder.model.errors import InvalidRecording, PlatformUnreachable
from recorder.model.recording import Recording, RecordingName, RefusedRecording
from recorder.profiles.label import is_object_name
from recorder.profiles.recording_object import recording_yaml
from recorder.profiles.strict_yaml import NotYamlError, load_yaml

__all__ = ["RecordingFiles"]

_LOG = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml")

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept of a recording that is there."""

    uid: str
    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Read:
    """What a file says. `recording` is None where `reason` and `message` say why."""

    stamp: Stamp
    key: Key
    recording: Recording | None = None
    reason: str = ""
    message: str = ""


class RecordingFiles:
    """`look` is called now and then, by one thread at a time.

    `recordings` and `refused` are of the last look. `state`: the file of ours.
    """

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder = folder
        self._state = state
        self._known: dict[Key, _Known] | None = None
        self._read: dict[str, _Read] = {}
        self._doubtful: dict[str, Stamp | None] = {}
        self._looked = False
        self.recordings: Mapping[str, Recording] = {}
        self.refused: Mapping[str, RefusedRecording] = {}

    def look(self) -> bool:
        """Whether something changed. Raises PlatformUnreachable; then all is as it was."""
        try:
            if self._known is None:
                self._known = self._load()
            stamps = plain_file.look(self._folder, SUFFIXES, follow=True)
        except OSError as error:
            raise PlatformUnreachable(
                f"cannot read the folder of recordings {self._folder}: {error.strerror}"
            ) from error
        first, self._looked = not self._looked, True
        read = {name: each for name in stamps if (each := self._of(name, stamps[name], sure=first))}
        for name in self._read.keys() - stamps.keys():  # gone: at once if it is elsewhere under the same name
            if not self._sure(name, None) and self._read[name].key not in {
                each.key for each in read.values()
            }:
                read[name] = self._read[name]
        self._doubtful = {name: stamp for name, stamp in self._doubtful.items() if name in {*stamps, *read}}
        self._read = read
        return self._take(self._known)

    def _sure(self, name: str, stamp: Stamp | None) -> bool:
        """Whether the last look found the same."""
        if name in self._doubtful and self._doubtful[name] == stamp:
            return True
        self._doubtful[name] = stamp
        return False

    def _of(self, name: str, stamp: Stamp, *, sure: bool) -> _Read | None:
        known = self._read.get(name)
        if known and known.stamp == stamp:
            self._doubtful.pop(name, None)
            return known
        found = self._parse(name, known.key if known else ("", name))
        if found is None or found.recording is None:
            if not (self._sure(name, stamp) or sure):
                return known
        else:
            self._doubtful.pop(name, None)
        return found

    def _parse(self, name: str, otherwise: Key) -> _Read | None:
        """What the file says; `otherwise`: its key, if it says none itself."""
        try:
            found = plain_file.read(self._folder / name, follow=True)
        except (OSError, ValueError) as error:
            message = f"{self._folder / name} cannot be read: {getattr(error, 'strerror', None) or error}"
            return _Read((0, 0, 0, 0), otherwise, None, "Unreadable", message)
        if found is None:
            return None
        try:
            recording = recording_yaml(found.text, uid="")
        except InvalidRecording as error:
            return _Read(found.stamp, _key(found.text) or otherwise, None, "Invalid", f"{name}: {error}")
        return _Read(found.stamp, (recording.name.namespace, recording.name.name), recording)

    def _take(self, before: Mapping[Key, _Known]) -> bool:
        known: dict[Key, _Known] = {}
        recordings: dict[str, Recording] = {}
        refused: dict[str, RefusedRecording] = {}
        files: dict[Key, str] = {}
        # valid ones first: a file that is wrong takes no name from one that is right
        for name, each in sorted(self._read.items(), key=lambda item: (item[1].recording is None, item[0])):
            if each.key in files:
                refused[f"file:{name}"] = RefusedRecording(
                    RecordingName(*each.key, f"file:{name}"),
                    "Duplicate",
                    f"{name} has the name of the recording in {files[each.key]}: give it another one",
                )
                continue
            files[each.key] = name
            known[each.key] = mine = _known(each, before.get(each.key))
            identity = RecordingName(*each.key, mine.uid)
            if each.recording is None:
                refused[mine.uid] = RefusedRecording(identity, each.reason, each.message, mine.generation)
            else:
                recordings[mine.uid] = dataclasses.replace(
                    each.recording, name=identity, generation=mine.generation
                )
        if known != before:
            self._save(known)
        changed = (recordings, refused) != (self.recordings, self.refused)
        self._known, self.recordings, self.refused = known, recordings, refused
        return changed

    # --- the file of ours

    def _load(self) -> dict[Key, _Known]:
        try:
            found = plain_file.read(self._state)
            entries = json.loads(found.text) if found else []
            return {
                (each["namespace"], each["name"]): _Known(each["uid"], each["generation"], each["digest"])
                for each in entries
            }
        except (ValueError, KeyError, TypeError) as error:
            _LOG.error(
                "%s cannot be read (%s): the recordings in %s are taken for new ones",
                self._state,
                error,
                self._folder,
            )
            return {}

    def _save(self, known: Mapping[Key, _Known]) -> None:
        entries = [
            {"namespace": key[0], "name": key[1], **dataclasses.asdict(each)} for key, each in known.items()
        ]
        try:
            plain_file.write(self._state, json.dumps(entries, indent=1) + "\n", 0o600)
        except OSError as error:
            raise PlatformUnreachable(f"cannot write {self._state}: {error.strerror}") from error


def _known(each: _Read, before: _Known | None) -> _Known:
    # A file that is wrong for a while is the same recording afterwards.
    digest = _digest(each.recording) if each.recording else before.digest if before else ""
    if before is None:
        return _Known(str(uuid.uuid4()), 1, digest)
    if before.digest != digest and before.digest:
        return _Known(before.uid, before.generation + 1, digest)
    return dataclasses.replace(before, digest=digest)


def _digest(recording: Recording) -> str:
    plain = dataclasses.replace(recording, name=RecordingName("", "", ""), generation=0)
    return hashlib.sha256(repr(plain).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _key(text: str) -> Key | None:
    """The name in a file that is no recording, if it has one that an object may have."""
    try:
        value = load_yaml(text)
    except NotYamlError:
        return None
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace") or ""
    if not (isinstance(name, str) and is_object_name(name) and isinstance(namespace, str)):
        return None
    return (namespace, name) if not namespace or is_object_name(namespace) else None
