"""One kind of object, listed and then watched: each is handed on as it is and as it changes.

Nothing is kept here but versions: who uses it keeps what it needs of an object.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Any, Protocol

from lightkube import ApiError, AsyncClient
from lightkube.core.resource import NamespacedResourceG

from recorder.kube.connection import asking
from recorder.model.errors import PlatformUnreachable

__all__ = ["Kept", "Reflector"]

log = logging.getLogger(__name__)

_WATCH_SECONDS = 120.0
"""A watch is begun anew so often: a connection that died without a word costs no more than this."""
_CHUNK = 200
_FIRST_BACKOFF = 0.5
_LAST_BACKOFF = 30.0


class Kept(Protocol):
    """Who is told of objects. An object is its JSON."""

    def put(self, each: dict[str, Any]) -> None:
        """It is there, new or changed."""

    def drop(self, each: dict[str, Any]) -> None:
        """It is gone; this is how it was."""

    def keep(self, uids: set[str]) -> None:
        """A listing is through: there are just these."""


class Reflector:
    """Run `run` as a task. `problem`: why it is not current; empty if it is."""

    def __init__(
        self,
        client: AsyncClient,
        resource: Any,
        kept: Kept,
        *,
        namespace: str = "",
        labels: dict[str, Any] | None = None,
        optional: bool = False,
    ) -> None:
        """namespace: empty: all, or a kind without. optional: the kind may be unknown to the server."""
        self._client = client
        self._resource = resource
        self._kept = kept
        self._labels = labels
        self._optional = optional
        self._where: dict[str, Any] = {}
        if issubclass(resource, NamespacedResourceG):
            self._where = {"namespace": namespace or "*"}
        self.listed = False
        self.problem = ""
        self._what = resource.__name__

    async def run(self, changed: Callable[[], None]) -> None:
        """List, watch, and list again after any failure, until cancelled."""
        attempt = 0
        while True:
            try:
                with asking(f"listing {self._what}"):
                    version = await self._list()
                attempt = 0
                self._say("")
                self.listed = True
                changed()
                with asking(f"watching {self._what}"):
                    await self._watch(version, changed)
            except PlatformUnreachable as error:
                self._say(str(error))
            except ApiError as error:
                # 410: the version is too old; 404: the kind is not installed
                if self._optional and error.status.code == 404:
                    self._kept.keep(set())
                    self.listed = True
                self._say("" if error.status.code == 410 else f"{self._what}: {error}")
                changed()
            delay = min(_LAST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(attempt, 10))
            attempt += 1
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads clients, no secret

    def _say(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("kubernetes: %s", problem)
        elif self.problem and not problem:
            log.info("kubernetes: %s is current again", self._what)
        self.problem = problem

    async def _list(self) -> str:
        found: set[str] = set()
        listing = self._client.list(self._resource, chunk_size=_CHUNK, labels=self._labels, **self._where)
        async for found_one in listing:
            each = _plain(found_one)
            self._kept.put(each)
            found.add(each["metadata"]["uid"])
        self._kept.keep(found)
        return str(listing.resourceVersion)

    async def _watch(self, version: str, changed: Callable[[], None]) -> None:
        while True:
            events: Any = self._client.watch(
                self._resource,
                labels=self._labels,
                server_timeout=int(_WATCH_SECONDS) + 30,
                resource_version=version,
                **self._where,
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS), contextlib.aclosing(events) as stream:
                    async for kind, changed_one in stream:
                        each = _plain(changed_one)
                        version = each["metadata"]["resourceVersion"]
                        if kind == "DELETED":
                            self._kept.drop(each)
                        else:
                            self._kept.put(each)
                        changed()


def _plain(each: Any) -> dict[str, Any]:
    """An object as JSON: lightkube has classes for the API's own kinds."""
    return each if isinstance(each, dict) else dict(each.to_dict())
