"""What tests leave that were killed: containers and other processes, cgroups, mounts; and the end of that.

All of it is named after its owner (tests.owner), so that what belongs to a run that lives is left alone.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bpffs import SOURCE
from tests.owner import is_orphan
from tests.truth.oci import PARENT, Layout

SCRATCH = "recorder-scratch-"  # of a test's own cgroup, with the owner behind it
SECONDS = 60


def hierarchies(layout: Layout) -> Iterator[Path]:
    """Each mount that cgroups are made below, once."""
    seen: set[int] = set()
    for mounted in (layout.cgroup2, *layout.v1):
        device = mounted.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield mounted


def remove_cgroup(name: str, seconds: float = SECONDS) -> None:
    """Kill what is in a cgroup and remove it, in each hierarchy; TimeoutError."""
    layout = Layout.detect()
    end = time.monotonic() + seconds
    places = [mounted / name for mounted in hierarchies(layout)]
    while left := [place for place in places if place.exists()]:
        for place in left:
            with contextlib.suppress(OSError):
                (place / "cgroup.kill").write_text("1")  # cgroup2, Linux 5.14: with all that is below
            for folder, _, _ in os.walk(place, topdown=False):
                with contextlib.suppress(OSError):  # a task is still ending: again
                    Path(folder).rmdir()
        if time.monotonic() > end:
            raise TimeoutError(f"not removed within {seconds:g} s: {', '.join(map(str, left))}")
        time.sleep(0.02)


def sweep(layout: Layout) -> None:
    """Remove what processes that are gone have left; TimeoutError if a cgroup cannot be removed."""
    for mounted in hierarchies(layout):
        for place in (mounted / PARENT.lstrip("/")).glob("*"):
            kind = place.name.partition("-")[0]
            if is_orphan(place.name, f"{kind}-"):
                _kill_in(f"/tmp/{place.name}/")
                remove_cgroup(f"{PARENT.lstrip('/')}/{place.name}")
                shutil.rmtree(f"/tmp/{place.name}", ignore_errors=True)
        for place in mounted.glob(f"{SCRATCH}*"):
            if is_orphan(place.name, SCRATCH):
                remove_cgroup(place.name)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, where, *_ = line.split(" ")
        if is_orphan(source, SOURCE):  # what is pinned there keeps programs attached
            path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), where)
            subprocess.run(["umount", "--lazy", path], check=False)  # another run may be at it


def _kill_in(folder: str) -> None:
    """Daemons and monitors that name a folder in their arguments: containerd, its shims, conmon."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if os.fsencode(folder) in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
