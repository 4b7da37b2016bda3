"""The status of a recording, from what is known of it. Pure; each message says what a person can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from recorder.collector.results.denial_summary import DenialSort, most_frequent
from recorder.collector.results.drafts import ResultKey
from recorder.collector.results.profile_update import UpdateAnswer
from recorder.collector.results.result_summary import ResultSummary
from recorder.collector.results.unable_nodes import NONE_UNABLE, UnableNodes
from recorder.model.ledger import CAUSES, Ledger
from recorder.model.recording import ProfileKind, Recording, RefusedRecording
from recorder.model.recording_status import Condition, DenialStatus, RecordingStatus, ResultStatus
from recorder.model.result import Edit
from recorder.profiles.result_marks import EDITED, STATE_FINAL

__all__ = ["MAX_ACTIVE", "Circumstances", "Reported", "recording_status", "refused_status"]

MAX_ACTIVE: Final = 100
"""How many of the workloads that are recorded now are shown."""
MAX_CAUSES: Final = 32
"""How many causes of the ledger are shown; known ones first."""
MAX_DENIALS: Final = 100
"""How many sorts of denials are shown: of each container as many as of the others."""
MAX_DENIALS_OF_CONTAINER: Final = 20
MAX_MESSAGE: Final = 2048
"""Characters of a condition's message; the API takes 32,768."""
# How many of a list's items are written out in a message.
_MAX_ITEMS: Final = 5
# Characters of a text that comes from elsewhere.
_MAX_TEXT: Final = 256


@dataclass(frozen=True, slots=True)
class Reported:
    """A result as the status has to show it.

    name: the object's; empty while there is none, for the reason `waiting`. state: recording,
    final. active: pods (else containers) that run now. edits: fields that somebody took.
    """

    key: ResultKey
    name: str
    state: str
    summary: ResultSummary
    active: tuple[str, ...] = ()
    waiting: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What besides its results decides how a recording goes.

    agents: how many are connected. store_full: why the store takes nothing more, or empty.
    left_out: why agents are not told of the recording, or empty. not_recorded: containers that were
    asked for and cannot be recorded, with the reason. refused: reports that were not believed, by
    reason. missing: containers of which nothing is in a result, since their pod was gone when the
    platform was asked for it. withheld: results that are not published, being more than `limit`.
    trouble: what the platform refuses, by result. unable: of the nodes where something of it runs, else
    of all that have an agent. updates: what became of the profile that is to be changed where it stands.
    """

    agents: int = 0
    store_full: str = ""
    left_out: str = ""
    not_recorded: tuple[tuple[str, str], ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict, hash=False)
    missing: int = 0
    withheld: int = 0
    limit: int = 100
    trouble: tuple[tuple[str, str], ...] = ()
    unable: UnableNodes = NONE_UNABLE
    updates: tuple[UpdateAnswer, ...] = ()


def recording_status(
    recording: Recording, reported: Iterable[Reported], circumstances: Circumstances
) -> RecordingStatus:
    """Return the status of a recording that is done."""
    results = sorted(reported, key=lambda each: each.key)
    conditions = [_ready(results, circumstances), _complete(results, circumstances)]
    return _status(recording.generation, conditions, results, circumstances)


def refused_status(
    refused: RefusedRecording,
    reported: Iterable[Reported] = (),
    circumstances: Circumstances = Circumstances(),
) -> RecordingStatus:
    """Return the status of a recording that is not done; with the results of a time when it was."""
    results = sorted(reported, key=lambda each: each.key)
    conditions = [_condition("Ready", False, refused.reason, refused.message)]
    if results:
        conditions.append(_complete(results, circumstances))
    return _status(refused.generation, conditions, results, circumstances)


def _status(
    generation: int,
    conditions: list[Condition],
    results: Sequence[Reported],
    circumstances: Circumstances,
) -> RecordingStatus:
    conditions += _edited(results)
    conditions += _limit_reached(circumstances)
    conditions += _profile_updated(circumstances)
    conditions += _partly_expressed(results)
    whole = _whole(results)
    denials, omitted = _denials(whole)
    return RecordingStatus(
        observed_generation=generation,
        conditions=tuple(conditions),
        active_workloads=_active(results)[:MAX_ACTIVE],
        results=tuple(_result(each) for each in whole if each.name),
        ledger=_shown_ledger(_ledger(whole)),
        denials=denials,
        denials_omitted=omitted,
    )


def _result(each: Reported) -> ResultStatus:
    return ResultStatus(
        kind=each.key.kind,
        name=each.name,
        container=_cut(each.key.container),
        state=each.state,
        syscalls=each.summary.syscalls if each.key.kind is ProfileKind.SECCOMP else None,
        rules=None if each.key.kind is ProfileKind.SECCOMP else each.summary.rules,
        denied=each.summary.denied,
        coverage=each.summary.coverage,
        verdict=_cut(each.summary.verdict),
    )


def _denials(whole: Iterable[Reported]) -> tuple[tuple[DenialStatus, ...], int]:
    """Those of each container's results together; containers beyond the bound only count."""
    sorts: dict[str, list[DenialSort]] = {}
    omitted = 0
    for each in whole:
        if each.summary.denials:
            sorts.setdefault(each.key.container, []).extend(each.summary.denials.sorts)
            omitted += each.summary.denials.omitted
    of_each = min(MAX_DENIALS_OF_CONTAINER, max(1, MAX_DENIALS // max(1, len(sorts))))
    shown: list[DenialStatus] = []
    for container in sorted(sorts):
        kept, more = most_frequent(sorts[container], of_each if len(shown) < MAX_DENIALS else 0)
        omitted += more
        shown += (
            DenialStatus(_cut(container), each.kind, each.verdict, each.action, each.count, each.records)
            for each in kept
        )
    return tuple(shown), omitted


# --- conditions


def _ready(results: Sequence[Reported], circumstances: Circumstances) -> Condition:
    """Whether containers are recorded now: True also if something is wrong with some of them."""
    if circumstances.store_full:
        return _condition(
            "Ready",
            False,
            "StoreFull",
            f"the collector's store takes nothing more: {_cut(circumstances.store_full)}; what the agents"
            " have seen waits with them until there is room",
        )
    if not circumstances.agents:
        return _condition(
            "Ready",
            False,
            "NoAgent",
            "no agent is connected, so nothing new is heard of; look whether the agent runs on the nodes, and"
            " what its log says of the collector",
        )
    if circumstances.left_out:
        return _condition("Ready", False, "PlanFull", _cut(circumstances.left_out))
    if circumstances.unable.all_blind:
        return _condition("Ready", False, "NodesUnable", _blind(circumstances.unable))
    return _ready_now(results, circumstances)


def _ready_now(results: Sequence[Reported], circumstances: Circumstances) -> Condition:
    """Whether containers are recorded: nothing stands in the way of all of them."""
    problems = list(_problems(results, circumstances))
    progress = _progress(results)
    if problems:
        return _condition("Ready", True, "Degraded", "; ".join([*problems, progress]))
    active = _active(results)
    reason = "Recording" if active else "Recorded" if _whole(results) else "Waiting"
    return _condition("Ready", True, reason, progress)


def _progress(results: Sequence[Reported]) -> str:
    whole, active = _whole(results), _active(results)
    if not whole and not active:
        return (
            "no container that matches has been seen yet: start the workload, or look at podSelector and"
            " containers"
        )
    made = [each for each in whole if each.name]
    final = sum(each.state == STATE_FINAL for each in made)
    said = f"{_number(len(active), 'workload')} recorded now; {_number(len(made), 'result')}, {final} final"
    waiting = sorted({each.waiting for each in whole if not each.name and each.waiting})
    return "; ".join([said, *_listed(waiting)])


def _problems(results: Sequence[Reported], circumstances: Circumstances) -> Iterator[str]:
    if circumstances.not_recorded:
        yield "not recordable: " + ", ".join(
            _listed(f"{container} ({reason})" for container, reason in sorted(circumstances.not_recorded))
        )
    if circumstances.unable.blind:
        yield _blind(circumstances.unable)
    if circumstances.unable.bare:
        yield (
            f"results can be installed on no node without {circumstances.unable.module}, which these lack: "
            + ", ".join(_listed(circumstances.unable.bare))
        )
    if circumstances.trouble:
        yield "not published: " + ", ".join(
            _listed(f"{name} ({reason})" for name, reason in sorted(circumstances.trouble))
        )
    if circumstances.refused:
        told = (f"{reason} ({count})" for reason, count in sorted(circumstances.refused.items()))
        yield "reports that were not believed: " + ", ".join(_listed(told))
    if circumstances.missing:
        yield (
            f"{_number(circumstances.missing, 'container')} not in any result, since the pod was gone before"
            " it could be confirmed: let pods exist a moment longer, or set results.accept_unconfirmed"
        )
    lossy = [each for each in _whole(results) if not Ledger(each.summary.ledger).verdict.complete]
    if lossy:
        yield f"{_number(len(lossy), 'result')} lossy: see the condition Complete"


def _blind(unable: UnableNodes) -> str:
    told = ", ".join(_listed(f"{node} ({why})" for node, why in unable.blind))
    return f"nodes whose agents cannot record what is asked for: {told}"


def _complete(results: Sequence[Reported], circumstances: Circumstances) -> Condition:
    whole = _whole(results)
    losses = Ledger(_ledger(whole)).losses()
    missed = [
        text
        for text, count in (
            ("containers that cannot be recorded", len(circumstances.not_recorded)),
            ("containers whose pod nobody could confirm", circumstances.missing),
        )
        if count
    ]
    if losses or missed:
        told = [*(_loss(cause, count) for cause, count in _known_first(losses)), *missed]
        return _condition("Complete", False, "Lossy", "something is missing: " + "; ".join(_listed(told)))
    if not any(each.name for each in whole):
        return _condition("Complete", False, "NothingRecorded", "nothing was recorded yet")
    return _condition("Complete", True, "NothingLost", "nothing that happened while it was recorded was lost")


def _loss(cause: str, count: int) -> str:
    known = CAUSES.get(cause)
    if known is None:
        return f"{cause} {count} (a newer agent's; see its documentation)"
    return f"{cause} {count} ({known.meaning}: {known.remedy})"


def _edited(results: Sequence[Reported]) -> Iterator[Condition]:
    edited = [each for each in results if each.edits and each.name]
    if not edited:
        return
    told = []
    for each in edited:
        taken = ", ".join(_listed(f"{edit.field} by {edit.manager}" for edit in sorted(each.edits)))
        told.append(f"{each.name}: {taken}")
    yield _condition(
        "Edited",
        True,
        "FieldsTaken",
        f"{'; '.join(_listed(told))}. These fields stay as they are, whatever is seen; remove the annotation"
        f" {EDITED} from the object to give them back",
    )


def _profile_updated(circumstances: Circumstances) -> Iterator[Condition]:
    """Of several containers' answers what was not done comes first."""
    answers = circumstances.updates
    if answers:
        messages = dict.fromkeys(each.message for each in answers)
        yield _condition("ProfileUpdated", answers[0].done, answers[0].reason, "; ".join(messages))


def _limit_reached(circumstances: Circumstances) -> Iterator[Condition]:
    if circumstances.withheld:
        yield _condition(
            "LimitReached",
            True,
            "TooManyResults",
            f"{_number(circumstances.withheld, 'result')} not published, since a recording has at most"
            f" {circumstances.limit}; use mergeStrategy Containers, select fewer pods, or raise"
            " results.of_recording",
        )


_UNSAID: Final = (
    "The whole profile is given by `recorder records NAME -f apparmor-text`, and is to be loaded on the nodes"
    " by other means"
)


def _partly_expressed(results: Sequence[Reported]) -> Iterator[Condition]:
    """What the workload does, and its object does not allow, for want of a field."""
    partly = [each for each in _whole(results) if each.summary.unsaid and each.name]
    if not partly:
        return
    told = [f"{each.name}: {', '.join(_listed(each.summary.unsaid))}" for each in partly]
    remedies = sorted({each.summary.remedy or _UNSAID for each in partly})
    yield _condition(
        "PartlyExpressed",
        True,
        "NotExpressible",
        f"{'; '.join(told[:_MAX_ITEMS])}. {'; '.join(remedies)}",
    )


def _condition(kind: str, status: bool, reason: str, message: str) -> Condition:
    plain = message.encode("utf-8", "backslashreplace").decode()
    return Condition(
        kind, status, reason, plain if len(plain) <= MAX_MESSAGE else plain[: MAX_MESSAGE - 3] + "..."
    )


# --- parts


def _whole(results: Iterable[Reported]) -> list[Reported]:
    """Without partial ones: what these have is in the merged one as well."""
    return [each for each in results if not each.key.partial]


def _active(results: Iterable[Reported]) -> tuple[str, ...]:
    return tuple(sorted({name for each in results for name in each.active}))


def _ledger(results: Iterable[Reported]) -> dict[str, int]:
    return dict(sum((Ledger(each.summary.ledger) for each in results), Ledger()).counts)


def _shown_ledger(ledger: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(_known_first(ledger)[:MAX_CAUSES]))


def _known_first(ledger: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(ledger.items(), key=lambda item: (item[0] not in CAUSES, item[0]))


def _listed(texts: Iterable[str]) -> list[str]:
    kept = [_cut(each) for each in texts]
    more = [f"and {len(kept) - _MAX_ITEMS} more"] if len(kept) > _MAX_ITEMS else []
    return [*kept[:_MAX_ITEMS], *more]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
