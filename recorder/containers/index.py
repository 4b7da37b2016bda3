"""Who the containers of this node are: one view of all its runtimes, kept up to date.

A runtime that is down, slow or talks nonsense delays names and nothing else: each has a task of its own,
and nothing that it does ends `run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from recorder.containers.cgroup import cgroup2_mount
from recorder.containers.container import Container, Manager
from recorder.containers.place import Place
from recorder.containers.source import Source, SourceStatus
from recorder.containers.text import TextBounds
from recorder.model.errors import NoCgroup2, RuntimeUnreachable

log = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""A cgroup may be there before its runtime knows the container (a sandbox of containerd's: until it has
started): so long is asked again while the cgroup stays."""
LIST_TIMEOUT = 30.0
"""Seconds for one list of a runtime with all that belongs to it."""
AT_ONCE = 16
"""Questions to runtimes that are under way at the same time."""

QUIET = 6
"""So many times `poll_seconds` are at most between two lists."""

_COALESCE = 0.05  # seconds from the first sign of a change to the list that it leads to
_SHARE = 4  # of the time at most 1/_SHARE is spent in lists
_BACKOFF = (0.25, 10.0)  # seconds, from and to


@dataclass(slots=True, eq=False)
class _Followed:
    """One runtime: what it told, and when it is to be asked again."""

    source: Source
    signs: asyncio.Event = field(default_factory=asyncio.Event)
    ids: set[str] = field(default_factory=set)
    refused: int = 0
    problem: str | None = None  # None: nothing was said about it yet
    failures: int = 0
    quiet: int = 0  # lists in a row that told nothing new
    lists: int = 0  # how many were begun
    listed: int = 0  # which of them was the last to be answered


class ContainerIndex:
    """All containers that the runtimes of this node know, and the answer to who has a cgroup.

    `limit`: of containers kept. `poll_seconds`: between two lists when nothing calls for one sooner, and
    up to QUIET times as long while lists tell nothing new: an idle node costs next to nothing.
    `mount`: the cgroup v2 mount; by default found by its type. `discover`: asked now and then for
    runtimes that came meanwhile; it returns each once.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        limit: int,
        poll_seconds: float,
        mount: Path | None = None,
        settle_seconds: float = SETTLE_SECONDS,
        discover: Callable[[], Sequence[Source]] | None = None,
    ) -> None:
        self._followed = [_Followed(source) for source in sources]
        self._limit = limit
        self._poll = poll_seconds
        self._settle = settle_seconds
        self._discover = discover
        self._mount = mount or _mount()
        self._containers: dict[str, Container] = {}
        self._stamps: dict[str, float] = {}  # when a container was resolved: no older list takes it away
        self._questions: dict[str, asyncio.Task[Container | None]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._callbacks: list[Callable[[], None]] = []
        self._texts = TextBounds()
        self._refused = 0

    # --- what is known

    def find(self, container_id: str) -> Container | None:
        """What is known now of a container; asks nobody."""
        return self._containers.get(container_id)

    def containers(self) -> Mapping[str, Container]:
        """All that are known now, by id; a live view."""
        return MappingProxyType(self._containers)

    def statuses(self) -> list[SourceStatus]:
        """Each runtime's, in the order in which they are asked."""
        return [each.source.status() for each in self._followed]

    @property
    def refused(self) -> Mapping[str, int]:
        """How often something met its bound: containers not kept, texts cut, labels left out."""
        return {
            "containers": self._refused,
            "texts": self._texts.cut,
            "labels": self._texts.labels_left_out,
        }

    @property
    def limit(self) -> int:
        """Of containers kept."""
        return self._limit

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have it called after each change of what is known, in the event loop."""
        self._callbacks.append(callback)

    def wake(self) -> None:
        """A cgroup came or went: look soon. Cheap; many calls make one look."""
        for each in self._followed:
            each.signs.set()

    def knows(self, manager: Manager) -> bool:
        """Whether all runtimes of that kind answer, and have told what they have; False without one."""
        own = [each for each in self._followed if each.source.manager == manager]
        return bool(own) and all(each.listed and not each.failures for each in own)

    async def refresh(self, seconds: float) -> None:
        """Have every runtime listed once more, as far as they answer within `seconds`.

        A list that is under way already may be older than what is looked for: the next one counts.
        """
        wanted = [(each, each.lists + 1) for each in self._followed]
        self.wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(each.listed < number and not each.failures for each, number in wanted):
                    await asyncio.sleep(0.02)

    # --- one container

    async def resolve(self, place: Place) -> Container | None:
        """Who has that cgroup. None: the runtimes say that they know none of that id (any more).

        Of one that a list had, and that is gone before it could be asked for, it is what the list had.
        Raises RuntimeUnreachable if one that may know it does not answer. The same question at the same
        time is asked once.
        """
        known = self._containers.get(place.container_id)
        if known is not None and known.pid:
            return _at(known, place)
        task = self._questions.get(place.container_id)
        if task is None:
            task = asyncio.create_task(self._ask(place))
            self._questions[place.container_id] = task
            task.add_done_callback(lambda _: self._questions.pop(place.container_id, None))
            task.add_done_callback(_answered)
        # one who no longer wants to know takes nothing from the others
        return await asyncio.shield(task)

    async def _ask(self, place: Place) -> Container | None:
        followed = [each for each in self._followed if each.source.manager == place.manager]
        if place.manager == Manager.CONTAINERD and not followed:
            # `ctr` names a container by its id, and the CRI knows nothing of those of other namespaces
            return Container(place.container_id, place.container_id, place.manager, cgroup_path=place.path)
        followed = followed or self._followed
        deadline = time.monotonic() + self._settle
        delay = 0.01
        listed: Container | None = None
        while followed:
            listed = self._containers.get(place.container_id, listed)
            # whoever waits for its turn costs nothing but that
            async with self._at_once:
                # before the question: what went after this was there to be asked for
                there = await asyncio.to_thread(self._exists, place.path)
                found = await self._ask_all(followed, place)
            if found is not None:
                return found
            listed = self._containers.get(place.container_id, listed)
            if not there or time.monotonic() >= deadline:
                return _at(listed, place) if listed else None
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.5)
        return None

    async def _ask_all(self, followed: Sequence[_Followed], place: Place) -> Container | None:
        unreachable: RuntimeUnreachable | None = None
        for each in followed:
            try:
                found = await each.source.find(place.container_id)
            except RuntimeUnreachable as error:
                unreachable = unreachable or error
                each.signs.set()
                continue
            if found is not None:
                container = _at(self._texts.container(found), place)
                self._keep(each, container)
                self._tell()
                return container
        if unreachable is not None:
            raise unreachable
        return None

    def _exists(self, path: str) -> bool:
        return self._mount is not None and (self._mount / path.lstrip("/")).is_dir()

    def _keep(self, followed: _Followed, container: Container) -> bool:
        if container.id not in self._containers and len(self._containers) >= self._limit:
            self._refused += 1
            return False
        self._containers[container.id] = container
        self._stamps[container.id] = time.monotonic()
        followed.ids.add(container.id)
        return True

    def _tell(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                log.exception("a subscriber of the container index failed")

    # --- all of them

    async def run(self) -> None:
        """Follow all runtimes until cancelled; then their connections are closed."""
        try:
            async with asyncio.TaskGroup() as group:
                for each in self._followed:
                    self._follow_in(group, each)
                while True:
                    for source in await self._discovered():
                        each = _Followed(source)
                        self._followed.append(each)
                        self._follow_in(group, each)
                    await asyncio.sleep(self._poll)
        finally:
            for each in self._followed:
                with contextlib.suppress(OSError):
                    await each.source.close()

    async def _discovered(self) -> Sequence[Source]:
        if self._discover is None:
            return ()
        try:
            return await asyncio.to_thread(self._discover)
        except OSError as error:
            log.warning("container runtimes cannot be looked for: %s", error)
            return ()

    def _follow_in(self, group: asyncio.TaskGroup, followed: _Followed) -> None:
        group.create_task(self._follow(followed))
        group.create_task(self._listen(followed))

    async def _follow(self, followed: _Followed) -> None:
        while True:
            began = time.monotonic()
            followed.lists += 1
            try:
                async with asyncio.timeout(LIST_TIMEOUT):
                    await self._list(followed)
            except RuntimeUnreachable as error:
                self._failed(followed, str(error))
            except TimeoutError:
                self._failed(followed, f"its list was not there after {LIST_TIMEOUT:g} s")
            except Exception as error:
                self._failed(followed, f"{type(error).__name__}: {error}")
                log.exception("a fault while %s was asked for its containers", followed.source.name)
            else:
                followed.failures = 0
                followed.listed = followed.lists
                self._say(followed, followed.source.status().problem)
            pause = _COALESCE + (time.monotonic() - began) * (_SHARE - 1)
            wait = _backoff(followed.failures) if followed.failures else self._pause(followed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await followed.signs.wait()
                    followed.quiet = 0
            if followed.failures:
                await asyncio.sleep(min(wait, 1.0))
            await asyncio.sleep(pause)
            followed.signs.clear()

    def _pause(self, followed: _Followed) -> float:
        return self._poll * float(min(QUIET, 2 ** min(followed.quiet, 10)))

    async def _listen(self, followed: _Followed) -> None:
        failures = 0
        while True:
            try:
                async for _ in followed.source.watch():
                    failures = 0
                    followed.signs.set()
            except RuntimeUnreachable:
                pass  # `_follow` meets the same, and says it
            except Exception:
                log.exception("a fault while events of %s were read", followed.source.name)
            failures += 1
            followed.signs.set()
            await asyncio.sleep(_backoff(failures))

    def _failed(self, followed: _Followed, problem: str) -> None:
        followed.failures += 1
        self._say(followed, problem)

    def _say(self, followed: _Followed, problem: str) -> None:
        """Log what changed: that it serves, or no longer, not each failure."""
        before, followed.problem = followed.problem, problem
        status = followed.source.status()
        if problem and not before:
            log.warning("%s (%s): no names from it for now: %s", status.name, status.endpoint, problem)
        elif not problem and before != "":
            log.info("%s (%s) serves: %s", status.name, status.endpoint, status.version)

    async def _list(self, followed: _Followed) -> None:
        began = time.monotonic()
        source = followed.source
        listed = {each.id: each for each in await source.list()}
        # what is asked for stays until the next list: its answer may be that nobody knows it any more
        kept = self._questions.keys() | listed.keys()
        gone = [each for each in followed.ids - kept if self._stamps.get(each, 0) < began]
        for container_id in gone:
            followed.ids.discard(container_id)
            self._containers.pop(container_id, None)
            self._stamps.pop(container_id, None)
        changed = bool(gone)
        over = 0
        asked: list[str] = []
        for container_id, light in listed.items():
            known = self._containers.get(container_id)
            if known is None and len(self._containers) >= self._limit:
                over += 1
                continue
            if known is None:
                self._containers[container_id] = self._texts.container(light)
                self._stamps[container_id] = began
                followed.ids.add(container_id)
                changed = True
            if not light.pid and not (known and known.pid):
                asked.append(container_id)
            elif known and light.pid and light.pid != known.pid:
                self._containers[container_id] = self._texts.container(light)
                changed = True
        self._refused += max(0, over - followed.refused)
        followed.refused = over
        followed.quiet = 0 if changed or asked else followed.quiet + 1
        if changed:
            self._tell()
        await self._complete(followed, asked)

    async def _complete(self, followed: _Followed, asked: Sequence[str]) -> None:
        """Ask for what a list does not have: pid, image digest, runtime."""
        changed = False
        for start in range(0, len(asked), AT_ONCE // 2):
            ids = asked[start : start + AT_ONCE // 2]
            answers = await asyncio.gather(*(followed.source.find(each) for each in ids))
            for container_id, answer in zip(ids, answers, strict=True):
                known = self._containers.get(container_id)
                if answer is None or known is None:
                    continue
                # where a cgroup was seen is truer than what a configuration asks for
                path = known.cgroup_path or answer.cgroup_path
                found = replace(self._texts.container(answer), cgroup_path=path)
                if found != known:
                    self._containers[container_id] = found
                    changed = True
        if changed:
            self._tell()


def _at(container: Container, place: Place) -> Container:
    return replace(container, cgroup_path=place.path)


def _mount() -> Path | None:
    try:
        return cgroup2_mount()
    except NoCgroup2:
        return None


def _answered(task: asyncio.Task[Container | None]) -> None:
    """Whoever asked may be gone: then nobody else looks at how it failed."""
    if not task.cancelled():
        task.exception()


def _backoff(failures: int) -> float:
    first, last = _BACKOFF
    return float(min(last, first * 2 ** min(failures - 1, 10))) * random.uniform(0.75, 1.25)  # noqa: S311
