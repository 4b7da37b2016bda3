"""What a running recorder has in the kernel, in the cgroup tree and in /run, and what of it is left later."""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kernel_objects import KernelObject, held_by, left_of

NOTES = Path("/run/recorder/runs")

PROGRAMS = 8  # seven that are attached, and the control program
LINKS = 7


@dataclass(frozen=True, slots=True)
class Remains:
    """objects: in the kernel; cgroup: of COMMAND; note: of the run, for the run after it."""

    objects: frozenset[KernelObject]
    cgroup: Path
    note: Path

    @classmethod
    def of(cls, recorder: int, command: int, cgroup2: Path) -> "Remains":
        """Of a recorder while its COMMAND runs."""
        own = cgroup_of(command)
        notes = list(NOTES.glob(f"recorder-{recorder}-*"))
        assert len(notes) == 1
        return cls(objects_of(recorder), cgroup2 / own.lstrip("/"), notes[0])

    def left(self) -> list[object]:
        """Empty if nothing of it is there; a pin would show, because it keeps its object alive."""
        places = [path for path in (self.cgroup, self.note) if path.exists()]
        return [*left_of(self.objects), *places]


def objects_of(recorder: int) -> frozenset[KernelObject]:
    """All that a recording process holds in the kernel."""
    objects = held_by(recorder)
    kinds = [each.kind for each in objects]
    assert kinds.count("prog") == PROGRAMS
    assert kinds.count("link") == LINKS
    assert kinds.count("map") >= PROGRAMS
    return objects


def cgroup_of(pid: int) -> str:
    """The path of a process in the cgroup v2 tree."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    raise AssertionError(f"process {pid} is in no cgroup v2")


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it became true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Watched:
    """A process that is nobody's child here; `gone` waits for its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def gone(self, seconds: float = 20) -> bool:
        """Whether it ended in that time."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Stops watching."""
        os.close(self._handle)
