"""Containers that run already, as runtimes list them, when somebody wants them or they become known."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from recorder.agent.askers import Askers
from recorder.agent.slots import Slots
from recorder.agent.tracked import Asker, Subject
from recorder.containers.index import ContainerIndex
from recorder.containers.place import place_of
from recorder.model.errors import BpfError, CgroupNotFound, RecorderError

__all__ = ["RunningContainers"]

_LOG = logging.getLogger(__name__)

RESTS = 3
"""Times as long as a look for containers took is waited before the next."""


class RunningContainers:
    """Finds those that are wanted and have no slot. For an event loop.

    catch_up: takes what the kernel side says. add: a slot for a subject, also one that it has already, and
    whoever wants it is told.
    """

    def __init__(
        self,
        index: ContainerIndex,
        mount: Path,
        *,
        namespaces: tuple[str, ...],
        slots: Slots,
        askers: Askers,
        catch_up: Callable[[], object],
        add: Callable[[Subject], Awaitable[None]],
    ) -> None:
        self._index = index
        self._mount = mount
        self._namespaces = namespaces
        self._slots = slots
        self._askers = askers
        self._catch_up = catch_up
        self._add = add
        self._news = asyncio.Event()
        self.failed: dict[str, str] = {}
        """Why one that somebody wants is not recorded, by container id."""
        index.subscribe(self._news.set)

    def room(self) -> None:
        """A slot was given back: one that failed may have it."""
        if self.failed:
            self._news.set()

    async def run(self) -> None:
        """Looks whenever runtimes say something new, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            began = time.monotonic()
            try:
                await self.find()
            except RecorderError as error:
                _LOG.error("looking for containers: %s", error)
            # all containers and all askers: many names that become known make few looks
            await asyncio.sleep(RESTS * (time.monotonic() - began))

    async def find(self, asker: Asker | None = None) -> None:
        """Those that it wants; of all askers, those without a slot."""
        self._catch_up()  # slots of which nobody was told yet
        settled = set() if asker else self._named()
        askers: Collection[Asker] = (asker,) if asker else self._askers
        for container in list(self._index.containers().values()):
            if not container.cgroup_path or container.not_recordable or container.id in settled:
                continue
            # before all askers are asked: a runtime knows many that have ended
            if asker is None and not os.path.isdir(f"{self._mount}{container.cgroup_path}"):
                continue
            place = place_of(container.cgroup_path, self._namespaces)
            subject = Subject(container.cgroup_path, place, container)
            wanted = [each for each in askers if each.wants(subject)]
            if not wanted:
                continue
            try:
                await self._add(subject)
            except CgroupNotFound:
                continue
            except BpfError as error:
                if self.failed.get(container.id) != str(error):
                    _LOG.error("container %s is not recorded: %s", container.id, error)
                self.failed[container.id] = str(error)
                for each in wanted:
                    each.missed(container)
                continue
            self.failed.pop(container.id, None)

    def _named(self) -> set[str]:
        """Ids of the containers that have slots, and that askers were told of, or will be of their end."""
        told = (each for each in self._slots if each.identified and (each.ended or not each.leaving))
        return {each.subject.container.id for each in told if each.subject.container}
