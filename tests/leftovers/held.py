"""A holder (tests/leftovers/holder.py) as a test sees it, and what lies below its folder of pins."""

import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from recorder.kernel.backend import Target
from recorder.kernel.spec import Bounds
from tests.kernel_objects import KernelObject, held_by, in_use

BOUNDS = Bounds(slots=64, children=8, joiners=64, roots=4, ring_bytes=1 << 20)

Sight = tuple[int, int, int, int, int]
"""cgroup id, slot, generation, kind, bit."""


class Holder:
    """A process that pinned a recording of `target` and of what is made below `root`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.target = Target(*json.loads(process.stdout.readline())["pinned"])
        # Not the object's .bss, which no program uses and so nothing pins.
        self.objects: frozenset[KernelObject] = held_by(process.pid) & in_use()
        self._lines: list[bytes] = []
        self._reader = threading.Thread(target=lambda: self._lines.extend(process.stdout))
        self._reader.start()

    def kill(self) -> list[Sight]:
        """SIGKILL; the events that it had told of."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        return [tuple(event) for line in self._lines if line.endswith(b"\n") for event in json.loads(line)]


@contextlib.contextmanager
def holder(folder: Path, root: Path, target: Path, bounds: Bounds = BOUNDS) -> Iterator[Holder]:
    """Started and pinned; killed at the end of the `with`, if it was not before. The pins stay."""
    arguments = [str(folder), str(root), str(target), json.dumps(dataclasses.asdict(bounds))]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.leftovers.holder", *arguments], stdout=subprocess.PIPE
    ) as process:
        held = None
        try:
            held = Holder(process)
            yield held
        finally:
            process.kill()
            if held:
                held.kill()


def pinned(folder: Path) -> dict[str, int]:
    """Every file below a folder of pins, with its inode's number."""
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
