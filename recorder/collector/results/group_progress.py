"""How far one group's results have come, and when they are to be written again."""

from __future__ import annotations

from recorder.collector.results.recording_index import GroupState
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.results.write_schedule import WriteSchedule
from recorder.collector.store.stored import StoredResult
from recorder.profiles.result_marks import STATE_FINAL

__all__ = ["GroupProgress"]


class GroupProgress:
    """One group's. Revisions are the store's; times are the monotonic clock's, in seconds.

    done: the results hold all up to that revision; ended: the same of containers that have ended, which
    is what a final result goes by. over: no container of it has run for long enough. trouble: why the
    platform does not take it; waiting: why there is nothing to publish.
    """

    __slots__ = (
        "_ended_partials",
        "_partials",
        "_quiet_since",
        "_settle",
        "done",
        "ended",
        "final",
        "over",
        "published",
        "schedule",
        "trouble",
        "waiting",
    )

    def __init__(self, row: StoredResult | None, policy: ResultPolicy) -> None:
        self.schedule = WriteSchedule(policy.first_write, policy.last_write)
        published = row if row and row.uid else None
        self.done = int(published.more.get("newest", 0)) if published else 0
        self.ended = int(published.more.get("ended", 0)) if published else 0
        self.published = published is not None
        self.final = published is not None and published.state == STATE_FINAL
        self.over = False
        self.trouble = ""
        self.waiting = ""
        self._settle = policy.settle
        self._quiet_since: float | None = None
        self._partials: dict[str, float] = {}  # since when none of it runs
        self._ended_partials: set[str] = set()

    def consider(self, state: GroupState, now: float, *, running: bool, live: bool, touched: bool) -> bool:
        """Whether it is due. live: the recording goes on; touched: somebody changed one of the objects."""
        if running:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        self.over = not live or (self._quiet_since is not None and now - self._quiet_since >= self._settle)
        lacks = self.lacks(state, live=live)
        if not self.trouble:
            if touched or (self.over and not self.final and (self.published or lacks)):
                self.schedule.at_once(now)
            elif lacks or self._ending_partials(now):
                self.schedule.changed(now)
        return self.schedule.due is not None and self.schedule.due <= now

    def lacks(self, state: GroupState, *, live: bool) -> bool:
        """Whether the results lack something that they shall have by now."""
        if self.final and live:
            return state.ended > self.ended
        return state.newest > self.done

    def partial_is_final(self, suffix: str, now: float, *, running: bool) -> bool:
        """Whether no container of a partial result has run for long enough."""
        if running:
            self._partials.pop(suffix, None)
            self._ended_partials.discard(suffix)
            return False
        return now - self._partials.setdefault(suffix, now) >= self._settle

    def written(
        self, row: StoredResult | None, newest: int, ended: int, now: float, *, wrote: bool, cost: float
    ) -> None:
        """The results hold what there was at these revisions; `row` is that of the whole one."""
        published = row is not None and bool(row.uid)
        final = row is not None and published and row.state == STATE_FINAL
        if final and not self.final:
            self.schedule.begin_anew()
        self.published, self.final = published, final
        self.done, self.ended = newest, ended
        self.trouble = ""
        self._ended_partials |= self._ending_partials(now)
        self.schedule.looked(now, wrote=wrote, cost=cost)

    def stuck(self, why: str, until: float) -> None:
        """The platform does not take it; it is tried again then, and not before."""
        self.trouble = why
        self.schedule.postpone(until)

    def deadline(self) -> float | None:
        """When something is due if nothing changes until then."""
        times = [] if self.schedule.due is None else [self.schedule.due]
        if not self.trouble and not self.final:
            if self._quiet_since is not None and not self.over:
                times.append(self._quiet_since + self._settle)
            times += [
                since + self._settle
                for suffix, since in self._partials.items()
                if suffix not in self._ended_partials
            ]
        return min(times, default=None)

    def _ending_partials(self, now: float) -> set[str]:
        if self.final:
            return set()
        quiet = {suffix for suffix, since in self._partials.items() if now - since >= self._settle}
        return quiet - self._ended_partials
