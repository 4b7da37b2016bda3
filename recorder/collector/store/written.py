"""Recordings, placements and results as the store's JSON: sorted, so that equal values are equal texts."""

from __future__ import annotations

import json
from typing import Any

from recorder.model.record import Pod
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RecordingName
from recorder.model.result import Edit, Placement
from recorder.model.selector import LabelSelector, Requirement

__all__ = [
    "edits_text",
    "from_edits",
    "from_ids",
    "from_placement",
    "from_pod",
    "from_recording",
    "ids_text",
    "json_text",
    "placement_text",
    "pod_text",
    "recording_text",
]


def json_text(value: Any) -> str:
    """Plain JSON in one line."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def recording_text(recording: Recording) -> str:
    """All of a recording."""
    name, selector = recording.name, recording.selector
    return json_text(
        {
            "namespace": name.namespace,
            "name": name.name,
            "uid": name.uid,
            "kind": recording.kind,
            "means": recording.means,
            "merge": recording.merge,
            "labels": dict(selector.match_labels),
            "expressions": [
                [each.key, each.operator, list(each.values)] for each in selector.match_expressions
            ],
            "containers": list(recording.containers),
            "disable": recording.disable,
            "generation": recording.generation,
            "beside": recording.beside,
            "denials": recording.denials,
            "update": recording.update,
        }
    )


def from_recording(text: str) -> Recording:
    """What `recording_text` wrote."""
    found = json.loads(text)
    return Recording(
        name=RecordingName(found["namespace"], found["name"], found["uid"]),
        kind=ProfileKind(found["kind"]),
        means=Means(found["means"]),
        merge=MergeStrategy(found["merge"]),
        selector=LabelSelector(
            found["labels"],
            tuple(
                Requirement(key, operator, tuple(values)) for key, operator, values in found["expressions"]
            ),
        ),
        containers=tuple(found["containers"]),
        disable=found["disable"],
        generation=found["generation"],
        beside=found["beside"],
        denials=found.get("denials", False),  # schema 1 has none
        update=found.get("update", ""),  # nor has what an earlier version wrote
    )


def placement_text(placement: Placement | None) -> str | None:
    """All of a placement; None for none."""
    if placement is None:
        return None
    return json_text(
        {
            "namespace": placement.namespace,
            "name": placement.name,
            "uid": placement.uid,
            "node": placement.node,
            "generate_name": placement.generate_name,
            "labels": dict(placement.labels),
        }
    )


def from_placement(text: str | None) -> Placement | None:
    """What `placement_text` wrote."""
    return None if text is None else Placement(**json.loads(text))


def pod_text(pod: Pod | None) -> str | None:
    """All of a pod's name; None for none."""
    return None if pod is None else json_text([pod.namespace, pod.name, pod.uid])


def from_pod(text: str | None) -> Pod | None:
    """What `pod_text` wrote."""
    return None if text is None else Pod(*json.loads(text))


def edits_text(edits: tuple[Edit, ...]) -> str:
    """Fields and who took them."""
    return json_text([[each.field, each.manager] for each in edits])


def from_edits(text: str) -> tuple[Edit, ...]:
    """What `edits_text` wrote."""
    return tuple(Edit(field, manager) for field, manager in json.loads(text))


def ids_text(ids: frozenset[str]) -> str:
    """Recordings' ids."""
    return json_text(sorted(ids))


def from_ids(text: str) -> frozenset[str]:
    """What `ids_text` wrote."""
    return frozenset(json.loads(text))
