"""Which cgroups the kernel side watches while somebody asks for containers that are to come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from recorder.agent.askers import Askers
from recorder.agent.denials import Denials
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

A kubelet makes its QoS classes' directories below kubepods long before their first pod: what is read of the
tree corrects what the level alone would make of them.
"""


def rules_of(roots: Iterable[WatchRoot]) -> dict[str, list[WatchRule]]:
    """The kernel side's rules for each root's path, in order."""
    rules: dict[str, list[WatchRule]] = defaultdict(list)
    for root in roots:
        rules[root.path].append(WatchRule(MODES[root.mode], root.levels, root.prefix.encode()[:MAX_PREFIX]))
    return rules


class Roots:
    """The watched cgroups of the kernel sides, of calls and of denials; for an event loop."""

    def __init__(self, backend: Backend, denials: Denials, mount: Path, askers: Askers) -> None:
        self._backend = backend
        self._denials = denials
        self._mount = mount
        self._askers = askers
        self._watched: dict[int, tuple[WatchRule, ...]] = {}
        self._lock = asyncio.Lock()
        self._next: asyncio.Future[None] | None = None
        self.stale = True
        """Whether the tree may have others than when it was last read."""
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

    async def arm(self) -> None:
        """What is to be watched now is, if an asker wants containers that are to come."""
        # It reads the whole tree: who comes while that is under way has the next, with all others that came.
        if self._next is None:
            self._next = asyncio.ensure_future(self._arm())
        await asyncio.shield(self._next)

    async def _arm(self) -> None:
        async with self._lock:
            self._next = None
            if self._askers.open:
                # the table of watched cgroups is the kernel's; this only reads directories
                self.stale = False
                await asyncio.to_thread(self._refresh, self._askers.units)
                self._denials.roots(self.containers)
                self.disarm_if_idle()  # who asked may be gone by now

    def _refresh(self, units: Iterable[str]) -> None:
        """Again and again; blocks. units: of system.slice, by name."""
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

    def disarm_if_idle(self) -> None:
        """Nothing is watched any more, if nobody wants containers that are to come."""
        if not self._askers.open:
            self.disarm()

    def disarm(self) -> None:
        """Nothing is watched any more, pods' cgroups that came by themselves included."""
        for identity in self._backend.watched():
            self._backend.unwatch(identity)
        self._watched.clear()
