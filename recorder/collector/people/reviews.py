"""Who a client of the people's side is, and what it may read: the authority's answers, kept for seconds.

Many who ask at once what was asked already wait for the one answer. Nothing is allowed
that the authority has not allowed; while it cannot be asked, nothing new is.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from recorder.collector.figures import ServiceFigures
from recorder.collector.people.authority import Authority, Person
from recorder.model.errors import AccessDenied, LimitReached, PlatformUnreachable, Unreachable

__all__ = ["ROOT", "Reviews", "Viewer"]

MAX_TOKEN = 12 << 10
"""Characters; tokens of OpenID Connect with many groups have some thousands."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. Root of this machine (`person` is None) may read everything."""

    person: Person | None = None
    token: str = ""

    def __repr__(self) -> str:
        return f"Viewer({self.person!r})"  # a token is for nobody's log


ROOT = Viewer()


class Reviews:
    """`authority` None: there is nobody to ask, so tokens are worth nothing.

    seconds: how long an answer holds. entries: answers that are kept, the oldest go first.
    at_a_time: questions under way; `waiting` may be asked, more are refused.
    """

    def __init__(
        self,
        authority: Authority | None,
        figures: ServiceFigures,
        *,
        seconds: float = 10.0,
        entries: int = 4096,
        at_a_time: int = 16,
        waiting: int = 512,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authority = authority
        self._figures = figures
        self._seconds = seconds
        self._entries = entries
        self._clock = clock
        self._waiting = waiting
        self._slots = asyncio.Semaphore(at_a_time)
        self._answers: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}

    async def viewer(self, token: str) -> Viewer:
        """Who bears the token. AccessDenied if nobody does; Unreachable if it cannot be asked."""
        authority = self._authority
        if authority is None:
            raise AccessDenied(
                "this collector knows no tokens, having no Kubernetes to ask: use its Unix socket, as root"
            )
        if not token:
            raise AccessDenied("a Kubernetes token is needed, as metadata: authorization: Bearer TOKEN")
        if len(token) > MAX_TOKEN:
            raise AccessDenied(f"the token has {len(token)} characters; at most {MAX_TOKEN} are taken")
        # a digest: what is kept here for seconds is nothing to log in with
        key = ("person", hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest())
        person = await self._ask(key, lambda: authority.person(token))
        if person is None:
            raise AccessDenied("the API server does not know the token: it is wrong, or has expired")
        return Viewer(person, token)

    async def viewer_again(self, viewer: Viewer) -> Viewer:
        """The same viewer, if its token is still worth something. Errors as `viewer`."""
        return await self.viewer(viewer.token) if viewer.person else viewer

    async def may_read(self, viewer: Viewer, namespace: str) -> bool:
        """Whether the viewer may read the recordings of a namespace, "" of all. Raises as `viewer`."""
        return await self._may(
            viewer, ("read", namespace), lambda authority, person: authority.may_read(person, namespace)
        )

    async def may_scrape(self, viewer: Viewer) -> bool:
        """Whether the viewer may read the metrics. Errors as `viewer`."""
        return await self._may(viewer, ("scrape",), lambda authority, person: authority.may_scrape(person))

    async def _may(
        self, viewer: Viewer, what: tuple[str, ...], ask: Callable[[Authority, Person], Awaitable[bool]]
    ) -> bool:
        person, authority = viewer.person, self._authority
        if person is None:
            return True
        if authority is None:
            return False
        return bool(await self._ask((*what, person), lambda: ask(authority, person)))

    async def _ask(self, key: Hashable, ask: Callable[[], Awaitable[Any]]) -> Any:
        found = self._answers.get(key)
        if found and self._clock() < found[0]:
            return found[1]
        task = self._asking.get(key)
        if task is None:
            # who goes away leaves its question here until it is answered
            if len(self._asking) >= self._waiting:
                raise LimitReached("too many ask at once who they are; try again later")
            task = self._asking[key] = asyncio.ensure_future(self._answer(key, ask))
            # nobody may be left to wait for it when it fails
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            # shielded: who goes away must not take the answer from those that wait as well
            return await asyncio.shield(task)
        except PlatformUnreachable as error:
            raise Unreachable(
                f"who may read what cannot be asked now, so nothing is shown; try again later ({error})"
            ) from error

    async def _answer(self, key: Hashable, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with self._slots:
                answer = await ask()
        except PlatformUnreachable:
            self._figures.reviews["unreachable"] += 1
            raise
        finally:
            del self._asking[key]
        self._figures.reviews["allowed" if answer else "denied"] += 1
        self._answers[key] = (self._clock() + self._seconds, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._entries:
            self._answers.popitem(last=False)
        return answer
