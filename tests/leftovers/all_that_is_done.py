"""Everything that a recorder does with the kernel side: `python -m tests.leftovers.all_that_is_done`.

Arguments: PINS CGROUP PROGRAM. Each of the two objects is loaded, used, pinned, left, taken over, used
again and unpinned. CGROUP is an empty cgroup; PROGRAM a program that ends by itself.
"""

import contextlib
import sys
from pathlib import Path

from recorder.kernel import pins
from recorder.kernel.backend import SlotBackend, WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.spec import Bounds, TaskBounds, syscalls_spec, tasks_spec
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase
from tests.member import Guest, Member

SEEN = {CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of([39])}


def _read(backend: SlotBackend) -> None:
    for target in backend.targets():
        backend.see(target, SEEN)
        backend.read(target)
        backend.read(target, final=True)
    backend.wait(0)
    backend.events()
    backend.ledger()
    backend.use()
    backend.runs()


def _end(backend: SlotBackend) -> None:
    for target in backend.targets():
        backend.drop(target)
        backend.read(target, final=True)
        backend.release(target)


def record_cgroups(folder: Path, root: Path, program: Path) -> None:
    """Watched, added, adopted and read, with a task whose phase is open."""
    spec = syscalls_spec(Bounds(slots=4, joiners=64, roots=4))
    child = root / "child"
    child.mkdir()
    try:
        with contextlib.closing(LibbpfBackend(spec)) as backend, Guest(child) as guest:
            backend.watch(root.stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
            target = backend.add(root.stat().st_ino, SlotMode.MODE_EXEC, late=True)
            backend.adopt(target, [child.stat().st_ino])
            with Member(child, program) as member:
                member.wait()
            with Guest(child):
                _read(backend)
            backend.pin(folder)
            guest.leave()
        with contextlib.closing(LibbpfBackend(spec, adopt=folder)) as backend:
            assert backend.watched() == {root.stat().st_ino}
            with Guest(child):
                _read(backend)
                _end(backend)
            backend.unwatch(root.stat().st_ino)
        pins.unpin(folder)
    finally:
        child.rmdir()


def record_processes(folder: Path, root: Path) -> None:
    """Followed, listed and read."""
    spec = tasks_spec(TaskBounds(slots=2, children=64))
    with Guest(root) as guest:
        with contextlib.closing(LibbpfTaskBackend(spec)) as backend:
            backend.members(backend.follow(guest.pid))
            _read(backend)
            backend.pin(folder)
        with contextlib.closing(LibbpfTaskBackend(spec, adopt=folder)) as backend:
            _read(backend)
            _end(backend)
        pins.unpin(folder)


if __name__ == "__main__":
    record_cgroups(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    record_processes(Path(sys.argv[1]), Path(sys.argv[2]))
