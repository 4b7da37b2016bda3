"""How the recording of a process that runs begins without a gap."""

from __future__ import annotations

from recorder.containers.in_flight import calls_in_flight
from recorder.kernel.backend import Target, TaskBackend
from recorder.model.record import CallKey, Outcome, Phase

PHASES = "task"
"""In a record's provenance: followed by task, all is workload."""


def begin_process(backend: TaskBackend, pid: int) -> Target:
    """Records a process, its threads, its descendants and what they start from now on.

    It is late in any case: their calls in flight are taken along, what they did before is
    lost. pid: as this process's pid namespace has it; `recorder.containers.running_process` says
    which make no sense. Raises ProcessNotFound, NotRecordable, BpfLimit or BpfLoadError.
    """
    target = backend.follow(pid)
    in_flight = calls_in_flight(backend.members(target)).items()
    backend.see(
        target, {CallKey(abi, Phase.WORKLOAD, Outcome.ALLOWED): numbers for abi, numbers in in_flight}
    )
    return target
