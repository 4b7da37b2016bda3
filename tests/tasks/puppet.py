"""Processes of a tree that fork and end one by one, as the test tells them by a FIFO of their own.

`python -m tests.tasks.puppet FOLDER`: the process listens at FOLDER/PID. A line `fork` makes a
child, which listens at a FIFO of its own; `reap` waits for a child; `end` ends it. The FIFO
FOLDER/said gets a line when it was done: the child's pid, or its own.
"""

import os
import sys
from pathlib import Path


def live(folder: Path) -> None:
    """Until it is told to end."""
    while True:
        own = folder / str(os.getpid())
        os.mkfifo(own)
        said = os.open(folder / "said", os.O_WRONLY)
        os.write(said, b"%d\n" % os.getpid())
        # Written and read: the end of one writer is not the end of the file.
        with os.fdopen(os.open(own, os.O_RDWR), "rb", buffering=0) as commands:
            forked = False
            while not forked:
                word = commands.readline().strip()
                if word == b"fork":
                    forked = os.fork() == 0
                elif word == b"reap":
                    os.wait()
                    os.write(said, b"%d\n" % os.getpid())
                else:
                    os._exit(0)


if __name__ == "__main__":
    live(Path(sys.argv[1]))
