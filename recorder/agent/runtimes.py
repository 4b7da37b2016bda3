"""The container runtimes that the settings name, and those that are found at their usual places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from recorder.agent.settings import AUTO, RuntimeSettings
from recorder.containers.container import Manager
from recorder.containers.discovery import Discovery
from recorder.containers.podman import PodmanSource, Storage
from recorder.containers.source import Source

__all__ = ["runtimes"]


def runtimes(
    settings: RuntimeSettings, limit: int
) -> tuple[list[Source], Callable[[], Sequence[Source]] | None]:
    """Sources that are there now, and what finds those that come later (None: nothing is to be found)."""
    handlers = settings.unrecordable_handlers
    discovery = Discovery(limit=limit, unrecordable=handlers)
    sources: list[Source] = [discovery.cri(Path(each)) for each in settings.cri if each != AUTO]
    if settings.docker not in ("", AUTO):
        sources.append(discovery.docker(Path(settings.docker)))
    if settings.podman not in ("", AUTO):
        graph_root, _, run_root = settings.podman.partition(":")
        storage = Storage(Path(graph_root), Path(run_root or "/run/containers/storage"))
        sources.append(PodmanSource([storage], unrecordable=handlers))
    wanted = {
        manager
        for manager, found in (
            (Manager.CRI, AUTO in settings.cri),
            (Manager.DOCKER, settings.docker == AUTO),
            (Manager.PODMAN, settings.podman == AUTO),
        )
        if found
    }
    if not wanted:
        return sources, None

    def find() -> list[Source]:
        return [each for each in discovery() if each.manager in wanted]

    return [*sources, *find()], find
