"""The workloads that are recorded, and then run under their own profiles.

Each says `ready` and waits for a line on stdin, does its work, says `worked` and waits
for another line, and ends. So a test can freeze, stop and signal it at a known point. What
it says is the same every time. It handles a signal that nothing sends while it is recorded.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "workloads"
INSIDE = "/workloads"  # where a container has SOURCES
PROGRAMS = "/programs"  # where it has the static programs

_INTERPRETERS = {".sh": "/bin/sh", ".py": "/usr/bin/python3", ".pl": "/usr/bin/perl", ".js": "node"}


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload. `source` is a file of SOURCES, or the name of a program of tests/programs.

    `recorded_in`: the runtime of the container in which it is recorded; empty: as a command of this machine.
    `signal` goes to the oldest process named `receiver`, or to the first process; it then says
    `signal` if `answers`.
    """

    name: str
    source: str
    recorded_in: str = ""
    signal: str = "USR1"
    receiver: str = ""
    answers: bool = True

    def inside(self) -> list[str]:
        """Its command line in a container."""
        if "." not in self.source:
            return [f"{PROGRAMS}/{self.source}"]
        return [*self._interpreter(), f"{INSIDE}/{self.source}"]

    def outside(self, programs: Mapping[str, Path]) -> list[str]:
        """Its command line on this machine."""
        if "." not in self.source:
            return [str(programs[self.source])]
        return [*self._interpreter(), str(SOURCES / self.source)]

    def _interpreter(self) -> list[str]:
        name = _INTERPRETERS[Path(self.source).suffix]
        found = shutil.which(name)
        if found is None or not Path(found).resolve().is_relative_to("/usr"):
            raise FileNotFoundError(f"{name} is not below /usr, which is all that containers have")
        return [found]


WORKLOADS = (
    Workload("static", "waiter"),
    Workload("coreutils", "coreutils.sh"),
    Workload("awk", "awk.sh"),
    Workload("openssl", "openssl.sh"),
    Workload("git", "git.sh"),
    Workload("python", "python.py"),
    Workload("sqlite", "sqlite.py"),
    Workload("perl", "perl.pl", recorded_in="runc"),
    Workload("node", "node.js", signal="USR2"),
    Workload("redis", "redis.sh", recorded_in="crun", signal="TERM", receiver="redis-server", answers=False),
    Workload("nginx", "nginx.py", recorded_in="runc", signal="ALRM", receiver="nginx", answers=False),
    Workload("static-32-bit", "waiter32"),
)
