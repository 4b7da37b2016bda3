"""The cluster that a collector is loaded with: who is where is said by names, so nobody has to hold it.

Nodes have `PODS` pods of two containers each. The pods of a node are of different workloads, and
each workload's pods are spread over all nodes. A recording asks for each workload, in a namespace of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RecordingName
from recorder.model.result import Placement
from recorder.model.selector import LabelSelector

PODS = 10
CONTAINERS = ("app", "sidecar")
OF_NODE = PODS * len(CONTAINERS)
LABEL = "app.kubernetes.io/name"

_POD = re.compile(r"(workload-(\d+)-7c9d8b6f5-)n(\d+)p(\d+)g(\d+)")


@dataclass(frozen=True, slots=True)
class LoadPod:
    """One pod. `generation`: how many were in its place before it."""

    workload: int
    node: int
    place: int
    generation: int

    @property
    def name(self) -> str:
        """As the API server would make it of its template's name."""
        return f"{self.generate_name}n{self.node}p{self.place}g{self.generation}"

    @property
    def generate_name(self) -> str:
        """The template's."""
        return f"workload-{self.workload}-7c9d8b6f5-"

    @property
    def namespace(self) -> str:
        """Of the workload."""
        return f"namespace-{self.workload}"

    @property
    def uid(self) -> str:
        """36 characters, one pod's alone."""
        return f"{self.workload:08x}-{self.place:04x}-4000-8000-{self.node:06x}{self.generation:06x}"

    @property
    def labels(self) -> dict[str, str]:
        """As a Deployment's pods have them."""
        return {
            LABEL: f"workload-{self.workload}",
            "app.kubernetes.io/instance": f"workload-{self.workload}-production",
            "app.kubernetes.io/part-of": "a-shop",
            "pod-template-hash": "7c9d8b6f5",
        }

    def placement(self) -> Placement:
        """As the API server knows it."""
        return Placement(
            self.namespace, self.name, self.uid, node_name(self.node), self.generate_name, self.labels
        )


def node_name(node: int) -> str:
    """As its certificate and its agent say it."""
    return f"node-{node:05d}"


def pod_at(node: int, place: int, workloads: int, generation: int = 0) -> LoadPod:
    """The pod in one of a node's `PODS` places."""
    return LoadPod((node * PODS + place) % workloads, node, place, generation)


def pod_named(name: str) -> LoadPod | None:
    """The pod of that name; None: there is none."""
    found = _POD.fullmatch(name)
    return LoadPod(*map(int, found.groups()[1:])) if found else None


def recording_id(workload: int) -> str:
    """The uid of the recording that asks for a workload."""
    return f"{workload:08x}-0000-4000-8000-000000000000"


def recordings(workloads: int) -> dict[str, Recording]:
    """By id. Each fourth has a result for every pod, the others one for all and partial ones for pods."""
    return {
        recording_id(each): Recording(
            name=RecordingName(f"namespace-{each}", f"recording-{each}", recording_id(each)),
            kind=ProfileKind.SECCOMP,
            means=Means.BPF,
            merge=MergeStrategy.CONTAINERS if each % 4 else MergeStrategy.NONE,
            selector=LabelSelector({LABEL: f"workload-{each}"}),
        )
        for each in range(workloads)
    }
