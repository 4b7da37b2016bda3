"""How results are named, and when they are written: the publisher's settings."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ResultPolicy"]


@dataclass(frozen=True, slots=True)
class ResultPolicy:
    """Times are seconds of the monotonic clock; the wall clock decides nothing.

    namespace_prefix: the namespace always stands in front of a result's name. of_recording: results of
    one recording at most. settle: a result is final when none of its containers has run for so long.
    first_write, last_write: the distance of the first writes of a growing result, and the largest, to
    which it doubles. glance: how often one recording is looked at, at most. accept_unconfirmed: pods that
    were gone when they were asked for count too. lost: a container counts as ended when its node's agent
    has been away for so long and its pod is gone. linger: so long after its deletion a recording still
    takes what agents had not been able to send. retry: what the platform refused is tried again.
    """

    namespace_prefix: bool = False
    of_recording: int = 100
    settle: float = 30.0
    first_write: float = 2.0
    last_write: float = 60.0
    glance: float = 0.5
    accept_unconfirmed: bool = False
    lost: float = 600.0
    linger: float = 600.0
    retry: float = 60.0
