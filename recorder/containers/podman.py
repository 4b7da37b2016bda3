"""Podman without a daemon: what its storage says of containers, on disk.

`containers.json` of the storage (containers/storage) names them when they are made; the directory of each
below the run root has the pids of its monitor (conmon) and of its first process, and the OCI
configuration has its cgroup. Labels are in libpod's own database alone, as are restarts, which are not
known here.

Storages of users are written by those users: their files are read only if they are regular, of that user
or root, and not too long; and a pid counts only if its cgroup is that of the container.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pwd
import re
import stat
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recorder.containers import libpod_database
from recorder.containers.container import Container, Manager
from recorder.containers.cri_answer import image_digest_of
from recorder.containers.oci_runtime import UNRECORDABLE, RuntimeVersions, handler_name
from recorder.containers.pages import Damaged
from recorder.containers.place import container_above, path_of_spec
from recorder.containers.processes import cgroup_of
from recorder.containers.source import SourceStatus
from recorder.model.errors import CgroupNotFound, ProcessNotFound, RuntimeUnreachable

MAX_FILE = 16 << 20
"""Bytes of one file that are read."""
MAX_USERS = 256
"""Users whose storages are looked for."""

_ID = re.compile("[0-9a-f]{64}")
_LISTS = ("containers.json", "volatile-containers.json")
_CONFIGURATIONS = ("etc/containers/storage.conf", "usr/share/containers/storage.conf")


@dataclass(frozen=True, slots=True)
class Storage:
    """Where one user's containers are: containers/storage's graph root and run root."""

    graph_root: Path
    run_root: Path
    uid: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """A container; its monitor's pid, if that is root's, and the OCI runtime that the monitor calls."""

    container: Container
    monitor: int
    program: str


class _Unreadable(Exception):  # noqa: N818
    """A file is there and cannot be used."""


def storages(root: Path = Path("/")) -> list[Storage]:
    """The machine's storage and those of users that have one. `root`: where its file system is."""
    graph, run = "/var/lib/containers/storage", "/run/containers/storage"
    for name in _CONFIGURATIONS:
        try:
            found = tomllib.loads((root / name).read_text(errors="replace"))["storage"]
            graph, run = str(found.get("graphroot", graph)), str(found.get("runroot", run))
            break
        except (OSError, tomllib.TOMLDecodeError, KeyError, AttributeError):
            continue
    every = [Storage(root / graph.lstrip("/"), root / run.lstrip("/"))]
    every += [
        Storage(
            root / user.pw_dir.lstrip("/") / ".local/share/containers/storage",
            root / f"run/user/{user.pw_uid}/containers",
            user.pw_uid,
        )
        for user in _users(root)
    ]
    return [each for each in every if each.graph_root.is_dir()]


def _users(root: Path) -> Iterable[pwd.struct_passwd]:
    if root == Path("/"):
        everybody: Sequence[pwd.struct_passwd] = pwd.getpwall()
    else:
        try:
            lines = (root / "etc/passwd").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        fields = [line.split(":") for line in lines]
        everybody = [
            pwd.struct_passwd((each[0], each[1], int(each[2]), int(each[3]), each[4], each[5], each[6]))
            for each in fields
            if len(each) == 7 and each[2].isdigit() and each[3].isdigit()
        ]
    return [user for user in everybody if user.pw_uid and user.pw_dir.startswith("/")][:MAX_USERS]


class PodmanSource:
    """All storages of a machine; a container that two of them claim is the first one's, so root's."""

    def __init__(
        self,
        found: Sequence[Storage],
        *,
        unrecordable: Sequence[str] = UNRECORDABLE,
        versions: RuntimeVersions | None = None,
        proc: Path = Path("/proc"),
    ) -> None:
        self.name = "podman"
        self.manager = Manager.PODMAN
        self._storages = tuple(found)
        self._patterns = tuple(unrecordable)
        self._versions = versions or RuntimeVersions()
        self._proc = proc
        self._endpoint = ", ".join(str(each.graph_root) for each in self._storages)[:1024]
        self._status = SourceStatus(self.name, "", self._endpoint, False, "it was not asked yet")
        self._unlabelled = ""  # why labels are not known

    def status(self) -> SourceStatus:
        return self._status

    async def close(self) -> None:
        """Nothing is kept open."""

    async def watch(self) -> AsyncIterator[None]:
        """Nobody tells: never yields."""
        await asyncio.Event().wait()
        yield

    # --- files

    def _read(self, wanted: str | None) -> list[_Found]:
        """All containers, or one. What a user's storage has is never a reason to say nothing of others."""
        found: dict[str, _Found] = {}
        problem = self._unlabelled = ""
        failed = False
        for storage in self._storages:
            try:
                for driver in sorted(storage.graph_root.glob("*-containers")):
                    for entry in self._entries(storage, driver, wanted):
                        found.setdefault(entry.container.id, entry)
            except (OSError, _Unreadable) as error:
                problem = problem or f"{storage.graph_root}: {error}"[:1024]
                failed = failed or not storage.uid
        self._status = SourceStatus(self.name, "", self._endpoint, not failed, problem or self._unlabelled)
        if failed and not found:
            raise RuntimeUnreachable(
                f"podman's storage cannot be read: {problem}; it is read as root, and from a version "
                "that has containers.json (4.0 and later were tried)"
            )
        return list(found.values())

    def _entries(self, storage: Storage, driver: Path, wanted: str | None) -> Iterable[_Found]:
        images: dict[str, str] | None = None
        run = storage.run_root / driver.name
        for path in [folder / name for folder in (driver, run) for name in _LISTS]:
            listed = self._json(storage, path)
            for each in listed if isinstance(listed, list) else []:
                container_id = _text(each, "id")
                if not _ID.fullmatch(container_id) or wanted not in (None, container_id):
                    continue
                if images is None:
                    images = self._digests(storage, driver.name.replace("-containers", "-images"))
                yield self._container(storage, driver, run, each, images)

    def _container(
        self, storage: Storage, driver: Path, run: Path, entry: dict[str, Any], images: dict[str, str]
    ) -> _Found:
        container_id = entry["id"]
        names, image_id = entry.get("names"), _text(entry, "image")
        try:
            metadata = json.loads(_text(entry, "metadata") or "{}")
        except (ValueError, RecursionError):
            metadata = {}
        name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
        configuration = self._json(storage, driver / container_id / "userdata/config.json")
        linux = configuration.get("linux") if isinstance(configuration, dict) else None
        pid = self._pid(storage, run / container_id / "userdata/pidfile", container_id)
        monitor, program = self._monitor(storage, run / container_id / "userdata/conmon.pid", container_id)
        return _Found(
            Container(
                container_id,
                name,
                Manager.PODMAN,
                cgroup_path=path_of_spec(_text(linux, "cgroupsPath")),
                labels=self._labels(storage, container_id),
                image=_text(metadata, "image-name"),
                image_digest=images.get(image_id, ""),
                runtime=os.path.basename(program),
                runtime_handler=os.path.basename(program),
                pid=pid,
                not_recordable=handler_name(self._patterns, os.path.basename(program)),
            ),
            monitor,
            program,
        )

    def _labels(self, storage: Storage, container_id: str) -> Mapping[str, str]:
        """Without them a container still has its name: what is wrong with the database is in the status."""
        databases = libpod_database.places(storage.graph_root, storage.run_root)
        try:
            return libpod_database.labels_of(container_id, databases, lambda path: self._open(storage, path))
        except (OSError, Damaged, _Unreadable) as error:
            self._unlabelled = f"labels are not known: {error}"[:1024]
            return {}

    def _pid(self, storage: Storage, path: Path, container_id: str) -> int:
        text = self._text_of(storage, path)
        if not text.strip().isdigit():
            return 0
        pid = int(text)
        try:
            place = container_above(cgroup_of(pid, self._proc))
        except (ProcessNotFound, CgroupNotFound, OSError):
            return 0
        return pid if place is not None and place.container_id == container_id else 0

    def _monitor(self, storage: Storage, path: Path, container_id: str) -> tuple[int, str]:
        """The pid of conmon, if root runs it in our user namespace, else 0; and its `-r`, the runtime."""
        text = self._text_of(storage, path).strip()
        if not text.isdigit():
            return 0, ""
        folder = self._proc / text
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            owner = folder.stat().st_uid
            ours = os.stat(folder / "ns/user").st_ino == os.stat(self._proc / "self/ns/user").st_ino
        except OSError:
            return 0, ""
        if container_id.encode() not in words or owner != storage.uid:
            return 0, ""
        after = dict(itertools.pairwise(words))
        program = os.fsdecode(after.get(b"-r", b""))
        return int(text) if ours and owner == 0 else 0, program

    def _digests(self, storage: Storage, folder: str) -> dict[str, str]:
        listed = self._json(storage, storage.graph_root / folder / "images.json")
        found = {}
        for each in listed if isinstance(listed, list) else []:
            image_id = _text(each, "id")
            found[image_id] = image_digest_of(_text(each, "digest")) or image_digest_of(f"sha256:{image_id}")
        return found

    def _json(self, storage: Storage, path: Path) -> Any:
        text = self._text_of(storage, path)
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise _Unreadable(f"{path} is no JSON") from None

    def _text_of(self, storage: Storage, path: Path) -> str:
        """A file's contents; empty: there is none."""
        descriptor = self._open(storage, path)
        if descriptor is None:
            return ""
        with open(descriptor, "rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise _Unreadable(f"{path} is longer than {MAX_FILE} bytes")
        return data.decode("utf-8", "replace")

    def _open(self, storage: Storage, path: Path) -> int | None:
        """A descriptor of a file that may be read; None: there is none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, storage.uid):
            os.close(descriptor)
            raise _Unreadable(f"{path} is not a regular file of its storage's owner")
        return descriptor

    # --- what the index asks

    async def find(self, container_id: str) -> Container | None:
        if not _ID.fullmatch(container_id):
            return None
        found = await asyncio.to_thread(self._read, container_id)
        return await self._versioned(found[0]) if found else None

    async def list(self) -> list[Container]:
        found = await asyncio.to_thread(self._read, None)
        return [await self._versioned(each) for each in found if each.container.pid]

    async def _versioned(self, found: _Found) -> Container:
        if found.container.not_recordable:
            return found.container
        version = await self._versions.version(found.monitor, found.program)
        return found.container.with_runtime_version(version)


def _text(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
