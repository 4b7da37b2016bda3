"""What each kind of result has a module for: from a draft to what an object of the kind says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from recorder.collector.results.drafts import Draft
from recorder.collector.results.result_summary import ResultSummary
from recorder.model.record import Observation
from recorder.model.result import PublishedResult

__all__ = ["Content", "Drawn", "NotYet", "ResultKind", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A result as it is wanted.

    enabled: it is to be installed; one that grows is not. merged: it is one over all pods, so that it
    says in how many records it was used what it allows, as one of several records does in any case.
    existing: by name, the profiles that it completes.
    """

    draft: Draft
    name: str
    labels: Mapping[str, str] = field(hash=False)
    enabled: bool
    merged: bool
    existing: Mapping[str, PublishedResult] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class NotYet:
    """There is no object to publish; `reason` is a sentence for a person.

    stuck: it does not come of itself either; one that is there stays as it is.
    """

    reason: str
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """What the object says. `spec` is plain JSON; `annotations` are those of the kind, whole."""

    spec: Mapping[str, Any] = field(hash=False)
    annotations: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The answer. `summary`: without denials; `worked`: observations in which the workload was seen."""

    content: Content | NotYet
    summary: ResultSummary
    worked: tuple[Observation, ...]


class ResultKind(Protocol):
    """Makes results of one kind, by one means. Pure: the same draft gives the same bytes."""

    def draw(self, wanted: Wanted) -> Drawn:
        """Return the result; its content is NotYet while nothing of the workload was seen.

        Of the set-up alone there is no profile, since it would let nothing run.
        """
