"""Recording a process on this machine."""

from __future__ import annotations

from recorder.agent.process_beginning import PHASES, begin_process
from recorder.cli.recording import Recording
from recorder.containers.running_process import RunningProcess
from recorder.kernel.backend import TaskBackend
from recorder.model.record import Identity


def record_process(backend: TaskBackend, process: RunningProcess, name: str) -> Recording:
    """As begin_process. The record's cgroup is the one that the process is in now."""
    return Recording(
        backend=backend,
        target=begin_process(backend, process.pid),
        what=f"process {process.pid} ({process.name})",
        identity=Identity(name, process.cgroup_path),
        phases=PHASES,
        late=True,
    )
