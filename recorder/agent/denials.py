"""What AppArmor or SELinux deny: a kernel side of its own, there while somebody asks for it.

All methods block for milliseconds at most, but for `prepare`, `look` and `drop`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.agent.denied import Denied, admitted
from recorder.agent.pinned_side import PinnedSide
from recorder.agent.selinux_contexts import Contexts
from recorder.model.errors import BpfLimit, RecorderError
from recorder.model.ledger import Ledger

if TYPE_CHECKING:
    # Who never asks for denials does without them: an agent's memory is counted.
    from recorder.kernel.denial_source import DenialLosses, DenialReading, DenialSource
    from recorder.model.denial import AppArmorDenial, Denial, SelinuxDenial, Text

    Opener = Callable[[Path | None], tuple[DenialSource, str]]

__all__ = ["FOLDER", "Denials", "Opener", "without_secrets"]

_LOG = logging.getLogger(__name__)

FOLDER = "denials"
"""Below the agent's pins."""


class Denials:
    """One source at most, and what it says of cgroups.

    opener: makes it, or takes over the one that is pinned in a folder, and says whose denials it sees; None
    where nobody can look. pinned: the agent's folder of pins, None if nothing outlives it.
    raw_paths: names are left as they are; else what looks like a secret in them is replaced.
    needed: `look` raises RecorderErrors; else it says what is the problem, and so do records.
    """

    def __init__(
        self,
        opener: Opener | None,
        pinned: Path | None = None,
        *,
        raw_paths: bool = False,
        needed: bool = False,
    ) -> None:
        self._pinned: PinnedSide[DenialSource] = PinnedSide(
            opener and functools.partial(self._open, opener),
            pinned,
            FOLDER,
            lambda source: _missed(source.losses()),
        )
        self._raw_paths = raw_paths
        self._needed = needed
        self._looking = False
        self._name = ""
        self._problem = ""
        self._contexts = Contexts()

    @property
    def _source(self) -> DenialSource | None:
        return self._pinned.side

    @property
    def attached(self) -> bool:
        """Whether any program may be attached."""
        return self._looking

    @property
    def problem(self) -> str:
        """Why nobody can look; empty: it can be done, or was not tried."""
        return self._problem

    @property
    def source(self) -> str:
        """The name of what was prepared; empty: nothing."""
        return self._source.name if self._source else ""

    def prepare(self) -> None:
        """Loads it, or takes it over from the last agent, so that `look` needs no privileges."""
        try:
            self._pinned.prepare()
        except RecorderError as error:
            self._failed(error)
        else:
            self._problem = ""

    def _failed(self, error: RecorderError) -> None:
        if self._needed:
            raise error
        self._problem = str(error)

    def _open(self, opener: Opener, folder: Path | None) -> DenialSource:
        source, module = opener(folder)
        self._name = f"{module} {source.name}"
        return source

    def look(self, wanted: bool) -> None:
        """From the return of this on, or not any more: then all is forgotten."""
        if wanted:
            self.prepare()
            if self._source:
                try:
                    self._source.attach()
                except RecorderError as error:
                    self._failed(error)
                else:
                    self._looking = True
        elif self._source:
            self._source.detach()
            self._forget(each.cgroup_id for each in self._source.cgroups())
            self._looking = False

    def _forget(self, cgroup_ids: Iterable[int]) -> None:
        found = tuple(cgroup_ids)
        if self._source and found:
            self._source.drop(*found)
            for each in found:
                self._contexts.forget(each)
                self._source.release(each)

    def close(self, *, keep: bool = False) -> None:
        """Ends it; keep: what is pinned goes on, for the next agent. May be repeated."""
        self._pinned.close(keep=keep)
        self._looking = False

    # --- of cgroups

    def roots(self, cgroup_ids: Iterable[int]) -> None:
        """Cgroups below which new ones are watched from their first denial on."""
        for each in cgroup_ids:
            self._watch(each, whole=False)

    def begin(self, cgroup_id: int) -> None:
        """One of a slot, with all that is below it."""
        self._watch(cgroup_id, whole=True)

    def _watch(self, cgroup_id: int, *, whole: bool) -> None:
        if self._source and self._looking:
            from recorder.kernel.denial_source import Scope  # noqa: PLC0415 - see above

            try:
                self._source.watch(cgroup_id, Scope.WHOLE if whole else Scope.EACH)
            except BpfLimit as error:
                _LOG.warning("%s", error)

    def changed(self) -> Collection[int]:
        """The cgroups of which there is something new."""
        return self._source.changed() if self._source and self._looking else ()

    def missed(self, *, now: bool = True) -> int:
        """What was lost of nobody knows whom, so far; unless it has to be `now`, of a moment ago."""
        return self._pinned.missed(now=now)

    def use(self) -> tuple[int, int]:
        """Denials that have an entry now, and how often none was free since somebody looks."""
        if self._source is None or not self._looking:
            return 0, 0
        readings = (self._source.read(each.cgroup_id) for each in self._source.cgroups())
        return sum(len(each.denials) for each in readings if each), self._source.losses().table_full

    def of(self, cgroup_id: int, missed_before: int = 0) -> Denied:
        """What a cgroup was denied so far. missed_before: `missed` when its recording began."""
        reading = self._source.read(cgroup_id) if self._source else None
        if reading is None:
            return Denied()
        from recorder.model.denial import Verdict  # noqa: PLC0415 - see above

        found, replaced = list(reading.denials), 0
        if not self._raw_paths:
            found, replaced = without_secrets(found)
        # it looks at all cgroups, and this may be asked for each of them
        missed = self.missed(now=reading.cgroup.dropped)
        lost = _lost(reading) + max(0, missed - missed_before) + self._contexts.shared(reading)
        full = reading.losses.table_full + sum(
            each.count for each in reading.denials if each.verdict is Verdict.REST
        )
        counts = {"denials_missed": lost, "denials_full": full, "secret_replaced": replaced}
        return Denied(self._name, admitted(found), Ledger(counts))

    def drop(self, cgroup_ids: Iterable[int]) -> None:
        """Nothing more is taken of them; what is read then is final."""
        if self._source:
            known = {each.cgroup_id for each in self._source.cgroups()}
            self._source.drop(*(each for each in cgroup_ids if each in known))

    def release(self, cgroup_id: int) -> None:
        """What was dropped is forgotten."""
        self._contexts.forget(cgroup_id)
        if self._source:
            self._source.release(cgroup_id)

    def sweep(self, kept: Collection[int], before_ns: int) -> None:
        """Forgets what nobody recorded: cgroups that began before that time, or are gone."""
        if self._source is None:
            return
        from recorder.kernel.denial_source import Scope  # noqa: PLC0415 - see above

        strays = [
            each.cgroup_id
            for each in self._source.cgroups()
            if each.cgroup_id not in kept
            and (each.removed or each.dropped or (each.scope is Scope.OWN and each.epoch < before_ns))
        ]
        self._forget(strays)


def _missed(losses: DenialLosses) -> int:
    of_kernel = losses.missed + losses.cgroups_full + losses.between
    return of_kernel + losses.unattributed + losses.overruns + losses.audit_lost + losses.unflushed


def _lost(reading: DenialReading) -> int:
    """Of one cgroup. What is under way counts as unnamed for a moment, and a note never goes away again."""
    losses = reading.losses
    return losses.unreadable + (losses.unnamed if reading.cgroup.dropped else 0)


def without_secrets(denials: Iterable[Denial]) -> tuple[list[Denial], int]:
    """The same with what looks like secrets in paths replaced, and how many parts of paths were."""
    found, replaced = [], 0
    for each in denials:
        details, count = _details(each.details)
        found.append(replace(each, details=details) if count else each)
        replaced += count
    return found, replaced


def _details(
    details: AppArmorDenial | SelinuxDenial | None,
) -> tuple[AppArmorDenial | SelinuxDenial | None, int]:
    from recorder.model.denial import AppArmorDenial, SelinuxDenial  # noqa: PLC0415 - see above

    match details:
        case AppArmorDenial():
            name, in_name = _text(details.name)
            target, in_target = _text(details.target)
            return replace(details, name=name, target=target), in_name + in_target
        case SelinuxDenial():
            name, count = _text(details.name)
            return replace(details, name=name), count
        case _:
            return None, 0


def _text(text: Text) -> tuple[Text, int]:
    from recorder.model.denial import Text  # noqa: PLC0415 - see above
    from recorder.model.secret import generalised  # noqa: PLC0415

    found = generalised(text.content)
    if not found.count:
        return text, 0
    length = max(text.length, len(found.text) + 1) if text.cut else len(found.text)
    return Text(found.text, length), found.count
