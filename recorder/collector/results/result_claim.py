"""Which name a result gets: the first that is free, or that is its own already.

Objects are cluster-scoped, and anybody's: one of ours for the same namespace, recording and
container is continued, also if it was left by a recording that was deleted, or by a write whose
answer never came; any other is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from recorder.collector.platform import Platform
from recorder.collector.results.drafts import ResultKey
from recorder.collector.results.result_names import candidate_names, same_subject
from recorder.collector.store.stored import StoredRecording, StoredResult
from recorder.model.recording import ProfileKind, Recording

__all__ = ["Claim", "ClaimStore", "Claims", "key_of"]


class ClaimStore(Protocol):
    """What is asked of the store."""

    async def result_by_name(self, kind: ProfileKind, name: str) -> StoredResult | None:
        """Whose the name is."""

    async def remove_result(self, result: StoredResult) -> None:
        """It is nobody's any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A name. `uid`: of the object to continue; empty: to make one.

    passed: better names, that are somebody else's. superseded: a later recording of the same name
    has taken the result over, so there is nothing to write.
    """

    name: str
    uid: str = ""
    passed: tuple[str, ...] = ()
    superseded: bool = False


def key_of(result: StoredResult) -> ResultKey:
    """Return a stored result's key."""
    return ResultKey(result.recording, result.kind, result.container, result.suffix, result.partial)


class Claims:
    """Finds names. `recordings`: all that the store knows; `released`: told of each result taken over."""

    def __init__(
        self,
        platform: Platform,
        store: ClaimStore,
        recordings: Callable[[], Mapping[str, StoredRecording]],
        released: Callable[[StoredResult], None],
        *,
        namespace_prefix: bool,
    ) -> None:
        self._platform = platform
        self._store = store
        self._recordings = recordings
        self._released = released
        self._prefix = namespace_prefix

    def names(self, recording: Recording, key: ResultKey) -> tuple[str, ...]:
        """Return the names that a result may have, best first."""
        return candidate_names(recording.name, key.container, key.suffix, namespace_always=self._prefix)

    async def recorded_by(self, kind: ProfileKind, name: str) -> str:
        """Return the recording, of those that are not deleted, whose result has that name; empty: none."""
        held = await self._store.result_by_name(kind, name)
        owner = self._recordings().get(held.recording) if held else None
        return str(owner.recording.name) if owner and owner.deleted_at is None else ""

    async def claim(self, recording: Recording, key: ResultKey, never: str = "") -> Claim | None:
        """Return a result's name; None: all that it may have are taken. PlatformUnreachable, StoreFull.

        never: a name that it must not have, whoever has it.
        """
        passed: list[str] = []
        for name in self.names(recording, key):
            if name == never:
                passed.append(name)
                continue
            held = await self._store.result_by_name(recording.kind, name)
            if held and key_of(held) != key:
                if self._is_successor(held, recording, key):
                    return Claim(name, superseded=True)
                if not self._is_predecessor(held, recording, key):
                    passed.append(name)
                    continue
            published = await self._platform.result(recording.kind, name)
            if published is not None:
                known = held is not None and held.uid == published.uid
                same = known or same_subject(published.labels, recording.name, key.container)
                if not (published.ours and same):
                    passed.append(name)
                    continue
            if held and key_of(held) != key:
                await self._store.remove_result(held)
                self._released(held)
            return Claim(name, published.uid if published else "", tuple(passed))
        return None

    def _is_predecessor(self, held: StoredResult, recording: Recording, key: ResultKey) -> bool:
        """Whether the name is that of a recording which was deleted, and made again as this one."""
        owner = self._recordings().get(held.recording)
        if owner is None:
            return held.container == key.container
        return owner.deleted_at is not None and _same(owner.recording, recording, held, key)

    def _is_successor(self, held: StoredResult, recording: Recording, key: ResultKey) -> bool:
        own, owner = self._recordings().get(recording.id), self._recordings().get(held.recording)
        if own is None or owner is None or own.deleted_at is None or held.recording == recording.id:
            return False
        return owner.deleted_at is None and _same(owner.recording, recording, held, key)


def _same(owner: Recording, recording: Recording, held: StoredResult, key: ResultKey) -> bool:
    names = (owner.name.namespace, owner.name.name), (recording.name.namespace, recording.name.name)
    return owner.id != recording.id and names[0] == names[1] and held.container == key.container
