"""Which cgroups the kernel side watches while somebody asks for containers that are to come."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from recorder.containers.root import MAX_PREFIX, WatchRoot, watch_roots
from recorder.kernel.backend import Backend, WatchRule
from recorder.kernel.layout import SlotMode
from recorder.model.errors import BpfLimit

_LOG = logging.getLogger(__name__)

MODES = {"exec": SlotMode.MODE_EXEC, "container": SlotMode.MODE_CONTAINER}

TO_COME = (
    WatchRoot("/", 3, "kubepods"),
    WatchRoot("/", 1 + 1, "k8s.io"),
    WatchRoot("/", 1 + 1, "docker"),
    WatchRoot("/", 1 + 1, "libpod_parent"),
    WatchRoot("/", 1 + 1, "default"),
)
"""Directories that a runtime makes with its first container: their children, or pods' children, count.

A kubelet makes its QoS classes' directories below kubepods long before their first pod: `refresh`
corrects what the level alone would make of them.
"""


def rules_of(roots: Iterable[WatchRoot]) -> dict[str, list[WatchRule]]:
    """The kernel side's rules for each root's path, in order."""
    rules: dict[str, list[WatchRule]] = defaultdict(list)
    for root in roots:
        rules[root.path].append(WatchRule(MODES[root.mode], root.levels, root.prefix.encode()[:MAX_PREFIX]))
    return rules


class Roots:
    """The watched cgroups of a backend. Blocking: `refresh` reads the whole tree of cgroups."""

    def __init__(self, backend: Backend, mount: Path) -> None:
        self._backend = backend
        self._mount = mount
        self._watched: dict[int, tuple[WatchRule, ...]] = {}
        self.refused = 0

    @property
    def armed(self) -> bool:
        """Whether anything is watched."""
        return bool(self._watched)

    @property
    def containers(self) -> list[int]:
        """Ids of the watched cgroups, but for the tree's own root: below it is the whole machine."""
        root = self._mount.stat().st_ino
        return [identity for identity in self._watched if identity != root]

    def refresh(self, units: Iterable[str] = ()) -> None:
        """Watches what is to be watched now, `units` of system.slice by name among it; again and again."""
        names = [WatchRoot("/system.slice", prefix=unit[:MAX_PREFIX], mode="exec") for unit in sorted(units)]
        rules = rules_of((*TO_COME, *names, *watch_roots(self._mount)))
        wanted: dict[int, tuple[WatchRule, ...]] = {}
        for path, found in rules.items():
            with contextlib.suppress(FileNotFoundError):
                wanted[(self._mount / path.lstrip("/")).stat().st_ino] = tuple(found[:8])
        watched = self._backend.watched()
        for identity, each in wanted.items():
            if self._watched.get(identity) == each and identity in watched:
                continue
            try:
                self._backend.watch(identity, *each)
            except BpfLimit as error:
                self.refused += 1
                _LOG.error("a cgroup is not watched, its containers are recorded late: %s", error)
                continue
            self._watched[identity] = each
        self._watched = {identity: each for identity, each in self._watched.items() if identity in wanted}

    def disarm(self) -> None:
        """Nothing is watched any more, pods' cgroups that came by themselves included."""
        for identity in self._backend.watched():
            self._backend.unwatch(identity)
        self._watched.clear()
