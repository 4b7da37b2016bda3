"""All results of one recording: which are due, what they are made of, and what the status says of them.

A look costs what changed since the last one: sightings are read of the groups alone whose
results are due, and those are due no more often than their write distances allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from math import inf
from typing import Final

from recorder.collector.results.denial_events import DenialEvents
from recorder.collector.results.denial_summary import DenialSort, DenialSummary
from recorder.collector.results.drafts import Draft, Group, ResultKey
from recorder.collector.results.group_progress import GroupProgress
from recorder.collector.results.group_reader import GroupReader
from recorder.collector.results.made_before import Made
from recorder.collector.results.recording_index import GroupState, RecordingIndex
from recorder.collector.results.recording_report import RecordingReport
from recorder.collector.results.recording_status_of import Circumstances, Reported
from recorder.collector.results.recording_updates import RecordingUpdates
from recorder.collector.results.result_claim import key_of
from recorder.collector.results.result_summary import ResultSummary
from recorder.collector.results.result_writer import Writing, Written
from recorder.collector.results.surroundings import Surroundings
from recorder.collector.results.unable_nodes import unable_nodes
from recorder.collector.store.sighting import Sighting
from recorder.collector.store.stored import StoredResult
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RefusedRecording
from recorder.profiles.result_marks import STATE_FINAL, STATE_RECORDING

__all__ = ["Fate", "RecordingResults"]

# How many pods of absent nodes are asked for in one look, and of how many idle groups is told.
_SOME: Final = 32


_NOTHING: Final = ResultSummary(0, 0, 0)


class Fate(Enum):
    """Whether a recording goes on."""

    LIVE = "live"
    STOPPED = "stopped"  # refused now: its namespace lost the label, or an edit made it invalid
    DELETED = "deleted"


class RecordingResults:
    """One recording's. `look` is called when something changed, and when it said so itself."""

    def __init__(self, recording: Recording, around: Surroundings, *, emitted: int = 0) -> None:
        self.recording = recording
        self.fate = Fate.LIVE
        self._around = around
        self._refused: RefusedRecording | None = None
        self._emitted = emitted
        self._loaded = False
        self._rows: dict[ResultKey, StoredResult] = {}
        self._touched: set[ResultKey] = set()
        self._report = RecordingReport(recording, around.platform, around.policy)
        self._reader = GroupReader(around.store, around.accept, around.version, around.before, around.turn)
        self._denial_events = DenialEvents(around.events)
        self._updates = RecordingUpdates(around.updates, around.events, around.policy.retry)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._index = RecordingIndex(self.recording, self._around.accept)
        self._progress: dict[Group, GroupProgress] = {}
        self._idle: dict[Group, str] = {}  # nothing to publish, and nothing runs: why
        self._unpublished: dict[Group, ResultSummary] = {}  # of those that have nothing to publish
        self._withheld: set[Group] = set()
        self._asked: dict[int, float] = {}  # when the pod of what ran on an absent node was asked for
        self._gone: set[int] = set()

    @property
    def settled(self) -> bool:
        """Whether its results hold all that was seen; those aside that the platform does not take."""
        return self._loaded and not self._lacking(but_trouble=True)

    @property
    def nodes(self) -> Iterable[str]:
        """Nodes on which something of it runs."""
        return self._index.nodes

    def differs(self, recording: Recording, fate: Fate, refused: RefusedRecording | None) -> bool:
        """Whether `update` with these would change anything."""
        return (recording, fate, refused) != (self.recording, self.fate, self._refused)

    def update(self, recording: Recording, fate: Fate, refused: RefusedRecording | None) -> None:
        """It was edited, refused, deleted, or all is well again. What was seen stays."""
        if recording != self.recording:
            self.recording = recording
            self._begin_anew()
            self._updates.begin(recording, self._rows.values(), self._around.clock())
        self.fate = fate
        self._refused = refused
        self._report.update(recording, refused)

    def touch(self, kind: ProfileKind, name: str) -> bool:
        """Whether the object is one of its results; that is then applied again."""
        for key, row in self._rows.items():
            if (row.kind, row.name) == (kind, name):
                self._touched.add(key)
                return True
        return False

    def released(self, result: StoredResult) -> None:
        """A later recording of the same name took a result over."""
        self._rows.pop(key_of(result), None)

    async def load(self) -> None:
        """Read what was written."""
        if not self._loaded:
            rows = await self._around.store.results(self.recording.id)
            self._rows = {key_of(each): each for each in rows}
            self._updates.begin(self.recording, rows, self._around.clock())
            self._loaded = True

    async def look(self) -> float | None:
        """Do what is due; return when there is more to do, None: only after a change.

        PlatformUnreachable, StoreFull: what was not done is still due.
        """
        await self.load()
        now = self._around.clock()
        stirred = await self._index.refresh(self._around.store)
        self._place(stirred)
        await self._ask_for_lost(now)
        for container, groups in self._due(now).items():
            await self._write(container, groups, now)
        if self.fate is not Fate.STOPPED:
            await self._update_again(now)
        await self._end_orphans()
        await self._note_emitted()
        self._tell()
        if self.fate is not Fate.DELETED:
            await self._report.report(self._reported(), self._circumstances(), now)
        return self._deadline()

    # --- what is due

    def _place(self, stirred: Iterable[Group]) -> None:
        """A recording has a bounded number of results; groups beyond it wait until there is room."""
        for group in stirred:
            if group not in self._progress:
                self._idle.pop(group, None)
                self._withheld.add(group)
        if not self._withheld:
            return
        places = {self._key(each) for each in self._progress}
        places |= {key for key in self._rows if not key.partial}
        for group in sorted(self._withheld, key=lambda each: (self._row(each) is None, each)):
            key = self._key(group)
            if key not in places and len(places) >= self._around.policy.of_recording:
                break
            places.add(key)
            self._withheld.discard(group)
            self._progress[group] = GroupProgress(self._row(group), self._around.policy)

    def _due(self, now: float) -> dict[str, list[Group]]:
        """Groups that are due, by container; each group's schedule is brought up to date."""
        touched = {
            Group(key.container, "" if key.partial else key.suffix)
            for key in self._touched
            if key.kind is self.recording.kind
        }
        live = self.fate is Fate.LIVE
        due: dict[str, list[Group]] = {}
        for group, progress in sorted(self._progress.items()):
            state = self._index.groups[group]
            running = not self._gone.issuperset(state.running)
            if progress.consider(state, now, running=running, live=live, touched=group in touched):
                due.setdefault(group.container, []).append(group)
        return due

    async def _ask_for_lost(self, now: float) -> None:
        """Nobody tells the end of a container whose node is away: its pod is asked for instead."""
        lost, left = self._around.policy.lost, _SOME
        if self._asked:
            running = {each for there in self._index.nodes.values() for each in there}
            self._gone &= running
            self._asked = {each: when for each, when in self._asked.items() if each in running}
        for node, since in self._around.absence.away(self._index.nodes, now).items():
            for sighting in sorted(self._index.nodes[node] - self._gone) if now - since >= lost else ():
                pod = self._index.running(sighting).pod
                if pod is None or now - self._asked.get(sighting, -inf) < lost or not left:
                    continue
                left -= 1
                if await self._around.platform.placement(pod) is None:
                    self._gone.add(sighting)
                self._asked[sighting] = now

    # --- writing

    async def _write(self, container: str, groups: Sequence[Group], now: float) -> None:
        began = self._around.clock()
        sightings = await self._reader.read(self.recording, container, groups)
        for group in groups:
            state, progress = self._index.groups[group], self._progress[group]
            wrote, trouble, waiting = await self._write_group(group, sightings[group], now)
            if trouble:
                progress.stuck(trouble, now + self._around.policy.retry)
                continue
            state.taken(self._index.revision)
            cost = self._around.clock() - began
            progress.written(self._row(group), state.newest, state.ended, now, wrote=wrote, cost=cost)
            progress.waiting = waiting
            if not progress.published and not state.running:
                self._idle[group] = waiting
                del self._progress[group]

    async def _update_again(self, now: float) -> None:
        """What was in the way of changing a profile may be gone."""
        for group in self._updates.due(now):
            found = await self._reader.read(self.recording, group.container, [group])
            sightings = [each for each in found[group] if self._is_over(each)]
            await self._updates.update(self.recording, group, sightings, now)

    async def _write_group(
        self, group: Group, sightings: list[Sighting], now: float
    ) -> tuple[bool, str, str]:
        """Return whether something was written, what is in the way, and what there is to wait for."""
        row, progress, state = self._row(group), self._progress[group], self._index.groups[group]
        was_final = row is not None and row.state == STATE_FINAL
        final = was_final or progress.over
        whole = bool(row and row.more.get("whole"))
        if was_final and not whole and self.fate is Fate.LIVE:
            sightings = [each for each in sightings if self._is_over(each)]
        elif final and self.fate is Fate.LIVE:  # what came after it was seen to be over is not in it
            sightings = [
                each for each in sightings if each.revision <= self._index.revision or self._is_over(each)
            ]
        whole = final and (whole or not all(each.observation.ended for each in sightings))
        more: dict[str, object] = {
            "newest": state.newest,
            "ended": state.ended,
            "whole": whole,
            "merge": self.recording.merge.value,
            "means": self.recording.means.value,
        }

        def is_final(draft: Draft) -> bool:
            if not draft.key.partial:
                return final
            return progress.partial_is_final(draft.key.suffix, now, running=draft.running)

        existing = await self._around.completed.of(self.recording, sightings)
        made = await self._reader.make(
            self.recording, sightings, final=is_final, name=self._name, existing=existing
        )
        if final and self.fate is not Fate.STOPPED:
            more |= await self._updates.update(self.recording, group, sightings, now)
        wrote, trouble, waiting = False, "", ""
        for each in made:
            if each.key.partial and (final or not self._may_have_partial(each)):
                continue
            writing = await self._publish(self.recording, each, more)
            wrote |= writing.written is Written.WROTE
            if writing.written is Written.TROUBLE:
                trouble = writing.message
            if writing.written is Written.NOT_YET and not each.key.partial:
                waiting = writing.message
                self._note_unpublished(group, each.summary)
        return wrote, trouble, waiting

    def _note_unpublished(self, group: Group, figures: ResultSummary) -> None:
        self._unpublished.pop(group, None)
        told = figures.denials or figures.ledger
        if told and len(self._unpublished) < self._around.policy.of_recording:
            self._unpublished[group] = figures

    def _is_over(self, sighting: Sighting) -> bool:
        return sighting.observation.ended or sighting.id in self._gone

    async def _publish(self, recording: Recording, made: Made, more: Mapping[str, object]) -> Writing:
        key, first = made.key, not self._rows
        writing = await self._around.writer.write(
            recording,
            made,
            self._rows.get(key),
            more,
            again=key in self._touched,
            deleted=self.fate is Fate.DELETED,
        )
        self._touched.discard(key)
        if writing.row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = writing.row
            if first and writing.written is Written.WROTE:
                self._around.events.tell(
                    recording.name, "FirstResult", f"{key.kind} {writing.row.name} is there"
                )
        return writing

    def _may_have_partial(self, made: Made) -> bool:
        """Whether there is room for it; one that is final already grows no more while its pod runs again."""
        row = self._rows.get(made.key)
        if row is not None:
            return row.state != STATE_FINAL or made.final
        return len(self._rows) < self._around.policy.of_recording

    async def _remove(self, key: ResultKey) -> None:
        await self._around.writer.remove(self.recording, self._rows[key])
        del self._rows[key]
        self._touched.discard(key)

    async def _end_orphans(self) -> None:
        """Partial ones go once the whole one is final; those of what it was before an edit end."""
        recording = self.recording
        for key, row in list(self._rows.items()):
            if key.partial:
                whole = self._rows.get(replace(key, suffix="", partial=False))
                over = whole is not None and whole.state == STATE_FINAL
                edited = key.kind is not recording.kind or recording.merge is MergeStrategy.NONE
                if over or edited or recording.beside:
                    await self._remove(key)
                continue
            group = Group(key.container, key.suffix)
            if key.kind is recording.kind and group in self._index.groups:
                continue
            if row.state == STATE_FINAL and key not in self._touched:
                continue
            merge, means = row.more["merge"], row.more.get("means", recording.means)
            before = replace(recording, kind=key.kind, merge=MergeStrategy(merge), means=Means(means))
            sightings = await self._reader.read(before, key.container, [group])
            existing = await self._around.completed.of(before, sightings[group])
            for made in await self._reader.make(
                before, sightings[group], final=lambda _: True, name=self._name, existing=existing
            ):
                if made.key == key:
                    await self._publish(before, made, {**row.more, "whole": True})
            self._touched.discard(key)
            if key in self._rows:
                self._rows[key] = replace(self._rows[key], state=STATE_FINAL)

    # --- what is told

    async def _note_emitted(self) -> None:
        lacking = self._lacking()
        revision = min(lacking) - 1 if lacking else self._index.revision
        if revision > self._emitted:
            await self._around.store.emitted(self.recording.id, revision)
            self._emitted = revision

    def _tell(self) -> None:
        """Each is told once."""
        tell, name = self._around.events.tell, self.recording.name
        for container, reason in self._index.not_recorded()[:_SOME]:
            message = f"the container {container} cannot be recorded: {reason}"
            tell(name, "NotRecordable", message, warning=True, once=message)
        if self._withheld:
            limit = self._around.policy.of_recording
            message = f"there are more results than the {limit} that a recording may have; see its conditions"
            tell(name, "LimitReached", message, warning=True)
        self._denial_events.tell(name, self.denials())

    def denials(self) -> list[tuple[str, DenialSort]]:
        """What was denied, with the container's name; one sort may stand several times."""
        found = [
            (key.container, sort)
            for key, row in self._rows.items()
            if not key.partial and "denials" in row.more.get("summary", ())
            for sort in DenialSummary.from_json(row.more["summary"]["denials"]).sorts
        ]
        unpublished = ((group, each) for group, each in self._unpublished.items() if not self._row(group))
        more = ((group.container, sort) for group, each in unpublished for sort in each.denials.sorts)
        return [*found, *more]

    def _lacking(self, *, but_trouble: bool = False) -> list[int]:
        """The first revisions that results lack, of each group that has something to be written."""
        live = self.fate is Fate.LIVE
        found = []
        for group, progress in self._progress.items():
            state = self._index.groups[group]
            if progress.lacks(state, live=live) and not (but_trouble and progress.trouble):
                found.append(state.since or progress.done + 1)
        return found

    def _reported(self) -> list[Reported]:
        reported = [
            Reported(
                key=key,
                name=row.name,
                state=row.state,
                summary=ResultSummary.from_json(row.more["summary"]),
                active=()
                if key.partial
                else _workloads(self._index.groups.get(Group(key.container, key.suffix))),
                edits=row.edits,
            )
            for key, row in self._rows.items()
        ]
        waiting = {group: each.waiting for group, each in self._progress.items() if not self._row(group)}
        shown = {group for group in self._unpublished if group in self._idle} | set(
            sorted(self._idle)[:_SOME]
        )
        waiting |= {group: self._idle[group] for group in shown}
        for group, why in waiting.items():
            active = _workloads(self._index.groups[group])
            figures = self._unpublished.get(group, _NOTHING)
            reported.append(
                Reported(self._key(group), "", STATE_RECORDING, figures, active=active, waiting=why)
            )
        return reported

    def _circumstances(self) -> Circumstances:
        around = self._around
        return Circumstances(
            agents=around.absence.connected,
            store_full=around.store_full(),
            left_out=around.left_out(self.recording.id),
            not_recorded=self._index.not_recorded(),
            refused=self._index.refusals(),
            missing=len(self._index.missing),
            withheld=len(self._withheld),
            limit=around.policy.of_recording,
            unable=unable_nodes(
                self.recording, self._index.nodes.keys() or around.absence.here(), around.abilities
            ),
            updates=self._updates.answers,
            trouble=tuple(
                (self._name(self._key(group)), each.trouble)
                for group, each in self._progress.items()
                if each.trouble
            ),
        )

    def _deadline(self) -> float | None:
        again = None if self.fate is Fate.STOPPED else self._updates.deadline
        times = [again, *(each.deadline() for each in self._progress.values())]
        if self.fate is not Fate.DELETED:
            times.append(self._report.due)
        return min((each for each in times if each is not None), default=None)

    # --- parts

    def _key(self, group: Group) -> ResultKey:
        return ResultKey(self.recording.id, self.recording.kind, *group)

    def _row(self, group: Group) -> StoredResult | None:
        return self._rows.get(self._key(group))

    def _name(self, key: ResultKey) -> str:
        row = self._rows.get(key)
        return row.name if row and row.name else self._around.claims.names(self.recording, key)[0]


def _workloads(state: GroupState | None) -> tuple[str, ...]:
    return tuple(sorted({each.workload for each in state.running.values()})) if state else ()
