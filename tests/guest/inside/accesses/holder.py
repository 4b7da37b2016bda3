"""Records a cgroup and what it uses, pins that, says so, waits to be killed: `holder.py FOLDER CGROUP_ID`.

Attaches, twice, with no more privileges than an agent keeps.
"""

import signal
import sys
from pathlib import Path

from recorder.agent.privileges import drop, needed
from recorder.kernel.accesses import AccessWatch
from recorder.kernel.accesses_spec import AccessBounds
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec

BOUNDS = Bounds(slots=4)
ACCESS_BOUNDS = AccessBounds(accesses=512, per_target=256, lines=1024, outcomes=32, executions=32)


def main() -> None:
    """Entry point."""
    folder = Path(sys.argv[1])
    backend = LibbpfBackend(syscalls_spec(BOUNDS))
    backend.pin(folder / "calls")
    watch = AccessWatch(backend, ACCESS_BOUNDS)
    watch.pin(folder / "accesses")
    watch.check()
    missing = drop(needed())
    assert not missing, missing
    watch.attach()
    watch.detach()
    watch.attach()
    backend.add(int(sys.argv[2]), SlotMode.MODE_EXEC)
    print("pinned", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
