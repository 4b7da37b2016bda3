"""A unit: what one record is of, as coverage counts."""

from __future__ import annotations

from typing import NamedTuple

from recorder.model.record import Observation

__all__ = ["Unit", "unit_of"]


class Unit(NamedTuple):
    """A pod, else a container, else a source."""

    pod: str
    container_id: str
    source: tuple[str, ...]


def unit_of(observation: Observation) -> Unit:
    """Return the one that an observation is of."""
    identity, source = observation.identity, observation.source
    if identity.pod:
        return Unit(identity.pod.uid or f"{identity.pod.namespace}/{identity.pod.name}", "", ())
    if identity.container_id:
        return Unit("", identity.container_id, ())
    return Unit("", "", (source.node, source.boot_id, str(source.cgroup_id), str(source.epoch)))
