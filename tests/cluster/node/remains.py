"""What a node leaves behind when its daemons are gone, and the end of that: containers, cgroups, the folder.

`python -m tests.cluster.node.remains FOLDER` waits for the end of its standard input, which is held by the
tests that made the node: it ends when they end, however that is, and then all of it is removed. What even
that left (both were killed), `sweep` of a later run finds by the cgroup's name.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.owner import is_orphan
from tests.truth.oci import Layout
from tests.truth.remains import SECONDS, remove_cgroup

PREFIX = "recorder-node-"  # of a node's cgroup; behind it the name of the run's folder
ROOT = Path(__file__).resolve().parents[3]


def remove(folder: Path) -> None:
    """All of the node whose run has this folder; may be repeated."""
    remove_cgroup(f"{PREFIX}{folder.name}")
    shutil.rmtree(folder, ignore_errors=True)


def sweep(layout: Layout) -> None:
    """Remove the nodes of processes that are gone."""
    for place in layout.cgroup2.glob(f"{PREFIX}*"):
        if is_orphan(place.name, PREFIX):
            remove_cgroup(place.name)


class Watcher:
    """The process that removes a node when this one closes it, or ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is for the tests
        )

    def close(self) -> None:
        """Have all removed, and wait for that; ClusterError if something cannot be."""
        if self._process is None:
            return
        process, self._process = self._process, None
        _, said = process.communicate(timeout=SECONDS + 30)
        if process.returncode:
            raise ClusterError(f"the node is not removed: {said.decode(errors='replace')[-2000:]}")


def main() -> int:
    """Wait, then remove."""
    while sys.stdin.buffer.read(1 << 10):
        pass
    remove(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
