"""Watches a cgroup's denials, pins that, says so, and waits to be killed: `holder.py FOLDER CGROUP_ID`."""

import signal
import sys
from pathlib import Path

from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec

BOUNDS = DenialBounds(denials=8, per_cgroup=4, cgroups=4)


def main() -> None:
    """Entry point."""
    watch = DenialWatch(denials_spec(active_module(), BOUNDS))
    watch.watch(int(sys.argv[2]))
    watch.attach()
    watch.pin(Path(sys.argv[1]))
    print("pinned", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
