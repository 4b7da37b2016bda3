"""One result at a time: made from sightings, named, applied, and noted in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Protocol

from recorder.collector.platform import Platform
from recorder.collector.results.drafts import Draft, ResultKey, drafts
from recorder.collector.results.made_before import Made, MadeBefore
from recorder.collector.results.recording_events import RecordingEvents
from recorder.collector.results.result_claim import Claim, Claims, ClaimStore
from recorder.collector.results.result_kind import NotYet
from recorder.collector.results.result_names import same_subject
from recorder.collector.results.result_object import content_digest, drawn_result
from recorder.collector.results.result_summary import ResultSummary
from recorder.collector.store.sighting import Confirmation, Sighting
from recorder.collector.store.stored import StoredResult
from recorder.model.ledger import Ledger
from recorder.model.record import Observation
from recorder.model.recording import Recording
from recorder.model.result import Application, Outcome, PublishedResult, ResultObject
from recorder.profiles.result_marks import COMPLETES, STATE_FINAL, STATE_RECORDING

__all__ = ["ResultStore", "ResultWriter", "Writing", "Written", "make"]

# How often a name may be somebody else's by the time that it is used.
_ATTEMPTS: Final = 3
_UNHEARD: Final = Application(Outcome.CREATED)


class ResultStore(ClaimStore, Protocol):
    """What is asked of the store."""

    async def save_result(self, result: StoredResult) -> None:
        """Keep how it was written; StoreFull."""


class Written(Enum):
    """What became of it."""

    SAME = "same"  # nothing was to be written
    WROTE = "wrote"
    NOT_YET = "not yet"  # nothing is there to publish
    SUPERSEDED = "superseded"  # it is not this recording's to write any more
    TROUBLE = "trouble"  # the platform does not take it


@dataclass(frozen=True, slots=True)
class Writing:
    """The answer. `row`: as the store has it now; `message`: of NOT_YET and TROUBLE."""

    written: Written
    row: StoredResult | None
    message: str = ""


def make(
    recording: Recording,
    sightings: Iterable[Sighting],
    *,
    accept: frozenset[Confirmation],
    accesses: Callable[[Observation], Mapping[int, bytes]],
    final: Callable[[Draft], bool],
    name: Callable[[ResultKey], str],
    version: str,
    existing: Mapping[str, PublishedResult] = MappingProxyType({}),
    before: MadeBefore | None = None,
) -> list[Made]:
    """Return the results that sightings make, sorted by key; pure, and long for thousands of sightings.

    before: results that are taken again if their sightings are at the revisions that they were made of.
    """
    made = []
    sightings = list(sightings)
    revisions = {each.observation.source: (each.id, each.revision) for each in sightings}
    for draft in drafts(recording, sightings, accept=accept, accesses=accesses):
        done, called = final(draft), name(draft.key)
        of = recording, done, called, tuple(revisions[each.source] for each in draft.record.observations)
        one = before.get(draft.key, of) if before else None
        if one is None:
            content, summary = drawn_result(
                recording, draft, called, final=done, version=version, existing=existing
            )
            digest = "" if isinstance(content, NotYet) else content_digest(content)
            one = Made(draft.key, content, digest, summary, done)
            if before:
                before.put(one, of)
        made.append(one)
    return made


class ResultWriter:
    """Writes results."""

    def __init__(
        self, platform: Platform, store: ResultStore, claims: Claims, events: RecordingEvents
    ) -> None:
        self._platform = platform
        self._store = store
        self._claims = claims
        self._events = events
        self.writes = 0
        self.creations = 0
        self.refusals = 0

    async def write(
        self,
        recording: Recording,
        made: Made,
        row: StoredResult | None,
        more: Mapping[str, Any],
        *,
        again: bool = False,
        deleted: bool = False,
    ) -> Writing:
        """Publish a result, if its content differs from what was written last.

        more: what the store keeps with it. again: somebody touched the object, so it is applied in any
        case. deleted: the recording is gone, so an object that is gone as well is not made again.
        PlatformUnreachable and StoreFull: it can be called again, and will find what was done.
        """
        if isinstance(made.content, NotYet):
            written = Written.TROUBLE if made.content.stuck else Written.NOT_YET
            return Writing(written, row, made.content.reason)
        if row and row.uid and row.digest == made.digest and not again:
            return Writing(Written.SAME, await self._noted(made, row))
        if row and deleted and await self._is_removed(row):
            gone = replace(row, uid="", state=STATE_FINAL)
            if gone != row:
                await self._store.save_result(gone)
            return Writing(Written.SUPERSEDED, gone)
        return await self._apply(recording, made, made.content, row, more)

    async def _noted(self, made: Made, row: StoredResult) -> StoredResult:
        """Figures that no object has, as those of denials, are kept all the same; StoreFull."""
        figures = made.summary.to_json()
        if row.more["summary"] == figures:
            return row
        noted = replace(row, more={**row.more, "summary": figures})
        await self._store.save_result(noted)
        return noted

    async def remove(self, recording: Recording, row: StoredResult) -> None:
        """Remove an object of ours, and forget it. PlatformUnreachable, StoreFull."""
        uid = row.uid
        if not uid:
            published = await self._platform.result(row.kind, row.name)
            if published and published.ours and same_subject(published.labels, recording.name, row.container):
                uid = published.uid
        if uid:
            await self._platform.remove(row.kind, row.name, uid)
        await self._store.remove_result(row)

    async def _apply(
        self,
        recording: Recording,
        made: Made,
        content: ResultObject,
        row: StoredResult | None,
        more: Mapping[str, Any],
    ) -> Writing:
        claim = Claim(row.name, row.uid, tuple(row.more.get("passed", ()))) if row and row.uid else None
        for _ in range(_ATTEMPTS):
            claim = claim or await self._claims.claim(
                recording, made.key, content.annotations.get(COMPLETES, "")
            )
            if claim is None:
                return self._all_taken(recording, made.key, row)
            if claim.superseded:
                return Writing(Written.SUPERSEDED, None)
            if (
                made.key.partial and not claim.uid
            ):  # it is to be removed one day, also if nobody hears the answer
                await self._store.save_result(replace(_saved(made, claim, _UNHEARD, more), digest=""))
            answer = await self._platform.apply(replace(content, name=claim.name), claim.uid)
            if answer.outcome is Outcome.REFUSED:
                return self._refused(recording, claim.name, row, answer.message)
            if answer.outcome is not Outcome.TAKEN:
                break
            claim = None
        if claim is None:
            return Writing(Written.TROUBLE, row, "objects of its names are made and removed by somebody else")
        saved = _saved(made, claim, answer, more)
        if saved != row:
            await self._store.save_result(saved)
        self.writes += 1
        self.creations += answer.outcome is Outcome.CREATED
        self._tell(recording, made, row, saved)
        return Writing(Written.WROTE, saved)

    async def _is_removed(self, row: StoredResult) -> bool:
        """A row without an object is of one that was removed after its recording, and stays so."""
        return not row.uid or await self._platform.result(row.kind, row.name) is None

    def _tell(self, recording: Recording, made: Made, row: StoredResult | None, saved: StoredResult) -> None:
        said, name = self._events, saved.name
        passed = ", ".join(saved.more["passed"])
        if passed and (row is None or row.name != name):
            said.tell(
                recording.name,
                "NameTaken",
                f"the result of the container {saved.container} is called {name}, since {passed} is somebody"
                " else's",
                warning=True,
                once=name,
            )
        taken = set(saved.edits) - set(row.edits if row else ())
        if taken:
            fields = ", ".join(f"{each.field} by {each.manager}" for each in sorted(taken))
            said.tell(
                recording.name,
                "Edited",
                f"{name}: taken over: {fields}; left as they are from now on",
                warning=True,
                once=f"{name} {fields}",
            )
        if saved.more["lossy"] and not (row and row.more.get("lossy")) and not made.key.partial:
            said.tell(
                recording.name,
                "Loss",
                f"{name}: {made.summary.verdict}; see the condition Complete",
                warning=True,
                once=name,
            )

    def _all_taken(self, recording: Recording, key: ResultKey, row: StoredResult | None) -> Writing:
        names = ", ".join(self._claims.names(recording, key))
        message = f"there are objects of somebody else of all names that it may have: {names}; remove one"
        self._events.tell(recording.name, "NameTaken", message, warning=True, once=names)
        self.refusals += 1
        return Writing(Written.TROUBLE, row, message)

    def _refused(self, recording: Recording, name: str, row: StoredResult | None, message: str) -> Writing:
        self._events.tell(
            recording.name, "NotPublished", f"{name} is refused: {message}", warning=True, once=message
        )
        self.refusals += 1
        return Writing(Written.TROUBLE, row, message)


def _saved(made: Made, claim: Claim, answer: Application, more: Mapping[str, Any]) -> StoredResult:
    key = made.key
    kept = {"passed": list(claim.passed), "lossy": _lossy(made.summary), "summary": made.summary.to_json()}
    return StoredResult(
        recording=key.recording,
        kind=key.kind,
        container=key.container,
        suffix=key.suffix,
        partial=key.partial,
        name=claim.name,
        uid=answer.uid,
        state=STATE_FINAL if made.final else STATE_RECORDING,
        digest=made.digest,
        edits=answer.edits,
        more={**more, **kept},
    )


def _lossy(figures: ResultSummary) -> bool:
    return not Ledger(figures.ledger).verdict.complete
