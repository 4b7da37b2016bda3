"""A process that is to be recorded by itself, from /proc (proc(5)); and why some cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recorder.model.errors import NotRecordable, ProcessNotFound

PROC = Path("/proc")
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A running process.

    pid: as this process's pid namespace has it; name: of its program, else its comm;
    cgroup_path: where it is now on cgroup v2, "" where that is not seen.
    """

    pid: int
    name: str
    cgroup_path: str = ""


def find_process(pid: int, proc: Path = PROC) -> RunningProcess:
    """The process with this pid.

    Raises ProcessNotFound, also for one that has ended and for a thread's id; NotRecordable
    for this process and those above it, of which its own calls would be part.
    """
    status = _status(pid, proc)
    group = int(status["Tgid"])
    if group != pid:
        raise ProcessNotFound(f"{pid} is a thread of process {group}; record the process: --pid {group}")
    # The first thread of a process may have ended before the others.
    if status["State"][:1] in "ZX" and int(status.get("Threads", "1")) <= 1:
        raise ProcessNotFound(
            f"process {pid} has ended: it only waits for process {status['PPid']}, its parent, to take notice"
        )
    if pid in _line_of_parents(proc):
        who = "the recorder itself" if pid == os.getpid() else "an ancestor of the recorder"
        raise NotRecordable(
            f"process {pid} is {who}, whose own calls would be recorded with it; "
            "start the recorder from elsewhere, for example from another terminal"
        )
    return RunningProcess(pid, _name(pid, proc) or status["Name"], _cgroup(pid, proc))


def _status(pid: int, proc: Path) -> dict[str, str]:
    try:
        lines = (proc / str(pid) / "status").read_text(errors="surrogateescape").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessNotFound(f"there is no process {pid}; see: ps -e") from None
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _line_of_parents(proc: Path) -> Iterator[int]:
    """Of this process: itself and those above it, as far as its pid namespace goes."""
    pid = os.getpid()
    while pid:
        yield pid
        try:
            pid = int(_status(pid, proc)["PPid"])
        except ProcessNotFound:
            return


def _name(pid: int, proc: Path) -> str:
    """The file name of its program; a kernel thread has none."""
    try:
        return os.path.basename(os.readlink(proc / str(pid) / "exe").removesuffix(_DELETED))
    except OSError:
        return ""


def _cgroup(pid: int, proc: Path) -> str:
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::/")), "")
