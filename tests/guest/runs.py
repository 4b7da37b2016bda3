"""The folder of a running guest, and the end of those whose harness has died.

A folder's name says who owns it: process id and that process's start time, so that a reused id is noticed.
"""

import contextlib
import itertools
import os
import shutil
import signal
from pathlib import Path

_serial = itertools.count(1)


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which a process began (proc(5), stat, field 22); None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def new_run(runs: Path) -> Path:
    """An empty folder that belongs to this process."""
    folder = runs / f"{os.getpid()}-{start_time(os.getpid())}-{next(_serial)}"
    folder.mkdir()
    return folder


def sweep(runs: Path) -> int:
    """End the guests of processes that are gone, and remove their folders; how many there were."""
    count = 0
    for folder in runs.iterdir():
        pid, _, rest = folder.name.partition("-")
        if pid.isdigit() and str(start_time(int(pid))) == rest.partition("-")[0]:
            continue
        count += 1
        with contextlib.suppress(OSError, ValueError):
            qemu = int((folder / "pid").read_text())
            # its arguments name the folder: another process that has the id by now does not
            if os.fsencode(folder) in Path(f"/proc/{qemu}/cmdline").read_bytes():
                os.kill(qemu, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    return count
