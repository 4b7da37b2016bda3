"""The folder of a running guest, named after its owner, and the end of those whose harness has died."""

import contextlib
import itertools
import os
import shutil
import signal
from pathlib import Path

from tests.owner import is_orphan, owner

_serial = itertools.count(1)


def new_run(runs: Path) -> Path:
    """An empty folder that belongs to this process."""
    folder = runs / f"{owner()}-{next(_serial)}"
    folder.mkdir()
    return folder


def sweep(runs: Path) -> int:
    """End the guests of processes that are gone, and remove their folders; how many there were."""
    count = 0
    for folder in runs.iterdir():
        if not is_orphan(folder.name):
            continue
        count += 1
        with contextlib.suppress(OSError, ValueError):
            qemu = int((folder / "pid").read_text())
            # its arguments name the folder: another process that has the id by now does not
            if os.fsencode(folder) in Path(f"/proc/{qemu}/cmdline").read_bytes():
                os.kill(qemu, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    return count
