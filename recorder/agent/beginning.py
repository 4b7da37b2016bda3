"""How the recording of a cgroup that is there begins without a gap."""

from __future__ import annotations

from pathlib import Path

from recorder.containers.cgroup import Cgroup
from recorder.containers.in_flight import calls_in_flight
from recorder.kernel.backend import Backend, Target
from recorder.kernel.layout import SlotMode
from recorder.model.record import CallKey, Outcome, Phase


def begin(backend: Backend, cgroup: Cgroup, mode: SlotMode) -> tuple[Target, bool]:
    """Records a cgroup and those below it from now on; also whether it is late.

    Tasks that are in it already make the recording late: their calls in flight are taken
    along, what they did before is lost. Raises CgroupNotFound, BpfLimit or BpfLoadError.
    """
    before = cgroup.pids()
    target = backend.add(cgroup.id, mode, late=bool(before), mount_namespace=_mount_namespace(before))
    _adopt_descendants(backend, target, cgroup)
    # Who came in between is late as well: it is not known which of its calls were seen.
    present = cgroup.pids()
    late = bool(before or present)
    if late:
        in_flight = calls_in_flight(present).items()
        backend.see(
            target, {CallKey(abi, Phase.WORKLOAD, Outcome.ALLOWED): numbers for abi, numbers in in_flight}
        )
    return target, late


def _adopt_descendants(backend: Backend, target: Target, cgroup: Cgroup) -> None:
    """Those that were there before; what is made below a followed one is followed by the kernel side.

    Until nothing new is found: a child made below an old one that was not followed yet
    is nobody's.
    """
    known: set[int] = set()
    while new := cgroup.ids_below() - known:
        backend.adopt(target, sorted(new))
        known |= new


def _mount_namespace(pids: list[int]) -> int:
    """The mount namespace of the first process that still has one; 0 if none."""
    for pid in pids:
        try:
            return Path(f"/proc/{pid}/ns/mnt").stat().st_ino
        except OSError:
            continue
    return 0
