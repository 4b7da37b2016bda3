"""Folders of one machine as the platform: ProfileRecordings in one, profiles and statuses in the other.

Both are looked at by stat(2) every so often, which works on every file system. A result NAME is NAME.yaml;
once it is final and enabled NAME.json beside it is the same for a container runtime. A recording's
status is NAME.status.yaml, with a namespace NAMESPACE_NAME.status.yaml. Events go to the log.

There is nobody who could be asked about pods: what the machine's own container runtime says of
one is believed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from recorder.collector.folders import plain_file
from recorder.collector.folders.plain_file import Found, Stamp
from recorder.collector.folders.recording_files import RecordingFiles
from recorder.collector.folders.result_file import ResultFile
from recorder.model.errors import InvalidProfile, PlatformUnreachable, StorageError
from recorder.model.record import Pod
from recorder.model.recording import ProfileKind, Recording, RecordingName, RefusedRecording
from recorder.model.recording_status import RecordingEvent, RecordingStatus
from recorder.model.result import Application, Edit, Outcome, Placement, PublishedResult, ResultObject
from recorder.profiles.annotations import PREFIX
from recorder.profiles.profile_object import object_yaml
from recorder.profiles.recording_object import API_VERSIONS, KIND
from recorder.profiles.result_marks import EDITED
from recorder.profiles.seccomp_oci import to_oci
from recorder.profiles.seccomp_yaml import from_yaml
from recorder.profiles.status_object import said, status_object
from recorder.profiles.strict_yaml import NotYamlError, load_yaml

__all__ = ["Folders"]

_LOG = logging.getLogger(__name__)

RUNTIME_FILE = f"{PREFIX}/runtime-file"
"""Digest of the .json file as it was written: one that differs is a person's, and stays."""
STATUS = ".status.yaml"
ALL = "(the file)"
"""What was edited, where nothing in the file is the recorder's any more."""
_MAX_NAME = 200
"""Characters of a name in a file's name (255 bytes on Linux); a longer one is cut, with a digest behind."""
_GONE = (0, 0, 0, 0)

T = TypeVar("T")
Key = tuple[ProfileKind, str]


class Folders:
    """As `Platform`. `state`: the file of what is kept between runs; `poll`: seconds.

    Raises StorageError if there is no folder of recordings, or none for results can be made.
    """

    def __init__(self, recordings: Path, results: Path, state: Path, *, poll: float = 1.0) -> None:
        if not recordings.is_dir():
            raise StorageError(
                f"there is no folder {recordings}: make it, and put a ProfileRecording in it as a .yaml file"
            )
        try:
            results.mkdir(exist_ok=True)
            state.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {error.filename}: {error.strerror}") from error
        self._files = RecordingFiles(recordings, state)
        self._results = results
        self._poll = poll
        self._ready = False
        self._turn = asyncio.Lock()
        self._stamps: dict[Key, Stamp] = {}
        self._touched: set[Key] = set()
        self._problem = ""

    # --- what is asked

    @property
    def ready(self) -> bool:
        """As Platform.ready."""
        return self._ready

    @property
    def problem(self) -> str:
        """As Platform.problem."""
        return self._problem

    def recordings(self) -> Mapping[str, Recording]:
        """As Platform.recordings."""
        return self._files.recordings

    def refused(self) -> Mapping[str, RefusedRecording]:
        """As Platform.refused."""
        return self._files.refused

    def touched(self) -> frozenset[Key]:
        """As Platform.touched."""
        touched, self._touched = frozenset(self._touched), set()
        return touched

    async def run(self, changed: Callable[[], None]) -> None:
        """As Platform.run."""
        while True:
            try:
                if await self._in_turn(self._look):
                    changed()
                self._say("")
            except PlatformUnreachable as error:
                self._say(str(error))
            await asyncio.sleep(self._poll)

    def _look(self) -> bool:
        first = not self._ready
        different = self._files.look() or first
        before = len(self._touched)
        try:
            stamps = plain_file.look(self._results, (".yaml",))
            if different:
                self._remove_statuses(name for name in stamps if name.endswith(STATUS))
        except OSError as error:
            raise PlatformUnreachable(
                f"cannot use the folder of results {self._results}: {error.strerror}"
            ) from error
        if first:
            self._look_back(stamps)
        self._ready = True
        self._compare(stamps)
        return different or len(self._touched) != before

    def _remove_statuses(self, names: Iterable[str]) -> None:
        """Of recordings that are gone."""
        known = {*self.recordings(), *self.refused()}
        for name in names:
            try:
                found = plain_file.read(self._results / name)
            except ValueError:
                continue
            uid = _uid_in(found.text) if found else ""
            if uid and uid not in known:
                (self._results / name).unlink(missing_ok=True)

    def _look_back(self, stamps: Mapping[str, Stamp]) -> None:
        """What was done to results of ours while nobody looked."""
        for file, stamp in stamps.items():
            found = None if file.endswith(STATUS) else self._read_file(self._results / file)
            live = ResultFile.parse(found.text) if found else ResultFile({})
            if live.ours and live.kind and _file_name(live.kind, live.name) == file:
                key = live.kind, live.name
                self._stamps[key] = stamp
                if live.touched:
                    self._touched.add(key)

    def _compare(self, stamps: Mapping[str, Stamp]) -> None:
        for key, stamp in self._stamps.items():
            now = stamps.get(_file_name(*key), _GONE)
            if now != stamp:
                self._stamps[key] = now
                self._touched.add(key)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            _LOG.log(
                logging.ERROR if problem else logging.INFO, "%s", problem or "the folders can be used again"
            )
        self._problem = problem

    async def placement(self, pod: Pod) -> Placement:
        """The pod as it was reported; the template's name is what a Deployment's or the like would be."""
        return Placement(pod.namespace, pod.name, pod.uid, "", _generate_name(pod.name))

    # --- results

    async def result(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        """As Platform.result."""
        return await self._in_turn(self._result, kind, name)

    def _result(self, kind: ProfileKind, name: str) -> PublishedResult | None:
        found = self._read(kind, name)
        if found is None:
            return None
        self._stamps[kind, name] = found.stamp
        return ResultFile.parse(found.text, found.owner).published(kind, name, _uid(kind, name))

    def _read(self, kind: ProfileKind, name: str) -> Found | None:
        return self._read_file(self._results / _file_name(kind, name))

    def _read_file(self, path: Path) -> Found | None:
        try:
            return plain_file.read(path)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link: somebody else's
                return Found("", _GONE, "")
            raise PlatformUnreachable(f"cannot read {path}: {error.strerror}") from error
        except ValueError:
            return Found("", _GONE, "")

    async def apply(self, result: ResultObject, uid: str) -> Application:
        """As Platform.apply."""
        return await self._in_turn(self._apply, result, uid)

    def _apply(self, result: ResultObject, uid: str) -> Application:
        kind, name = result.kind, result.name
        path = self._results / _file_name(kind, name)
        if path.name.endswith(STATUS):
            return Application(Outcome.TAKEN, message=f"{path.name} would be the name of a status")
        found = self._read(kind, name)
        live = ResultFile.parse(found.text, found.owner) if found else ResultFile({})
        own = _uid(kind, name)
        if uid != own and (found or uid):
            return Application(Outcome.TAKEN, message=f"{path} is there already")
        if found and not live.ours:  # a person put another in its place, or is writing it just now
            self._stamps[kind, name] = found.stamp
            return Application(Outcome.UPDATED, own, (Edit(ALL, found.owner),))
        merged = live.merged(result)
        runtime = _for_runtimes(merged.text) if kind is ProfileKind.SECCOMP else ""
        if runtime and self._may_write_runtime_file(path, live, runtime):
            annotations = {**result.annotations, RUNTIME_FILE: _digest(runtime)}
            merged = live.merged(dataclasses.replace(result, annotations=annotations))
            self._write(path.with_suffix(".json"), runtime)
        if found and found.text == merged.text:
            self._stamps[kind, name] = found.stamp
        else:
            self._stamps[kind, name] = self._write(path, merged.text)
        return Application(Outcome.UPDATED if found else Outcome.CREATED, own, merged.edits)

    def _may_write_runtime_file(self, path: Path, live: ResultFile, text: str) -> bool:
        """Whether what is there, if anything, is what we wrote, or what is to be written."""
        try:
            found = plain_file.read(path.with_suffix(".json"))
        except (OSError, ValueError):
            return False
        return found is None or _digest(found.text) in (live.annotation(RUNTIME_FILE), _digest(text))

    def _write(self, path: Path, text: str) -> Stamp:
        try:
            return plain_file.write(path, text)
        except OSError as error:
            raise PlatformUnreachable(f"cannot write {path}: {error.strerror}") from error

    async def remove(self, kind: ProfileKind, name: str, uid: str) -> None:
        """As Platform.remove; a result of which a person edited something stays."""
        if uid == _uid(kind, name):
            await self._in_turn(self._remove, kind, name)

    def _remove(self, kind: ProfileKind, name: str) -> None:
        self._stamps.pop((kind, name), None)
        found = self._read(kind, name)
        live = ResultFile.parse(found.text, found.owner) if found else ResultFile({})
        if not live.ours or live.touched or live.annotation(EDITED):
            return
        path = self._results / _file_name(kind, name)
        runtime = live.annotation(RUNTIME_FILE)
        try:
            path.unlink(missing_ok=True)
            if runtime and self._may_write_runtime_file(path, live, ""):
                path.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise PlatformUnreachable(f"cannot remove {path}: {error.strerror}") from error

    # --- what is told

    async def report(self, recording: RecordingName, status: RecordingStatus) -> None:
        """As Platform.report."""
        await self._in_turn(self._report, recording, status)

    def _report(self, recording: RecordingName, status: RecordingStatus) -> None:
        if recording.uid not in {*self.recordings(), *self.refused()} or recording.uid.startswith("file:"):
            return
        path = self._results / _status_name(recording)
        try:
            found = plain_file.read(path)
        except (OSError, ValueError) as error:
            raise PlatformUnreachable(f"cannot read {path}: {error}") from error
        before = _status_in(found.text if found else "", recording.uid)
        body = status_object(status, before, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if said(before) == said(body):
            return
        metadata = {"name": recording.name, "uid": recording.uid}
        if recording.namespace:
            metadata = {"namespace": recording.namespace, **metadata}
        self._write(
            path,
            object_yaml(
                {"apiVersion": API_VERSIONS[0], "kind": KIND, "metadata": metadata, "status": body},
            ),
        )

    async def event(self, recording: RecordingName, event: RecordingEvent) -> None:
        """As Platform.event: to the log."""
        level = logging.WARNING if event.warning else logging.INFO
        _LOG.log(level, "recording %s: %s: %s", recording, event.reason, event.message)

    async def _in_turn(self, work: Callable[..., T], *arguments: Any) -> T:
        """In a thread: a disk may be slow."""
        async with self._turn:
            return await asyncio.to_thread(work, *arguments)


def _file_name(kind: ProfileKind, name: str) -> str:
    # no object's name has an underscore
    return _cut(name) + (".yaml" if kind is ProfileKind.SECCOMP else f"_{kind.lower()}.yaml")


def _status_name(recording: RecordingName) -> str:
    name = f"{recording.namespace}_{recording.name}" if recording.namespace else recording.name
    return _cut(name) + STATUS


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}_{_digest(name)}"


def _uid(kind: ProfileKind, name: str) -> str:
    return f"file:{_file_name(kind, name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _generate_name(pod: str) -> str:
    """What the API server appended five characters to, if it looks so (k8s.io/apiserver, names.go)."""
    found = re.fullmatch(r"(.+-)[bcdfghjklmnpqrstvwxz2456789]{5}", pod)
    return found[1] if found else ""


def _for_runtimes(text: str) -> str:
    """The same for a container runtime; empty while the profile is not enabled, or if an edit broke it."""
    try:
        profile = from_yaml(text)
        return to_oci(profile) if profile.state == "Enabled" else ""
    except InvalidProfile as error:
        _LOG.warning("a result that was edited is no profile: %s", error)
        return ""


def _recording_in(text: str) -> Mapping[str, Any]:
    try:
        value = load_yaml(text)
    except NotYamlError:
        return {}
    return value if isinstance(value, dict) and value.get("kind") == KIND else {}


def _uid_in(text: str) -> str:
    """Of the recording whose status the file has; empty: it is none of ours."""
    metadata = _recording_in(text).get("metadata")
    return str(metadata.get("uid", "")) if isinstance(metadata, dict) else ""


def _status_in(text: str, uid: str) -> Mapping[str, Any]:
    """The status in a file, if it is of that recording."""
    status = _recording_in(text).get("status")
    return status if _uid_in(text) == uid and isinstance(status, dict) else {}
