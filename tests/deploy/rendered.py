"""Manifests as kustomize makes them: what an operator applies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.guest.build.tool import run_tool
from tests.guest.cache import Artefact

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FOLDERS = (".", "crds", *(f"overlays/{each.name}" for each in sorted((DEPLOY / "overlays").iterdir())))
"""All that can be applied, below deploy/."""
WORKLOADS = ("DaemonSet", "StatefulSet")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of one folder."""

    folder: str
    objects: tuple[Object, ...]

    def of(self, *kinds: str) -> list[Object]:
        """Those of these kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        """The one of that name."""
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Name and spec of each workload's pods."""
        for each in self.of(*WORKLOADS):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]

    def containers(self) -> Iterator[tuple[str, Object, Object]]:
        """PODS/CONTAINER, the pod's spec and the container's, init containers first."""
        for name, pod in self.pods():
            for container in (*pod.get("initContainers", ()), *pod["containers"]):
                yield f"{name}/{container['name']}", pod, container


def render(tools: Artefact, folder: str) -> Rendered:
    """As `kubectl kustomize`: with no more than what is below the folder of each kustomization."""
    text = run_tool(tools / "kustomize", "build", DEPLOY / folder).decode()
    return Rendered(folder, tuple(yaml.safe_load_all(text)))


Everything = Mapping[str, Rendered]
