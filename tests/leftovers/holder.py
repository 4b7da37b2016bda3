"""Records below a watched root, pins all of it and reads the ring: `python -m tests.leftovers.holder`.

Arguments: FOLDER ROOT TARGET BOUNDS, the last as JSON. It watches the cgroup ROOT, adds TARGET,
pins below FOLDER, says `pinned`, and from then on writes a line of JSON for each batch of
events. It never ends by itself.
"""

import dataclasses
import json
import sys
from pathlib import Path

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec


def say(value: object) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def hold(folder: Path, root: Path, target: Path, bounds: Bounds) -> None:
    """See the module."""
    backend = LibbpfBackend(syscalls_spec(bounds))
    backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
    added = backend.add(target.stat().st_ino, SlotMode.MODE_EXEC, late=True)
    backend.pin(folder)
    say({"pinned": dataclasses.astuple(added)})
    while True:
        backend.wait(0.05)
        if events := backend.events():
            say([(event.cgroup_id, event.slot, event.generation, event.kind, event.bit) for event in events])


if __name__ == "__main__":
    hold(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), Bounds(**json.loads(sys.argv[4])))
