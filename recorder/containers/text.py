"""Bounds of what runtimes say: names and labels come from whoever makes containers, and are data.

A text over its bound is cut at its end, a label over the number of labels is left out, and both are
counted: nothing that a container says can cost more memory than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from recorder.containers.container import Container
from recorder.model.record import Pod

MAX_TEXT = 1024
"""Bytes of UTF-8 of a name, a path or an image."""
MAX_LABEL_KEY = 317
"""Kubernetes' bound: a prefix of 253, a slash, a name of 63."""
MAX_LABEL_VALUE = 63
"""Kubernetes' bound of a label's value."""
MAX_LABELS = 64
"""Labels of one container; the first ones in the order of their keys."""


@dataclass(slots=True)
class TextBounds:
    """Applies the bounds, and counts what they took away."""

    cut: int = 0
    labels_left_out: int = 0

    def text(self, text: str, limit: int = MAX_TEXT) -> str:
        """The text, or as much of it as has room in `limit` bytes."""
        if len(text) * 4 <= limit:
            return text
        data = text.encode("utf-8", "backslashreplace")
        if len(data) <= limit:
            return text
        self.cut += 1
        return data[:limit].decode("utf-8", "ignore")

    def labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """The labels that have room."""
        kept = sorted(labels.items())[:MAX_LABELS]
        self.labels_left_out += len(labels) - len(kept)
        bounded = {self.text(key, MAX_LABEL_KEY): self.text(value, MAX_LABEL_VALUE) for key, value in kept}
        return labels if bounded == labels else bounded

    def container(self, container: Container) -> Container:
        """The container with each of its texts bounded."""
        pod = container.pod
        return replace(
            container,
            name=self.text(container.name),
            cgroup_path=self.text(container.cgroup_path),
            pod=pod and Pod(self.text(pod.namespace), self.text(pod.name), self.text(pod.uid)),
            labels=self.labels(container.labels),
            image=self.text(container.image),
            image_digest=self.text(container.image_digest),
            runtime=self.text(container.runtime),
            runtime_version=self.text(container.runtime_version),
            runtime_handler=self.text(container.runtime_handler),
            not_recordable=self.text(container.not_recordable),
        )
