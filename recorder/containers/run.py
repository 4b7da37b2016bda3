"""The cgroup that a recorded command runs in, and the removal of those that a killed run left.

Each run notes its cgroup in a file of its own, named by pid and start time, before it
makes the cgroup. The next run removes what belongs to no living recorder, unless the
command still runs in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from recorder.containers.cgroup import Cgroup, cgroup2_mount, make_cgroup, own_cgroup
from recorder.model.errors import NotPermitted

FOLDER = "runs"
NOTES = Path("/run/recorder") / FOLDER

_START_TIME = 19  # of /proc/PID/stat, counted after the comm, which may hold anything (proc(5), field 22)


def _start_time(pid: int) -> str:
    """Clock ticks since boot; empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[_START_TIME]


class RunCgroup:
    """A new cgroup below our own, so that the command keeps our resource limits."""

    def __init__(self, notes: Path = NOTES) -> None:
        remove_stale(notes)
        pid = os.getpid()
        name = f"recorder-{pid}-{_start_time(pid)}"
        parent = own_cgroup()
        self._note = notes / name
        try:
            notes.mkdir(parents=True, exist_ok=True)
            self._note.write_text(str(parent.path / name))
        except OSError as error:
            raise NotPermitted(f"cannot write {self._note}: {error.strerror}") from error
        try:
            self.cgroup: Cgroup = make_cgroup(parent, name)
        except NotPermitted:
            self._note.unlink()
            raise

    def remove(self) -> bool:
        """False if tasks are left in it; then a later run removes it."""
        removed = self.cgroup.remove()
        if removed:
            self._note.unlink(missing_ok=True)
        return removed


def remove_stale(notes: Path = NOTES) -> None:
    """Removes the empty cgroups of runs whose recorder is gone."""
    if not notes.is_dir():
        return
    mount = cgroup2_mount()
    for note in notes.glob("recorder-*-*"):
        _, pid, start = note.name.split("-", 2)
        if pid.isdigit() and _start_time(int(pid)) == start:
            continue
        try:
            path = Path(note.read_text())
        except FileNotFoundError:  # another run was quicker
            continue
        # A note is ours alone to write; never follow one elsewhere all the same.
        ours = path.name == note.name and path.is_relative_to(mount) and ".." not in path.parts
        if ours and not Cgroup(path, mount).remove():
            continue
        note.unlink(missing_ok=True)
