"""Denials as JSON lines: an object for each denial of each container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recorder.cli.escape import escape_comm
from recorder.cli.wall_time import wall_time
from recorder.model.denial import DenialCount, DenialKey
from recorder.model.denial_text import denial_object, denied_call_object
from recorder.model.record import FirstSight, Observation, Outcome, Phase, SightKey


def objects(observation: Observation) -> Iterator[dict[str, Any]]:
    """Each denial of one container, in the record's order: for `recorder.model.denial_text.json_text`."""
    for key, numbers in observation.calls.items():
        if (key.phase, key.outcome) == (Phase.WORKLOAD, Outcome.DENIED):
            for number in numbers:
                sight = observation.first_sights.get(SightKey(*key, number))
                yield call_object(observation, key.abi, number, sight)
    for denial, count in observation.denials.items():
        yield counted_object(observation, denial, count)


def call_object(observation: Observation, abi: int, number: int, sight: FirstSight | None) -> dict[str, Any]:
    """A call that a filter denied; `first` is left out where it is not known."""
    found = {"container": _container(observation), **denied_call_object(abi, number)}
    if sight:
        found["first"] = _task(observation, sight.time_ns, sight.comm)
    return found


def counted_object(observation: Observation, key: DenialKey, count: DenialCount) -> dict[str, Any]:
    """What AppArmor or SELinux denied, how often, to whom first and last."""
    first, last = count.first, count.last
    return {
        "container": _container(observation),
        **denial_object(key.verdict, key.details, count.lacks),
        "count": count.count,
        "first": {**_task(observation, first.time_ns, first.comm), "pid": first.pid},
        "last": {**_task(observation, last.time_ns, last.comm), "pid": last.pid},
    }


def _container(observation: Observation) -> dict[str, str]:
    """Who it was, without what is not known."""
    identity, pod = observation.identity, observation.identity.pod
    found = {
        "node": observation.source.node,
        "namespace": pod.namespace if pod else "",
        "pod": pod.name if pod else "",
        "name": identity.name,
        "id": identity.container_id,
        "cgroup": identity.cgroup_path,
    }
    return {key: value for key, value in found.items() if value}


def _task(observation: Observation, time_ns: int, comm: bytes) -> dict[str, Any]:
    """Names of tasks are escaped as in tables: they have 15 bytes, so that nothing is left out."""
    time = wall_time(time_ns, observation.wall_offset_ns)
    return {"comm": escape_comm(comm), **({"time": time} if time else {})}
