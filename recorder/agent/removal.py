"""`recorder agent --remove`: what agents of any version left on this machine goes, and is named.

That is pins in bpffs, with the programs and links that they keep; the state for the next agent; sockets;
empty cgroups of commands whose recorder was killed; the spool, if that is asked for; and the folders
of these, once they are empty. May be repeated.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from recorder.agent import disk
from recorder.agent.accesses import FOLDER as ACCESSES
from recorder.agent.denials import FOLDER as DENIALS
from recorder.agent.processes import FOLDER
from recorder.agent.settings import Settings
from recorder.agent.spool import DAMAGED as DAMAGED_ENTRY
from recorder.agent.spool import SUFFIX as ENTRY
from recorder.agent.state import DAMAGED, NAME
from recorder.containers.run import FOLDER as RUNS
from recorder.containers.run import remove_stale
from recorder.kernel import pins
from recorder.model.errors import AddressInUse, NoCgroup2, StorageError

__all__ = ["remove"]

_KEPT = (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT)
"""Why a folder stays: something of somebody else's is in it, it is a mount point, or it is not there."""


def remove(settings: Settings, *, spool: bool = False) -> list[str]:
    """A line for each thing that is gone, or left. AddressInUse while an agent serves; StorageError."""
    agent, where = settings.agent, settings.listen.socket
    if where is not None and _answers(where):
        raise AddressInUse(f"an agent serves at {where}: end it first, and remove then")
    try:
        return [
            *_pins(agent.pins),
            *_state(agent.state_directory),
            *_runs(agent.state_directory / RUNS),
            *(_socket(where) if where else ()),
            *_spool(agent.spool_directory, remove=spool),
            *_folders({agent.state_directory, agent.spool_directory, *((where.parent,) if where else ())}),
        ]
    except OSError as error:
        raise StorageError(
            f"cannot remove {error.filename or 'what is left'}: {error.strerror}; run it as root, where that"
            " is mounted for writing"
        ) from error


def _pins(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    count = sum(len(files) for _, _, files in os.walk(folder))
    for part in (FOLDER, DENIALS, ACCESSES):
        pins.unpin(folder / part)
    pins.unpin(folder)  # links first: nothing runs on half of them
    if folder.is_dir():  # of another version, or made by hand
        shutil.rmtree(folder)
    yield f"removed {folder}: {count} pins of programs, maps and links"


def _state(folder: Path) -> Iterator[str]:
    yield from _files(folder, lambda name: name in (NAME, DAMAGED) or name.startswith(disk.TEMPORARY))


def _runs(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    before = {each.name for each in folder.iterdir()}
    with contextlib.suppress(NoCgroup2):  # then there is no cgroup of a run
        remove_stale(folder)
    gone = before - {each.name for each in folder.iterdir()}
    if gone:
        yield f"removed {len(gone)} cgroups of commands whose recorder was killed"
    _remove_folder(folder)


def _socket(path: Path) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
            yield f"removed {path}"
    # where it was made, by one that was killed at that moment
    making = path.with_name(f".{path.name}.new")
    if making.is_dir() and not making.is_symlink():
        shutil.rmtree(making)
        yield f"removed {making}"


def _spool(folder: Path, *, remove: bool) -> Iterator[str]:
    def is_entry(name: str) -> bool:
        return name.endswith((ENTRY, DAMAGED_ENTRY)) or name.startswith(disk.TEMPORARY)

    if remove:
        yield from _files(folder, is_entry)
        return
    left = sum(is_entry(each.name) for each in folder.iterdir()) if folder.is_dir() else 0
    if left:
        yield (
            f"left {folder}: {left} records that no collector has acknowledged; the next agent sends them,"
            " and --remove-spool removes them"
        )


def _files(folder: Path, is_ours: Callable[[str], bool]) -> Iterator[str]:
    if not folder.is_dir():
        return
    names = [each.name for each in folder.iterdir() if is_ours(each.name) and not each.is_dir()]
    for name in names:
        (folder / name).unlink(missing_ok=True)
    if names:
        yield f"removed {len(names)} files in {folder}"


def _folders(folders: set[Path]) -> Iterator[str]:
    for each in sorted(folders, key=lambda path: (-len(path.parts), path)):  # what is below first
        if _remove_folder(each):
            yield f"removed {each}"


def _remove_folder(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in _KEPT:
            raise
        return False
    return True


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(os.fspath(path))
        except BlockingIOError:  # its queue is full, so there is somebody who listens
            return True
        except OSError:
            return False
    return True
