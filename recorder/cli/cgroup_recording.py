"""Recording a cgroup on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.agent.beginning import begin
from recorder.cli.recording import Recording
from recorder.containers.cgroup import Cgroup
from recorder.kernel.backend import Backend
from recorder.kernel.layout import SlotMode
from recorder.model.record import Identity

if TYPE_CHECKING:
    from recorder.agent.denials import Denials

PHASES = {"exec": SlotMode.MODE_EXEC, "container": SlotMode.MODE_CONTAINER}


def record_cgroup(
    backend: Backend, cgroup: Cgroup, phases: str, name: str, denials: Denials | None = None
) -> Recording:
    """As begin, its children included; and what AppArmor and SELinux deny."""
    if denials:
        denials.look(True)
        denials.begin(cgroup.id)
    target, late = begin(backend, cgroup, PHASES[phases])
    return Recording(
        backend=backend,
        target=target,
        what=cgroup.name,
        identity=Identity(name, cgroup.name),
        phases=phases,
        late=late,
        denials=denials,
    )
