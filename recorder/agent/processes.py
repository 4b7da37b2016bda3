"""Processes that captures follow by their ids: a kernel side of its own, there while there is one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from recorder.agent.budget import Use
from recorder.agent.denied import Denied
from recorder.agent.observation import observe, shared_losses
from recorder.agent.process_beginning import PHASES, begin_process
from recorder.agent.sights import Sights
from recorder.containers.running_process import find_process
from recorder.kernel import pins
from recorder.kernel.backend import Reading, Target
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.ring import OUTCOMES
from recorder.kernel.spec import TaskBounds, tasks_spec
from recorder.model.errors import BpfError, PinMismatch
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Observation

__all__ = ["FOLDER", "Followed", "Follower", "Processes"]

_LOG = logging.getLogger(__name__)

FOLDER = "tasks"
"""Below the agent's pins."""
TICK = 0.25  # seconds between two looks


class Follower(Protocol):
    """A capture. denials: it asks for them."""

    @property
    def denials(self) -> bool: ...

    def news(self) -> None:
        """There is something new of its process."""

    def keep(self, observation: Observation) -> None:
        """All that there will be of its process."""


@dataclass(slots=True, eq=False)
class Followed:
    """A process, with all that it starts. base: the kernel side's ledger at its begin.

    denials: somebody asked for them; denials_late: after it had begun.
    """

    target: Target
    pid: int
    identity: Identity
    base: Ledger = field(default_factory=Ledger)
    followers: set[Follower] = field(default_factory=set)
    sights: Sights = field(default_factory=Sights)
    reading: Reading | None = None
    denials: bool = False
    denials_late: bool = False


class Processes:
    """One slot for each process, however many captures follow it. Blocking where a walk over all tasks is."""

    def __init__(self, bounds: TaskBounds, pinned: Path, use: Use, *, node: str) -> None:
        self._spec = tasks_spec(bounds)
        self._folder = pinned / FOLDER
        self._use = use
        self._node = node
        self._backend: LibbpfTaskBackend | None = None
        self.adopted: frozenset[Target] = frozenset()
        """What the last agent left."""
        self._followed: list[Followed] = []
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()

    @property
    def attached(self) -> bool:
        """Whether any program may be attached."""
        return bool(self._followed)

    def used(self) -> int:
        """Processes that are followed."""
        backend = self._backend
        return sum(len(backend.members(each.target)) for each in self._followed) if backend else 0

    def of(self, follower: Follower) -> Iterator[Followed]:
        """A capture's own."""
        return (each for each in list(self._followed) if follower in each.followers)

    async def follow(self, pid: int, follower: Follower) -> Followed:
        """From now on. Raises ProcessNotFound, NotRecordable, BpfLimit or BpfLoadError."""
        process = find_process(pid)
        async with self._lock:
            for each in self._followed:
                if each.pid == pid and self._running(each):
                    each.followers.add(follower)
                    if follower.denials and not each.denials:
                        each.denials = each.denials_late = True
                    await self._look_for_denied()
                    return each
            backend = self._open()
            if follower.denials:
                await asyncio.to_thread(backend.look_for_denied, True)
            base = backend.ledger()
            target = await asyncio.to_thread(begin_process, backend, pid)
            followed = Followed(
                target,
                pid,
                Identity(process.name, process.cgroup_path),
                base,
                {follower},
                denials=follower.denials,
            )
            self._followed.append(followed)
            await self._look_for_denied()
            self._wake.set()
            return followed

    async def _look_for_denied(self) -> None:
        """While somebody asks for it."""
        if self._backend:
            wanted = any(follower.denials for each in self._followed for follower in each.followers)
            await asyncio.to_thread(self._backend.look_for_denied, wanted)

    def _running(self, followed: Followed) -> bool:
        return bool(self._backend and not self._backend.read(followed.target).ended)

    def _open(self) -> LibbpfTaskBackend:
        if self._backend is None:
            backend = LibbpfTaskBackend(self._spec, denied=False)
            try:
                backend.pin(self._folder)
            except BaseException:
                backend.close()
                raise
            self._backend = backend
        return self._backend

    def adopt(self) -> None:
        """What the last agent left; its captures say whose they are (`resume`), `settle` ends the rest."""
        if not (self._folder / pins.MAPS).is_dir():
            pins.unpin(self._folder)
            return
        try:
            self._backend = LibbpfTaskBackend(self._spec, adopt=self._folder, denied=False)
        except PinMismatch as error:
            _LOG.error("processes that the last agent followed are lost: %s", error)
            pins.unpin(self._folder)
            return
        self.adopted = frozenset(self._backend.targets())

    def resume(self, target: Target, pid: int, identity: Identity, base: Ledger, follower: Follower) -> None:
        """A capture goes on with what it followed."""
        for each in self._followed:
            if each.target == target:
                each.followers.add(follower)
                return
        self._followed.append(Followed(target, pid, identity, base, {follower}, denials=follower.denials))
        self._wake.set()

    async def settle(self) -> None:
        """Gives back what nobody follows, and the kernel side with the last."""
        async with self._lock:
            backend = self._backend
            if backend is None:
                return
            wanted = {each.target for each in self._followed if each.followers}
            needless = [each for each in backend.targets() if each not in wanted]
            if needless:
                await asyncio.to_thread(backend.drop, *needless)
                for target in needless:
                    await asyncio.to_thread(backend.release, target)
            for each in self._followed:
                if not each.followers:
                    each.sights.forget(self._use)
            self._followed = [each for each in self._followed if each.followers]
            if self._followed:
                await self._look_for_denied()
            else:
                self._close()

    def _close(self) -> None:
        if self._backend:
            self._backend.close()
            self._backend = None
            pins.unpin(self._folder)

    def observation(self, followed: Followed) -> Observation:
        """What was seen so far."""
        return self._observe(followed, ended=False)

    async def last_observation(self, followed: Followed) -> Observation:
        """What was seen in all, for a capture that ends."""
        return self._observe(followed, ended=True)

    def _observe(self, followed: Followed, *, ended: bool) -> Observation:
        if self._backend is None:
            raise BpfError("the kernel side of followed processes is closed")
        return observe(
            self._backend.read(followed.target, final=ended),
            node=self._node,
            loader=self._backend.loader,
            phases=PHASES,
            identity=followed.identity,
            ledger=shared_losses(self._backend.ledger(), followed.base)
            + Ledger({"attached_late": 1, "denials_late": int(followed.denials_late)}),
            sights=dict(followed.sights),
            ended=ended,
            denied=Denied() if followed.denials else None,
        )

    async def leave(self, follower: Follower) -> None:
        """It is over for a capture."""
        for each in self.of(follower):
            each.followers.discard(follower)
        await self.settle()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK if self._followed else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._backend:
                self._look(self._backend)
                if any(not each.followers for each in self._followed):
                    await self.settle()

    def _look(self, backend: LibbpfTaskBackend) -> None:
        by_key = {(each.target.slot, each.target.generation): each for each in self._followed}
        for event in backend.events():
            followed = by_key.get((event.slot, event.generation))
            if followed and event.kind in OUTCOMES:
                followed.sights.see(event, self._use)
        for followed in self._followed:
            before, followed.reading = followed.reading, backend.read(followed.target)
            if followed.reading.ended:
                last = self._observe(followed, ended=True)
                for follower in list(followed.followers):
                    follower.keep(last)
                followed.followers.clear()
            elif followed.reading != before:
                for follower in followed.followers:
                    follower.news()

    async def finish(self) -> None:
        """Ends all of it in order: captures have what they asked for, and nothing is left."""
        for followed in self._followed:
            last = self._observe(followed, ended=True)
            for follower in followed.followers:
                follower.keep(last)
            followed.followers.clear()
        await self.settle()
        self._close()

    def detach(self) -> None:
        """Everything stays for the next agent."""
        if self._backend:
            self._backend.close()
            self._backend = None
