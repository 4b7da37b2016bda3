"""Whose something is that may outlive a process: a name says the process id and that process's start time.

With the start time it is noticed that an id was used again.
"""

import os
import re
from pathlib import Path


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which a process began (proc(5), stat, field 22); None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def owner() -> str:
    """This process, as it stands in the names of what it makes: PID-START."""
    return f"{os.getpid()}-{start_time(os.getpid())}"


def is_orphan(name: str, prefix: str = "") -> bool:
    """Whether a name is `prefix`, an owner that is gone, and nothing or a dash and more."""
    found = re.match(rf"{re.escape(prefix)}(\d+)-(\d+)(?:-|$)", name)
    return found is not None and str(start_time(int(found[1]))) != found[2]
