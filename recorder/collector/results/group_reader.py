"""Reads the sightings of groups, and makes their results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from recorder.collector.results.drafts import Draft, Group, ResultKey, counts, group_of
from recorder.collector.results.made_before import Made, MadeBefore
from recorder.collector.results.result_writer import make
from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.model.record import Observation, Source
from recorder.model.recording import ProfileKind, Recording
from recorder.model.result import PublishedResult

__all__ = ["GroupReader", "SightingStore"]

_PAGE: Final = 500
# Of calls alone: below it, results are made in the event loop, as to hand them to a thread takes longer.
_FEW: Final = 64


class SightingStore(Protocol):
    """What is asked of the store."""

    @property
    def compactions(self) -> int:
        """How often sightings were made smaller: pages from before and after do not fit together."""

    async def sightings(
        self,
        recording: str,
        *,
        container: str | None = None,
        first_sights: bool = True,
        accesses: bool = True,
        after: int = 0,
        limit: int | None = None,
    ) -> Sequence[Sighting]:
        """Return sightings by id, above `after`."""

    async def accesses_of_source(self, source: Source) -> Mapping[int, bytes]:
        """Return what a source's container accessed, by part.

        Of one that was folded since its sighting was read: what all of them accessed.
        """


class GroupReader:
    """`accept`: whose sightings count; `version`: this program's, for the results.

    before: results that take long, as they were made last; turn: these are made one at a time, of all
    recordings, since each takes memory and none would be there sooner.
    """

    def __init__(
        self,
        store: SightingStore,
        accept: frozenset[Confirmation],
        version: str,
        before: MadeBefore,
        turn: asyncio.Lock,
    ) -> None:
        self._turn = turn
        self._store = store
        self._before = before
        self._accept = accept
        self._version = version

    async def read(
        self, recording: Recording, container: str, groups: Collection[Group]
    ) -> dict[Group, list[Sighting]]:
        """Return what counts of some groups, which are all of one container's name."""
        while True:
            before = self._store.compactions
            found, pages = await self._read(recording, container, groups)
            # one that was to come may be part of one that was read already
            if pages == 1 or self._store.compactions == before:
                return found

    async def _read(
        self, recording: Recording, container: str, groups: Collection[Group]
    ) -> tuple[dict[Group, list[Sighting]], int]:
        found: dict[Group, list[Sighting]] = {group: [] for group in groups}
        after = pages = 0
        while True:
            page = await self._store.sightings(
                recording.id,
                container=container,
                first_sights=False,
                accesses=False,
                after=after,
                limit=_PAGE,
            )
            for each in page:
                group = group_of(recording, container, each.observation.identity.pod, each.placement)
                if group in found and counts(each, self._accept):
                    found[group].append(each)
            pages += 1
            if len(page) < _PAGE:
                return found, pages
            after = page[-1].id

    async def make(
        self,
        recording: Recording,
        sightings: Sequence[Sighting],
        *,
        final: Callable[[Draft], bool],
        name: Callable[[ResultKey], str],
        existing: Mapping[str, PublishedResult],
    ) -> list[Made]:
        """Return the results that these sightings make, by key; a whole one before its partial ones.

        final: whether a result's state is final; name: how it is called, as far as is known; existing: by
        name, the profiles that results complete.
        """
        of_calls = recording.kind is ProfileKind.SECCOMP
        loop = asyncio.get_running_loop()

        def accesses(seen: Observation) -> Mapping[int, bytes]:
            """In the thread that makes the results."""
            asked = self._store.accesses_of_source(seen.source)
            return asyncio.run_coroutine_threadsafe(asked, loop).result()

        def made() -> list[Made]:
            return make(
                recording,
                sightings,
                accept=self._accept,
                accesses=accesses,
                final=final,
                name=name,
                version=self._version,
                existing=existing,
                # what is completed may have changed, though no container did
                before=None if of_calls or existing else self._before,
            )

        if of_calls:
            return made() if len(sightings) <= _FEW else await asyncio.to_thread(made)
        async with self._turn:
            return await asyncio.to_thread(made)
