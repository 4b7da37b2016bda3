"""Plain processes: the cgroup of a pid, and what a cgroup is called that is no container's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from recorder.containers.container import Container, Manager
from recorder.containers.place import parts_of, unit_of
from recorder.model.errors import CgroupNotFound, ProcessNotFound

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its pid and its start (seconds of Unix time), which tell it from a later one.

    `name` is its comm, `cgroup_path` as in /proc/PID/cgroup, `unit` the systemd unit of that cgroup.
    """

    pid: int
    name: str
    started: float
    parent: int
    cgroup_path: str
    unit: str

    def container(self) -> Container:
        """What a record of this process alone names."""
        return Container("", self.name, Manager.NONE, cgroup_path=self.cgroup_path, pid=self.pid)


def cgroup_of(pid: int, proc: Path = PROC) -> str:
    """The cgroup v2 path of a process. Raises ProcessNotFound or CgroupNotFound."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessNotFound(f"there is no process {pid} (any more); see: ps -p {pid}") from None
    for line in lines:
        if line.startswith("0::"):
            # "(deleted)" stands behind the path of a cgroup that was removed under a zombie
            path = line.removeprefix("0::").removesuffix(" (deleted)")
            if path.startswith("/.."):
                raise CgroupNotFound(
                    f"process {pid} is outside of the cgroup namespace that this program is in; "
                    "run it in the machine's (privileged containers have it)"
                )
            return path
    raise CgroupNotFound(f"process {pid} has no cgroup v2; the recorder needs cgroup v2")


def process_of(pid: int) -> Process:
    """The process that has the pid now. Raises ProcessNotFound or CgroupNotFound."""
    try:
        found = psutil.Process(pid)
        with found.oneshot():
            name, started, parent = found.name(), found.create_time(), found.ppid()
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        raise ProcessNotFound(f"there is no process {pid} (any more); see: ps -p {pid}") from None
    path = cgroup_of(pid)
    return Process(pid, name, started, parent, path, unit_of(path))


def plain_container(path: str) -> Container:
    """What a record of a cgroup names that is no container's: its systemd unit, else its last name."""
    unit = unit_of(path)
    parts = parts_of(path)
    name = unit or (parts[-1] if parts else "/")
    return Container("", name, Manager.SYSTEMD if unit else Manager.NONE, cgroup_path=path)
